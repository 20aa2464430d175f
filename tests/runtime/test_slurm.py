"""What SLURM's job steps say; TensorFlow's own reader of them is the oracle."""

import subprocess
import sys

import pytest

from clamnet_tf.errors import EnvironmentFailure
from clamnet_tf.runtime.slurm import slurm_cluster

SLURM = {
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NODELIST": "node[01-02]",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    "SLURM_PROCID": "2",
    "SLURMD_NODENAME": "node02",
}


@pytest.fixture
def slurm(monkeypatch):
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_tasks_of_a_job_step_are_the_workers(slurm):
    cluster = slurm_cluster()
    assert (
        cluster.addresses == ("node01:8888", "node01:8889", "node02:8888", "node02:8889")
        and cluster.index == 2
    )


def test_a_task_taken_for_one_of_another_node_is_told(slurm):
    slurm.setenv("SLURMD_NODENAME", "node01.cluster")
    with pytest.raises(
        EnvironmentFailure, match="task 2 runs on node01.cluster, but .* takes it for one on node02"
    ):
        slurm_cluster()


def test_an_incomplete_job_step_is_told(slurm):
    slurm.setenv("SLURM_STEP_TASKS_PER_NODE", "many")
    with pytest.raises(
        EnvironmentFailure, match="Cannot read SLURM's job step: SLURM_STEP_TASKS_PER_NODE: expected counts"
    ):
        slurm_cluster()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("SLURM_STEP_NODELIST", "", "SLURM_STEP_NODELIST is not set"),
        ("SLURM_STEP_NODELIST", "node[01-x]", "expected numbers such as 01-04; received '01-x'"),
        ("SLURM_STEP_NODELIST", "node[01-03", "expected names such as"),
        ("SLURM_STEP_NODELIST", "node[1-999999999]", "more than 100000 nodes"),
        ("SLURM_STEP_NODELIST", "node[01-03]", "3 nodes in SLURM_STEP_NODELIST, 2 in"),
        ("SLURM_STEP_TASKS_PER_NODE", "2(x999999)", "more than 100000 tasks"),
        ("SLURM_PROCID", "4", "expected a number below 4; received '4'"),
        ("SLURM_PROCID", "first", "expected a number below 4; received 'first'"),
    ],
)
def test_what_is_wrong_in_a_job_step_is_named(slurm, name, text, message):
    slurm.setenv(name, text)
    with pytest.raises(EnvironmentFailure, match=message):
        slurm_cluster()


@pytest.mark.parametrize(
    ("nodes", "tasks"),
    [
        ("node[01-02]", "2(x2)"),
        ("gpu[1-2,5],login7", "1,2(x2),3"),
        ("rack1n[098-101]", "4(x4)"),
        ("alone", "3"),
    ],
)
def test_tasks_are_those_of_tensorflow(slurm, nodes, tasks):
    import tensorflow as tf

    slurm.setenv("SLURM_STEP_NODELIST", nodes)
    slurm.setenv("SLURM_STEP_TASKS_PER_NODE", tasks)
    slurm.setenv("SLURM_PROCID", "0")
    first = nodes.replace("[01-02]", "01").replace("[1-2,5],login7", "1").replace("[098-101]", "098")
    slurm.setenv("SLURMD_NODENAME", first)
    cluster = slurm_cluster()
    slurm.setenv("SLURM_STEP_NUM_TASKS", str(len(cluster.addresses)))
    resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
        port_base=8888, gpus_per_node=2**20, gpus_per_task=1, auto_set_gpu=False
    )
    assert list(cluster.addresses) == resolver.cluster_spec().as_dict()["worker"]


def test_a_job_step_is_read_without_tensorflow(slurm):
    program = (
        "import sys; from clamnet_tf.runtime.slurm import slurm_cluster; print(slurm_cluster().index); "
        "assert 'tensorflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr
