"""Images unlike those the model learned from are noted, on console, pages and in Python."""

import csv
import shutil

import numpy as np
import pytest
from PIL import Image

import clamnet_tf
from clamnet_tf.errors import RunError
from clamnet_tf.inference.appearance import Appearance, AppearanceModel
from clamnet_tf.prediction.image_checks import unlike_training
from clamnet_tf.prediction.tables import write_table
from clamnet_tf.preprocessing.thumbnails import thumbnails

STORED = "ATTENTION: is this image stored"
UNLIKE = "ATTENTION: this image looks unlike those that the model learned from"


def film(rng):
    """Bright above, dark below, with a bright disc: 8-bit values, (48, 40)."""
    rows, columns = np.mgrid[0:48, 0:40]
    image = 200 - 3 * rows + 10 * rng.standard_normal() + 3 * rng.standard_normal((48, 40))
    image[(rows - 14 + 2 * rng.standard_normal()) ** 2 + (columns - 20) ** 2 < 60] += 40
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def trained(run, tmp_path_factory):
    """A run that knows what its training images looked like."""
    rng = np.random.default_rng(1)
    folder = tmp_path_factory.mktemp("runs") / "knowing"
    shutil.copytree(run, folder)
    images = [thumbnails(film(rng)[None, ..., None].astype(np.float32)) for _ in range(40)]
    AppearanceModel.fit(images, [str(index) for index in range(40)]).save(folder / "appearance.npz")
    return folder


def test_notes_are_on_console_and_pages(trained, run, predict, tmp_path, rng):
    usual, checkers = film(rng), np.indices((48, 40)).sum(0) // 6 % 2 * 200
    images = {
        "usual": usual,
        "upside": usual[::-1],
        "side": np.rot90(usual),
        "inverted": 255 - usual,
        "other": checkers,
    }
    for name, image in images.items():
        Image.fromarray(image.astype(np.uint8)).save(tmp_path / f"{name}.png")
    options = ["--format", "png,report"]
    result, out, rows = predict(trained, *(tmp_path / f"{name}.png" for name in images), options=options)
    said = {
        "upside": f"{STORED} upside down?",
        "side": f"{STORED} lying on its side?",
        "inverted": f"{STORED} inverted, dark for bright?",
        "other": UNLIKE,
    }
    assert result.exit_code == 0 and len(rows) == 5, "noted, and marked all the same"
    for name, note in said.items():
        assert f"{name}.png: {note}" in result.stdout
        assert note in (out / f"{name}_report.html").read_text(encoding="utf-8")
    assert "ATTENTION" not in (out / "usual_report.html").read_text(encoding="utf-8")
    with open(out / "volumes.csv", newline="", encoding="utf-8") as stream:
        distances = {row["volume"]: float(row["training_distance"]) for row in csv.DictReader(stream)}
    assert distances["usual.png"] < 1 < distances["other.png"]
    before, _, rows_before = predict(run, tmp_path / "upside.png", out=tmp_path / "before")
    assert "ATTENTION" not in before.stdout, "a run without appearance.npz says nothing"
    assert (
        rows_before[0]["marked_px"] == next(row for row in rows if row["input"] == "upside.png")["marked_px"]
    )


def test_segmenter_has_the_notes_for_files_and_arrays(trained, tmp_path, rng):
    model = clamnet_tf.Segmenter.from_preset(trained, any_modality=True)
    usual = film(rng)
    assert not any("ATTENTION" in note for note in model.predict(usual).notes)
    Image.fromarray(usual[::-1]).save(tmp_path / "upside.png")
    for image in (usual[::-1], tmp_path / "upside.png"):
        notes = model.predict(image).notes
        assert any(f"{STORED} upside down?" in note for note in notes), notes


def test_an_image_without_contrast_is_not_spoken_of(trained):
    model = clamnet_tf.Segmenter.from_preset(trained, any_modality=True)
    assert not any("learned from" in note for note in model.predict(np.full((48, 40), 7, np.uint8)).notes)


def test_a_file_of_another_run_is_refused(trained, tmp_path, rng):
    other = tmp_path / "other"
    shutil.copytree(trained, other)
    images = [thumbnails(rng.random((1, 40, 40, 2))) for _ in range(12)]
    AppearanceModel.fit(images, [str(index) for index in range(12)]).save(other / "appearance.npz")
    with pytest.raises(RunError, match=r"appearance\.npz: expected images of 1 channel.*received 2"):
        clamnet_tf.Segmenter.from_preset(other)
    (other / "appearance.npz").write_bytes(b"PK")
    with pytest.raises(RunError, match=r"appearance\.npz: expected what training images look like"):
        clamnet_tf.Segmenter.from_preset(other)


def test_a_folder_begun_without_the_file_is_not_gone_on_with(trained, run, predict, tmp_path, rng):
    Image.fromarray(film(rng)).save(tmp_path / "a.png")
    older = tmp_path / "older"
    shutil.copytree(run, older)
    predict(older, tmp_path / "a.png")
    shutil.copyfile(trained / "appearance.npz", older / "appearance.npz")
    result, _, _ = predict(older, tmp_path / "a.png")
    assert result.exit_code == 2 and "appearance" in result.stderr


def test_rows_of_an_earlier_version_keep_their_columns(tmp_path):
    """Rows of a folder that was begun before a column was added."""
    write_table(tmp_path / "t.csv", [{"a": 1, "c": 0.5}, {"a": 2, "b": 7, "c": None}, {"a": 3}])
    assert (tmp_path / "t.csv").read_text() == "a,c\n1,0.5\n2,\n3,\n"


def test_the_limit_is_1():
    assert unlike_training(None) == () == unlike_training(Appearance(0.99, None))
    assert unlike_training(Appearance(1.01, None))[0].startswith(UNLIKE)
    assert unlike_training(Appearance(0.5, "upside down"))[0].startswith(f"{STORED} upside down?")
