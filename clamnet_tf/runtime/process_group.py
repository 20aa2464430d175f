"""Processes that share out independent pieces of work: all begin together, and the chief waits for what the
others report.

They stay connected while they work, so that one that ends without a report is missed at once. No TensorFlow
is involved.
"""

import contextlib
import json
import socket
from dataclasses import dataclass, field

from clamnet_tf.errors import EnvironmentFailure
from clamnet_tf.runtime.cluster import Cluster, connected, patience

AGAIN = "What is finished is kept: start all again with the same command."


@dataclass
class ProcessGroup:
    """cluster: all processes; None: this one alone, which is its own chief."""

    cluster: Cluster | None = None
    _connections: dict = field(default_factory=dict)

    @property
    def index(self) -> int:
        return self.cluster.index if self.cluster else 0

    @property
    def count(self) -> int:
        return len(self.cluster.addresses) if self.cluster else 1

    @contextlib.contextmanager
    def in_turn(self, opened):
        """Enter the context `opened`: the chief at once, the others when the chief has; then all are
        connected in the block.

        EnvironmentFailure: some do not come (runtime/cluster.py).
        """
        with contextlib.ExitStack() as stack:
            content = stack.enter_context(opened) if self.index == 0 else None
            if self.count > 1:
                self._connections = stack.enter_context(connected(self.cluster, patience()))
                for connection in self._connections.values():
                    connection.settimeout(None)
                    connection.setsockopt(
                        socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1
                    )  # a machine that vanished is noticed
            yield content if self.index == 0 else stack.enter_context(opened)

    def report(self, value) -> None:
        """Of a process that is not the chief: what it has to say, JSON-able, once. EnvironmentFailure: the
        chief is gone.
        """
        try:
            self._connections[0].sendall(json.dumps(value).encode() + b"\n")
        except OSError as error:
            raise EnvironmentFailure(f"Worker {self.index}: the chief is gone. {AGAIN}") from error

    def reports(self) -> dict:
        """{index: what it reported} of the others; None of those that ended without a report. Returns when
        all have.
        """
        return {index: _heard(connection) for index, connection in sorted(self._connections.items())}


def _heard(connection):
    try:
        with connection.makefile("rb") as stream:
            line = stream.readline()
    except OSError:
        return None
    return json.loads(line) if line.endswith(b"\n") else None
