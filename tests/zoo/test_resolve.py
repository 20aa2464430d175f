"""A model by path, name, own folder; what is said of one that is not there."""

import os
import re
from pathlib import Path

import pytest

from clamnet_tf.errors import RunError, ZooError
from clamnet_tf.zoo.catalogue import folder_name, local_entries
from clamnet_tf.zoo.resolve import entry_at, open_model

ROOT = Path(__file__).resolve().parents[2]


def test_a_name_of_the_packaged_zoo():
    run = open_model("mri_carcinoma")
    assert run.path == ROOT / "zoo" / "mri_carcinoma" and run.recipe.is_file() and run.selection.is_file()


def test_paths_of_a_run_and_of_an_entry(run, copy):
    assert open_model(run).path == run
    folder = copy()
    assert open_model(folder).path == folder and open_model(f"{folder}/").path == folder


def test_own_folders_come_after_the_packaged_zoo(copy, monkeypatch, tmp_path):
    folder, same = copy("mri_own"), copy()
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("CLAMNET_TF_ZOO", os.pathsep.join([str(tmp_path / "empty"), str(folder.parent)]))
    assert open_model("mri_own").path == folder
    assert open_model("mri_carcinoma").path == ROOT / "zoo" / "mri_carcinoma"
    assert [(found.source, folder_name(found)) for found in local_entries()][-2:] == [
        ("folder", "mri_carcinoma"),
        ("folder", "mri_own"),
    ]
    assert entry_at("mri_own").read().name == "mri_own" and entry_at(same).read().name == "mri_carcinoma"


def test_an_unknown_name_says_the_nearest_and_where_was_looked(monkeypatch, tmp_path):
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("CLAMNET_TF_ZOO", str(tmp_path / "mine"))
    looked = (
        rf"Looked in the packaged zoo \({re.escape(str(ROOT / 'zoo'))}\); CLAMNET_TF_ZOO "
        rf"\({re.escape(str(tmp_path / 'mine'))}\); pulled entries"
    )
    with pytest.raises(
        ZooError,
        match=rf"mri_carcnoma: expected a run folder or the name of a zoo entry, received neither; nearest "
        rf"name mri_carcinoma\. {looked}",
    ):
        open_model("mri_carcnoma")
    with pytest.raises(ZooError, match="known names: .*mri_carcinoma"):
        open_model("zzz")


def test_a_folder_of_the_name_hides_the_entry_only_when_it_is_a_model(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mri_carcinoma").mkdir()
    assert open_model("mri_carcinoma").path == ROOT / "zoo" / "mri_carcinoma"
    (tmp_path / "mri_carcinoma").rmdir()
    run.rename(tmp_path / "mri_carcinoma")
    assert open_model("mri_carcinoma").path == tmp_path / "mri_carcinoma"


def test_wrong_places(tmp_path, monkeypatch, copy):
    with pytest.raises(RunError, match="recipe.yaml is missing"):
        open_model(tmp_path)
    folder = copy()
    with open(folder / "model.keras", "ab") as stream:
        stream.write(b"x")
    with pytest.raises(ZooError, match=r"expected \d+ bytes"):
        open_model(folder)
    monkeypatch.setenv("CLAMNET_TF_ZOO", str(tmp_path / "absent"))
    with pytest.raises(ZooError, match="CLAMNET_TF_ZOO: expected folders of zoo entries; .*absent is none"):
        open_model("mri_other")
