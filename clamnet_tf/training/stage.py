"""Train one network for the steps of a stage, score its checkpoints without masks and choose one;
resumable.
"""

import contextlib
import functools
import json
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from clamnet_tf.files import make_folder, write_json
from clamnet_tf.inference.predictor import Predictor
from clamnet_tf.input_pipeline.pipeline import Share
from clamnet_tf.preprocessing.mask_access import mask_firewall
from clamnet_tf.progress import Reporter
from clamnet_tf.runs import RunFolder
from clamnet_tf.training import checkpoints
from clamnet_tf.training.metrics_log import MetricsLog
from clamnet_tf.training.selection import CheckpointScore
from clamnet_tf.training.steps import StepTrainer
from clamnet_tf.training.updates import updates
from clamnet_tf.training.workers import Workers


@dataclass(frozen=True)
class Schedule:
    """The steps of a stage.

    Attributes:
        first_step: number of steps of the stages before.
        steps: number of steps of this stage.
        batch_size: slices per step.
        evaluate_every: steps of the run between two checkpoint scores.
        checkpoint_every: steps of the run between two checkpoints.
    """

    first_step: int
    steps: int
    batch_size: int
    evaluate_every: int
    checkpoint_every: int

    @property
    def last_step(self) -> int:
        """Number of the last step, counted over all stages."""
        return self.first_step + self.steps


@dataclass(frozen=True)
class Stage:
    """Everything that a stage needs.

    Attributes:
        name: for folders and messages.
        schedule: its steps.
        trainer: compiled, with `network` (and `twin`).
        predictor: Predictor of the network that is kept.
        dataset: (start, Share) -> tf.data.Dataset of the remaining steps.
        score: step -> CheckpointScore of the present weights.
        choose: scores -> (the one to keep, why).
        key: identity of everything that decides the trained network, kept for `shared_classifiers`; "" for
            stages that no other run takes.
    """

    name: str
    schedule: Schedule
    trainer: StepTrainer
    predictor: Predictor
    dataset: Callable[[int, Share], tf.data.Dataset]
    score: Callable[[int], CheckpointScore]
    choose: Callable[[list[CheckpointScore]], tuple[CheckpointScore, str]]
    key: str = ""


STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)]


class StopRequest:
    """Turn the first Ctrl-C or SIGTERM into a clean stop after the running step.

    A second one interrupts at once. On Windows, Ctrl-Break takes the place of SIGTERM: that is what `study`
    sends.
    """

    def __init__(self):
        self.requested = False
        self._previous = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in STOP_SIGNALS:
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def _handle(self, number, frame):
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def __exit__(self, *error):
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        return False


@dataclass(frozen=True)
class Session:
    """Holds what all stages of a running process share.

    Attributes:
        run: folder of the run; None in a process that is not the chief of `workers`.
        reporter: says how far the training is.
        stop: whether somebody asked for a stop.
        workers: processes of the cluster.
    """

    run: RunFolder | None
    reporter: Reporter
    stop: StopRequest
    workers: Workers


def run_stage(stage: Stage, session: Session, place: str = "one stage"):
    """Train what is left of `stage`, choose a checkpoint and load its weights into the kept network.

    Args:
        stage: the stage.
        session: what all stages share.
        place: which of the stages it is, for the progress bar.

    Returns:
        (chosen CheckpointScore, reason in words, all scores, seconds that were trained before this process),
        or None when stopped; a checkpoint was written then.
    """
    run, workers = session.run, session.workers
    folder = make_folder(run.checkpoints / stage.name) if run else None
    ended = workers.from_chief(lambda: _read_end(folder))
    if ended is None:
        trained = _train(stage, folder, session, place)
        if trained is None:
            return None
        scores, seconds, before = trained
        chosen, reason = stage.choose(scores)
        if run:
            looks = {"look": chosen.row(), "reason": reason, "looks": [score.row() for score in scores]}
            key = {"key": stage.key} if stage.key else {}
            write_json(folder / checkpoints.END, {**looks, "seconds": round(seconds, 1), **key})
    else:  # this stage ended before the run was interrupted
        chosen, reason, scores = (
            CheckpointScore(**ended["look"]),
            ended["reason"],
            [CheckpointScore(**row) for row in ended["looks"]],
        )
        before = ended.get("seconds", 0.0)
    network = stage.predictor.network
    if run:
        checkpoints.load_weights(checkpoints.candidate(folder, chosen.step), network)
    workers.take_from_chief(network.variables)
    return chosen, reason, scores, before


