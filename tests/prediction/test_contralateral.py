"""predict by a model that compares breasts: folder, manifest and training see the same; one image works."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import generate_uid

from clamnet_tf.datasets.expected_images import expected_images
from clamnet_tf.datasets.manifest import read_manifest
from clamnet_tf.datasets.unlabelled_inputs import find_inputs
from clamnet_tf.files import write_json, write_text
from clamnet_tf.prediction.volume_preparation import VolumePreparation
from clamnet_tf.preprocessing.dataset import prepare_with_progress
from clamnet_tf.preprocessing.volumes import group_cases
from clamnet_tf.progress import Reporter
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.recipe.writer import to_yaml
from clamnet_tf.runs import RunFolder
from clamnet_tf.workflows.segmenter import Segmenter

SIDE = 64
PLAIN = {
    "steps": {"through_plane": 0.0, "main_component": 0.0, "appearance": 0.0},
    "raw_threshold": 0.5,
    "threshold": 0.5,
}
SELECTION = {
    "markings": {"mean": PLAIN, "head_1": PLAIN},
    "threshold_rule": "set by hand",
    "step": 7,
    "checkpoint_rule": "none",
    "looks": [],
}
ALONE = "not compared with the other breast: it is the only image of its patient and examination"


@pytest.fixture(scope="module")
def recipe():
    changes = "data.contralateral=true network.pretrained.comparison=true network.pretrained.blocks=1"
    return load_recipe(
        "xray_carcinoma", [*changes.split(), "network.pretrained.frozen_blocks=1", f"data.side={SIDE}"]
    )


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    """A run whose evidence is drawn at random."""
    from clamnet_tf.networks.build import build_network

    network, generator = build_network(recipe.network, side=SIDE, channels=2), np.random.default_rng(4)
    evidence = network.get_layer("evidence")
    evidence.set_weights([generator.normal(size=weight.shape) for weight in evidence.get_weights()])
    run = RunFolder(tmp_path_factory.mktemp("runs") / "breasts")
    run.path.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Keras under NumPy 2
        network.save(run.model)
    write_text(run.recipe, to_yaml(recipe))
    write_json(run.selection, SELECTION)
    return run.path


def breast(seed, left):
    """A drawn mammogram (150, 110) uint16 in 0..255: chest wall on the left, or turned; noise."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:150, :110]
    across = np.sqrt(np.clip(1 - ((rows - 80) / 62) ** 2, 0, None))
    inside = columns < 75 * across
    image = np.where(inside, 95 * np.clip((75 * across - columns) / 12, 0.25, 1), 4.0)
    image[(np.hypot(rows - 70 - 3 * seed, columns - 25) < 8) & inside] += 60
    image = (image + generator.normal(0, 3, image.shape)).clip(0, 255).round().astype(np.uint16)
    return image if left else image[:, ::-1]


@pytest.fixture
def mammograms(tmp_path, write_xray):
    """{name: DICOM file}: two breasts of one patient, one of another."""
    folder, study = tmp_path / "mammograms", generate_uid()
    pair = {"PatientID": "P-1", "StudyInstanceUID": study, "ViewPosition": "CC"}
    return {
        name: write_xray(folder / f"{name}.dcm", image, Modality="MG", BodyPartExamined="BREAST", **elements)
        for name, image, elements in (
            ("one_left", breast(1, True), {"ImageLaterality": "L", **pair}),
            ("one_right", breast(2, False), {"ImageLaterality": "R", **pair}),
            ("two_left", breast(3, True), {"ImageLaterality": "L", "PatientID": "P-2"}),
        )
    }


def manifest_of(folder, mammograms, **columns):
    patients = ["a", "a", "b"]
    lines = [",".join(("image", "patient", "label", *columns))]
    for index, (path, patient) in enumerate(zip(mammograms, patients)):
        lines.append(",".join((str(path), patient, "0", *(values[index] for values in columns.values()))))
    (folder / "m.csv").write_text("\n".join(lines) + "\n")
    return folder / "m.csv"


def seen(recipe, inputs, cache=None):
    """{name of a file: (what the network sees of it, notes)}"""
    trained = SimpleNamespace(channels=1, atlas=None)
    expected = expected_images(recipe, 1, any_modality=False)
    preparation = VolumePreparation(trained, recipe, inputs.manifest, expected, cache, None)
    result = {}
    for group in group_cases(inputs.manifest):
        for ready, notes in preparation.prepared(group, preparation.assemble(group)):
            result[inputs.manifest.cases[group.cases[0]].image.stem] = ready.images[0], notes
    return result


