"""A tiny model, exported once, behind a real server process."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location(
    "export_conftest", Path(__file__).parents[1] / "export" / "conftest.py"
)
_EXPORT = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_EXPORT)

make_run, source_of_run, gray_run, gray_source, exported = (
    getattr(_EXPORT, name) for name in ("make_run", "source_of_run", "gray_run", "gray_source", "exported")
)


@pytest.fixture(scope="session")
def ports(exported):
    """{"grpc": port, "rest": port} of a process that serves the tiny model as mri_carcinoma."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("model_process.py")),
        str(exported.path.parents[1]),
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        line = process.stdout.readline()
        assert line, process.stderr.read()[-2000:]
        yield json.loads(line)
        process.stdin.close()
        process.terminate()
        process.stderr.close()