def _train(stage: Stage, folder: Path | None, session: Session, place: str):
    """Train the remaining steps of the stage.

    Returns:
        All its scores, the seconds it took and how many of them before this process; None when stopped.
    """
    trainer, schedule, run = stage.trainer, stage.schedule, session.run
    start, extra = _restored(stage, folder, session)
    scores, first_step, last_step = (
        [CheckpointScore(**row) for row in extra.get("looks", [])],
        schedule.first_step + start,
        schedule.last_step,
    )
    if run:
        run.truncate_metrics(first_step)
    log = MetricsLog(
        run,
        stage=stage.name,
        terms=trainer.terms,
        start=first_step,
        last=last_step,
        every=min(10, schedule.evaluate_every),
        slices_per_step=schedule.batch_size,
        since=extra.get("since"),
    )
    began, before = time.perf_counter(), extra.get("seconds", 0.0)

    def seconds():
        return before + time.perf_counter() - began

    def save(step):
        if run:
            looks = [score.row() for score in scores]
            values = {"looks": looks, "since": log.state(), "seconds": round(seconds(), 1)}
            checkpoints.save_checkpoint(folder, trainer, step - schedule.first_step, values)
            run.keep()

    def evaluate(step):
        with mask_firewall():
            score = stage.score(step)
        scores.append(score)
        if run:
            checkpoints.save_weights(checkpoints.candidate(folder, step), stage.predictor.network)
            log.write({"kind": "look", "stage": stage.name, **score.row()}, "validation")

    def due(step, every):
        return step % every == 0 or step == last_step

    dataset = functools.partial(stage.dataset, start)
    with (
        session.reporter.bar(f"Training ({stage.name}, {place})", last_step, first_step) as bar,
        contextlib.closing(log),
    ):
        results = updates(
            trainer, dataset, steps=schedule.steps - start, asked_to_stop=lambda: session.stop.requested
        )
        for step, (sums, stopping) in enumerate(results, start=first_step + 1):
            loss = log.add(step, sums)
            speed = (step - first_step) * schedule.batch_size / (time.perf_counter() - began)
            bar.update(step, f"loss {loss:.4f}, {speed:.1f} slices/s")
            if due(step, schedule.evaluate_every):
                evaluate(step)
            if due(step, schedule.checkpoint_every) or stopping:  # after a score, so that none is lost
                save(step)
            if stopping and step < last_step:
                return None
    return scores, seconds(), before


def _restored(stage: Stage, folder: Path | None, session: Session) -> tuple:
    """Restore the newest checkpoint in every process.

    Returns:
        How many steps of the stage it holds, and its extra values.
    """
    workers = session.workers
    path, start = checkpoints.newest_checkpoint(folder) if workers.chief else (None, 0)
    start, extra = workers.from_chief(
        lambda: (start, checkpoints.restore_checkpoint(path, stage.trainer) if path else {})
    )
    if start:
        workers.take_from_chief(checkpoints.state_variables(stage.trainer))
        session.reporter.line(f"Resumed at step {stage.schedule.first_step + start} ({stage.name}).")
    return start, extra


def _read_end(folder: Path):
    """Return what `run_stage` wrote when the stage had ended, or None."""
    path = folder / checkpoints.END
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
