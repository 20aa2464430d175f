"""The processes of a training on several machines: find them in TF_CONFIG and wait until all have started.

TF_CONFIG is JSON as the Kubernetes training operator, Vertex AI and tools/launch_local_cluster set it:

    {"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}

A job "chief" (or "master") comes before "worker". The first process is the chief, the only one that writes.
"""

import contextlib
import json
import os
import socket
import time
from dataclasses import dataclass

from clamnet_tf.errors import EnvironmentFailure

VARIABLE = "TF_CONFIG"
PATIENCE_VARIABLE = "CLAMNET_TF_CLUSTER_TIMEOUT"
JOBS = ("chief", "master", "worker")
EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
PAUSE = 0.2  # seconds between two attempts to reach the chief
ADVICE = (
    "Start all processes of the job, with addresses that they can reach; "
    f"{PATIENCE_VARIABLE} is how many seconds they wait for one another."
)
GREETING = 5.0  # seconds within which a process that connects must send its index


@dataclass(frozen=True)
class Cluster:
    """Addresses of the processes that train together, and the index of this process among them.

    Attributes:
        addresses: "host:port" of every process, the chief's first.
        index: position of this process in `addresses`.
    """

    addresses: tuple
    index: int

    @property
    def chief(self) -> bool:
        """Whether this process is the chief."""
        return self.index == 0


def from_tf_config(text: str) -> Cluster:
    """Return the cluster that the text of a TF_CONFIG describes.

    Raises:
        EnvironmentFailure: the text is not a TF_CONFIG, or has parts that are not supported here.
    """
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise _wrong(f"is not JSON ({error})", text) from None
    cluster, task = (content.get(key) if isinstance(content, dict) else None for key in ("cluster", "task"))
    if not isinstance(cluster, dict) or not isinstance(task, dict):
        raise _wrong('needs "cluster" and "task"', text)
    unknown = sorted(set(cluster) - set(JOBS))
    if unknown or task.get("type") not in JOBS:
        received = (
            f"a cluster with {', '.join(map(repr, unknown))}"
            if unknown
            else f"a task of type {task.get('type')!r}"
        )
        raise _wrong(
            f"has {received}; the jobs that train are chief and worker (no parameter servers, no evaluators)",
            text,
        )
    addresses, index = [], None
    for job in JOBS:
        members = cluster.get(job, [])
        if not isinstance(members, list) or not all(
            isinstance(member, str) and _port(member) for member in members
        ):
            raise _wrong(f'needs a list of "host:port" for {job!r}', text)
        if job == task["type"]:
            index_text = str(task.get("index", ""))
            if not index_text.isdecimal() or int(index_text) >= len(members):
                raise _wrong(
                    f"names task {task['type']} {task.get('index')!r}, but the cluster has {len(members)} "
                    f"of them",
                    text,
                )
            index = len(addresses) + int(index_text)
        addresses += members
    return Cluster(tuple(addresses), index)


def _port(address: str):
    """Return the port of "host:port", or None when there is none."""
    port = address.rpartition(":")[2]
    return int(port) if port.isdecimal() and ":" in address else None


def _wrong(problem: str, text: str) -> EnvironmentFailure:
    excerpt = text if len(text) <= 200 else text[:200] + "..."
    return EnvironmentFailure(f"{VARIABLE}: {problem}. Expected for example {EXAMPLE}; received {excerpt}")


def named_cluster(strategy: str, environment=os.environ) -> Cluster | None:
    """Return the cluster that this process belongs to by TF_CONFIG, or None.

    Args:
        strategy: runtime.strategy of the recipe. auto joins a cluster of two or more processes, multi_worker
            any; one_device and mirrored join none.
        environment: the environment variables.
    """
    if strategy not in ("auto", "multi_worker") or not environment.get(VARIABLE):
        return None
    cluster = from_tf_config(environment[VARIABLE])
    return cluster if strategy == "multi_worker" or len(cluster.addresses) > 1 else None


