"""The processes of a SLURM job step (srun) on several machines, read from SLURM's environment variables."""

import itertools
import os
import re
import socket

from clamnet_tf.errors import EnvironmentFailure
from clamnet_tf.runtime.cluster import Cluster

PORT = 8888  # of a node's first task; the next ones follow
_NODES = re.compile(r"(?:[^,\[\]]|\[[^\[\]]*\])+")  # commas inside brackets separate numbers, not nodes
_TASKS = re.compile(r"([0-9]{1,6})(?:\(x([0-9]{1,6})\))?")
_MOST = 100_000  # tasks of a step; more is a damaged variable


def slurm_cluster() -> Cluster:
    """Return the tasks of the SLURM job step that this process belongs to, node by node.

    SLURM binds GPUs to tasks (--gpus-per-task).

    Raises:
        EnvironmentFailure: the variables of the step are missing or contradict each other, or this task runs
            on another node than its number says.
    """
    nodes = _nodes(_variable("SLURM_STEP_NODELIST"))
    counts = _tasks_per_node(_variable("SLURM_STEP_TASKS_PER_NODE"))
    if len(nodes) != len(counts):
        raise _unreadable(f"{len(nodes)} nodes in SLURM_STEP_NODELIST, {len(counts)} in _TASKS_PER_NODE")
    addresses = tuple(f"{node}:{PORT + i}" for node, count in zip(nodes, counts) for i in range(count))
    number = _variable("SLURM_PROCID")
    if not number.isdecimal() or int(number) >= len(addresses):
        raise _unreadable(f"SLURM_PROCID: expected a number below {len(addresses)}; received {number!r}")
    cluster = Cluster(addresses, int(number))
    hostname = os.environ.get("SLURMD_NODENAME", socket.gethostname())
    expected = addresses[cluster.index].rsplit(":", 1)[0]
    if hostname.split(".")[0] != expected.split(".")[0] and expected != "localhost":
        raise EnvironmentFailure(
            f"SLURM: task {cluster.index} runs on {hostname}, but tasks are counted node by node here, which "
            f"takes it for one on {expected}. Start with --distribution=block, or set TF_CONFIG."
        )
    return cluster


def _nodes(text: str) -> list[str]:
    """Return the names that a list of nodes stands for: "a[01-02,7],b" -> a01, a02, a7, b."""
    names: list[str] = []
    for pattern in _NODES.findall(text):
        # every second part is the inside of brackets
        parts = [
            _numbers(part) if index % 2 else [part]
            for index, part in enumerate(re.split(r"\[([^\[\]]*)\]", pattern.strip()))
        ]
        names += map("".join, itertools.islice(itertools.product(*parts), _MOST))
    if not names or text.count("[") != text.count("]"):
        raise _unreadable(f"SLURM_STEP_NODELIST: expected names such as node[01-04]; received {text!r}")
    return names


def _numbers(text: str) -> list[str]:
    """Return the numbers of brackets: "01-03,7" -> 01, 02, 03, 7."""
    numbers = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise _unreadable(f"SLURM_STEP_NODELIST: expected numbers such as 01-04; received {text!r}")
        end = int(last) if dash else int(first)
        if end - int(first) >= _MOST:
            raise _unreadable(f"SLURM_STEP_NODELIST: {text!r} are more than {_MOST} nodes")
        numbers += [str(number).zfill(len(first)) for number in range(int(first), end + 1)]
    return numbers


def _tasks_per_node(text: str) -> list[int]:
    """Return how many tasks each node has: "2(x3),1" -> 2, 2, 2, 1."""
    counts: list[int] = []
    for part in text.split(","):
        found = _TASKS.fullmatch(part.strip())
        if not found:
            raise _unreadable(
                f"SLURM_STEP_TASKS_PER_NODE: expected counts such as 2(x3),1; received {text!r}"
            )
        counts += [int(found[1])] * int(found[2] or 1)
        if sum(counts) > _MOST or len(counts) > _MOST:
            raise _unreadable(f"SLURM_STEP_TASKS_PER_NODE: {text!r} are more than {_MOST} tasks")
    return counts


def _variable(name: str) -> str:
    text = os.environ.get(name, "")
    if not text:
        raise _unreadable(f"{name} is not set")
    return text


def _unreadable(problem: str) -> EnvironmentFailure:
    return EnvironmentFailure(
        f"Cannot read SLURM's job step: {problem}. Start the processes with srun, or set TF_CONFIG."
    )
