"""TF_CONFIG as launchers write it, errors in it, and waiting for all workers over real sockets."""

import json
import socket
import threading
import time

import pytest

from clamnet_tf.errors import EnvironmentFailure
from clamnet_tf.runtime.cluster import (
    Cluster,
    from_tf_config,
    meet,
    named_cluster,
    patience,
    place_in_cluster,
)

TWO = {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}
KUBEFLOW = {  # training-operator v1, TFJob with a chief
    "cluster": {
        "chief": ["job-chief-0.ns.svc:2222"],
        "worker": ["job-worker-0.ns.svc:2222", "job-worker-1.ns.svc:2222"],
    },
    "task": {"type": "worker", "index": 1},
    "environment": "cloud",
}
VERTEX = {  # custom training: the primary replica is the chief; "job" is what the job was started with
    "cluster": {
        "chief": ["cmle-training-workerpool0-ab12-0:2222"],
        "worker": ["cmle-training-workerpool1-ab12-0:2222"],
    },
    "environment": "cloud",
    "task": {"type": "chief", "index": 0},
    "job": "{}",
}


@pytest.mark.parametrize(
    "config, count, index",
    [
        (TWO, 2, 1),
        (KUBEFLOW, 3, 2),
        (VERTEX, 2, 0),
        ({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": "0"}}, 1, 0),
    ],
    ids=["plain", "kubeflow", "vertex", "text_index"],
)
def test_launchers(config, count, index):
    cluster = from_tf_config(json.dumps(config))
    assert (len(cluster.addresses), cluster.index, cluster.chief) == (count, index, index == 0)
    assert place_in_cluster("multi_worker", {"TF_CONFIG": json.dumps(config)}) == (index, count)


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "TF_CONFIG: is not JSON .*Expected for example"),
        ("[]", 'needs "cluster" and "task"'),
        (json.dumps({"cluster": {"worker": ["a:1"]}}), 'needs "cluster" and "task"'),
        (
            json.dumps(TWO | {"task": {"type": "worker", "index": 2}}),
            "names task worker 2, but the cluster has 2",
        ),
        (json.dumps(TWO | {"task": {"type": "worker"}}), "names task worker None"),
        (json.dumps(TWO | {"task": {"type": "evaluator", "index": 0}}), "a task of type 'evaluator'"),
        (
            json.dumps({"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "ps", "index": 0}}),
            "a cluster with 'ps'; .*no parameter servers",
        ),
        (
            json.dumps({"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}),
            "\"host:port\" for 'worker'",
        ),
    ],
)
def test_wrong_configurations(text, message):
    with pytest.raises(EnvironmentFailure, match=message):
        from_tf_config(text)


def test_who_joins():
    both, lone = (
        {"TF_CONFIG": json.dumps(TWO)},
        {"TF_CONFIG": json.dumps({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}})},
    )
    assert named_cluster("auto", both).addresses == ("a:1", "b:2") and named_cluster("auto", lone) is None
    assert named_cluster("multi_worker", lone) is not None
    assert (
        named_cluster("mirrored", both) is None
        and named_cluster("one_device", both) is None
        and place_in_cluster("auto", {}) is None
    )
    assert place_in_cluster("multi_worker", {"SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "4"}) == (2, 4)
    with pytest.raises(EnvironmentFailure, match="multi_worker needs TF_CONFIG, or a SLURM job step"):
        place_in_cluster("multi_worker", {})
    assert patience({}) == 300 and patience({"CLAMNET_TF_CLUSTER_TIMEOUT": "7.5"}) == 7.5
    with pytest.raises(
        EnvironmentFailure, match="CLAMNET_TF_CLUSTER_TIMEOUT: expected seconds, received 'soon'"
    ):
        patience({"CLAMNET_TF_CLUSTER_TIMEOUT": "soon"})


def addresses(count):
    with socket.create_server(("127.0.0.1", 0)) as found:
        first = found.getsockname()[1]
    return (f"127.0.0.1:{first}", *(f"127.0.0.1:{number}" for number in range(1, count)))


def meet_all(cluster_addresses, delays, seconds):
    """Return what each worker got: the seconds it waited, or its error."""
    results = [None] * len(delays)

    def come(index):
        time.sleep(delays[index])
        began = time.monotonic()
        try:
            meet(Cluster(cluster_addresses, index), seconds)
            results[index] = time.monotonic() - began
        except EnvironmentFailure as error:
            results[index] = str(error)

    threads = [
        threading.Thread(target=come, args=(index,))
        for index, delay in enumerate(delays)
        if delay is not None
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("delays", [(0, 0.3, 0.6), (0.6, 0, 0.3)], ids=["chief_first", "chief_last"])
def test_all_go_on_when_the_last_has_come(delays):
    where = addresses(3)
    results = meet_all(where, delays, 30)
    ended = [delay + result for delay, result in zip(delays, results)]
    assert max(ended) - min(ended) < 1.0 and min(ended) >= 0.6
    with socket.create_server(("127.0.0.1", int(where[0].rsplit(":", 1)[1]))):
        pass  # the port is free again for TensorFlow


def test_a_worker_that_never_comes_is_named_by_all_who_came():
    chief, first, _ = meet_all(addresses(3), (0, 0, None), 1.5)
    assert (
        chief.startswith("After 1.5 s worker 2 (127.0.0.1:2) did not come.")
        and "CLAMNET_TF_CLUSTER_TIMEOUT" in chief
    )
    assert first.startswith("Worker 1: after 1.5 s the chief (127.0.0.1:")


def test_a_port_in_use_is_told_at_once():
    with socket.create_server(("", 0)) as taken:
        with pytest.raises(EnvironmentFailure, match="cannot listen on port .* Choose another port"):
            meet(Cluster((f"127.0.0.1:{taken.getsockname()[1]}", "127.0.0.1:1"), 0), 30)


def test_strangers_at_the_door_are_not_counted():
    where = addresses(2)
    results = {}
    chief = threading.Thread(target=lambda: results.update(chief=meet(Cluster(where, 0), 20)))
    chief.start()
    time.sleep(0.3)
    for greeting in (b"GET / HTTP/1.1\r\n\r\n", b"7\n", b"0\n"):
        with socket.create_connection(("127.0.0.1", int(where[0].rsplit(":", 1)[1])), timeout=5) as stranger:
            stranger.sendall(greeting)
    time.sleep(0.3)
    assert chief.is_alive()
    meet(Cluster(where, 1), 20)
    chief.join()
    assert results == {"chief": None}
