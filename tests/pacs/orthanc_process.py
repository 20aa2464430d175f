"""A real Orthanc in a network namespace of its own, where nothing but this machine's tests can reach it.

Orthanc listens on all addresses of its namespace, which has the loopback interface alone. The test enters the
namespace with its thread (setns), so that program and archive talk over 127.0.0.1.
"""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

_NETWORK = 0x40000000  # CLONE_NEWNET
_PLUGINS = ("/usr/share/orthanc/plugins", "/usr/lib/orthanc/plugins", "/usr/local/share/orthanc/plugins")
HTTP_PORT, DICOM_PORT = 8042, 4242


def missing():
    """Why no Orthanc can be started here, or ''."""
    if not shutil.which("Orthanc"):
        return "Orthanc is not installed (Debian: apt-get install orthanc orthanc-dicomweb dcmtk)"
    if not _plugin():
        return "Orthanc's DICOMweb plug-in is not installed (Debian: apt-get install orthanc-dicomweb)"
    trial = subprocess.run(["unshare", "-n", "ip", "link", "set", "lo", "up"], capture_output=True, text=True)
    return f"no network namespace can be made here ({trial.stderr.strip()})" if trial.returncode else ""


def _plugin():
    found = (path for folder in _PLUGINS for path in Path(folder).glob("libOrthancDicomWeb.so*"))
    return next(found, None)


@contextlib.contextmanager
def orthanc(folder, **settings):
    """Start an Orthanc whose data are below `folder`; yield its process id."""
    folder.mkdir(exist_ok=True)
    content = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(_plugin())],
        "HttpPort": HTTP_PORT,
        "DicomPort": DICOM_PORT,
        "DicomAet": "ORTHANC",
        "DicomCheckCalledAet": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        **settings,
    }
    (folder / "orthanc.json").write_text(json.dumps(content))
    with open(folder / "orthanc.log", "w") as log:
        process = subprocess.Popen(
            ["unshare", "-n", "sh", "-c", f"ip link set lo up && exec Orthanc {folder / 'orthanc.json'}"],
            stdout=log,
            stderr=log,
        )
    try:
        user = next(iter(settings.get("RegisteredUsers", {}).items()), None)
        ends = time.monotonic() + 60
        while True:
            try:
                with inside(process.pid):
                    rest("/system", user=user)
                break
            except OSError as error:
                if process.poll() is not None or time.monotonic() > ends:
                    text = (folder / "orthanc.log").read_text()[-2000:]
                    raise AssertionError(f"Orthanc did not start: {error}\n{text}") from error
                time.sleep(0.1)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def inside(pid):
    """Within the block this thread, and processes that it starts, are in the network namespace of `pid`."""
    setns = ctypes.CDLL(None, use_errno=True).setns
    with open("/proc/thread-self/ns/net") as home, open(f"/proc/{pid}/ns/net") as there:
        if os.path.samestat(os.fstat(home.fileno()), os.fstat(there.fileno())):
            raise ConnectionError("unshare has not made the namespace yet")
        if setns(there.fileno(), _NETWORK):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            assert setns(home.fileno(), _NETWORK) == 0


def rest(path, data=None, user=None):
    """Ask Orthanc's own REST interface, which is not DICOMweb; the independent witness of what it holds."""
    request = urllib.request.Request(f"http://127.0.0.1:{HTTP_PORT}{path}", data=data)
    if user:
        import base64

        text = base64.b64encode(":".join(user).encode()).decode()
        request.add_header("Authorization", f"Basic {text}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=20) as answer:
        content = answer.read()
    return json.loads(content) if "json" in answer.headers.get("Content-Type", "") else content


def upload(files, user=None):
    """Give DICOM files to Orthanc."""
    for file in files:
        rest("/instances", Path(file).read_bytes(), user)


def held(modality, user=None):
    """{SOPInstanceUID: Orthanc's number} of all instances of a modality."""
    query = {"Level": "Instance", "Query": {"Modality": modality}, "Expand": True}
    found = rest("/tools/find", json.dumps(query).encode(), user)
    return {item["MainDicomTags"]["SOPInstanceUID"]: item["ID"] for item in found}
