"""tools/archive-cost: the arithmetic by hand, and other prices on figures that are written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
MEASURED = {
    "per_slice": {
        "first_processor_ms": 36.0,
        "again_processor_ms": 0.1,
        "records_processor_ms": 72.0,
        "cache_bytes": 50_000,
        "record_bytes": 60_000,
    }
}


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "archive.json"
    path.write_text(json.dumps({"measured": MEASURED}))
    return path


def test_ten_million_slices_by_hand(written):
    """36 ms x 10^7 = 100 hours, on 50 vCPUs 2; 50 kB x 10^7 = 500 GB."""
    command = [
        sys.executable,
        str(TOOLS / "archive-cost"),
        "--keep",
        "--vcpus",
        "50",
        "--vcpu-hour",
        "0.04",
        "--gb-month",
        "0.01",
        "--out",
        str(written),
    ]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(written.read_text())
    assert (
        found == json.loads(answer.stdout)
        and found["measured"] == MEASURED
        and found["prices_usd"]["sources"] == "given"
    )
    assert found["computed"] == {
        "slices": 10_000_000,
        "vcpus": 50,
        "cache": {"vcpu_hours": 100.0, "hours": 2.0, "gigabytes": 500, "usd_once": 4.0, "usd_month": 5.0},
        "records": {"vcpu_hours": 200.0, "hours": 4.0, "gigabytes": 600, "usd_once": 8.0, "usd_month": 6.0},
    }


def test_the_figures_of_the_page_are_those_of_the_file():
    written = json.loads((TOOLS / "benchmarks" / "archive.json").read_text())
    text = (TOOLS.parent / "docs" / "how-to" / "archives.md").read_text(encoding="utf-8")
    section = text.split("<!-- archive:begin -->")[1].split("<!-- archive:end -->")[0]
    for form in ("cache", "records"):
        assert (
            f"| {written['computed'][form]['gigabytes']:,} GB | {written['computed'][form]['usd_once']:.0f} "
            f"USD |" in section
        )
    assert all(
        f"{run['first']['memory_mb']} MB for {run['slices']:,} slices" in section
        for run in written["measured"]["runs"]
    )
