"""Run what a study lacks in child processes, one after the other or several at once; continue after
interruptions.

The first seed of every arm comes first, then the second one, and so on, so that a complete table with one
seed is available early. Runs that train equal classifiers before what they compare do so once: the first of
them trains them, the others wait for that and take them.
"""

import os
import shutil
import time
from pathlib import Path

from clamnet_tf.files import hold, make_folder, write_text
from clamnet_tf.study.child import STOPPED, Child
from clamnet_tf.study.folder import StudyFolder
from clamnet_tf.study.plan import Plan, Run, Source
from clamnet_tf.study.times import duration, seconds_left
from clamnet_tf.training.shared_classifiers import has_classifiers

POLL_SECONDS = 0.2
REPORT_SECONDS = 300.0
"""Seconds between two lines that say how far the running trainings are."""


class Job:
    """Do one run and its evaluations, command by command."""

    def __init__(self, run: Run, plan: Plan, folder: StudyFolder, source: Source):
        self.run, self.plan, self.folder, self.source = run, plan, folder, source
        self.child, self.evaluating = None, None
        self.began, self.waiting = time.monotonic(), False
        self.failures, self.given_up, self.stopped = [], [], False
        self.taking, self.alone = False, False

    def to_do(self) -> str | None:
        """Return the next step, "train" or "evaluate"; None when everything is done."""
        if not self.folder.run(self.run).finished.exists():
            return "train"
        return "evaluate" if self._next_evaluation() else None

    def waits_for(self, others) -> bool:
        """Return whether one of the `others`, jobs at work, is training the classifiers that this one
        takes.
        """
        own = self.run.classifiers
        return bool(
            own
            and self.to_do() == "train"
            and not self.folder.began_classifiers(self.run)
            and any(
                other.run.classifiers == own and not has_classifiers(self.folder.run(other.run))
                for other in others
            )
        )

    def _next_evaluation(self):
        """Return the next (trial, split) to evaluate, or None."""
        for trial in self.plan.trials:
            if trial.run is self.run:
                for split in self.plan.study.splits:
                    if not self.folder.evaluated(trial, split) and (trial, split) not in self.given_up:
                        return trial, split
        return None

    def advance(self) -> bool:
        """Check the child process and start the next one; return False when nothing is left, or the training
        failed.
        """
        if self.child is not None:
            if self.child.code is None:
                return True
            if not self._ended():
                return False
        step = self.to_do()
        if step == "train":
            self._train()
        elif step == "evaluate":
            self._evaluate(*self._next_evaluation())
        return step is not None

    def _ended(self) -> bool:
        """Record what the child did; return False when nothing can follow."""
        child, evaluating, self.child, self.evaluating = self.child, self.evaluating, None, None
        self.stopped = child.code == STOPPED
        if child.code and self.taking and child.message().startswith("--classifiers"):
            self.alone = True  # an earlier version trained them, or prepared the slices: it trains its own
            return True
        if child.code and not self.stopped:
            self.failures.append(child.message())
        if evaluating is None:
            return child.code == 0
        if child.code:
            self.given_up.append(evaluating)
        else:
            evaluation_folder = self.folder.evaluation(*evaluating)
            shutil.rmtree(evaluation_folder, ignore_errors=True)
            os.rename(_partial(evaluation_folder), evaluation_folder)
        return not self.stopped

    def _train(self) -> None:
        """Start or resume the training, unless another process still works on it."""
        run = self.folder.run(self.run)
        resume = run.recipe.exists()
        if run.path.exists() and not resume:
            shutil.rmtree(run.path)  # killed before its first file was complete
        if resume:
            with hold(run.path / ".lock") as held:
                self.waiting = not held  # an orphan of a killed study still trains: wait for it
            if self.waiting:
                return
        write_text(self.folder.recipe(self.run), self.run.recipe_text)
        donor = None if self.alone else self.folder.classifiers_for(self.run, self.plan)
        self.taking = donor is not None
        self._start(
            [
                "fit",
                str(self.folder.recipe(self.run)),
                *self.source.options(split_file=self.run.split_file),
                "--out",
                str(run.path),
                *(["--resume"] if resume else []),
                *(["--classifiers", str(donor.path)] if donor else []),
            ]
        )

    def _evaluate(self, trial, split) -> None:
        """Start an evaluation into a temporary folder."""
        run, partial = self.folder.run(self.run), _partial(self.folder.evaluation(trial, split))
        shutil.rmtree(partial, ignore_errors=True)
        options = self.source.options(split_file=run.split)
        sets = [text for override in trial.overrides for text in ("--set", override)]
        self._start(["evaluate", str(run.path), *options, "--split", split, "--out", str(partial), *sets])
        self.evaluating = (trial, split)

    def _start(self, arguments: list[str]) -> None:
        """Start a child process."""
        output = self.folder.output(self.run)
        make_folder(output.parent)
        self.child = Child(arguments, output)


