"""`clamnet-tf doctor`: a sound machine, broken ones, and the text's shape."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clamnet_tf.cli import doctor
from clamnet_tf.diagnostics import decoders, devices, hardware, packages
from clamnet_tf.diagnostics.finding import Finding


def run_doctor(*arguments, path=None, **variables):
    """path: a folder that comes first on the module path, in which a test breaks things."""
    environment = {**os.environ, **variables, **({"PYTHONPATH": str(path)} if path else {})}
    command = [sys.executable, "-m", "clamnet_tf", "doctor", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[2]
    )


def of(findings, name):
    return next(each for each in findings if each["name"] == name)


def test_a_sound_machine(tmp_path):
    answer = run_doctor("--json", CLAMNET_TF_CACHE=str(tmp_path / "not" / "yet"))
    told = json.loads(answer.stdout)
    broken = [each for each in told["findings"] if each["state"] == "broken"]
    assert (answer.returncode, told["healthy"], broken, answer.stderr) == (0, True, [], "")
    assert {each["section"] for each in told["findings"]} == {
        "Program",
        "Packages",
        "Devices",
        "Hardware",
        "DICOM",
        "Disk",
        "Extras",
    }
    assert "computes" in of(told["findings"], "TensorFlow")["value"]
    assert of(told["findings"], "cache")["value"].endswith(str(tmp_path / "not" / "yet"))
    assert not (tmp_path / "not").exists()  # looking makes nothing


def test_a_tensorflow_that_does_not_start_is_broken(tmp_path):
    (tmp_path / "tensorflow.py").write_text(
        "raise ImportError('libsomething.so.1: cannot open shared object file')\n"
    )
    answer = run_doctor(path=tmp_path)
    assert answer.returncode == 1
    assert "ImportError: libsomething.so.1: cannot open shared object file" in " ".join(answer.stdout.split())
    assert answer.stdout.rstrip().endswith("1 broken: clamnet-tf cannot work until that is repaired (!!).")


def test_a_tensorflow_that_dies_is_broken(tmp_path, monkeypatch):
    (tmp_path / "tensorflow.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (finding,) = devices.examine_devices()
    assert (finding.state, finding.value) == ("broken", "ended by SIGILL while starting")
    assert "AVX" in finding.advice


def test_a_tensorflow_that_hangs_is_broken(tmp_path, monkeypatch):
    (tmp_path / "tensorflow.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (finding,) = devices.examine_devices(patience=0.5)
    assert (finding.state, finding.value) == ("broken", "did not start within 0 s")


def other_version(folder, name, version):
    information = folder / f"{name}-{version}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_a_package_out_of_range_is_broken(tmp_path, monkeypatch):
    other_version(tmp_path, "pydicom", "2.4.4")
    monkeypatch.syspath_prepend(tmp_path)
    (finding,) = [each for each in packages.examine_packages() if each.name == "pydicom"]
    (wanted,) = [each.specifier for each in packages.requirements()[""] if each.name == "pydicom"]
    assert "<4" in str(wanted)
    assert (finding.state, finding.value) == ("broken", f"2.4.4, not {wanted}")
    assert finding.advice == f"python -m pip install 'pydicom{wanted}'"


def test_tensorflow_cpu_counts_as_tensorflow(tmp_path, monkeypatch):
    other_version(tmp_path, "tensorflow_cpu", "2.20.0")
    monkeypatch.syspath_prepend(tmp_path)
    assert packages.installed_version("tensorflow") == ("tensorflow-cpu", "2.20.0")


def test_extras_say_what_they_lack(tmp_path, monkeypatch):
    other_version(tmp_path, "highdicom", "0.1")
    monkeypatch.syspath_prepend(tmp_path)
    (finding,) = [each for each in packages.examine_extras() if each.name == "[dicom]"]
    assert finding.state == "missing"
    assert "highdicom 0.1, not >=0.25" in finding.value
    assert finding.advice == "python -m pip install 'clamnet-tf[dicom]'"


def test_every_extra_but_the_included_ones_is_explained():
    assert set(packages.requirements()) == {"", "phantom", "cuda", *packages.EXTRAS}


def test_uncompressed_dicom_needs_no_extra_and_plugins_are_named():
    found = {each.name: each for each in decoders.examine_decoders()}
    assert found["uncompressed"].value == "pydicom"
    assert found.keys() == decoders.SYNTAXES.keys()
    for each in found.values():
        assert each.state == "ok" or each.advice == "python -m pip install 'clamnet-tf[dicom]'"


def test_decoders_agree_with_the_names_of_pydicom():
    from pydicom.uid import UID

    words = {
        "JPEG-LS": "JPEG-LS",
        "JPEG 2000": "JPEG 2000",
        "HTJ2K": "High-Throughput JPEG 2000",
        "RLE": "RLE",
        "JPEG lossless": "JPEG Lossless",
    }
    for name, word in words.items():
        assert all(UID(syntax).name.startswith(word) for syntax in decoders.SYNTAXES[name])


def test_a_cache_that_cannot_be_written_is_broken():
    here, cache = hardware.examine_disk(Path("/proc/clamnet"))
    assert here.state != "broken"
    assert cache.state == "broken" and cache.advice == "Set CLAMNET_TF_CACHE to another folder."


def test_memory_is_that_of_the_system():
    total, free = hardware.memory()
    if total is None:
        pytest.skip("this system does not say its memory")
    assert 0 < free <= total
    assert total <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 1.01


def test_text_fits_80_columns(capsys):
    value = "a value of many words " * 12
    states = ("ok", "missing", "broken")
    doctor.show(
        [
            Finding(section, "name", state, value, value)
            for section in ("Packages", "Disk")
            for state in states
        ]
    )
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "Packages"
    assert lines[-1] == "2 broken: clamnet-tf cannot work until that is repaired (!!)."


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        ("ok", "clamnet-tf works here, nothing is missing."),
        ("missing", "clamnet-tf works here; 1 optional parts are missing (--)."),
    ],
)
def test_verdict(capsys, state, verdict):
    doctor.show([Finding("Extras", "[dicom]", state, "value")])
    assert capsys.readouterr().out.splitlines()[-1] == verdict
