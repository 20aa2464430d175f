"""The processes of a training on several machines: who they are, as launchers tell it in TF_CONFIG, and
waiting for all.

TF_CONFIG is JSON as the Kubernetes training operator, Vertex AI and tools/launch_local_cluster set it:

    {"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}

A job "chief" (or "master") stands before "worker"; the first process is the chief, the only one that writes.
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
GREETING = 5.0  # seconds that whoever connects has to say who it is


@dataclass(frozen=True)
class Cluster:
    """addresses: "host:port" of every process, the chief's first. index: which of them this one is."""

    addresses: tuple
    index: int

    @property
    def chief(self) -> bool:
        return self.index == 0


def from_tf_config(text: str) -> Cluster:
    """The cluster of a TF_CONFIG. EnvironmentFailure: it is not one, or has parts that are not used here."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise _wrong(f"is not JSON ({error})", text) from None
    cluster, task = (content.get(key) if isinstance(content, dict) else None for key in ("cluster", "task"))
    if not isinstance(cluster, dict) or not isinstance(task, dict):
        raise _wrong('needs "cluster" and "task"', text)
    foreign = sorted(set(cluster) - set(JOBS))
    if foreign or task.get("type") not in JOBS:
        received = (
            f"a cluster with {', '.join(map(repr, foreign))}"
            if foreign
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
            number = str(task.get("index", ""))
            if not number.isdecimal() or int(number) >= len(members):
                raise _wrong(
                    f"names task {task['type']} {task.get('index')!r}, but the cluster has {len(members)} "
                    f"of them",
                    text,
                )
            index = len(addresses) + int(number)
        addresses += members
    return Cluster(tuple(addresses), index)


def _port(address: str):
    port = address.rpartition(":")[2]
    return int(port) if port.isdecimal() and ":" in address else None


def _wrong(what: str, text: str) -> EnvironmentFailure:
    shown = text if len(text) <= 200 else text[:200] + "..."
    return EnvironmentFailure(f"{VARIABLE}: {what}. Expected for example {EXAMPLE}; received {shown}")


def named_cluster(strategy: str, environment=os.environ) -> Cluster | None:
    """The cluster that this process belongs to by TF_CONFIG, or None.

    strategy: of the recipe. auto joins a cluster of two or more; multi_worker any; one_device and mirrored
    none, since they say so.
    """
    if strategy not in ("auto", "multi_worker") or not environment.get(VARIABLE):
        return None
    cluster = from_tf_config(environment[VARIABLE])
    return cluster if strategy == "multi_worker" or len(cluster.addresses) > 1 else None


def place_in_cluster(strategy: str, environment=os.environ) -> tuple | None:
    """(index, count) of this process among those that train together, or None when it trains alone.

    EnvironmentFailure: a wrong TF_CONFIG, or multi_worker where neither TF_CONFIG nor a SLURM job step (srun)
    names a cluster.
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
    """Seconds to wait for the other processes: CLAMNET_TF_CLUSTER_TIMEOUT, or 300."""
    text = environment.get(PATIENCE_VARIABLE, "300")
    try:
        return max(1.0, float(text))
    except ValueError:
        raise EnvironmentFailure(f"{PATIENCE_VARIABLE}: expected seconds, received {text!r}.") from None


def meet(cluster: Cluster, seconds: float) -> None:
    """Return as soon as all processes of the cluster are there, in all of them.

    TensorFlow waits for ever for a worker that never comes. So before it takes the chief's port, all meet
    there: the others send their index and keep the connection until the chief, who counts them, answers.

    Raises:
        EnvironmentFailure: after `seconds`, naming who did not come; at once, when the chief's port is taken.
    """
    if len(cluster.addresses) > 1:
        with connected(cluster, seconds):
            pass


@contextlib.contextmanager
def connected(cluster: Cluster, seconds: float):
    """As `meet`, for two or more processes; in the block they stay connected: the chief gets {index: socket}
    of the others, these {0: socket}.
    """
    with contextlib.ExitStack() as stack:
        yield (_receive if cluster.chief else _report)(cluster, time.monotonic() + seconds, seconds, stack)


def _receive(cluster: Cluster, deadline: float, seconds: float, stack: contextlib.ExitStack) -> dict:
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
        with contextlib.suppress(OSError):  # nobody came, or someone left again
            connection = stack.enter_context(listener.accept()[0])
            line = _line(connection, GREETING)
            if line.isdigit() and 0 < int(line) < len(cluster.addresses):
                arrived[int(line)] = connection
    for connection in arrived.values():
        with contextlib.suppress(OSError):  # it left again, and will be missed
            connection.sendall(b"all\n")
    return arrived


def _line(connection, seconds: float) -> bytes:
    """What the other side says first."""
    connection.settimeout(seconds)
    with connection.makefile("rb") as stream:
        return stream.readline(20).strip()


def _report(cluster: Cluster, deadline: float, seconds: float, stack: contextlib.ExitStack) -> dict:
    host, port = cluster.addresses[0].rsplit(":", 1)
    while True:
        left = max(0.01, deadline - time.monotonic())
        with contextlib.suppress(OSError):  # not there yet
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
