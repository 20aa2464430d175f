"""A tf.data service on this machine: a dispatcher and processes that make batches for whoever asks them."""

import contextlib
import os
import signal
import subprocess
import sys
import time

from clamnet_tf.errors import EnvironmentFailure

HEARTBEAT = 1000  # milliseconds between two signs of life of a worker
GONE_AFTER = 10_000  # milliseconds without one, after which trainings stop asking it
LOOK_EVERY = 0.5  # seconds
PARENT = "CLAMNET_TF_DATA_SERVICE"  # process number of `keep_working`, told to its workers


def start_dispatcher(port: int):
    """The dispatcher, which listens on `port` (0: any free one) on all interfaces; its `target` is
    grpc://localhost:port.
    """
    import tensorflow as tf

    service = tf.data.experimental.service
    try:
        return service.DispatchServer(
            service.DispatcherConfig(port=port, protocol="grpc", worker_timeout_ms=GONE_AFTER)
        )
    except (tf.errors.OpError, RuntimeError) as error:
        raise EnvironmentFailure(
            f"data-service: cannot listen on port {port} ({error}). Choose another --port."
        ) from error


def work(dispatcher: str, host: str, port: int) -> None:
    """Be a worker of the dispatcher at "host:port" until this process, or the `keep_working` that started it,
    is ended; trainings reach it as `host`.
    """
    import tensorflow as tf

    service = tf.data.experimental.service
    config = service.WorkerConfig(
        dispatcher_address=dispatcher,
        worker_address=f"{host}:%port%",
        port=port,
        protocol="grpc",
        heartbeat_interval_ms=HEARTBEAT,
        dispatcher_timeout_ms=60_000,
    )
    try:
        server = service.WorkerServer(config)
    except (tf.errors.OpError, RuntimeError) as error:
        raise EnvironmentFailure(
            f"data-service: cannot join the dispatcher at {dispatcher} ({error})."
        ) from error
    print(f"worker {os.getpid()} joined {dispatcher}", flush=True)
    parent = os.environ.get(PARENT)
    if parent is None:
        server.join()
    while str(os.getppid()) == parent:  # whoever started this worker may be killed
        time.sleep(LOOK_EVERY)
    os._exit(0)  # an orderly end would wait for the dispatcher, which was killed too


def keep_working(dispatcher: str, host: str, count: int, told) -> None:
    """Keep `count` worker processes until this process gets SIGINT or SIGTERM; one that ends is started
    again.

    told: called with a line of text once all have joined, and for every worker that is started again.
    """
    command = [
        sys.executable,
        "-m",
        "clamnet_tf",
        "data-service",
        "--dispatcher",
        dispatcher,
        "--host",
        host,
        "--workers",
        "1",
    ]
    workers, asked = [], []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: asked.append(number))

    def start():
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, PARENT: str(os.getpid())},
        )

    try:
        workers += [start() for _ in range(count)]
        if all(worker.stdout.readline() for worker in workers):
            told(f"{count} workers: {' '.join(str(worker.pid) for worker in workers)}")
        while not asked:
            for index, worker in enumerate(workers):
                if worker.poll() is not None:
                    workers[index] = start()
                    told(
                        f"Worker {worker.pid} ended with code {worker.returncode}; started again as "
                        f"{workers[index].pid}."
                    )
                    time.sleep(2.0)  # what fails at once would be started without end
            time.sleep(LOOK_EVERY)
    finally:
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                worker.kill()
            worker.wait()
