"""Every Python tool finds the project's environment by itself, also in a fresh shell."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
STARTERS = ("provide-tensorflow",)  # runs before there is an environment
PYTHON_TOOLS = sorted(
    path.name
    for path in TOOLS.iterdir()
    if path.is_file() and not path.suffix and "python" in path.read_text(encoding="utf-8").splitlines()[0]
)


@pytest.fixture
def fresh_shell(tmp_path):
    """(python of an environment without packages, variables of a shell in which no environment is active)."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return tmp_path / "bare" / "bin" / "python", kept


def test_every_tool_asks_for_the_environment():
    assert PYTHON_TOOLS
    for name in PYTHON_TOOLS:
        text = (TOOLS / name).read_text(encoding="utf-8")
        assert ("import project_environment" in text) == (name not in STARTERS), name


@pytest.mark.skipif(not (TOOLS.parent / ".venv" / "bin" / "python").exists(), reason="no .venv here")
@pytest.mark.parametrize("name", [name for name in PYTHON_TOOLS if name not in STARTERS])
def test_a_tool_runs_where_no_environment_is_active(fresh_shell, name):
    python, variables = fresh_shell
    done = subprocess.run([python, TOOLS / name, "--help"], capture_output=True, text=True, env=variables)
    assert "ModuleNotFoundError" not in done.stderr and "Error" not in done.stderr, done.stderr[-2000:]
    assert done.returncode == 0, done.stdout[-500:]


def test_without_an_environment_it_says_what_makes_one(fresh_shell, tmp_path):
    python, variables = fresh_shell
    tools = tmp_path / "clone" / "tools"
    tools.mkdir(parents=True)
    for name in ("recipe-table", "project_environment.py"):
        (tools / name).write_bytes((TOOLS / name).read_bytes())
    done = subprocess.run([python, tools / "recipe-table"], capture_output=True, text=True, env=variables)
    assert done.returncode == 1
    assert "recipe-table needs the project's environment" in done.stderr
    assert "Run tools/quickstart or tools/test, which make it." in done.stderr
