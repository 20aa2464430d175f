"""Show the progress of a long job: a rich bar on a terminal, plain lines elsewhere, nothing when quiet."""

import sys
import time


class Reporter:
    """Prints lines and progress for the user.

    Attributes:
        quiet: when True, nothing but errors is printed.
        log: a function that receives every line as well, or None.
        hide: a function that removes identifiers of patients from every line; it is set when the data are
            known.
    """

    def __init__(self, *, quiet: bool = False, log=None):
        self.quiet, self.log, self.hide = quiet, log, str

    def line(self, text: str) -> None:
        """Print one line and send it to the log."""
        text = self.hide(text)
        if self.log is not None:
            self.log(text)
        if not self.quiet:
            print(text, flush=True)

    def bar(self, title: str, total: int, done: int = 0):
        """Return a context manager with `update(done, note="")` that shows `done` of `total`."""
        if self.quiet:
            return _Silent()
        return _RichBar(title, total, done) if sys.stdout.isatty() else _PlainBar(title, total, done)


class _Silent:
    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False

    def update(self, done, note=""):
        pass


class _PlainBar(_Silent):
    """Prints a line every 10 % or every 30 seconds, and at most one line per second before the end."""

    def __init__(self, title, total, done):
        self.title, self.total, self.first = title, max(1, total), done
        self.next_share, self.started, self.last = done / self.total, time.monotonic(), 0.0

    def update(self, done, note=""):
        now = time.monotonic()
        if (done / self.total < self.next_share and now - self.last < 30) or (
            now - self.last < 1 and done < self.total
        ):
            return
        self.next_share, self.last = done / self.total + 0.1, now
        left = (now - self.started) / max(1, done - self.first) * (self.total - done)
        print(
            f"{self.title}: {done}/{self.total}{', ' + note if note else ''}, {left:.0f} s left", flush=True
        )


class _RichBar:
    def __init__(self, title, total, done):
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[note]}"),
        )
        self.task = self.progress.add_task(title, total=total, completed=done, note="")

    def __enter__(self):
        self.progress.start()
        return self

    def __exit__(self, *error):
        self.progress.stop()
        return False

    def update(self, done, note=""):
        self.progress.update(self.task, completed=done, note=note)
