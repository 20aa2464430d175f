"""tools/fuzz: the same seed gives the same inputs, what fails is found and made smaller, and a minute of it
finds nothing in the product.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from fuzzing.harness import Child, Fuzz, write_findings  # noqa: E402
from fuzzing.seeds import Seed, make_seeds  # noqa: E402
from fuzzing.targets import TARGETS  # noqa: E402

SECONDS = 50


def test_a_minute_finds_nothing(tmp_path):
    """The fixed-seed minute of every CI run."""
    fuzz = Fuzz(20260731, tmp_path)
    figures = fuzz.run(minutes=SECONDS / 60)
    told = "\n\n".join(
        f"{one.where} (input {one.number}, {one.name})\n{one.told}" for one in figures.findings.values()
    )
    assert not figures.findings, told
    assert sum(figures.total.values()) >= 5


def test_every_kind_has_seeds_and_they_are_accepted_or_named(tmp_path):
    """What mutations start from is valid: tables and networks of the outside world aside, each seed is read
    without a word.
    """
    seeds = make_seeds()
    assert {seed.kind for seed in seeds} == set(TARGETS)
    fuzz = Fuzz(0, tmp_path, [kind for kind in TARGETS if kind != "keras"])
    try:
        for seed in fuzz.seeds:
            found = fuzz.try_one(seed, seed.content)
            wanted = ("refused",) if seed.name == "redirect.http" else ("clean",)
            assert found["outcome"] in wanted, (seed.name, found)
    finally:
        for child in fuzz.children.values():
            child.stop()


def test_inputs_follow_from_seed_and_number(tmp_path):
    first, again, other = Fuzz(1, tmp_path), Fuzz(1, tmp_path), Fuzz(2, tmp_path)
    inputs = [first.input(number) for number in range(30)]
    assert [content for _, content in inputs] == [again.input(number)[1] for number in range(30)]
    assert [content for _, content in inputs] != [other.input(number)[1] for number in range(30)]
    assert any(content != seed.content for seed, content in inputs)


@pytest.fixture
def breakable(monkeypatch):
    """A child whose target for npy is one of these ways to fail."""
    code = (
        "import fuzzing.targets as t, fuzzing.worker as w, os, time\n"
        "def bad(path):\n"
        "    content = path.read_bytes()\n"
        "    if b'raise' in content: raise KeyError('x')\n"
        "    if b'memory' in content: bytearray(1_700_000_000)\n"
        "    if b'never' in content: bytearray(9_000_000_000)\n"
        "    if b'die' in content: os.kill(os.getpid(), 11)\n"
        "    if b'long' in content:\n"
        "        end = time.process_time() + 11\n"
        "        while time.process_time() < end: pass\n"
        "t.TARGETS['npy'] = bad\n"
    )
    real = subprocess.Popen

    def popen(command, **options):
        return real([*command[:-1], f"{code}{command[-1]}"], **options)

    monkeypatch.setattr("fuzzing.harness.subprocess.Popen", popen)


def test_failures_of_every_sort_are_seen_and_the_child_comes_back(breakable, tmp_path):
    child = Child(heavy=False)
    path = tmp_path / "a.npy"
    try:
        for content, told in (
            (b"raise", "KeyError"),
            (b"memory", "more than 1.5 GB"),
            (b"never", "MemoryError"),
            (b"die", "the process ended"),
            (b"long", "more than 10 s"),
        ):
            path.write_bytes(content)
            found = child.ask("npy", path)
            assert found["outcome"] == "failed" and told in found["where"], (content, found)
        path.write_bytes(b"fine")
        assert child.ask("npy", path)["outcome"] == "clean"
    finally:
        child.stop()


def test_a_failure_is_written_with_its_smallest_input(breakable, tmp_path):
    fuzz = Fuzz(0, tmp_path / "inputs", ["npy"])
    seed = Seed("npy", "a.npy", b"")
    try:
        for number, content in enumerate(
            (bytes(100) + b"raise" + bytes(37), b"xraisex", bytes(300) + b"raise")
        ):
            fuzz._count(seed, content, number, fuzz.try_one(seed, content))
    finally:
        for child in fuzz.children.values():
            child.stop()
    (path,) = write_findings(fuzz.figures, tmp_path / "out")
    assert path.read_bytes() == b"raise"
    assert (
        "KeyError" in path.with_name(path.name + ".txt").read_text()
        and "3 times" in path.with_name(path.name + ".txt").read_text()
    )


def test_the_command(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "tools" / "fuzz"),
            "--inputs",
            "5",
            "--kind",
            "npy",
            "--out",
            str(tmp_path / "out"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 inputs: " in done.stdout and "0 failed in 0 ways" in done.stdout
    assert not (tmp_path / "out").exists()
