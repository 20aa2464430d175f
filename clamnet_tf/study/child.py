"""Run one command of clamnet-tf as a child process that ends with its parent and can be stopped cleanly."""

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

STOPPED = 130
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>


def _own_group() -> dict:
    """Return the options of subprocess.Popen that give a child a process group of its own."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def prepare():
        os.setpgid(0, 0)
        if libc is not None:
            libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL)

    return {"preexec_fn": prepare}


class Child:
    """Run `clamnet-tf ARGUMENTS` and append its output to a file.

    The child has a process group of its own, so the terminal's Ctrl-C does not reach it and it is stopped
    once, not twice. On Linux the kernel kills it when its parent dies, also after kill -9; elsewhere it
    continues to train, and the next study process waits for it.
    """

    def __init__(self, arguments: list[str], output: Path):
        self.output = output
        self._start = output.stat().st_size if output.exists() else 0
        with open(output, "ab") as stream:
            command = [sys.executable, "-m", "clamnet_tf", *arguments]
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, **_own_group()
            )

    @property
    def code(self) -> int | None:
        """Return the exit code, or None while the child runs."""
        return self.process.poll()

    def stop(self) -> None:
        """Ask the child to save and end, and wait until it has ended."""
        if sys.platform == "win32":  # terminate() ends a process there at once, without a checkpoint
            self.process.send_signal(signal.CTRL_BREAK_EVENT)
        else:
            self.process.terminate()
        self.process.wait()

    def message(self) -> str:
        """Return why the child failed: its `Error: ...` message, or its last line."""
        with open(self.output, "rb") as stream:
            stream.seek(self._start)
            lines = [
                line.rstrip()
                for line in stream.read().decode("utf-8", "replace").splitlines()
                if line.strip()
            ]
        error_lines = [index for index, line in enumerate(lines) if line.startswith("Error: ")]
        if error_lines:
            return "\n".join([lines[error_lines[-1]].removeprefix("Error: "), *lines[error_lines[-1] + 1 :]])
        how = f"killed by signal {-self.code}" if self.code < 0 else f"exit code {self.code}"
        return f"{how}; {lines[-1]}" if lines else how
