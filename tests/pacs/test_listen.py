"""listen as a process: images from dcmtk's storescu, results to a real Orthanc, killed in between."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pydicom
import pytest

PORT, HEALTH = 11112, 11113
BRIGHT = 150
NEEDS_DCMTK = pytest.mark.skipif(
    not shutil.which("storescu"), reason="dcmtk is not installed (Debian: apt-get install dcmtk)"
)


def ask(path):
    """(status, text) of the service's HTTP port."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{HEALTH}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def metric(name):
    lines = ask("/metrics")[1].splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"clamnet_tf_{name} "))


def wait_for(condition, process, seconds=120):
    ends = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, StopIteration):
            if condition():
                return
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < ends, "waited too long"
        time.sleep(0.1)


@pytest.fixture
def listen(run, tmp_path):
    """listen(*options, quiet=seconds) -> process that takes images."""
    pytest.importorskip("pynetdicom", reason="pynetdicom is not installed: pip install 'clamnet-tf[pacs]'")
    pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")
    started = []

    def start(*options, quiet=6):
        command = [sys.executable, "-m", "clamnet_tf", "listen", str(run), "--out", str(tmp_path / "out")]
        process = subprocess.Popen(
            [*command, "--any-modality", "--port", str(PORT), "--quiet-seconds", str(quiet), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        send_nothing = [shutil.which("echoscu"), "-aet", "CT1", "-aec", "CLAMNET", "127.0.0.1", str(PORT)]
        wait_for(lambda: subprocess.run(send_nothing, capture_output=True).returncode == 0, process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def send(files, title="CLAMNET"):
    command = ["storescu", "-R", "-aet", "CT1", "-aec", title, "127.0.0.1", str(PORT), *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True)


@NEEDS_DCMTK
def test_studies_that_arrive_are_marked_once(orthanc, listen, write_series, head, rng, tmp_path):
    files = write_series(tmp_path / "in", head(rng, 4))
    process = listen("--send", "dicom://ORTHANC@127.0.0.1:4242", "--accept", "CT1")
    assert send(files[:2]).returncode == 0
    os.kill(process.pid, signal.SIGKILL)  # what was confirmed must not be lost
    process.wait()
    process = listen("--send", "dicom://ORTHANC@127.0.0.1:4242", "--accept", "CT1")
    assert send(files[2:]).returncode == 0
    wait_for(lambda: len(orthanc.held("SEG")) == 1, process)
    seg = pydicom.dcmread(
        pydicom.filebase.DicomBytesIO(
            orthanc.rest(f"/instances/{next(iter(orthanc.held('SEG').values()))}/file")
        )
    )
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
    frames = bits[: int(seg.NumberOfFrames) * seg.Rows * seg.Columns].reshape(-1, seg.Rows, seg.Columns)
    expected = sum(int((pydicom.dcmread(file).pixel_array >= BRIGHT).sum()) for file in files)
    assert frames.sum() == expected > 100
    wait_for(lambda: metric("studies_sent_total") == 1, process)
    assert len(orthanc.held("SR")) == 1 and len(orthanc.held("OT")) == 4
    assert ask("/health") == (200, '{"status": "ok", "studies_waiting": 0}') and ask("/other")[0] == 404
    assert send(files).returncode == 0
    wait_for(lambda: metric("images_received_total") == 6 and metric("studies_waiting") == 0, process)
    time.sleep(1)
    assert metric("studies_marked_total") == 1 and len(orthanc.held("SEG")) == 1, "no double"
    results = [path for kind in ("seg", "sr", "sc") for path in (tmp_path / "out").rglob(f"*_{kind}.dcm")]
    assert len(results) == 6 and send(results).returncode == 0, "as an archive that forwards them"
    assert metric("images_received_total") == 6 and metric("studies_waiting") == 0
    assert subprocess.run(["echoscu", "-aet", "OTHER", "-aec", "CLAMNET", "127.0.0.1", str(PORT)]).returncode
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0 and output.count("Marked: study") == 1, output
    assert (tmp_path / "out" / "marks.csv").read_text().count("\n") == 5
    assert "Doe" not in output and "4711" not in output


@pytest.mark.slow
@NEEDS_DCMTK
def test_results_that_cannot_be_sent_are_sent_later(orthanc, listen, write_series, head, rng, tmp_path):
    files = write_series(tmp_path / "in", head(rng, 4))
    process = listen("--send", "dicom://NOBODY@127.0.0.1:9", quiet=1)
    assert send(files).returncode == 0
    wait_for(lambda: ask("/health")[0] == 503 and "127.0.0.1:9" in ask("/health")[1], process)
    process.kill()
    process.wait()
    process = listen("--send", "dicomweb+http://127.0.0.1:8042/dicom-web", quiet=1)
    wait_for(lambda: len(orthanc.held("SEG")) == 1, process)
    assert metric("studies_marked_total") == 0, "marked by the earlier process"
