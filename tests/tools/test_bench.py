"""tools/bench: rounds and readings by hand, and the whole command on tiny networks."""

import csv
import importlib
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
ROWS_EXPECTED = {"training": 5, "input": 2, "inference": 7, "processes": 6}


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return lambda name: importlib.import_module(f"benchmarks.{name}")


def test_rounds_take_turns_and_leave_the_first_out(benchmarks):
    rounds, calls = benchmarks("rounds"), []
    given = iter([100.0, 3.0, 1.0, 2.0])

    def here():
        calls.append("here")

    def elsewhere():
        calls.append("elsewhere")
        seconds = next(given)
        return rounds.Taken(seconds, 2 * seconds)

    found = rounds.interleaved({"here": here, "elsewhere": elsewhere}, 3)
    assert calls == ["here", "elsewhere"] * 4
    assert found["elsewhere"] == (2.0, 4.0)  # medians of 3, 1, 2; the first, 100, was the warm-up
    assert 0 <= found["here"].clock < 0.1
    assert found["elsewhere"] / 4 == (0.5, 1.0)


def test_readings_follow_the_figure_that_is_judged(benchmarks):
    rows, Taken = benchmarks("rows"), benchmarks("rounds").Taken
    row = rows.ratio("Training", "a | b", Taken(3.0, 2.0), Taken(2.0, 2.0), at_least=1.2)
    assert (row.value, row.processor, row.reading, row.target) == (1.5, 1.0, "met", "at least 1.2 x")
    row.by = "processor"
    assert row.reading == "missed"
    memory = rows.Row("Whole processes", "memory", 3.5, "GB", at_most=3, by="processor")
    assert (memory.reading, memory.target) == ("missed", "at most 3 GB")
    assert rows.Row("Input", "only measured", 1.0, "s").reading == ""
    lines = rows.table([row.stored(), memory.stored()])
    assert lines[0] == "## Training" and "| a \\| b | at least 1.2 x | 1.50 x | 1.00 x | missed |" in lines[4]
    assert [line for line in lines if line.startswith("## ")] == ["## Training", "## Whole processes"]


@pytest.mark.parametrize(
    "value, text", [(0.012345, "0.0123"), (1.2345, "1.23"), (12.345, "12.3"), (1234.5, "1234"), (0.0, "0")]
)
def test_three_digits(benchmarks, value, text):
    assert benchmarks("rows").figure(value) == text


def test_growth_is_held_against_the_flops(benchmarks):
    scaling = benchmarks("scaling")
    middle = {"side": 256, "depth": 4, "filters": 16, "batch": 2}
    base = {"varied": "side", **middle, "gflop_forward": 10.0, "training_processor_s": 1.0}
    twice = {"varied": "batch", **middle, "batch": 4, "gflop_forward": 20.0, "training_processor_s": 3.0}
    assert [ratio for _, ratio in scaling.ratios([base, twice], middle, "training_processor_s")] == [1.0, 1.5]


def test_the_table_in_the_repository_is_the_one_of_its_figures(benchmarks):
    stored = json.loads((TOOLS / "benchmarks" / "measured.json").read_text(encoding="utf-8"))
    written = (TOOLS / "benchmarks" / "MEASURED.md").read_text(encoding="utf-8")
    table = "\n".join(
        benchmarks("rows").table([row for group in stored["groups"].values() for row in group["rows"]])
    )
    assert stored["size"] == "full" and table in written


@pytest.mark.slow
def test_the_command_on_tiny_networks(tmp_path):
    subprocess.run(
        [sys.executable, str(TOOLS / "bench"), "--quick", "--out", str(tmp_path)],
        check=True,
        capture_output=True,
    )
    stored, table = (
        json.loads((tmp_path / "measured.json").read_text()),
        (tmp_path / "MEASURED.md").read_text(),
    )
    assert {name: len(group["rows"]) for name, group in stored["groups"].items()} == ROWS_EXPECTED
    lines = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| What")]
    assert len(lines) == sum(ROWS_EXPECTED.values())
    for row in (row for group in stored["groups"].values() for row in group["rows"]):
        assert math.isfinite(row["value"]) and row["value"] > 0
        assert row["processor"] is None or (math.isfinite(row["processor"]) and row["processor"] > 0)
    for line in lines:  # the word against the numbers of the table itself
        _what, target, clock, _processor, reading, _figures = (
            cell.strip() for cell in line.strip("|").split(" | ")
        )
        if not target:
            assert reading == ""
            continue
        direction, wanted = re.fullmatch(r"at (least|most) ([\d.]+) \S+", target).groups()
        measured, wanted = float(clock.split()[0]), float(wanted)
        if measured != wanted:
            assert reading == ("met" if (measured > wanted) == (direction == "least") else "missed"), line


@pytest.mark.slow
def test_growth_on_tiny_networks(tmp_path):
    told = subprocess.run(
        [sys.executable, str(TOOLS / "bench"), "--quick", "--scaling", "--out", str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "of what the FLOPs predict" in told.stdout.splitlines()[-1]
    with open(tmp_path / "scaling.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["varied"] for row in rows] == ["side", "side", "depth", "filters", "batch"]
    assert float(rows[1]["gflop_forward"]) == pytest.approx(4 * float(rows[0]["gflop_forward"]), rel=0.01)
    assert all(float(row["training_s"]) > 0 and float(row["peak_gb"]) > 0.1 for row in rows)
    assert 0 < (tmp_path / "scaling.png").stat().st_size < 100_000


def test_no_gpu_is_said_and_changes_nothing(tmp_path):
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        pytest.skip("a GPU is here")
    command = [sys.executable, str(TOOLS / "bench"), "--device", "gpu", "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("No GPU: TensorFlow sees none"), done.stderr
    assert not list(tmp_path.iterdir())


def test_the_table_of_an_accelerator_by_hand(benchmarks):
    document = benchmarks("accelerators").document
    base = {"device": "A", "side": 256, "precision": "float32", "xla": False, "training_ms": 10.0}
    failed = base | {"xla": True, "training_ms": "failed: no memory"}
    fast = base | {"precision": "mixed_float16", "training_ms": 4.0, "inference_ms_per_slice": 0.5}
    lines = document([base, fast | {"peak_gb": 1.5, "first_step_s": 2.0}, failed]).splitlines()
    assert "| A | 256 | mixed_float16 | no | 4.0 ms | 2.50 x | 0.50 ms | 1.50 GB | 2.0 s |" in lines
    assert "| A | 256 | float32 | yes | failed: no memory |  |  | not known |  |" in lines


@pytest.mark.slow
def test_the_rows_of_an_accelerator_can_be_tried_on_a_processor(tmp_path):
    command = [sys.executable, str(TOOLS / "bench"), "--device", "cpu", "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "accelerators.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 4 and all(float(row["training_ms"]) > 0 for row in rows)
