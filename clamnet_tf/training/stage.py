"""One stage of a run: one network trained for its steps, looked at without masks, its best look chosen;
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

END = "chosen.json"


@dataclass(frozen=True)
class Schedule:
    """first_step: number of steps of the stages before. steps: of this one. batch_size: slices per step.

    evaluate_every, checkpoint_every: steps of the run between looks, and between checkpoints.
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
    """What a stage needs.

    name: for folders and messages. schedule: its steps.
    trainer: compiled, with `network` (and `twin`). marker: Predictor of the network that is kept.
    dataset: (start, Share) -> tf.data of the remaining steps. look: step -> Look at the present weights.
    choose: looks -> (the one to keep, why).
    """

    name: str
    schedule: Schedule
    trainer: StepTrainer
    marker: Predictor
    dataset: Callable[[int, Share], tf.data.Dataset]
    look: Callable[[int], CheckpointScore]
    choose: Callable[[list[CheckpointScore]], tuple[CheckpointScore, str]]


class StopRequest:
    """Turns the first Ctrl-C or SIGTERM into a clean stop after the running step; a second one interrupts at
    once.
    """

    def __init__(self):
        self.requested = False
        self._previous = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
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


def run_stage(stage: Stage, session: Session):
    """Train what is left of `stage`, choose its look and load the chosen weights into the kept network.

    Returns:
        (chosen Look, reason in words, all looks), or None when stopped; a checkpoint was written then.
    """
    run, workers = session.run, session.workers
    folder = make_folder(run.checkpoints / stage.name) if run else None
    ended = workers.from_chief(lambda: _read_end(folder))
    if ended is None:
        looks = _train(stage, folder, session)
        if looks is None:
            return None
        chosen, reason = stage.choose(looks)
        if run:
            write_json(
                folder / END,
                {"look": chosen.row(), "reason": reason, "looks": [item.row() for item in looks]},
            )
    else:  # this stage ended before the run was interrupted
        chosen, reason, looks = (
            CheckpointScore(**ended["look"]),
            ended["reason"],
            [CheckpointScore(**row) for row in ended["looks"]],
        )
    kept = stage.marker.network
    if run:
        checkpoints.load_weights(_candidate(folder, chosen.step), kept)
    workers.take_from_chief(kept.variables)
    return chosen, reason, looks


def _train(stage: Stage, folder: Path | None, session: Session):
    """All looks of the stage, whose steps are done then; None when stopped."""
    trainer, schedule, run = stage.trainer, stage.schedule, session.run
    start, found = _restored(stage, folder, session)
    looks, first, last = (
        [CheckpointScore(**row) for row in found.get("looks", [])],
        schedule.first_step + start,
        schedule.last_step,
    )
    if run:
        run.truncate_metrics(first)
    log = MetricsLog(
        run,
        stage=stage.name,
        terms=trainer.terms,
        start=first,
        last=last,
        every=min(10, schedule.evaluate_every),
        slices_per_step=schedule.batch_size,
        since=found.get("since"),
    )

    def save(step):
        if run:
            extra = {"looks": [item.row() for item in looks], "since": log.state()}
            checkpoints.save_checkpoint(folder, trainer, step - schedule.first_step, extra)
            run.keep()

    def look(step):
        with mask_firewall():
            seen = stage.look(step)
        looks.append(seen)
        if run:
            checkpoints.save_weights(_candidate(folder, step), stage.marker.network)
            log.write({"kind": "look", "stage": stage.name, **seen.row()}, "validation")

    def due(step, every):
        return step % every == 0 or step == last

    began, dataset = time.perf_counter(), functools.partial(stage.dataset, start)
    with session.reporter.bar(f"Training ({stage.name})", last, first) as bar, contextlib.closing(log):
        told = updates(
            trainer, dataset, steps=schedule.steps - start, asked_to_stop=lambda: session.stop.requested
        )
        for step, (sums, stopping) in enumerate(told, start=first + 1):
            loss = log.add(step, sums)
            speed = (step - first) * schedule.batch_size / (time.perf_counter() - began)
            bar.update(step, f"loss {loss:.4f}, {speed:.1f} slices/s")
            if due(step, schedule.evaluate_every):
                look(step)
            if due(step, schedule.checkpoint_every) or stopping:  # after a look, so that none is lost
                save(step)
            if stopping and step < last:
                return None
    return looks


def _restored(stage: Stage, folder: Path | None, session: Session) -> tuple:
    """Steps of the stage that the newest checkpoint holds, now in the trainer of every process, and what else
    it says.
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
    """What `run_stage` left when the stage had ended, or None."""
    path = folder / END
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _candidate(folder: Path, step: int) -> Path:
    return folder / f"candidate-{step:08d}.npz"
