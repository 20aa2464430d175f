"""One folder of studies marked by two real processes: the files of one process, also when one of the two was
killed.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LAUNCHER = Path(__file__).parents[2] / "tools" / "launch_local_cluster"
OF_PROCESSES = (".progress", ".lock", ".clamnet")


@pytest.fixture
def studies(tmp_path, rng, head, write_series):
    """Nine DICOM studies, of which two cannot be read."""
    folder = tmp_path / "in"
    for number in range(9):
        for file in write_series(folder / f"study{number:02d}", head(rng, 3), PatientID=f"ID-{number:04d}"):
            if number in (2, 5):
                file.write_bytes(file.read_bytes()[:-900])
    return folder


def launch(run, data, out, logs):
    command = [
        sys.executable,
        "-m",
        "clamnet_tf",
        "predict",
        str(run),
        str(data),
        "--any-modality",
        "--out",
        str(out),
        "--format",
        "png,report",
    ]
    return subprocess.Popen(
        [sys.executable, str(LAUNCHER), "2", "--logs", str(logs), "--", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CLAMNET_TF_CLUSTER_TIMEOUT": "120"},
    )


def files(folder):
    """Contents of all result files; the minute in which a page was made is left out."""
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(OF_PROCESSES)
    }
    return {
        name: re.sub(rb"20\d\d-\d\d-\d\d \d\d:\d\d", b"", content) if name.endswith(".html") else content
        for name, content in found.items()
    }


def groups(path):
    return [json.loads(line)["group"] for line in path.read_text().splitlines()]


def test_two_processes_write_what_one_writes(run, predict, studies, tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    expected = predict(run, studies, out=alone, options=["--format", "png,report"])[0]
    with launch(run, studies, together, tmp_path / "logs") as job:
        stdout, stderr = job.communicate(timeout=300)
    assert (expected.exit_code, job.returncode) == (1, 1), (stdout, stderr)
    assert (
        files(together) == files(alone) and len(files(alone)) == 3 + 7 * 4 + 1
    )  # tables, settings; pages and masks; the page over all
    last = [text[text.index("Error: 2 of the inputs") :] for text in (expected.stderr, stdout)]
    assert last[0].strip() == last[1].strip(), "failures in the order of one process"
    assert groups(together / ".progress.jsonl") == [0, 4, 6, 8] and groups(
        together / ".progress-1.jsonl"
    ) == [1, 3, 7]
    assert not list(together.glob(".lock*")) and (tmp_path / "logs" / "worker-1.log").read_text() == ""


@pytest.mark.slow
def test_a_killed_process_is_missed_and_gone_on_for(run, predict, studies, tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    predict(run, studies, out=alone, options=["--format", "png,report"])
    with launch(run, studies, together, tmp_path / "logs") as job:
        progress_log = together / ".progress-1.jsonl"
        while not (progress_log.exists() and progress_log.read_bytes().endswith(b"\n")):
            assert job.poll() is None, job.communicate()
            time.sleep(0.005)
        for number in Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split():
            if b'"index": 1' in Path(f"/proc/{number}/environ").read_bytes():
                os.kill(int(number), signal.SIGKILL)
        stdout, stderr = job.communicate(timeout=300)
    assert job.returncode == 137, (stdout, stderr)
    stamps = {path: path.stat().st_mtime_ns for path in together.rglob("*_mask.png")}
    again = predict(run, studies, out=together, options=["--format", "png,report"])[
        0
    ]  # one process goes on for both
    assert again.exit_code == 1 and "of the volumes were finished already" in again.stdout, again.stderr
    assert files(together) == files(alone)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps, "finished volumes are not done again"
