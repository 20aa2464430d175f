"""Run whole commands and measure clock, processor time and peak memory, of all their processes together."""

import os
import statistics
import subprocess
import threading
import time
from pathlib import Path
from typing import NamedTuple

INTERVAL_S = 0.1  # between two looks at the memory


class Used(NamedTuple):
    """Hold what a command took: clock and processor seconds, and its peak memory in MB."""

    clock: float
    processor: float
    peak_mb: float

    def __add__(self, other: "Used") -> "Used":  # type: ignore[override]
        """Return what two commands take one after the other."""
        return Used(
            self.clock + other.clock, self.processor + other.processor, max(self.peak_mb, other.peak_mb)
        )


def measured(command: list, environment: dict, log: Path) -> Used:
    """Run a command to its end.

    Peak memory is the largest sum over the command and its children of their proportional share (PSS),
    looked at ten times a second, but at least what the kernel recorded for the largest single process
    (VmHWM; ru_maxrss would include the size of this program, whose memory a child shares until it starts).

    Args:
        command: program and arguments.
        environment: its variables.
        log: file that receives what it prints.

    Raises:
        RuntimeError: It ended with an error; the message has its last lines.
    """
    clock = time.perf_counter()
    with open(log, "wb") as stream:
        process = subprocess.Popen(
            [str(word) for word in command], stdout=stream, stderr=subprocess.STDOUT, env=environment
        )
        ended, sums = threading.Event(), [0.0]
        watcher = threading.Thread(target=_watch, args=(process.pid, ended, sums))
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - clock
        ended.set()
        watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        last = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise RuntimeError(f"{' '.join(map(str, command))}: ended with {process.returncode}\n{last}")
    return Used(seconds, usage.ru_utime + usage.ru_stime, max(sums))


def medians(rounds: list) -> Used:
    """Return the median of each figure over the rounds."""
    return Used(*(statistics.median(values) for values in zip(*rounds)))


def _watch(pid: int, ended: threading.Event, sums: list) -> None:
    """Append the memory of a process and its descendants to `sums`, in MB, until `ended` is set."""
    while not ended.wait(INTERVAL_S):
        family = _family(pid)
        sums.append(sum(_memory_mb(one, "smaps_rollup", "Pss:") for one in family))
        sums.append(max(_memory_mb(one, "status", "VmHWM:") for one in family))


def _family(pid: int) -> list[int]:
    """Return a process and its living descendants."""
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                waiting += map(int, children.read_text(encoding="utf-8").split())
            except OSError:  # the thread has ended
                continue
    return found


def _memory_mb(pid: int, file: str, key: str) -> float:
    """Return one figure of a file of /proc/PID, in MB; 0 when the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(key)), 0.0)