def test_a_folder_a_manifest_and_a_training_see_the_same(recipe, mammograms, tmp_path):
    folder = seen(recipe, find_inputs([tmp_path / "mammograms"], stacks=False))
    table = manifest_of(tmp_path, mammograms.values())
    for other in (
        seen(recipe, find_inputs([table], stacks=False)),
        seen(recipe, find_inputs([tmp_path / "mammograms"], stacks=False), tmp_path / "cache"),
    ):
        for name, (image, notes) in folder.items():
            np.testing.assert_array_equal(other[name][0], image)
            assert other[name][1] == notes
    prepared = prepare_with_progress(recipe, read_manifest(table), tmp_path / "cache", Reporter(quiet=True))
    assert "2 of 3 images are compared with the patient's other breast." in prepared.account
    for index, name in enumerate(mammograms):
        [row] = np.flatnonzero(prepared.table.case == index)
        np.testing.assert_array_equal(prepared.images[row], folder[name][0])
    left, right = (folder[name][0] for name in ("one_left", "one_right"))
    np.testing.assert_array_equal(left[..., 1], right[:, ::-1, 0])
    np.testing.assert_array_equal(right[..., 1], left[:, ::-1, 0])
    assert np.abs(folder["two_left"][0][..., 0]).max() > 1 and not folder["two_left"][0][..., 1].any()
    assert folder["one_left"][1] == () and folder["two_left"][1] == (ALONE,)


def test_pictures_are_paired_by_a_manifest_alone(recipe, tmp_path):
    images = {"x.png": breast(1, True), "y.png": breast(2, False), "z.png": breast(3, True)}
    for name, image in images.items():
        Image.fromarray(image.astype(np.uint8)).save(tmp_path / name)
    alone = seen(recipe, find_inputs([tmp_path], stacks=False))
    assert all(notes == (ALONE,) for _, notes in alone.values())
    paths = [tmp_path / name for name in images]
    for columns in ({}, {"laterality": ["L", "right", ""]}):
        paired = seen(recipe, find_inputs([manifest_of(tmp_path, paths, **columns)], stacks=False))
        np.testing.assert_array_equal(paired["x"][0][..., 1], paired["y"][0][:, ::-1, 0])
        assert paired["x"][1] == () and paired["z"][1] == (ALONE,)


def test_a_damaged_other_breast_is_said(recipe, mammograms, tmp_path):
    content = mammograms["one_right"].read_bytes()
    mammograms["one_right"].write_bytes(content[:-5000])
    inputs = find_inputs([tmp_path / "mammograms"], stacks=False)
    expected = expected_images(recipe, 1, any_modality=False)
    trained = SimpleNamespace(channels=1, atlas=None)
    preparation = VolumePreparation(trained, recipe, inputs.manifest, expected, None, None)
    [group] = [each for each in group_cases(inputs.manifest) if inputs.names[each.cases[0]] == "one_left.dcm"]
    [(ready, notes)] = preparation.prepared(group, preparation.assemble(group))
    assert not ready.images[..., 1].any()
    assert notes == ("not compared with the other breast: the image of the other breast cannot be used",)


def test_the_command_marks_both_breasts_and_a_single_one(run, predict, mammograms, tmp_path):
    result, out, rows = predict(run, tmp_path / "mammograms")
    assert result.exit_code == 0 and len(rows) == 3, result.output
    said = " ".join(result.output.split())
    assert f"two_left.dcm: {ALONE}" in said and "one_left.dcm: not compared" not in said
    page = (out / "two_left_report.html").read_text(encoding="utf-8")
    assert ALONE in page and ALONE not in (out / "one_left_report.html").read_text(encoding="utf-8")
    presences = {row["input"]: float(row["presence_score"]) for row in rows}
    table = manifest_of(tmp_path, mammograms.values())
    result, _, of_table = predict(run, table, out=tmp_path / "by_table")
    assert result.exit_code == 0, result.output
    assert [row["presence_score"] for row in of_table] == [row["presence_score"] for row in rows]
    result, out, [single] = predict(run, mammograms["one_left"], out=tmp_path / "single")
    assert result.exit_code == 0 and ALONE in " ".join(result.output.split())
    assert float(single["presence_score"]) != presences["one_left.dcm"]  # without the other it sees less


def test_python_says_that_an_array_is_not_compared(run, mammograms):
    model = Segmenter.from_preset(str(run), engine="tensorflow")
    assert model.channels == 1
    array = model.predict(breast(1, True))
    assert any("an array says nothing of the patient's other images" in note for note in array.notes)
    assert model.preprocess(breast(1, True)).shape == (1, SIDE, SIDE, 2)
    found = model.predict([mammograms["one_left"].parent])
    notes = {each.name: "not compared" in " ".join(each.notes) for each in found}
    assert notes == {"one_left.dcm": False, "one_right.dcm": False, "two_left.dcm": True}
