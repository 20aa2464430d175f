"""masks.csv: which masks taught and which measured, and that no patient does both."""

import csv
import dataclasses

import numpy as np
import pytest

from clamnet_tf.datasets.layouts.recognition import recognize
from clamnet_tf.datasets.split import split_manifest
from clamnet_tf.errors import DataError, RunError
from clamnet_tf.preprocessing.cache import prepare
from clamnet_tf.preprocessing.mask_table import (
    MEASURED,
    TAUGHT,
    check_not_taught,
    counts,
    read_uses,
    slices_of,
    uses_of,
    write_uses,
)
from clamnet_tf.recipe.schema_data import DataSection, OrganSection, SplitSection

NAMES = tuple(f"TCGA_CS_000{number}_19990101" for number in range(5))


@pytest.fixture
def split(make_kaggle, tmp_path):
    manifest = split_manifest(
        recognize(make_kaggle(patients=NAMES)), SplitSection(train=0.4, val=0.2, test=0.4)
    )
    sections = {"data": DataSection(side=40), "organ": OrganSection(method="none", margin=0.0)}
    return manifest, prepare(manifest, **sections, cache=tmp_path / "cache").table


def test_the_table_names_every_mask_and_reads_back(split, tmp_path):
    manifest, table = split
    rows = np.flatnonzero(table.split == "train")
    uses = uses_of(TAUGHT, manifest, table, rows)
    write_uses(tmp_path / "masks.csv", uses)
    assert read_uses(tmp_path / "masks.csv") == uses and read_uses(tmp_path / "none.csv") == []
    with open(tmp_path / "masks.csv", newline="") as stream:
        found = list(csv.DictReader(stream))
    assert len(found) == 12 == len(rows)
    assert {row["patient"] for row in found} == {str(name) for name in table.patient[rows]}
    assert all((manifest.root / row["mask"]).is_file() and row["side"] == "train" for row in found)
    assert counts(uses, TAUGHT) == {"patients": 2, "slices": 12} and counts(uses, MEASURED)["slices"] == 0


def test_a_patient_whose_mask_taught_is_never_measured(split):
    manifest, table = split
    taught = uses_of(TAUGHT, manifest, table, np.flatnonzero(table.split == "train"))
    test = slices_of(MEASURED, manifest, table, np.flatnonzero(table.split == "test"))
    check_not_taught(taught, test)
    everyone = slices_of(MEASURED, manifest, table, range(len(table)))
    with pytest.raises(
        DataError, match=r"2 patient.s. whose masks taught .*A mask may teach or measure, not"
    ):
        check_not_taught(taught, everyone)


def test_the_same_pixels_under_another_name_are_found(split):
    manifest, table = split
    rows = np.flatnonzero(table.split == "train")
    taught = uses_of(TAUGHT, manifest, table, rows)
    renamed = np.array(["other"] * len(table))
    table = table.select(np.arange(len(table)))
    object.__setattr__(table, "patient", renamed)
    with pytest.raises(DataError, match="other .the same pixels as TCGA_CS"):
        check_not_taught(taught, slices_of(MEASURED, manifest, table, rows))


def test_words_that_stand_for_names_are_those_of_one_data_set(split):
    manifest, table = split
    [one] = uses_of(TAUGHT, manifest, table, [0])
    here = dataclasses.replace(one, patient="patient1", data="a", pixel_hash="1")
    there = dataclasses.replace(here, use=MEASURED, data="b", pixel_hash="2")
    check_not_taught([here], [there])
    with pytest.raises(DataError, match="1 patient.s. .*: patient1. A mask"):
        check_not_taught([here], [dataclasses.replace(there, data="a")])


def test_another_table_is_refused(tmp_path):
    (tmp_path / "masks.csv").write_text("a,b\n1,2\n")
    with pytest.raises(RunError, match="masks.csv: expected the table of masks .*the header is a, b"):
        read_uses(tmp_path / "masks.csv")