def _partial(evaluation: Path) -> Path:
    """Return the folder to which an evaluation is written until it is complete."""
    return evaluation.with_name(f".partial-{evaluation.name}")


def wanted(plan: Plan, only=None) -> list[Run]:
    """Return the runs of the arms in `only` (all when None), first seeds first."""
    chosen, rank = {}, {}
    for trial in plan.trials:
        if trial.run is not None and (only is None or trial.arm.name in only):
            rank[trial.arm.name] = rank.get(trial.arm.name, -1) + 1
            chosen[trial.run.key] = min(chosen.get(trial.run.key, 10**6), rank[trial.arm.name])
    return sorted((run for run in plan.runs if run.key in chosen), key=lambda run: chosen[run.key])


def run_study(
    plan: Plan,
    folder: StudyFolder,
    source: Source,
    reporter,
    *,
    only=None,
    jobs: int = 1,
    finished=lambda: None,
) -> None:
    """Run what is missing. Failures are stored in the folder and do not stop the other runs.

    Args:
        plan: The study.
        folder: Its folder.
        source: Where the images come from.
        reporter: Reporter for progress.
        only: Names of arms; None: all.
        jobs: Trainings at the same time.
        finished: Called after each run.

    Raises:
        KeyboardInterrupt: It is passed on after the running trainings have saved their last step.
    """
    runs = wanted(plan, only)
    waiting = [job for job in (Job(run, plan, folder, source) for run in runs) if job.to_do() is not None]
    if len(runs) > len(waiting):
        reporter.line(
            f"{len(runs) - len(waiting)} of {len(runs)} runs are finished already and are used as they are."
        )
    active, count, began, reported = [], len(runs) - len(waiting), time.monotonic(), time.monotonic()
    try:
        while waiting or active:
            while len(active) < jobs:
                job = next((job for job in waiting if not job.waits_for(active)), None)
                if job is None:
                    break
                waiting.remove(job)
                count += 1
                reporter.line(_starting(job, count, len(runs), plan, folder, began, jobs))
                folder.failure(job.run).unlink(missing_ok=True)
                job.began = time.monotonic()
                active.append(job)
            for job in list(active):
                if not job.advance():
                    active.remove(job)
                    _ended(job, folder, reporter)
                    finished()
            if time.monotonic() - reported > REPORT_SECONDS:
                reported = time.monotonic()
                for job in active:
                    reporter.line(_progress(job, folder))
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        reporter.line("Stopping: the running trainings save their last step.")
        for job in active:
            if job.child is not None:
                job.child.stop()
        raise


def _starting(
    job: Job, count: int, total: int, plan: Plan, folder: StudyFolder, began: float, jobs: int
) -> str:
    """Return the line that announces a run."""
    states = {run.key: folder.state(run) for run in plan.runs}
    state = states[job.run.key]
    how = (
        f"resuming at step {state.step} of {job.run.steps}"
        if state.name == "partly"
        else f"{job.run.steps} steps"
    )
    if folder.classifiers_for(job.run, plan) is not None:
        how = f"{job.run.steps - job.run.classifier_steps} steps after the classifiers of another run"
    how = "evaluating" if state.name == "done" else how
    left = seconds_left(plan, states, jobs)
    return (
        f"[{count}/{total}] {job.run.title}: {how} ({job.run.key}); elapsed "
        f"{duration(time.monotonic() - began)}, training left in the whole study: {duration(left)}"
    )


def _progress(job: Job, folder: StudyFolder) -> str:
    """Return the line that says how far a run is."""
    state = folder.state(job.run)
    if job.waiting:
        return f"  {job.run.title}: waiting for a process that already trains it"
    what = "evaluating" if state.name == "done" else f"step {state.step} of {job.run.steps}"
    return f"  {job.run.title}: {what}, {duration(time.monotonic() - job.began)}"


def _ended(job: Job, folder: StudyFolder, reporter) -> None:
    """Store and report how a run ended."""
    took = duration(time.monotonic() - job.began)
    if job.failures:
        folder.fail(job.run, "\n".join(job.failures))
        reporter.line(f"  {job.run.title}: FAILED after {took}: {' '.join(job.failures)}")
    elif job.stopped:
        reporter.line(f"  {job.run.title}: stopped after {took}; the next start continues it")
    else:
        reporter.line(f"  {job.run.title}: done in {took}")
