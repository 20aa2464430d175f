"""The folder of a study: what it holds, and how far each run is.

runs/<key>/          run folders of `fit`, with evaluation/ (test) and evaluation-val/, evaluation-<overrides>/ ...
recipes/<key>.yaml   resolved recipe of each run          logs/<key>.txt    what its commands printed
failed/<key>.txt     message of a run that failed         log.txt           what the study printed, with times
study.csv            one row per arm, seed and patient    summary.csv, .md  one row per arm
index.html           the page                             study.yaml        the study file as it was run last
.lock                keeps a second study process out
"""

import contextlib
import datetime
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf.errors import RunError
from clamnet_tf.evaluation.figures import DEFINITIONS
from clamnet_tf.files import hold, make_folder, write_text
from clamnet_tf.runs import RunFolder
from clamnet_tf.study.plan import Run, Trial
from clamnet_tf.texts import HANDLER


@dataclass(frozen=True)
class State:
    """How far a run is. name: done, partly, missing or failed; step: optimizer steps done; seconds: spent on
    them.
    """

    name: str
    step: int = 0
    seconds: float | None = None
    message: str | None = None


class StudyFolder:
    """Paths of one study."""

    def __init__(self, path):
        self.path = Path(path).resolve()
        self.log_file = self.path / "log.txt"
        self.cache = self.path / "cache"

    def run(self, run: Run) -> RunFolder:
        """Its run folder."""
        return RunFolder(self.path / "runs" / run.key)

    def recipe(self, run: Run) -> Path:
        """File of its resolved recipe."""
        return self.path / "recipes" / f"{run.key}.yaml"

    def output(self, run: Run) -> Path:
        """What its commands printed."""
        return self.path / "logs" / f"{run.key}.txt"

    def failure(self, run: Run) -> Path:
        """Why it failed."""
        return self.path / "failed" / f"{run.key}.txt"

    def evaluation(self, trial: Trial, split: str) -> Path:
        """Folder of the evaluation of a trial; `fit` itself makes the one of the test side."""
        name = "evaluation" if split == "test" else f"evaluation-{split}"
        if trial.overrides:
            name += "-" + hashlib.sha256("\n".join(trial.overrides).encode()).hexdigest()[:8]
        return self.run(trial.run).path / name

    def evaluated(self, trial: Trial, split: str) -> bool:
        """Whether it is there and whole (patients.csv and metrics.json are written before the report), and of
        the figures' present definitions.
        """
        found = self.evaluation(trial, split)
        return (
            self.run(trial.run).finished.exists()
            and (found / "report.html").exists()
            and not self.earlier(trial, split)
        )

    def earlier(self, trial: Trial, split: str) -> bool:
        """Whether an evaluation is there whose figures have other definitions: its Dice counts patients
        without a lesion. It is made again.
        """
        path = self.evaluation(trial, split) / "metrics.json"
        return (
            path.exists() and json.loads(path.read_text(encoding="utf-8")).get("definitions") != DEFINITIONS
        )

    def state(self, run: Run) -> State:
        """Read from its files."""
        found = self.run(run)
        rows = found.read_metrics()
        step, seconds = max((row["step"] for row in rows), default=0), training_seconds(rows, run.batch_size)
        if self.failure(run).exists():  # of the training, or of an evaluation after it
            return State("failed", step, seconds, self.failure(run).read_text(encoding="utf-8").strip())
        if found.finished.exists():
            return State("done", run.steps, seconds)
        return State("partly" if found.recipe.exists() else "missing", step, seconds)

    def fail(self, run: Run, message: str) -> None:
        """Keep the message of a failed run."""
        write_text(self.failure(run), message + "\n")

    def log(self, message: str) -> None:
        """Append a timed line to log.txt."""
        make_folder(self.path)
        with open(self.log_file, "a", encoding="utf-8", errors=HANDLER) as stream:
            stream.write(f"{datetime.datetime.now().isoformat(timespec='seconds')} {message}\n")

    @contextlib.contextmanager
    def lock(self):
        """Hold the folder; RunError when another study process works in it. The lock ends with the process,
        however it ends.
        """
        make_folder(self.path)
        with hold(self.path / ".lock") as held:
            if not held:
                raise RunError(
                    f"{self.path}: another study process is working in this folder. Wait for it, or choose "
                    f"another --out."
                )
            yield self


def training_seconds(rows: list[dict], batch_size: int) -> float | None:
    """Seconds of training from a run's log, all its attempts together: steps between two rows over their
    measured speed.

    Starting TensorFlow, preparing slices and evaluating are not in it; looks at validation patients are.
    """
    total, before = 0.0, 0
    for row in rows:
        if row.get("kind") == "train" and row.get("slices_per_second"):
            total += (row["step"] - before) * batch_size / row["slices_per_second"]
            before = row["step"]
    return total or None
