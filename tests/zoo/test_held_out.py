"""Metrics of patients that training has seen are refused: of a run, and of a cross-validation's average."""

from pathlib import Path

import pytest

from clamnet_tf.errors import ZooError
from clamnet_tf.zoo.measured import check_held_out

FILE = Path("metrics.json")


def metrics(root, split, simulated=False):
    return {"data": {"root": root, "split": split, "simulated": simulated}}


def test_an_average_has_seen_every_patient_of_its_data_whatever_the_split():
    for split in ("test", "val", None):
        with pytest.raises(ZooError, match="none of the averaged networks has seen"):
            check_held_out(FILE, metrics("/data", split), {"data": "/data"}, averaged=True)
    with pytest.raises(ZooError, match="none of the averaged networks has seen"):
        check_held_out(FILE, metrics("cohort", "test", simulated=True), {"data": None}, averaged=True)
    check_held_out(FILE, metrics("/other", None), {"data": "/data"}, averaged=True)


def test_a_run_may_be_measured_on_its_own_test_side():
    check_held_out(FILE, metrics("/data", "test"), {"data": "/data"})
    for split in ("train", None):
        with pytest.raises(ZooError, match="patients that training has not seen"):
            check_held_out(FILE, metrics("/data", split), {"data": "/data"})
