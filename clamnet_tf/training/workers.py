"""Connect the processes that train one network together: which one writes, and how they exchange values.

All run the same program on the same numbers. Only the chief reads and writes the run folder and sends the
others what it found there; long computations are divided and their results exchanged.
"""

import contextlib
import hashlib
import json
import re

import numpy as np
import tensorflow as tf

from clamnet_tf.errors import DataError, TrainingFailure
from clamnet_tf.input_pipeline.data_service import LOST

EXCHANGED = (tf.float32, tf.float64, tf.int32, tf.int64)
GONE = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.InternalError)


@contextlib.contextmanager
def clear_loss(strategy):
    """Turn TensorFlow's errors about a lost worker or data service into a TrainingFailure."""
    try:
        yield
    except tf.errors.UnknownError as error:  # what a Python function inside a pipeline raised
        said = re.search(rf"{LOST}: .*", error.message)
        if said is None:
            raise
        raise TrainingFailure(said.group()) from error
    except GONE as error:
        if strategy.cluster_resolver is None:
            raise
        raise TrainingFailure(
            "Another worker of the cluster is gone. Start all workers again with --start-or-resume: they go "
            "on from the last checkpoint."
        ) from error


class Workers:
    """The processes of `strategy`; a single process is its own chief, and nothing is exchanged."""

    def __init__(self, strategy):
        self.strategy = strategy
        resolver = strategy.cluster_resolver
        self.count = 1 if resolver is None else len(resolver.cluster_spec().as_dict()["worker"])
        self.index = 0 if resolver is None else resolver.task_id
        self._replicas = strategy.num_replicas_in_sync // self.count
        self._totals = {  # a trace for every type, none for every shape
            kind: tf.function(self._total_of_vector, input_signature=[tf.TensorSpec([None], kind)])
            for kind in EXCHANGED
        }

    @property
    def chief(self) -> bool:
        """Whether this process is the chief."""
        return self.index == 0

    def total(self, array: np.ndarray) -> np.ndarray:
        """Return the sum of every process's array of this shape and type, the same in all of them.

        The type is float32, float64, int32 or int64.
        """
        if self.count == 1:
            return array
        vector = tf.constant(array.reshape(-1))
        with clear_loss(self.strategy):
            return self._totals[vector.dtype](vector).numpy().reshape(array.shape)

    def _total_of_vector(self, vector):
        def first_replica():
            context = tf.distribute.get_replica_context()
            first = context.replica_id_in_sync_group % self._replicas == 0
            return tf.where(first, vector, tf.zeros_like(vector))

        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, self.strategy.run(first_replica), axis=None)

    def wait(self) -> None:
        """Wait until all processes have reached this call."""
        self.total(np.zeros(1, np.int32))

    def from_chief(self, make):
        """Return the chief's `make()`, a value that JSON can hold, in all processes."""
        if self.count == 1:
            return make()
        text = (
            np.frombuffer(json.dumps(make()).encode(), np.uint8).astype(np.int32)
            if self.chief
            else np.zeros(0, np.int32)
        )
        length = int(self.total(np.array([len(text)], np.int64))[0])
        received = self.total(text if self.chief else np.zeros(length, np.int32))
        return json.loads(received.astype(np.uint8).tobytes().decode())

    def take_from_chief(self, variables) -> None:
        """Give the variables the chief's values.

        Every process passes the same variables in the same order.
        """
        if self.count == 1:
            return
        for variable in variables:
            value = np.asarray(variable)
            kind = value.dtype
            if kind not in EXCHANGED:  # random states are unsigned, of mixed precision a few are float16
                kind = np.dtype(np.int64 if kind.kind in "iub" else np.float32)
            received = self.total(value.astype(kind) if self.chief else np.zeros(value.shape, kind))
            variable.assign(received.astype(value.dtype))

    def gather(self, array: np.ndarray) -> np.ndarray:
        """Return every process's array of this shape, float32 or int: (count, *shape), in order."""
        arrays = np.zeros((self.count, *array.shape), array.dtype)
        arrays[self.index] = array
        return self.total(arrays)

    def check_same(self, what: str, text: str) -> None:
        """Check that `text` is equal in all processes; `what` names it in the message.

        Raises:
            DataError: it differs; every process raises it.
        """
        if self.count == 1:
            return
        digest = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
        digests = self.gather(np.array(digest, np.int64))
        other = [index for index in range(self.count) if digests[index] != digests[0]]
        if other:
            raise DataError(
                f"{what}: worker {', '.join(map(str, other))} has something else than the chief. Start all "
                f"workers with the same command on the same data."
            )
