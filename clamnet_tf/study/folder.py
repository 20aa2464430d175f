"""Manage the folder of a study: its files, and how far each run is.

runs/<key>/
    Run folders of `fit`, with evaluation/ (test), evaluation-val/ and evaluation-<overrides>/.
recipes/<key>.yaml
    Resolved recipe of each run.
logs/<key>.txt
    Output of the run's commands.
failed/<key>.txt
    Message of a run that failed.
log.txt
    Output of the study, with times.
study.csv
    One row per arm, seed and patient.
summary.csv, summary.md
    One row per arm.
index.html
    The page.
study.yaml
    The study file as it was run last.
.lock
    Excludes a second study process.
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
from clamnet_tf.runs import CLASSIFIERS, RunFolder
from clamnet_tf.study.plan import Plan, Run, Trial
from clamnet_tf.texts import HANDLER
from clamnet_tf.training.shared_classifiers import has_classifiers


@dataclass(frozen=True)
class State:
    """Say how far a run is.

    Attributes:
        name: "done", "partly", "missing" or "failed".
        step: Number of optimizer steps done.
        seconds: Time spent on them.
        message: Why the run failed, or None.
    """

    name: str
    step: int = 0
    seconds: float | None = None
    message: str | None = None


class StudyFolder:
    """Give the paths of one study and the state of its runs."""

    def __init__(self, path):
        self.path = Path(path).resolve()
        self.log_file = self.path / "log.txt"
        self.cache = self.path / "cache"

    def run(self, run: Run) -> RunFolder:
        """Return the run folder of a run."""
        return RunFolder(self.path / "runs" / run.key)

    def recipe(self, run: Run) -> Path:
        """Return the file of a run's resolved recipe."""
        return self.path / "recipes" / f"{run.key}.yaml"

    def output(self, run: Run) -> Path:
        """Return the file with the output of a run's commands."""
        return self.path / "logs" / f"{run.key}.txt"

    def failure(self, run: Run) -> Path:
        """Return the file that says why a run failed."""
        return self.path / "failed" / f"{run.key}.txt"

    def began_classifiers(self, run: Run) -> bool:
        """Return whether the run has begun to train classifiers of its own, or has taken others."""
        return (self.run(run).checkpoints / CLASSIFIERS).exists()

    def classifiers_for(self, run: Run, plan: Plan) -> RunFolder | None:
        """Return the run whose trained classifiers `run` can take; None when there is none, or no need."""
        if not run.classifiers or self.began_classifiers(run):
            return None
        others = [self.run(other) for other in plan.runs if other.classifiers == run.classifiers]
        return next((other for other in others if has_classifiers(other)), None)

    def evaluation(self, trial: Trial, split: str) -> Path:
        """Return the folder of a trial's evaluation; `fit` itself makes the one of the test split."""
        name = "evaluation" if split == "test" else f"evaluation-{split}"
        if trial.overrides:
            name += "-" + hashlib.sha256("\n".join(trial.overrides).encode()).hexdigest()[:8]
        return self.run(trial.run).path / name

    def evaluated(self, trial: Trial, split: str) -> bool:
        """Return whether an evaluation is complete and has today's definitions of the metrics.

        patients.csv and metrics.json are written before the report.
        """
        evaluation = self.evaluation(trial, split)
        return (
            self.run(trial.run).finished.exists()
            and (evaluation / "report.html").exists()
            and not self.earlier(trial, split)
        )

    def earlier(self, trial: Trial, split: str) -> bool:
        """Return whether there is an evaluation whose metrics have earlier definitions.

        Its Dice includes patients without a lesion; it is made again.
        """
        path = self.evaluation(trial, split) / "metrics.json"
        return (
            path.exists() and json.loads(path.read_text(encoding="utf-8")).get("definitions") != DEFINITIONS
        )

    def state(self, run: Run) -> State:
        """Read the state of a run from its files."""
        run_folder = self.run(run)
        rows = run_folder.read_metrics()
        step, seconds = max((row["step"] for row in rows), default=0), training_seconds(rows, run.batch_size)
        if self.failure(run).exists():  # of the training, or of an evaluation after it
            return State("failed", step, seconds, self.failure(run).read_text(encoding="utf-8").strip())
        if run_folder.finished.exists():
            return State("done", run.steps, seconds)
        return State("partly" if run_folder.recipe.exists() else "missing", step, seconds)

    def fail(self, run: Run, message: str) -> None:
        """Store the message of a failed run."""
        write_text(self.failure(run), message + "\n")

    def log(self, message: str) -> None:
        """Append a line with the time to log.txt."""
        make_folder(self.path)
        with open(self.log_file, "a", encoding="utf-8", errors=HANDLER) as stream:
            stream.write(f"{datetime.datetime.now().isoformat(timespec='seconds')} {message}\n")

    @contextlib.contextmanager
    def lock(self):
        """Hold the folder for one process; the lock ends with the process, however it ends.

        Raises:
            RunError: Another study process works in the folder.
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
    """Return the seconds of training from a run's log, over all its attempts; None without a measurement.

    The number of steps between two rows is divided by their measured speed. Starting TensorFlow, preparing
    slices and evaluating are not included; scoring checkpoints on validation patients is.

    Args:
        rows: Rows of metrics.jsonl.
        batch_size: Slices per step.
    """
    total, before = 0.0, 0
    for row in rows:
        if row.get("kind") == "train" and row.get("slices_per_second"):
            total += (row["step"] - before) * batch_size / row["slices_per_second"]
            before = row["step"]
    return total or None
