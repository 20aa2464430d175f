"""OUT.json: masks of `clamnet-tf predict` by zoo entries and a finished run on files of the cohorts, as sha256 of their pixels, and tables as text."""
import hashlib, io, json, os, subprocess, sys, tempfile
from pathlib import Path
import numpy as np
from PIL import Image
from common import *
CODE = Path(os.environ["GATE_CODE"]); cohorts = GATE / "cache" / "cohorts"
def inputs():
    mri = next(cohorts.glob("brain_mri-*")); head = next(cohorts.glob("head_ct-*"))
    patients = sorted({p.parent for p in mri.rglob("*.tif") if not p.stem.endswith("_mask")})
    yield "mri_carcinoma", sorted(p for p in patients[0].glob("*.tif") if not p.stem.endswith("_mask"))
    yield str(GATE / "finished" / "binary"), sorted(p for p in patients[-1].glob("*.tif") if not p.stem.endswith("_mask"))
    yield "ct_haemorrhage", [sorted(head.glob("*/ct"))[0]]
    yield str(GATE / "finished" / "classes"), [sorted(head.glob("*/ct"))[0]]
out = {}
for model, files in inputs():
    if "/" not in model: model_path = str(CODE / "zoo" / model)
    else: model_path = model
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(cli("predict", model_path, *files, "--out", f"{folder}/out", "--format", "png"), env=environment(CODE, os.environ["CLAMNET_TF_CACHE"]), cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, (model, done.stdout[-1500:], done.stderr[-1500:])
        name = Path(model).name
        for path in sorted(Path(folder, "out").rglob("*_mask.png")):
            pixels = np.asarray(Image.open(path)); out[f"{name}/{path.name}"] = [int((pixels > 0).sum()), hashlib.sha256(pixels.tobytes()).hexdigest()[:16]]
        for table in ("marks.csv", "volumes.csv"):
            out[f"{name}/{table}"] = Path(folder, "out", table).read_text().splitlines()[0]
Path(sys.argv[1]).write_text(json.dumps(out, indent=1))
