"""What happens between steps: logging, looks, checkpoints, stopping. Keras callbacks on one long epoch of steps."""

import math
import time

import keras
import tensorflow as tf

from clamnet_tf.errors import TrainingFailure


class StepCallback(keras.callbacks.Callback):
    """Calls `after_step(step, logs)` with the number of steps done, counted from the start of the run."""

    def __init__(self, start: int):
        super().__init__()
        self.step = start

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        self.after_step(self.step, logs or {})


class MetricsLog(StepCallback):
    """Every `every` steps: mean of each loss term since the last row, to metrics.jsonl and TensorBoard; stops on a loss that is not finite."""

    def __init__(self, run, *, stage: str, start: int, last: int, every: int, slices_per_step: int):
        super().__init__(start)
        self.run, self.stage, self.last, self.every, self.slices_per_step = run, stage, last, every, slices_per_step
        self.writer = tf.summary.create_file_writer(str(run.tensorboard))
        self._since = (start, time.perf_counter())

    def after_step(self, step, logs):
        if not math.isfinite(float(logs["loss"])):
            raise TrainingFailure(
                f"The loss is not finite at step {step}. Lower training.optimizer.learning_rate, set clip_norm to 1, or check the "
                f"images for extreme values. The last good checkpoint is kept in {self.run.checkpoints}."
            )
        if step % self.every and step != self.last:
            return
        then, when = self._since
        elapsed = time.perf_counter() - when
        row = {"kind": "train", "stage": self.stage, "step": step, **{name: float(value) for name, value in logs.items()}}
        row["slices_per_second"] = round((step - then) * self.slices_per_step / max(elapsed, 1e-9), 2)
        self.run.append_metrics(row)
        write_summary(self.writer, row, "train")
        for metric in self.model.metrics:
            metric.reset_state()
        self._since = (step, time.perf_counter())

    def on_train_end(self, logs=None):
        self.writer.close()


def write_summary(writer, row: dict, folder: str) -> None:
    """Every number of a row to TensorBoard under `folder`/name."""
    with writer.as_default():
        for name, value in row.items():
            if isinstance(value, float) and math.isfinite(value):
                tf.summary.scalar(f"{folder}/{name}", value, step=row["step"])
        writer.flush()


class Periodic(StepCallback):
    """Calls `act(step)` every `every` steps of the run and after its `last` step."""

    def __init__(self, act, *, start: int, last: int, every: int):
        super().__init__(start)
        self.act, self.last, self.every = act, last, every

    def after_step(self, step, logs):
        if step % self.every == 0 or step == self.last:
            self.act(step)


class StopFlag(StepCallback):
    """Stops after the running step when `requested()` turns true (Ctrl-C, SIGTERM), after `save(step)`."""

    def __init__(self, requested, save, *, start: int):
        super().__init__(start)
        self.requested, self.save, self.stopped = requested, save, False

    def after_step(self, step, logs):
        if self.requested() and not self.stopped:
            self.save(step)
            self.stopped = True
            self.model.stop_training = True


class Progress(StepCallback):
    """Tells `show(step, logs)` of every step."""

    def __init__(self, show, *, start: int):
        super().__init__(start)
        self.show = show

    def after_step(self, step, logs):
        self.show(step, logs)
