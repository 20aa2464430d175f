"""Import every module of clamnet_tf of the tree in argv[1] (PYTHONPATH); say which fail."""
import importlib, sys, traceback
from pathlib import Path
root = Path(sys.argv[1]).resolve(); sys.path.insert(0, str(root))
import clamnet_tf; assert Path(clamnet_tf.__file__).is_relative_to(root)
OPTIONAL = {"apache_beam", "tensorflow_io", "array_record"}
bad = 0; count = 0
for path in sorted((root / "clamnet_tf").rglob("*.py")):
    name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
    if name in ("clamnet_tf.__main__", "clamnet_tf.export.stranger", "clamnet_tf.imaging.gdcm_worker") or name.endswith("verify_in_subprocess"): continue
    count += 1
    try: importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] in OPTIONAL: continue
        bad += 1; print("FAIL", name, error)
    except Exception as error: bad += 1; print("FAIL", name, type(error).__name__, error)
print(count, "modules,", bad, "failed")
