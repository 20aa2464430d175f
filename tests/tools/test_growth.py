"""tools/growth: exponents by hand, and the real commands on very little data."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
sys.path.insert(0, str(TOOLS))


def rows(name, seconds, memory=(100, 100, 100)):
    return [
        {"command": name, "slices": slices, "seconds": second, "processor_s": second, "memory_mb": megabytes}
        for slices, second, megabytes in zip((200, 1000, 10_000), seconds, memory)
    ]


def test_exponents_by_hand():
    """After the 2 s of 200 slices, 0.8 s for 800 more and 9.8 s for 9,800 more are a straight line, and
    times that grow with 12.25 squared grow with the square.
    """
    from benchmarks.growth import exponents

    found = exponents(
        rows("straight", (2, 2.8, 11.8)) + rows("square", (2, 3, 2 + 12.25**2)) + rows("flat", (2, 2.1, 2.4))
    )
    assert found["straight"] == {
        "seconds": 1.0,
        "processor_s": 1.0,
        "memory_mb": None,
        "straight": True,
    }
    assert found["square"]["processor_s"] == 2.0 and not found["square"]["straight"]
    assert found["flat"]["seconds"] is None and found["flat"]["straight"]
    grown = exponents(rows("memory", (2, 3, 12), (100, 200, 100 + 100 * 12.25**2)))
    assert grown["memory"]["memory_mb"] == 2.0 and not grown["memory"]["straight"]


@pytest.mark.slow
def test_the_commands_run_and_are_measured(tmp_path):
    done = subprocess.run(
        [sys.executable, str(TOOLS / "growth"), "--sizes", "800", "1200", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "growth.json").read_text())
    assert set(result["exponents"]) == {"data prepare", "fit", "predict", "evaluate"}
    lines = (tmp_path / "growth.csv").read_text().splitlines()
    assert len(lines) == 1 + 3 * 4 and (tmp_path / "growth.png").stat().st_size > 5000

    again = [
        str(TOOLS / "growth"),
        "--sizes",
        "800",
        "1200",
        "--out",
        str(tmp_path),
        "--until",
        "data prepare",
    ]
    done = subprocess.run([sys.executable, *again], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["command"] for line in done.stdout.splitlines()[:3]] == ["data prepare"] * 3
    after = (tmp_path / "growth.csv").read_text().splitlines()
    assert len(after) == len(lines) and set(lines) - set(after) <= set(lines[1::4])


def test_until_needs_the_figures_of_an_earlier_run(tmp_path):
    done = subprocess.run(
        [sys.executable, str(TOOLS / "growth"), "--until", "fit", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "expected growth.csv and growth.json of an earlier run" in done.stderr
