"""Which strategy a recipe's key makes."""

import pytest

from clamnet_tf.errors import EnvironmentFailure
from clamnet_tf.training.strategy import build_strategy


def test_multi_worker_without_a_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(EnvironmentFailure, match="multi_worker needs TF_CONFIG, or a SLURM job step"):
        build_strategy("multi_worker")
