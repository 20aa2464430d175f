"""A tf.data service on this machine: a dispatcher and worker processes that make batches for trainings."""

import contextlib
import os
import signal
import subprocess
import sys
import time

from clamnet_tf.errors import EnvironmentFailure

HEARTBEAT = 1000  # milliseconds between two heartbeats of a worker
GONE_AFTER = 10_000  # milliseconds without a heartbeat, after which trainings stop asking the worker
LOOK_EVERY = 0.5  # seconds
PARENT = "CLAMNET_TF_DATA_SERVICE"  # variable with the process number of `keep_working`, set for its workers


def start_dispatcher(port: int):
    """Start the dispatcher on all interfaces and return it; its `target` is grpc://localhost:port.

    Args:
        port: the port to listen on; 0 chooses any free one.

    Raises:
        EnvironmentFailure: the port cannot be used.
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
    """Serve as a worker until this process, or the `keep_working` that started it, ends.

    Args:
        dispatcher: "host:port" of the dispatcher.
        host: the name by which trainings reach this worker.
        port: the port to listen on; 0 chooses any free one.

    Raises:
        EnvironmentFailure: the worker cannot join the dispatcher.
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
    while str(os.getppid()) == parent:  # the process that started this worker may be killed
        time.sleep(LOOK_EVERY)
    os._exit(0)  # an orderly end would wait for the dispatcher, which was killed too


def keep_working(dispatcher: str, host: str, count: int, report) -> None:
    """Keep `count` worker processes running until this process gets SIGINT or SIGTERM.

    A worker that ends is started again.

    Args:
        dispatcher: "host:port" of the dispatcher.
        host: the name by which trainings reach the workers.
        count: number of workers.
        report: called with a line of text once all have joined, and for every worker that is started again.
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
    workers, signals = [], []
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda signal_number, frame: signals.append(signal_number))

    def start():
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            env={**os.environ, PARENT: str(os.getpid())},
        )

    try:
        workers += [start() for _ in range(count)]
        if all(worker.stdout.readline() for worker in workers):
            report(f"{count} workers: {' '.join(str(worker.pid) for worker in workers)}")
        while not signals:
            for index, worker in enumerate(workers):
                if worker.poll() is not None:
                    workers[index] = start()
                    report(
                        f"Worker {worker.pid} ended with code {worker.returncode}; started again as "
                        f"{workers[index].pid}."
                    )
                    time.sleep(2.0)  # a worker that fails at once would be restarted too often
            time.sleep(LOOK_EVERY)
    finally:
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                worker.kill()
            worker.wait()
