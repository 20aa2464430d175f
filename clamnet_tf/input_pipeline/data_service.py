"""Batches made by the workers of a tf.data service, in the order and with the numbers that they have when
made here.

The service's own order is that of arrival. Here every element is a function of its number alone, so it is
sent with the number and put in order on arrival; one that was lost with a worker is made in this process.
Hence a worker that is killed, comes late or joins later changes nothing but time, and a resumed training goes
on with the same batches.
"""

import queue
import socket
import threading
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from clamnet_tf.errors import EnvironmentFailure

MOST_WAITING = 16  # elements that may come before an earlier one, which is then taken for lost
PATIENCE = 180.0  # seconds without any element, after which the service is taken for dead
LOST = "runtime.data_service"  # how messages of a dead service begin


class DataService(NamedTuple):
    """address: "grpc://host:port" of the dispatcher. folder: for arrays that stand in no file yet; the
    workers see it too.
    """

    address: str
    folder: Path

    def check(self) -> None:
        """EnvironmentFailure unless something listens there; TensorFlow itself would wait for an hour."""
        host, port = self.address.removeprefix("grpc://").rsplit(":", 1)
        try:
            socket.create_connection((host, int(port)), timeout=10.0).close()
        except OSError as error:
            raise EnvironmentFailure(
                f"{LOST}: nothing answers at {self.address} ({error.strerror or error}). Start it with "
                f"clamnet-tf data-service, or set it to null."
            ) from error


def served(make, count: int, service: DataService) -> tf.data.Dataset:
    """`make(0)` to `make(count - 1)` in this order, computed by the service's workers.

    make: int64 scalar tensor -> dict of tensors, by graph ops alone, always the same for the same number.
    """
    service.check()
    numbers = tf.data.Dataset.range(count)
    spec = numbers.map(make).element_spec
    distribute = tf.data.experimental.service.distribute(
        "distributed_epoch", service.address, compression=None, max_outstanding_requests=MOST_WAITING // 2
    )
    arriving = numbers.map(
        lambda number: (number, make(number)), num_parallel_calls=2, deterministic=True
    ).apply(distribute)

    def in_order():
        early, come, here = {}, _read_ahead(arriving), None
        for wanted in range(count):
            while come is not None and wanted not in early and len(early) < MOST_WAITING:
                number, element = next(come)
                if number is None:
                    come = None  # the service has sent all that it has
                elif number >= wanted:
                    early[number] = element
            if wanted not in early:
                here = here or made_here(make)
                early[wanted] = here(wanted)
            yield early.pop(wanted)

    return tf.data.Dataset.from_generator(in_order, output_signature=spec).apply(
        tf.data.experimental.assert_cardinality(count)
    )


def made_here(make):
    """A function: number -> `make(number)` as NumPy arrays, by a tf.data pipeline of this process: a
    tf.function would be optimised otherwise and differ in the last bits."""
    wanted = tf.Variable(0, dtype=tf.int64, trainable=False)
    elements = tf.data.Dataset.from_tensors(0).map(lambda _: make(wanted.read_value()))

    def element(number):
        wanted.assign(number)
        return next(elements.as_numpy_iterator())

    return element


def _read_ahead(arriving):
    """(number, element) as they come, then (None, None); read in a thread, since a dead service would block
    for an hour.
    """
    come, ended = queue.Queue(maxsize=2), threading.Event()

    def put(item):
        while not ended.is_set():
            try:
                return come.put(item, timeout=1.0)
            except queue.Full:
                pass

    def read():
        try:
            for number, element in arriving.as_numpy_iterator():
                put((int(number), element))
                if ended.is_set():
                    return
            put((None, None))
        except tf.errors.OpError as error:
            put((None, error))

    threading.Thread(target=read, daemon=True).start()
    try:
        while True:
            try:
                number, element = come.get(timeout=PATIENCE)
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
            yield number, element
            if number is None:
                return
    finally:
        ended.set()
