"""predict from a real Orthanc and back into it. What Orthanc holds is asked over its own REST interface; the
pixels of a segmentation are compared with those of the source images.
"""

import http.server
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time

import numpy as np
import pydicom
import pytest

ADDRESS = "dicomweb+http://127.0.0.1:8042/dicom-web"
BRIGHT = 150


def put(orthanc, write_series, head, rng, folder, count):
    """{StudyInstanceUID: files} of studies that Orthanc now holds."""
    studies = {}
    for number in range(count):
        files = write_series(
            folder / f"{number}", head(rng, 4), PatientID="H 47&11", AccessionNumber=f"A{number}"
        )
        orthanc.upload(files)
        studies[pydicom.dcmread(files[0]).StudyInstanceUID] = files
    return studies


def segmented(content):
    """{SOPInstanceUID of a source image: its mask} of a binary SEG, by bit arithmetic (PS3.5 8.1.1)."""
    seg = pydicom.dcmread(pydicom.filebase.DicomBytesIO(content))
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
    frames = bits[: int(seg.NumberOfFrames) * seg.Rows * seg.Columns].reshape(-1, seg.Rows, seg.Columns)
    sources = [
        groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for groups in seg.PerFrameFunctionalGroupsSequence
    ]
    return dict(zip(sources, frames > 0, strict=True)), seg


def check(orthanc, studies):
    """One segmentation per study lies in Orthanc, with the bright pixels of its images; one report refers to
    it, and a picture shows each of its slices.
    """
    found, segmentations = {}, orthanc.held("SEG")
    reports = [
        pydicom.dcmread(pydicom.filebase.DicomBytesIO(orthanc.rest(f"/instances/{number}/file")))
        for number in orthanc.held("SR").values()
    ]
    referred = [
        item.ReferencedSOPInstanceUID
        for report in reports
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
        if item.ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.66.4"
    ]
    assert sorted(referred) == sorted(segmentations), "one report per segmentation"
    assert len(orthanc.held("OT")) == sum(map(len, studies.values())), "one picture per marked slice"
    for number in segmentations.values():
        masks, seg = segmented(orthanc.rest(f"/instances/{number}/file"))
        assert seg.StudyInstanceUID not in found, "a double"
        found[seg.StudyInstanceUID] = masks
    assert set(found) == set(studies), "a gap"
    for study, files in studies.items():
        for file in files:
            image = pydicom.dcmread(file)
            np.testing.assert_array_equal(
                found[study].get(image.SOPInstanceUID, np.zeros(image.pixel_array.shape, bool)),
                image.pixel_array >= BRIGHT,
            )


def test_marked_sent_and_marked_again_when_it_grew(
    orthanc, run, predict, rows_of, write_series, head, rng, tmp_path
):
    studies = put(orthanc, write_series, head, rng, tmp_path / "in", 2)
    search = f"{ADDRESS}?PatientID=H%2047%2611&StudyDate=20240101-20241231"
    result, out, rows = predict(run, search, options=["--send", ADDRESS])
    assert result.exit_code == 0, result.output
    assert len(rows) == 8 and len(rows_of(out / "volumes.csv")) == 2 and not (out / ".fetched").exists()
    check(orthanc, studies)
    assert "H 47" not in (out / "prediction.json").read_text() + (out / "volumes.csv").read_text()
    before = orthanc.held("SEG")
    result, _, again = predict(run, search, options=["--send", ADDRESS])
    assert "2 of the studies were finished already" in result.stdout and again == rows
    result, _, _ = predict(run, search, options=["--send", ADDRESS], out=tmp_path / "other")
    assert result.exit_code == 0 and orthanc.held("SEG") == before, "the same UIDs, so no double"

    first = next(iter(studies))
    image = pydicom.dcmread(studies[first][-1])
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    image.ImagePositionPatient[2] += 2.5
    image.save_as(tmp_path / "late.dcm")
    orthanc.upload([tmp_path / "late.dcm"])
    result, _, rows = predict(run, search)
    assert result.exit_code == 2 and "begun with another formats" in result.stderr
    result, _, rows = predict(run, search, options=["--format", "dicom-seg,dicom-sr,dicom-sc,report"])
    assert result.exit_code == 0 and len(rows) == 9, result.output


def test_killed_in_the_middle(orthanc, run, write_series, head, rng, tmp_path):
    studies = put(orthanc, write_series, head, rng, tmp_path / "in", 6)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "clamnet_tf", "predict", str(run), f"{ADDRESS}?StudyDate=20240102"]
    command += ["--any-modality", "--out", str(out), "--send", ADDRESS]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while process.poll() is None and len(orthanc.held("SEG")) < 2:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert 2 <= len(orthanc.held("SEG")) < 6, "killed in the middle"
    log = out / ".progress.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    sent = [line for line in lines if line.endswith(b"\n") and json.loads(line)["sent"]]
    log.write_bytes(b"".join(line for line in lines if line != sent[-1]))  # as if killed between the two
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    check(orthanc, studies)


