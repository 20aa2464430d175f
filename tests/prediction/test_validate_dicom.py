"""tools/validate-dicom on segmentations, reports and captures: dicom-validator finds nothing in ours, and
something in a broken one.
"""

import subprocess
from pathlib import Path

import pydicom
import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.skipif(
    not (REPOSITORY / ".venv-validate" / "installed").exists(),
    reason="tools/validate-dicom has not made its environment yet",
)
def test_dicom_validator(run, predict, studies, tmp_path):
    for kind in ("binary", "fractional"):
        predict(
            run,
            tmp_path / "studies",
            options=["--format", "dicom-seg", "--segmentation", kind],
            out=tmp_path / kind,
        )
    segs = sorted(tmp_path.rglob("*_seg.dcm"))
    answer = validate(*segs)
    assert len(segs) == 14 and answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout.count("dicom-validator: passed, 0 errors") == 14
    for name in ("axial", "nothing", "xray"):
        options = ["--format", "dicom-seg,dicom-sr,dicom-sc"]
        predict(run, tmp_path / "studies" / name, options=options, out=tmp_path / "all" / name)
    others = [path for kind in ("sr", "sc") for path in sorted((tmp_path / "all").rglob(f"*_{kind}.dcm"))]
    answer = validate(*others)
    assert len(others) > 6 and answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout.count("dicom-validator: passed, 0 errors") == len(others)
    broken = pydicom.dcmread(segs[0])
    del broken.SegmentSequence[0].SegmentAlgorithmType
    broken.save_as(tmp_path / "broken.dcm")
    answer = validate(tmp_path / "broken.dcm")
    assert answer.returncode == 1 and "Segment Algorithm Type) is missing" in answer.stdout


def validate(*files):
    return subprocess.run(
        [str(REPOSITORY / "tools" / "validate-dicom"), *map(str, files)], capture_output=True, text=True
    )
