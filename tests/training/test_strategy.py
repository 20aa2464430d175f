"""Which strategy a recipe's key makes, and what SLURM's job steps say."""

import pytest

from clamnet_tf.errors import EnvironmentFailure
from clamnet_tf.training.strategy import build_strategy, slurm_cluster

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
    with pytest.raises(EnvironmentFailure, match="cannot read SLURM's job step: Invalid tasks-per-node"):
        slurm_cluster()


def test_multi_worker_without_a_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(EnvironmentFailure, match="multi_worker needs TF_CONFIG, or a SLURM job step"):
        build_strategy("multi_worker")
