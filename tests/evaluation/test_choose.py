"""Which simple methods an evaluation has: those without training always, fitted ones from the run, the entry
or the training side.
"""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from clamnet_tf.errors import RunError
from clamnet_tf.evaluation.baselines.choose import choose_baselines
from clamnet_tf.evaluation.baselines.serialization import read_kept
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.runs import KEPT_FILE, RunFolder
from clamnet_tf.zoo.entry import BASELINES_FILE

FREE = {
    "whole_organ",
    *(f"otsu_channel0_{side}" for side in ("bright", "dark")),
    *(f"size_channel0_sigma{s}_{side}" for s in (0, 2) for side in ("bright", "dark")),
}
FITTED = {f"threshold_channel0_sigma{sigma}_{side}" for sigma in (0, 1, 2, 4) for side in ("bright", "dark")}


@pytest.fixture
def recipe():
    return load_recipe(
        "mri_carcinoma",
        [
            "inference.axial_smoothing=0",
            "inference.keep_largest_component=0",
            "inference.suppress_bilateral=false",
            "inference.intensity_refinement=0",
        ],
    )


@pytest.fixture
def prepared(rng):
    """Six slices of one volume each; four to train with, three of them abnormal, two to test with."""
    images = rng.normal(size=(6, 24, 24, 1)).astype(np.float32)
    table = SimpleNamespace(
        split=np.array(["train"] * 4 + ["test"] * 2),
        area=np.ones(6),
        label=np.array([1, 1, 0, 1, 1, 0]),
        volume=np.arange(6),
        markers=np.array([""] * 6),
        volumes_of=lambda rows: rows,
    )
    return SimpleNamespace(table=table, images=images, organ=np.ones((6, 24, 24), np.uint8), atlas=None)


def run_at(path, split=True):
    path.mkdir()
    if split:
        (path / "split.csv").write_text("patient,split\n")
    return RunFolder(path)


def test_a_run_fits_keeps_and_reads_the_same_methods(tmp_path, recipe, prepared):
    run = run_at(tmp_path / "run")
    first = choose_baselines(run, recipe, prepared, "test")
    assert set(first.methods[""]) == FREE | FITTED and first.note is None and first.new is None
    kept = (run.path / KEPT_FILE).read_bytes()
    again = choose_baselines(run, recipe, prepared, None)
    assert set(again.methods[""]) == FREE | FITTED and (run.path / KEPT_FILE).read_bytes() == kept
    for name, method in first.methods[""].items():
        np.testing.assert_array_equal(
            method(prepared.images, prepared.organ), again.methods[""][name](prepared.images, prepared.organ)
        )
    marked = first.methods[""]["size_channel0_sigma0_bright"](prepared.images, prepared.organ).mean(
        axis=(1, 2)
    )
    assert (np.abs(marked - recipe.selection.prevalence) < 2 / 576).all()


@pytest.mark.parametrize("split", [None, "train"])
def test_nothing_is_fitted_to_the_slices_that_are_measured(tmp_path, recipe, prepared, split):
    chosen = choose_baselines(run_at(tmp_path / "entry", split=False), recipe, prepared, split)
    assert (
        set(chosen.methods[""]) == FREE
        and "it was published before they were" in chosen.note
        and not (tmp_path / "entry" / KEPT_FILE).exists()
    )


def test_an_entry_without_them_is_compared_with_the_training_side_and_stays_as_it_is(
    tmp_path, recipe, prepared
):
    chosen = choose_baselines(run_at(tmp_path / "entry", split=False), recipe, prepared, "test")
    assert (
        set(chosen.methods[""]) == FREE | FITTED
        and "fitted to the training side of the evaluated data" in chosen.note
    )
    assert list((tmp_path / "entry").iterdir()) == [] and set(chosen.new) >= FITTED
    (tmp_path / "entry" / BASELINES_FILE).write_text(
        json.dumps(chosen.new)
    )  # published again with what was fitted
    kept = choose_baselines(RunFolder(tmp_path / "entry"), recipe, prepared, None)
    assert set(kept.methods[""]) == FREE | FITTED and kept.note is None


def test_several_markers_have_their_own_sizes(tmp_path, prepared):
    recipe = load_recipe("ct_haemorrhage")
    chosen = choose_baselines(run_at(tmp_path / "entry", split=False), recipe, prepared, None)
    marked = {
        what: methods["size_channel0_sigma0_bright"](prepared.images, prepared.organ).mean()
        for what, methods in chosen.methods.items()
    }
    own = {one.name: one.prevalence for one in recipe.classes}
    assert marked == pytest.approx({"": np.mean(list(own.values())), **own}, abs=2 / 576)


@pytest.mark.parametrize(
    ("content", "markers", "message"),
    [
        ("{", (), "Expecting"),
        ("[]", (), "expected simple methods for 2 channel"),
        ('{"a": {"function": "eval", "keywords": {}}}', (), "'eval'"),
        ('{"a": {"function": "whole_organ", "keywords": {"x": 1}}}', (), "a has the keywords x"),
        (
            '{"a": {"function": "_otsu_masks", "keywords": {"channel": 2, "bright": true}}}',
            (),
            "a: channel is 2",
        ),
        ('{"a": {"function": "_otsu_masks", "keywords": {"channel": 0, "bright": 1}}}', (), "a: bright is 1"),
        (
            '{"a": {"function": "size_masks", "keywords": {"channel": 0, "sigma": 1, "share": Infinity, '
            '"bright": true}}}',
            (),
            "a: share is inf",
        ),
        ('{"other": {}}', ("one", "two"), "it is of the markers other"),
    ],
)
def test_a_kept_file_that_is_wrong_says_what(tmp_path, content, markers, message):
    (tmp_path / KEPT_FILE).write_text(content)
    with pytest.raises(RunError, match=rf"intensity_baselines\.json: .*{message}.*Remove the file"):
        read_kept(tmp_path / KEPT_FILE, markers, 2)
