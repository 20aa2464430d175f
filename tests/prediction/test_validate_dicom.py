"""tools/validate-dicom on segmentations: dicom-validator finds nothing in ours, and something in a broken
one.
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
    broken = pydicom.dcmread(segs[0])
    del broken.SegmentSequence[0].SegmentAlgorithmType
    broken.save_as(tmp_path / "broken.dcm")
    answer = validate(tmp_path / "broken.dcm")
    assert answer.returncode == 1 and "Segment Algorithm Type) is missing" in answer.stdout


def validate(*files):
    return subprocess.run(
        [str(REPOSITORY / "tools" / "validate-dicom"), *map(str, files)], capture_output=True, text=True
    )