def test_what_cannot_be_had_is_said(orthanc, run, predict, write_series, head, rng, tmp_path):
    put(orthanc, write_series, head, rng, tmp_path / "in", 1)
    for text, words in {
        f"{ADDRESS}?PatientID=nobody": "no study matches the search",
        f"{ADDRESS.replace('dicom-web', 'nothing')}?PatientID=1": "no DICOMweb service at this address",
        f"{ADDRESS}?PatientID=H%2047%2611&Modality=PT": "no study matches the search",
        "dicomweb://127.0.0.1:8042/dicom-web?PatientID=1": "TLS fails",
    }.items():
        result, out, _ = predict(run, text)
        assert result.exit_code in (1, 2) and words in result.stderr, result.output
        assert not out.exists() or not any(out.iterdir())


def test_a_study_that_is_named_and_missing_is_told(orthanc, run, predict, write_series, head, rng, tmp_path):
    (held,) = put(orthanc, write_series, head, rng, tmp_path / "in", 1)
    result, _, rows = predict(run, f"{ADDRESS}?StudyInstanceUID={held},2.25.4711")
    assert result.exit_code == 1 and len(rows) == 4
    assert "study 2.25.4711: the search names it, and the archive has no such study" in result.stderr


def test_a_password_is_needed_and_used(pacs, run, predict, write_series, head, rng, tmp_path, monkeypatch):
    user = ("jane", "secret")
    with (
        pacs.orthanc(
            tmp_path / "orthanc", AuthenticationEnabled=True, RegisteredUsers={user[0]: user[1]}
        ) as process,
        pacs.inside(process),
    ):
        pacs.upload(write_series(tmp_path / "in", head(rng, 4)), user)
        monkeypatch.setenv("NETRC", str(tmp_path / "none"))
        result, _, _ = predict(run, f"{ADDRESS}?PatientID=*")
        assert result.exit_code == 1 and "HTTP 401" in result.stderr and "_TOKEN" in result.stderr
        monkeypatch.setenv("CLAMNET_TF_DICOMWEB_USER", user[0])
        monkeypatch.setenv("CLAMNET_TF_DICOMWEB_PASSWORD", user[1])
        result, _, rows = predict(run, f"{ADDRESS}?PatientID=*", options=["--send", ADDRESS])
        assert result.exit_code == 0 and len(rows) == 4, result.output
        assert len(pacs.held("SEG", user)) == 1 and "secret" not in result.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--send", ADDRESS], "expected an archive (dicomweb://...) as INPUT; received files"),
    ],
)
def test_send_needs_an_archive(run, predict, tmp_path, options, words):
    result, _, _ = predict(run, tmp_path, options=options)
    assert result.exit_code == 2 and words in result.stderr


@pytest.fixture
def certificate(tmp_path):
    """(certificate, key) that nobody has signed, for 127.0.0.1."""
    if not shutil.which("openssl"):
        pytest.skip("openssl, which makes the certificate, is not installed: TLS was not tried")
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2", "-nodes"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", *names]
    subprocess.run([*command, "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    return files


def test_tls_is_checked_before_a_token_is_sent(run, predict, certificate, monkeypatch):
    pytest.importorskip("dicomweb_client", reason="dicomweb-client is not installed")
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers.get("Authorization")))
            self.send_response(200)
            self.send_header("Content-Type", "application/dicom+json")
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *arguments):
            """Print nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        monkeypatch.setenv("NETRC", os.devnull)
        monkeypatch.setenv("CLAMNET_TF_DICOMWEB_TOKEN", "abc.def")
        search = f"dicomweb://127.0.0.1:{server.server_port}/rs?PatientID=H*&Modality=CT"
        result, _, _ = predict(run, search)
        assert (
            result.exit_code == 1 and "TLS fails" in result.stderr and "REQUESTS_CA_BUNDLE" in result.stderr
        )
        assert not seen
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
        result, _, _ = predict(run, search)
    finally:
        server.shutdown()
        server.server_close()
    assert result.exit_code == 2 and "no study matches the search" in result.stderr, result.output
    assert "abc.def" not in result.output and {token for _, token in seen} == {"Bearer abc.def"}
    assert "PatientID=H*" in seen[0][0] and "ModalitiesInStudy=CT" in seen[0][0]


FETCH = """
import sys
from pathlib import Path
from clamnet_tf.pacs.address import StudySearch, parse_archive
from clamnet_tf.pacs.archive import Archive
from clamnet_tf.pacs.credentials import open_session

address = parse_archive(sys.argv[1])
archive = Archive(address, open_session(address))
for series in archive.series(sys.argv[2], StudySearch()):
    archive.fetch(series, Path(sys.argv[3]))
status = Path("/proc/self/status").read_text()  # ru_maxrss would begin with that of the parent
print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
"""


def test_memory_of_a_fetch_does_not_grow_with_the_study(orthanc, write_series, rng, tmp_path):
    used = []
    for count in (10, 70):
        pixels = np.repeat(rng.integers(0, 4000, (1, 512, 512)), count, axis=0)
        files = write_series(tmp_path / f"in{count}", pixels)
        orthanc.upload(files)
        study = pydicom.dcmread(files[0]).StudyInstanceUID
        command = [sys.executable, "-c", FETCH, ADDRESS, study, str(tmp_path / f"out{count}")]
        answer = subprocess.run(command, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        assert len(list((tmp_path / f"out{count}").glob("*.dcm"))) == count
        used.append(float(answer.stdout))
    assert used[1] - used[0] < 15, f"{used} MB; 60 images more hold 31 MB"
