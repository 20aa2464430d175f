"""Log the mean of each loss term of a training to metrics.jsonl and TensorBoard."""

import math
import time

import numpy as np
import tensorflow as tf

from clamnet_tf.errors import TrainingFailure


class MetricsLog:
    """Log the mean of each term since the last row, every `every` steps of the run and after its `last` step.

    Args:
        run: RunFolder, or None in a process that writes nothing.
        stage: name of the stage.
        terms: names of the terms, "loss" first.
        start: steps done before.
        last: number of the last step.
        every: steps between two rows.
        slices_per_step: for the speed.
        since: `state()` of the log that was interrupted at `start`, or None.
    """

    def __init__(
        self, run, *, stage: str, terms, start: int, last: int, every: int, slices_per_step: int, since=None
    ):
        self.run, self.stage, self.terms, self.last, self.every, self.slices_per_step = (
            run,
            stage,
            terms,
            last,
            every,
            slices_per_step,
        )
        self.writer = tf.summary.create_file_writer(str(run.tensorboard)) if run else None
        self._sums = np.zeros((2, len(terms))) if since is None else np.array(since)
        self._since = (start, time.perf_counter())

    def state(self) -> list:
        """Return the sums and weights since the last row as lists for JSON."""
        return self._sums.tolist()

    def add(self, step: int, sums: np.ndarray) -> float:
        """Count the (2, terms) sums of step number `step`; return the mean loss since the last row.

        Raises:
            TrainingFailure: the loss is not finite.
        """
        self._sums += sums
        means = self._sums[0] / np.maximum(self._sums[1], 1e-30)
        if not math.isfinite(means[0]):
            advice = f" The last good checkpoint is kept in {self.run.checkpoints}." if self.run else ""
            raise TrainingFailure(
                f"The loss is not finite at step {step}. Lower training.optimizer.learning_rate, set "
                f"clip_norm to 1, or check the images for extreme values.{advice}"
            )
        if step % self.every == 0 or step == self.last:
            self._write(step, means)
        return float(means[0])

    def _write(self, step: int, means: np.ndarray) -> None:
        last_step, began = self._since
        elapsed = time.perf_counter() - began
        if self.run:
            speed = round((step - last_step) * self.slices_per_step / max(elapsed, 1e-9), 2)
            row = {
                "kind": "train",
                "stage": self.stage,
                "step": step,
                **dict(zip(self.terms, means.tolist())),
                "slices_per_second": speed,
            }
            self.write(row, "train")
        self._sums = np.zeros_like(self._sums)
        self._since = (step, time.perf_counter())

    def write(self, row: dict, folder: str) -> None:
        """Write a row to metrics.jsonl, and every number of it to TensorBoard under `folder`/name."""
        self.run.append_metrics(row)
        with self.writer.as_default():
            for name, value in row.items():
                if isinstance(value, float) and math.isfinite(value):
                    tf.summary.scalar(f"{folder}/{name}", value, step=row["step"])
            self.writer.flush()

    def close(self) -> None:
        """Close TensorBoard's file."""
        if self.writer:
            self.writer.close()
