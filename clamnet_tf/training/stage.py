"""One stage of a run: one network trained for its steps, looked at without masks, its best look chosen; resumable."""

import json
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from clamnet_tf.data.sealed import mask_firewall
from clamnet_tf.files import make_folder, write_json
from clamnet_tf.training import callbacks, checkpoints
from clamnet_tf.training.selection import Look, choose, look_at


@dataclass(frozen=True)
class Stage:
    """What a stage needs.

    name: for folders and messages. first_step: number of steps of the stages before. steps: of this one.
    trainer: compiled, with `network` (and `twin`). marker: MarkerProbability of the network that is kept.
    dataset: callable, start -> tf.data of the remaining steps. images: callables that give the slices to look at:
    `training_abnormal()` -> (images, organ) and `validation()` -> (images, organ, labels).
    """

    name: str
    first_step: int
    steps: int
    trainer: object
    marker: object
    dataset: object
    training_abnormal: object
    validation: object


class StopRequest:
    """Turns the first Ctrl-C or SIGTERM into a clean stop after the running step; a second one interrupts at once."""

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


def run_stage(stage: Stage, recipe, run, reporter, stop: StopRequest):
    """Train what is left of `stage`, choose its look and load the chosen weights into the kept network.

    Returns:
        (chosen Look, reason in words, all looks), or None when stopped; a checkpoint was written then.
    """
    folder = make_folder(run.checkpoints / stage.name)
    kept, trainer, section = stage.marker.network, stage.trainer, recipe.training
    done = folder / "chosen.json"
    if done.exists():  # this stage ended before the run was interrupted
        content = json.loads(done.read_text(encoding="utf-8"))
        chosen, looks = Look(**content["look"]), [Look(**row) for row in content["looks"]]
        checkpoints.load_weights(_candidate(folder, chosen.step), kept)
        return chosen, content["reason"], looks
    path, start = checkpoints.newest_checkpoint(folder)
    looks = []
    if path is not None:
        looks = [Look(**row) for row in checkpoints.restore_checkpoint(path, trainer)["looks"]]
        reporter.line(f"Resumed at step {stage.first_step + start} ({stage.name}).")
    run.truncate_metrics(stage.first_step + start)

    def save(step):
        checkpoints.save_checkpoint(folder, trainer, step - stage.first_step, {"looks": [item.row() for item in looks]})

    writer = tf.summary.create_file_writer(str(run.tensorboard))

    def look(step):
        with mask_firewall():
            seen = look_at(stage.marker, step, stage.training_abnormal(), stage.validation(), recipe.selection, recipe.loss.contrast.pooling_power)
        looks.append(seen)
        checkpoints.save_weights(_candidate(folder, step), kept)
        row = {"kind": "look", "stage": stage.name, **seen.row()}
        run.append_metrics(row)
        callbacks.write_summary(writer, row, "validation")

    if start < stage.steps:
        first, last = stage.first_step + start, stage.first_step + stage.steps
        began = time.perf_counter()
        with reporter.bar(f"Training ({stage.name})", last, first) as bar:

            def show(step, logs):
                speed = (step - first) * section.batch_size / (time.perf_counter() - began)
                bar.update(step, f"loss {float(logs['loss']):.4f}, {speed:.1f} slices/s")

            flag = callbacks.StopFlag(lambda: stop.requested, save, start=first)
            common = {"start": first, "last": last}
            watchers = [
                callbacks.Progress(show, start=first),
                callbacks.MetricsLog(run, stage=stage.name, every=min(10, section.evaluate_every), slices_per_step=section.batch_size, **common),
                callbacks.Periodic(look, every=section.evaluate_every, **common),
                callbacks.Periodic(save, every=section.checkpoint_every, **common),  # after a look, so that none is lost
                flag,
            ]
            fed, strategy = stage.dataset(start), trainer.distribute_strategy
            if strategy.num_replicas_in_sync > 1:
                fed = strategy.experimental_distribute_dataset(fed)
            trainer.fit(fed, epochs=1, steps_per_epoch=stage.steps - start, callbacks=watchers, verbose=0, shuffle=False)
        if flag.stopped and flag.step < last:
            return None
    chosen, reason = choose(looks, recipe.selection)
    write_json(done, {"look": chosen.row(), "reason": reason, "looks": [item.row() for item in looks]})
    checkpoints.load_weights(_candidate(folder, chosen.step), kept)
    return chosen, reason, looks


def _candidate(folder: Path, step: int) -> Path:
    return folder / f"candidate-{step:08d}.npz"
