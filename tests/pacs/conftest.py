"""Orthanc, and the runs and series of tests/prediction."""

import importlib.util
import sys
from pathlib import Path

import pytest

_HERE = Path(__file__).resolve().parent


def _load(name, path):
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


_prediction = _load("prediction_fixtures", _HERE.parent / "prediction" / "conftest.py")
write_run, run, predict, rows_of = (
    getattr(_prediction, name) for name in ("write_run", "run", "predict", "rows_of")
)
head, write_series, write_enhanced = (
    getattr(_prediction, name) for name in ("head", "write_series", "write_enhanced")
)


@pytest.fixture(scope="session")
def pacs():
    """The module orthanc_process; skips where no Orthanc can be started, and says why."""
    for package in ("dicomweb_client", "highdicom"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install 'clamnet-tf[pacs]'")
    module = _load("orthanc_process", _HERE / "orthanc_process.py")
    if why := module.missing():
        pytest.skip(f"{why}: archives were not tried")
    return module


@pytest.fixture
def orthanc(pacs, tmp_path):
    """The module orthanc_process, with this thread beside a running, empty Orthanc without a password."""
    with pacs.orthanc(tmp_path / "orthanc") as process, pacs.inside(process):
        yield pacs
