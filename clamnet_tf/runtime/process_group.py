"""Processes that share independent pieces of work: all begin together, and the chief collects their reports.

They stay connected while they work, so that a process that ends without a report is noticed at once. No
TensorFlow is involved.
"""

import contextlib
import json
import os
import socket
from dataclasses import dataclass, field

from clamnet_tf.errors import EnvironmentFailure
from clamnet_tf.runtime.cluster import Cluster, connected, named_cluster, patience
from clamnet_tf.runtime.slurm import slurm_cluster

AGAIN = "What is finished is kept: start all again with the same command."


@dataclass
class ProcessGroup:
    """The processes that share the work, seen from one of them.

    Attributes:
        cluster: all processes; None when this process works alone and is its own chief.
    """

    cluster: Cluster | None = None
    _connections: dict = field(default_factory=dict)

    @property
    def index(self) -> int:
        """Index of this process; the chief has 0."""
        return self.cluster.index if self.cluster else 0

    @property
    def count(self) -> int:
        """Number of processes."""
        return len(self.cluster.addresses) if self.cluster else 1

    @contextlib.contextmanager
    def in_turn(self, opened):
        """Enter the context `opened` in the chief first, then in the others; all are connected in the block.

        Raises:
            EnvironmentFailure: some processes do not come (runtime/cluster.py).
        """
        with contextlib.ExitStack() as stack:
            content = stack.enter_context(opened) if self.index == 0 else None
            if self.count > 1:
                self._connections = stack.enter_context(connected(self.cluster, patience()))
                for connection in self._connections.values():
                    connection.settimeout(None)
                    # Keep-alive packets reveal a machine that has vanished.
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            yield content if self.index == 0 else stack.enter_context(opened)

    def report(self, value) -> None:
        """Send the report of this process, which is not the chief, to the chief.

        Args:
            value: what to report, JSON-able. A process reports once.

        Raises:
            EnvironmentFailure: the chief is gone.
        """
        try:
            self._connections[0].sendall(json.dumps(value).encode() + b"\n")
        except OSError as error:
            raise EnvironmentFailure(f"Worker {self.index}: the chief is gone. {AGAIN}") from error

    def reports(self) -> dict:
        """Wait for the other processes and return {index: report}, with None for those that ended without
        one.
        """
        return {index: _received(connection) for index, connection in sorted(self._connections.items())}


def _received(connection):
    try:
        with connection.makefile("rb") as stream:
            line = stream.readline()
    except OSError:
        return None
    return json.loads(line) if line.endswith(b"\n") else None


def named_process_group() -> ProcessGroup:
    """Return the processes that TF_CONFIG, or else SLURM's job step, names; only this one when there is just
    one.

    Raises:
        EnvironmentFailure: TF_CONFIG or SLURM's variables are wrong.
    """
    cluster = named_cluster("auto")
    if cluster is None and int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        cluster = slurm_cluster()
    return ProcessGroup(cluster)
