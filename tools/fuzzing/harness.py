"""Run inputs one after another in child processes; group failures by place, shrink them, and write them."""

import collections
import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from fuzzing.formats import mutate
from fuzzing.seeds import Seed, make_seeds
from fuzzing.targets import CLEAN, FAILED, HEAVY, REFUSED
from fuzzing.worker import MOST_BYTES

ROOT = Path(__file__).resolve().parents[2]
MOST_SECONDS = 10.0  # of processor time, for one input
PATIENCE_SECONDS = 20.0  # of waiting for something without using the processor: a pipe, a lock
LONGEST_SECONDS = 900.0  # by the clock, on a machine that others use too
SHRINK_SECONDS = 20.0
WEIGHTS = {
    "dicom": 8,
    "nifti": 4,
    "png": 3,
    "jpeg": 2,
    "tiff": 5,
    "npy": 2,
    "recipe": 4,
    "study": 2,
    "entry": 3,
    "selection": 1,
    "index": 2,
    "manifest": 3,
    "labels": 2,
    "split": 1,
    "keras": 3,
    "answer": 2,
    "registry": 1,
}


class Child:
    """Run a worker process, which is started when it is needed and again when it has died."""

    def __init__(self, heavy: bool):
        self.heavy, self.process = heavy, None

    def ask(self, kind: str, path: Path) -> dict:
        """Return how the input at `path` ended; a dead or stuck child is an outcome, too."""
        if self.process is None or self.process.poll() is not None:
            self._start()
        self.process.stdin.write(json.dumps({"kind": kind, "path": str(path)}) + "\n")
        self.process.stdin.flush()
        line, died = self._line()
        if line:
            found = json.loads(line)
            if found["seconds"] > MOST_SECONDS:
                found |= {
                    "outcome": FAILED,
                    "where": f"more than {MOST_SECONDS:g} s of processor time ({kind})",
                }
            elif found["bytes"] > MOST_BYTES:
                found |= {"outcome": FAILED, "where": f"more than {MOST_BYTES / 1e9:g} GB of memory ({kind})"}
            return found
        why = (
            f"no answer in {2 * MOST_SECONDS:g} s of processor time or {PATIENCE_SECONDS:g} s of waiting"
            if not died
            else f"the process ended ({self.process.poll()})"
        )
        self.stop()
        return {"outcome": FAILED, "told": why, "where": f"{why} ({kind})", "seconds": 0, "bytes": 0}

    def stop(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):  # it is gone, and perhaps its own children with it
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                stream.close()
            self.process = None

    def _start(self) -> None:
        if self.process is not None:
            self.stop()
        paths = os.pathsep.join(
            [str(ROOT), str(ROOT / "tools"), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        environment = {
            **os.environ,
            "PYTHONPATH": paths,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "OPENBLAS_NUM_THREADS": "1",
            "CLAMNET_TF_OFFLINE": "",
        }
        command = [sys.executable, "-c", f"from fuzzing.worker import serve; serve({self.heavy})"]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
            start_new_session=True,
        )
        if not self.process.stdout.readline():
            raise RuntimeError(
                "the child process for fuzzing does not start; run tools/test tests/tools/test_fuzz.py"
            )

    def _line(self) -> tuple[str, bool]:
        """Return (answer, whether it arrived or the process ended); "" when the process is dead, stuck, or
        too slow.

        Processor time is counted, because a busy machine may give a process one second in a minute.
        """
        began, asleep, used = time.monotonic(), time.monotonic(), self._processor_seconds()
        start = used
        while time.monotonic() < began + LONGEST_SECONDS:
            ready, _, _ = select.select([self.process.stdout], [], [], 0.5)
            if ready:
                line = self.process.stdout.readline()
                if not line:
                    self.process.wait()
                return line, True
            now, state = self._processor_seconds(), self._state()
            if now > used or state == "R":
                used, asleep = now, time.monotonic()
            if now > start + 2 * MOST_SECONDS or time.monotonic() > asleep + PATIENCE_SECONDS:
                break
        return "", False

    def _stat(self) -> list[str]:
        with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as stream:
            return stream.read().rpartition(")")[2].split()

    def _state(self) -> str:
        return self._stat()[0]

    def _processor_seconds(self) -> float:
        return sum(map(int, self._stat()[11:13])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Finding:
    """Hold one way to fail: where, how often, its smallest input."""

    kind: str
    name: str
    where: str
    told: str
    content: bytes
    number: int
    times: int = 1


@dataclass
class Figures:
    """Hold the outcomes by kind, and what failed."""

    counts: dict = field(default_factory=lambda: collections.defaultdict(collections.Counter))
    findings: dict[str, Finding] = field(default_factory=dict)
    slowest: tuple = (0.0, "")
    largest: tuple = (0, "")

    @property
    def total(self) -> collections.Counter:
        return sum(self.counts.values(), collections.Counter())


class Fuzz:
    """Make inputs and run them.

    Args:
        seed: Seed of the random numbers; input n depends only on it and on n.
        folder: Folder for the inputs.
        kinds: Kinds of seeds.Seed; empty: all.
    """

    def __init__(self, seed: int, folder: Path, kinds=()):
        self.seed, self.folder = seed, Path(folder)
        self.seeds = [one for one in make_seeds() if not kinds or one.kind in kinds]
        self.children = {heavy: Child(heavy) for heavy in (False, True)}
        self.figures = Figures()
        self.by_kind = collections.defaultdict(list)
        for one in self.seeds:
            self.by_kind[one.kind].append(one)

    def input(self, number: int) -> tuple[Seed, bytes]:
        """Return the seed and the bytes of input `number`."""
        rng = random.Random(f"{self.seed} {number}")
        kinds = list(self.by_kind)
        kind = rng.choices(kinds, [WEIGHTS[one] for one in kinds])[0]
        seed = rng.choice(self.by_kind[kind])
        return seed, mutate(seed, rng, self.by_kind[kind])

    def run(
        self,
        *,
        minutes: float | None = None,
        inputs: int | None = None,
        first: int = 0,
        say=lambda line: None,
    ) -> Figures:
        """Run inputs from `first` until the time or the number is reached."""
        began, said, number = time.monotonic(), time.monotonic(), first
        try:
            while (minutes is None or time.monotonic() < began + 60 * minutes) and (
                inputs is None or number < first + inputs
            ):
                seed, content = self.input(number)
                answer = self.try_one(seed, content)
                known = len(self.figures.findings)
                self._count(seed, content, number, answer)
                if len(self.figures.findings) > known:
                    say(f"input {number}, {seed.name}: {answer['where']}")
                number += 1
                if time.monotonic() > said + 30:
                    said = time.monotonic()
                    say(self.summary())
        finally:
            for child in self.children.values():
                child.stop()
        return self.figures

    def try_one(self, seed: Seed, content: bytes) -> dict:
        """Return what the child process reports on one input."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / seed.name
        path.write_bytes(content)
        try:
            return self.children[seed.kind in HEAVY].ask(seed.kind, path)
        finally:
            path.unlink(missing_ok=True)

    def _count(self, seed: Seed, content: bytes, number: int, answer: dict) -> None:
        self.figures.counts[seed.kind][answer["outcome"]] += 1
        self.figures.slowest = max(self.figures.slowest, (answer["seconds"], f"input {number}, {seed.name}"))
        self.figures.largest = max(self.figures.largest, (answer["bytes"], f"input {number}, {seed.name}"))
        if answer["outcome"] != FAILED:
            return
        known = self.figures.findings.get(answer["where"])
        if known is None:
            smaller = self._shrunk(seed, content, answer["where"])
            self.figures.findings[answer["where"]] = Finding(
                seed.kind, seed.name, answer["where"], answer["told"], smaller, number
            )
        else:
            known.times += 1
            if len(content) < len(known.content):
                known.content, known.name, known.number = content, seed.name, number

    def _shrunk(self, seed: Seed, content: bytes, where: str) -> bytes:
        """Return the content without pieces that the failure does not need, as far as a short time allows."""
        ends, size = time.monotonic() + SHRINK_SECONDS, len(content) // 2
        while size >= 1 and time.monotonic() < ends:
            place = 0
            while place < len(content) and time.monotonic() < ends:
                shorter = content[:place] + content[place + size :]
                if self.try_one(seed, shorter).get("where") == where:
                    content = shorter
                else:
                    place += size
            size //= 2
        return content

    def summary(self) -> str:
        """Return one line of counts."""
        total = self.figures.total
        counts = f"{total[CLEAN]} clean, {total[REFUSED]} refused by name, {total[FAILED]} failed"
        return f"{sum(total.values())} inputs: {counts} in {len(self.figures.findings)} ways"


def write_findings(figures: Figures, folder: Path) -> list[Path]:
    """Write per finding its smallest input, and a text with place, count and traceback."""
    paths = []
    for number, one in enumerate(sorted(figures.findings.values(), key=lambda each: each.where), start=1):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{number:03d}_{one.kind}_{one.name}"
        path.write_bytes(one.content)
        path.with_name(path.name + ".txt").write_text(
            f"{one.where}\ninput {one.number}, {one.times} times\n\n{one.told}\n", encoding="utf-8"
        )
        paths.append(path)
    return paths
