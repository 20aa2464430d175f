"""One command of clamnet-tf as a child process that ends with its parent and can be stopped cleanly."""

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

STOPPED = 130
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>


class Child:
    """`clamnet-tf ARGUMENTS` with its output appended to the file `output`.

    A group of its own keeps the terminal's Ctrl-C from it, so that it is stopped once and not twice. On Linux
    the kernel kills it when its parent dies, also by kill -9; elsewhere it trains on, and the next study
    process waits for it.
    """

    def __init__(self, arguments: list[str], output: Path):
        self.output = output
        self._start = output.stat().st_size if output.exists() else 0
        libc = ctypes.CDLL(None) if sys.platform == "linux" else None

        def prepare():
            os.setpgid(0, 0)
            if libc is not None:
                libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL)

        with open(output, "ab") as stream:
            command = [sys.executable, "-m", "clamnet_tf", *arguments]
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, preexec_fn=prepare
            )

    @property
    def code(self) -> int | None:
        """Exit code, None while it runs."""
        return self.process.poll()

    def stop(self) -> None:
        """Ask it to save and end, and wait until it has."""
        self.process.terminate()
        self.process.wait()

    def message(self) -> str:
        """Why it failed: its `Error: ...`, or its last line."""
        with open(self.output, "rb") as stream:
            stream.seek(self._start)
            lines = [
                line.rstrip()
                for line in stream.read().decode("utf-8", "replace").splitlines()
                if line.strip()
            ]
        starts = [number for number, line in enumerate(lines) if line.startswith("Error: ")]
        if starts:
            return "\n".join([lines[starts[-1]].removeprefix("Error: "), *lines[starts[-1] + 1 :]])
        how = f"killed by signal {-self.code}" if self.code < 0 else f"exit code {self.code}"
        return f"{how}; {lines[-1]}" if lines else how
