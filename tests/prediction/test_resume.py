"""A folder of many studies: killed and gone on with, failures, bounded memory. What is killed or measured is
a process of its own.
"""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from clamnet_tf.files import hold

PEAK = """
import re, sys
from clamnet_tf.cli.main import main
try:
    main(sys.argv[1:])
finally:
    # ru_maxrss would be that of the process that started this one, where that is larger
    status = open("/proc/self/status").read()
    print("peak", int(re.search("VmHWM:\\s+(\\d+)", status)[1]) // 1024, file=sys.stderr)
"""


def command(run, data, out, *more):
    return [
        sys.executable,
        "-m",
        "clamnet_tf",
        "predict",
        str(run),
        str(data),
        "--any-modality",
        "--out",
        str(out),
        *more,
    ]


@pytest.fixture
def studies(tmp_path, rng, head, write_series):
    """Twelve DICOM studies, one of them damaged, a text and a SEG-like object among them."""
    folder = tmp_path / "in"
    for number in range(12):
        files = write_series(
            folder / f"study{number:02d}",
            head(rng, 4),
            PatientID=f"ID-{number:04d}",
            PatientName=f"Name{number}^X",
        )
        if number == 3:
            for file in files:
                file.write_bytes(file.read_bytes()[:-900])
    (folder / "notes.txt").write_text("no image")
    return folder


def test_killed_and_gone_on_with(run, predict, studies, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert predict(run, studies, out=whole)[0].exit_code == 1
    process = subprocess.Popen(
        command(run, studies, broken), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    progress_log = broken / ".progress.jsonl"
    while process.poll() is None and not (
        progress_log.exists() and progress_log.read_bytes().count(b"\n") >= 3
    ):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    done = [json.loads(line)["volumes"][0]["report"] for line in progress_log.read_bytes().split(b"\n")[:-1]]
    assert 3 <= len(done) < 11 and not (broken / "marks.csv").exists(), "killed in the middle"
    stamps = {name: (broken / name).stat().st_mtime_ns for name in done}
    with open(progress_log, "ab") as stream:
        stream.write(b'{"group": 11, "slices": [{"torn')
    again, _, _ = predict(run, studies, out=broken)
    assert (
        again.exit_code == 1
        and f"Continued in {broken}: {len(done)} of the volumes were finished already" in again.stdout
    )
    assert again.stderr.count("study03") >= 1 and again.stderr.startswith(
        "Error: 1 of the inputs could not be used:\n"
    ), again.stderr
    assert {name: (broken / name).stat().st_mtime_ns for name in done} == stamps, (
        "finished volumes are not done again"
    )
    for table in ("marks.csv", "volumes.csv"):
        assert (broken / table).read_bytes() == (whole / table).read_bytes()
    files = lambda folder: {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    assert files(broken) == files(whole) and not list(broken.rglob(".writing-*"))
    other, _, _ = predict(run, studies, out=broken, options=["--format", "png"])
    assert (
        other.exit_code == 2
        and "holds results that were begun with another formats (see prediction.json there)" in other.stderr
    )
    more, _, _ = predict(run, studies / "study01", out=broken)
    assert more.exit_code == 2 and "begun with another inputs" in more.stderr


def peak(run, folder, out, *more):
    """Peak resident memory of a prediction in MB."""
    answer = subprocess.run(
        [sys.executable, "-c", PEAK, *command(run, folder, out, *more)[3:]], capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    return int(answer.stderr.split("peak ")[1])


def test_memory_does_not_grow_with_the_number_of_studies(run, tmp_path, rng):
    volume = rng.integers(80, 120, (8, 192, 192)).astype(
        np.float32
    )  # 1.2 MB; kept ones would show: 45 of them, with their masks
    volume[:, 50:90, 60:80] = 200
    for count in (5, 50):
        folder = tmp_path / f"in{count}"
        folder.mkdir()
        np.save(folder / "v0.npy", volume)
        for number in range(1, count):
            os.link(folder / "v0.npy", folder / f"v{number}.npy")
    peaks = {
        count: peak(run, tmp_path / f"in{count}", tmp_path / f"out{count}", "--format", "nifti")
        for count in (5, 50)
    }
    print("peak memory in MB by number of studies:", peaks)
    assert peaks[50] - peaks[5] < 40, peaks


def test_two_processes_do_not_share_a_folder(run, predict, studies, tmp_path):
    (tmp_path / "out").mkdir()
    with hold(tmp_path / "out" / ".lock") as held:
        second, _, _ = predict(run, studies)
    assert held and second.exit_code == 2 and "another process writes its results here" in second.stderr
