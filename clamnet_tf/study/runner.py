"""Runs what a study lacks, one child process after the other (or several at once), and goes on where it was
interrupted.

Order: the first seed of every arm, then the second ..., so that a whole table with one seed is there early.
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

POLL_SECONDS = 0.2
REPORT_SECONDS = 300.0
"""So often a line says how far the running trainings are."""


class Job:
    """One run with its evaluations: what is still to be done, command by command."""

    def __init__(self, run: Run, plan: Plan, folder: StudyFolder, source: Source):
        self.run, self.plan, self.folder, self.source = run, plan, folder, source
        self.child, self.evaluating = None, None
        self.began, self.waiting = time.monotonic(), False
        self.failures, self.given_up, self.stopped = [], [], False

    def to_do(self) -> str | None:
        """Name of the next step: train, or the evaluation of a trial on a side; None when all is there."""
        if not self.folder.run(self.run).finished.exists():
            return "train"
        return "evaluate" if self._next_evaluation() else None

    def _next_evaluation(self):
        for trial in self.plan.trials:
            if trial.run is self.run:
                for split in self.plan.study.splits:
                    if not self.folder.evaluated(trial, split) and (trial, split) not in self.given_up:
                        return trial, split
        return None

    def advance(self) -> bool:
        """Look at the child, start the next one; False when there is nothing more to do, or its training
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
        """Take in what the child did; False when nothing can follow."""
        child, evaluating, self.child, self.evaluating = self.child, self.evaluating, None, None
        self.stopped = child.code == STOPPED
        if child.code and not self.stopped:
            self.failures.append(child.message())
        if evaluating is None:
            return child.code == 0
        if child.code:
            self.given_up.append(evaluating)
        else:
            whole = self.folder.evaluation(*evaluating)
            shutil.rmtree(whole, ignore_errors=True)
            os.rename(_partial(whole), whole)
        return not self.stopped

    def _train(self) -> None:
        run = self.folder.run(self.run)
        resume = run.recipe.exists()
        if run.path.exists() and not resume:
            shutil.rmtree(run.path)  # killed before its first file was whole
        if resume:
            with hold(run.path / ".lock") as held:
                self.waiting = not held  # an orphan of a killed study trains on: it is waited for
            if self.waiting:
                return
        write_text(self.folder.recipe(self.run), self.run.recipe_text)
        self._start(
            [
                "fit",
                str(self.folder.recipe(self.run)),
                *self.source.options(),
                "--out",
                str(run.path),
                *(["--resume"] if resume else []),
            ]
        )

    def _evaluate(self, trial, split) -> None:
        run, partial = self.folder.run(self.run), _partial(self.folder.evaluation(trial, split))
        shutil.rmtree(partial, ignore_errors=True)
        options = self.source.options(split_file=run.split)
        sets = [text for override in trial.overrides for text in ("--set", override)]
        self._start(["evaluate", str(run.path), *options, "--split", split, "--out", str(partial), *sets])
        self.evaluating = (trial, split)

    def _start(self, arguments: list[str]) -> None:
        output = self.folder.output(self.run)
        make_folder(output.parent)
        self.child = Child(arguments, output)


def _partial(evaluation: Path) -> Path:
    """Where an evaluation is written until it is whole."""
    return evaluation.with_name(f".partial-{evaluation.name}")


def wanted(plan: Plan, only=None) -> list[Run]:
    """The runs of the arms in `only` (all when None), first seeds first."""
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
    """Do what is missing; `finished()` is called after each run. Failures are kept in the folder and do not
    stop the others.

    KeyboardInterrupt: the running trainings have saved their last step when it is passed on.
    """
    runs = wanted(plan, only)
    waiting = [job for job in (Job(run, plan, folder, source) for run in runs) if job.to_do() is not None]
    if len(runs) > len(waiting):
        reporter.line(
            f"{len(runs) - len(waiting)} of {len(runs)} runs are done already and are used as they are."
        )
    active, number, began, told = [], len(runs) - len(waiting), time.monotonic(), time.monotonic()
    try:
        while waiting or active:
            while waiting and len(active) < jobs:
                job, number = waiting.pop(0), number + 1
                reporter.line(_starting(job, number, len(runs), plan, folder, began, jobs))
                folder.failure(job.run).unlink(missing_ok=True)
                job.began = time.monotonic()
                active.append(job)
            for job in list(active):
                if not job.advance():
                    active.remove(job)
                    _ended(job, folder, reporter)
                    finished()
            if time.monotonic() - told > REPORT_SECONDS:
                told = time.monotonic()
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
    job: Job, number: int, total: int, plan: Plan, folder: StudyFolder, began: float, jobs: int
) -> str:
    states = {run.key: folder.state(run) for run in plan.runs}
    state = states[job.run.key]
    how = (
        f"resuming at step {state.step} of {job.run.steps}"
        if state.name == "partly"
        else f"{job.run.steps} steps"
    )
    how = "evaluating" if state.name == "done" else how
    left = seconds_left(plan, states, jobs)
    return (
        f"[{number}/{total}] {job.run.title}: {how} ({job.run.key}); elapsed "
        f"{duration(time.monotonic() - began)}, "
        f"training left in the whole study: {duration(left)}"
    )


def _progress(job: Job, folder: StudyFolder) -> str:
    state = folder.state(job.run)
    if job.waiting:
        return f"  {job.run.title}: waiting for a process that already trains it"
    what = "evaluating" if state.name == "done" else f"step {state.step} of {job.run.steps}"
    return f"  {job.run.title}: {what}, {duration(time.monotonic() - job.began)}"


def _ended(job: Job, folder: StudyFolder, reporter) -> None:
    took = duration(time.monotonic() - job.began)
    if job.failures:
        folder.fail(job.run, "\n".join(job.failures))
        reporter.line(f"  {job.run.title}: FAILED after {took}: {' '.join(job.failures)}")
    elif job.stopped:
        reporter.line(f"  {job.run.title}: stopped after {took}; the next start goes on with it")
    else:
        reporter.line(f"  {job.run.title}: done in {took}")
