"""Receive batches from the workers of a tf.data service, in the order and with the numbers they would have
locally.

The service's own order is that of arrival. Here every element is a function of its number alone, so it is
sent with the number and put in order on arrival; one that was lost with a worker is made in this process.
Hence a worker that is killed, comes late or joins later changes nothing but time, and a resumed training
continues with the same batches.
"""

import queue
import socket
import threading
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from clamnet_tf.errors import EnvironmentFailure

MOST_WAITING = 16  # elements that may arrive before an earlier one, which then counts as lost
PATIENCE = 180.0  # seconds without any element, after which the service counts as dead
LOST = "runtime.data_service"  # beginning of the messages of a dead service


class DataService(NamedTuple):
    """Address and shared folder of a tf.data service.

    Attributes:
        address: "grpc://host:port" of the dispatcher.
        folder: receives arrays that are not in a file yet; the workers see it under the same path.
    """

    address: str
    folder: Path

    def check(self) -> None:
        """Raise EnvironmentFailure unless something listens at the address.

        TensorFlow itself would wait for an hour.
        """
        host, port = self.address.removeprefix("grpc://").rsplit(":", 1)
        try:
            socket.create_connection((host, int(port)), timeout=10.0).close()
        except OSError as error:
            raise EnvironmentFailure(
                f"{LOST}: nothing answers at {self.address} ({error.strerror or error}). Start it with "
                f"clamnet-tf data-service, or set it to null."
            ) from error


def served(make, count: int, service: DataService) -> tf.data.Dataset:
    """Return the dataset of `make(0)` to `make(count - 1)` in this order, computed by the service's workers.

    Args:
        make: int64 scalar tensor -> dict of tensors, by graph ops alone, always the same for the same number.
        count: number of elements.
        service: the service.
    """
    service.check()
    indices = tf.data.Dataset.range(count)
    spec = indices.map(make).element_spec
    distribute = tf.data.experimental.service.distribute(
        "distributed_epoch", service.address, compression=None, max_outstanding_requests=MOST_WAITING // 2
    )
    arriving = indices.map(
        lambda index: (index, make(index)), num_parallel_calls=2, deterministic=True
    ).apply(distribute)

    def in_order():
        early, arrivals, make_locally = {}, _read_ahead(arriving), None
        for wanted in range(count):
            while arrivals is not None and wanted not in early and len(early) < MOST_WAITING:
                index, element = next(arrivals)
                if index is None:
                    arrivals = None  # the service has sent all that it has
                elif index >= wanted:
                    early[index] = element
            if wanted not in early:
                make_locally = make_locally or made_here(make)
                early[wanted] = make_locally(wanted)
            yield early.pop(wanted)

    return tf.data.Dataset.from_generator(in_order, output_signature=spec).apply(
        tf.data.experimental.assert_cardinality(count)
    )


def made_here(make):
    """Return a function: number -> `make(number)` as NumPy arrays, computed in this process.

    It uses a tf.data pipeline: a tf.function would be optimised differently and differ in the last bits.
    """
    wanted = tf.Variable(0, dtype=tf.int64, trainable=False)
    elements = tf.data.Dataset.from_tensors(0).map(lambda _: make(wanted.read_value()))

    def element(index):
        wanted.assign(index)
        return next(elements.as_numpy_iterator())

    return element


def _read_ahead(arriving):
    """Yield (number, element) as they arrive, then (None, None).

    They are read in a thread, since a dead service would block for an hour.
    """
    arrivals, ended = queue.Queue(maxsize=2), threading.Event()

    def put(item):
        while not ended.is_set():
            try:
                return arrivals.put(item, timeout=1.0)
            except queue.Full:
                pass

    def read():
        try:
            for index, element in arriving.as_numpy_iterator():
                put((int(index), element))
                if ended.is_set():
                    return
            put((None, None))
        except tf.errors.OpError as error:
            put((None, error))

    threading.Thread(target=read, daemon=True).start()
    try:
        while True:
            try:
                index, element = arrivals.get(timeout=PATIENCE)
            except queue.Empty:
                raise RuntimeError(
                    f"{LOST}: nothing came for {PATIENCE:g} s. Start the service again, and then the "
                    f"training with --resume."
                ) from None
            if isinstance(element, tf.errors.OpError):
                raise RuntimeError(
                    f"{LOST}: {element.message.splitlines()[0]} (its workers must see the folder of "
                    f"prepared slices under the same path)"
                )
            yield index, element
            if index is None:
                return
    finally:
        ended.set()