def place_in_cluster(strategy: str, environment=os.environ) -> tuple | None:
    """Return (index, count) of this process among those that train together, or None when it trains alone.

    Raises:
        EnvironmentFailure: TF_CONFIG is wrong, or the strategy is multi_worker and neither TF_CONFIG nor a
            SLURM job step (srun) names a cluster.
    """
    cluster = named_cluster(strategy, environment)
    if cluster is not None:
        return cluster.index, len(cluster.addresses)
    if strategy != "multi_worker":
        return None
    try:
        return int(environment["SLURM_PROCID"]), int(environment["SLURM_STEP_NUM_TASKS"])
    except (KeyError, ValueError):
        raise EnvironmentFailure(
            f"runtime.strategy: multi_worker needs {VARIABLE}, or a SLURM job step (srun); found neither. "
            "tools/launch_local_cluster 2 -- COMMAND starts two processes on this machine."
        ) from None


def patience(environment=os.environ) -> float:
    """Return the seconds to wait for the other processes: CLAMNET_TF_CLUSTER_TIMEOUT, or 300."""
    text = environment.get(PATIENCE_VARIABLE, "300")
    try:
        return max(1.0, float(text))
    except ValueError:
        raise EnvironmentFailure(f"{PATIENCE_VARIABLE}: expected seconds, received {text!r}.") from None


def meet(cluster: Cluster, seconds: float) -> None:
    """Return, in every process, as soon as all processes of the cluster have started.

    TensorFlow waits for ever for a worker that never comes. Therefore, before TensorFlow takes the chief's
    port, all processes meet there: the others send their index and keep the connection until the chief, who
    counts them, answers.

    Raises:
        EnvironmentFailure: after `seconds`, naming the processes that did not come; at once when the chief's
            port is taken.
    """
    if len(cluster.addresses) > 1:
        with connected(cluster, seconds):
            pass


@contextlib.contextmanager
def connected(cluster: Cluster, seconds: float):
    """Wait for all processes as `meet` does, for two or more, and keep them connected in the block.

    Yields:
        In the chief {index: socket} of the other processes; in the others {0: socket} to the chief.
    """
    with contextlib.ExitStack() as stack:
        yield (_receive if cluster.chief else _report)(cluster, time.monotonic() + seconds, seconds, stack)


def _receive(cluster: Cluster, deadline: float, seconds: float, stack: contextlib.ExitStack) -> dict:
    """Wait in the chief for all other processes; return {index: socket}."""
    port, arrived = _port(cluster.addresses[0]), {}
    try:
        listener = socket.create_server(("", port), backlog=len(cluster.addresses))
    except OSError as error:
        raise EnvironmentFailure(
            f"{VARIABLE}: cannot listen on port {port} of {cluster.addresses[0]} ({error.strerror}). Choose "
            f"another port."
        ) from error
    stack.enter_context(listener)
    while len(arrived) < len(cluster.addresses) - 1:
        if time.monotonic() > deadline:
            missing = [
                f"worker {index} ({cluster.addresses[index]})"
                for index in range(1, len(cluster.addresses))
                if index not in arrived
            ]
            raise EnvironmentFailure(f"After {seconds:g} s {', '.join(missing)} did not come. {ADVICE}")
        listener.settimeout(max(0.01, deadline - time.monotonic()))
        with contextlib.suppress(OSError):  # nobody connected, or the connection was closed again
            connection = stack.enter_context(listener.accept()[0])
            line = _line(connection, GREETING)
            if line.isdigit() and 0 < int(line) < len(cluster.addresses):
                arrived[int(line)] = connection
    for connection in arrived.values():
        with contextlib.suppress(OSError):  # the process has ended, which is noticed later
            connection.sendall(b"all\n")
    return arrived


def _line(connection, seconds: float) -> bytes:
    """Return the first line that the other side sends, at most 20 bytes."""
    connection.settimeout(seconds)
    with connection.makefile("rb") as stream:
        return stream.readline(20).strip()


def _report(cluster: Cluster, deadline: float, seconds: float, stack: contextlib.ExitStack) -> dict:
    """Send this process's index to the chief until it answers; return {0: socket}."""
    host, port = cluster.addresses[0].rsplit(":", 1)
    while True:
        left = max(0.01, deadline - time.monotonic())
        with contextlib.suppress(OSError):  # the chief does not listen yet
            connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=left))
            connection.sendall(b"%d\n" % cluster.index)
            if _line(connection, left) == b"all":
                return {0: connection}
            connection.close()
        if time.monotonic() >= deadline:
            raise EnvironmentFailure(
                f"Worker {cluster.index}: after {seconds:g} s the chief ({cluster.addresses[0]}) had not "
                f"gathered all workers. {ADVICE}"
            )
        time.sleep(PAUSE)
