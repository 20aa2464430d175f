def sub(path, old, new, n=1):
    path = "clamnet_tf/" + path
    s = open(path).read(); assert s.count(old) == n, (path, old, s.count(old)); open(path, "w").write(s.replace(old, new))
sub("imaging/dicom_tensorflow_io.py", "from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage\n", "from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage\n")
sub("imaging/dicom.py", "    values, excluded = None, None\n    start = 0\n", "    values: np.ndarray | None = None\n    excluded: np.ndarray | None = None\n    start = 0\n")
sub("imaging/dicom.py", "        spacing = spacing_of(affine) if axes[0] else tuple(spacing[axis] for axis in axes)\n", "        assert spacing is not None  # known with the affine\n        spacing = spacing_of(affine) if axes[0] else (spacing[axes[0]], spacing[axes[1]], spacing[axes[2]])\n")
sub("imaging/dicom.py", "    if axes[0]:\n        plane = plane_name", "    if axes[0]:\n        assert arrangement.directions is not None  # or nothing would be turned\n        plane = plane_name")
sub("imaging/dicom.py", '''        SliceReference(
            f.path, f.index, f.sop_class_uid, f.sop_instance_uid, None if f.position is None else tuple(float(v) for v in f.position), number
        )
''', '''        SliceReference(f.path, f.index, f.sop_class_uid, f.sop_instance_uid, _triple(f.position), number)
''')
sub("imaging/dicom.py", "def _references(ordered", '''def _triple(position) -> tuple[float, float, float] | None:
    if position is None:
        return None
    x, y, z = (float(value) for value in position)
    return x, y, z


def _references(ordered''')
sub("imaging/dicom.py", '''        with decoding(lambda reason, path=path: ImageError(f"{path}: its DICOM header cannot be understood: {reason}. Export the image again.")):
            if''', '''        with decoding(functools.partial(_not_understood, path)):
            if''')
sub("imaging/dicom.py", "def _assemble(frames", '''def _not_understood(path, reason: str) -> ImageError:
    return ImageError(f"{path}: its DICOM header cannot be understood: {reason}. Export the image again.")


def _assemble(frames''')
sub("imaging/dicom.py", "import hashlib\n", "import functools\nimport hashlib\n")
s = open("pyproject.toml").read()
import re, subprocess
bad = sorted({l.split(":")[0] for l in open("/tmp/gate/mypy_all.txt") if ": error:" in l})
bad = [b[:-3].replace("/", ".") for b in bad if not re.match(r"clamnet_tf/(recipe|metrics|imaging|losses)/", b)]
# what other branches delete or move stands here too: a pattern without a module is no error
s = s[: s.index("\n[[tool.mypy.overrides]]")] if "[[tool.mypy.overrides]]" in s else s
s = s.rstrip("\n") + "\n\n[[tool.mypy.overrides]]\n# Not yet clean. The list only gets shorter; recipe, metrics, imaging and losses are clean and stay so.\nmodule = [\n" + "".join(f'    "{b}",\n' for b in bad) + "]\nignore_errors = true\n"
open("pyproject.toml", "w").write(s)
print(len(bad))
