"""What fit keeps of its training images, and tools/measure-appearance as a process."""

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clamnet_tf.datasets.manifest import read_manifest
from clamnet_tf.errors import DataError
from clamnet_tf.files import write_text
from clamnet_tf.inference.appearance import AppearanceModel
from clamnet_tf.preprocessing.thumbnails import thumbnails
from clamnet_tf.progress import Reporter
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.recipe.writer import to_yaml
from clamnet_tf.runs import RunFolder
from clamnet_tf.workflows.appearance import _volumes, fit_appearance, unlike_images, write_appearance

TOOL = Path(__file__).resolve().parents[2] / "tools" / "measure-appearance"


def film(rng):
    """A bright disc above, on a slope: 8-bit values."""
    rows, columns = np.mgrid[0:60, 0:50]
    image = 180 - 2 * rows + 8 * rng.standard_normal() + 3 * rng.standard_normal((60, 50))
    image[(rows - 16 + 2 * rng.standard_normal()) ** 2 + (columns - 25) ** 2 < 90] += 50
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """films.csv: 40 patients who train and 20 who are held out; others.csv: stripes."""
    folder, rng = tmp_path_factory.mktemp("films"), np.random.default_rng(3)
    lines, others = ["image,patient,label,split"], ["image,patient,label"]
    for index in range(60):
        Image.fromarray(film(rng)).save(folder / f"p{index}.png")
        lines.append(f"p{index}.png,p{index},{index % 2},{'train' if index < 40 else 'test'}")
    for index in range(6):
        stripes = np.broadcast_to(np.arange(50) // (3 + index) % 2 * 200, (60, 50)).astype(np.uint8)
        Image.fromarray(stripes).save(folder / f"o{index}.png")
        others.append(f"o{index}.png,o{index},0")
    for name, content in (("films.csv", lines), ("others.csv", others)):
        (folder / name).write_text("\n".join(content) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def run(tmp_path):
    """The parts of a finished run that the tool reads: the model itself is not loaded."""
    recipe = load_recipe("xray_trauma")
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    write_text(run.recipe, to_yaml(recipe))
    for path in (run.model, run.selection):
        path.write_bytes(b"")
    return run


def test_the_training_images_alone_are_described(data):
    recipe, manifest = load_recipe("xray_trauma"), read_manifest(data / "films.csv")
    fitted = fit_appearance(recipe, manifest)
    images = [
        thumbnails(np.asarray(Image.open(data / f"p{index}.png"), np.float32)[None, ..., None])
        for index in range(40)
    ]
    expected = AppearanceModel.fit(images, [f"p{index}" for index in range(40)])
    np.testing.assert_allclose(fitted.mean, expected.mean, atol=1e-6)
    assert fitted.limits == pytest.approx(expected.limits)
    few = replace(manifest, cases=manifest.cases[31:])
    with pytest.raises(DataError, match="expected training images of 10 patients or more .*; received 9"):
        fit_appearance(recipe, few)


def test_large_volumes_of_many_patients_are_all_reached(tmp_path, monkeypatch):
    """Reading stops at a number of pixels, yet not at the first patients of a folder."""
    monkeypatch.setattr("clamnet_tf.workflows.appearance._MOST_PIXELS", 40 * 60 * 50)
    rng, lines = np.random.default_rng(4), ["image,patient,label,split"]
    for index in range(40):
        np.save(tmp_path / f"v{index}.npy", np.stack([film(rng) for _ in range(6)]))
        lines.append(f"v{index}.npy,p{index},{int(index >= 20)},train")
    (tmp_path / "volumes.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    manifest = read_manifest(tmp_path / "volumes.csv")
    seen = [case.patient for case, _ in _volumes(load_recipe("ct_nodule"), manifest, "train")]
    assert len(seen) == 20 and {int(name[1:]) >= 20 for name in seen} == {True, False}


def test_a_file_that_is_written_stays(data, run, capsys):
    recipe, manifest = load_recipe("xray_trauma"), read_manifest(data / "films.csv")
    write_appearance(run, recipe, manifest, Reporter())
    kept = run.appearance.read_bytes()
    write_appearance(run, recipe, replace(manifest, cases=manifest.cases[:20]), Reporter())
    assert run.appearance.read_bytes() == kept and not capsys.readouterr().out


def test_images_that_are_gone_cost_no_training(data, run, capsys):
    recipe, manifest = load_recipe("xray_trauma"), read_manifest(data / "films.csv")
    gone = replace(manifest.cases[0], image=data / "gone.png")
    write_appearance(run, recipe, replace(manifest, cases=(gone, *manifest.cases[1:])), Reporter())
    said = capsys.readouterr().out
    assert said.startswith("predict will not notice images unlike these: ") and "gone.png" in said
    assert not run.appearance.exists()


def test_evaluated_images_that_look_unlike_are_named(data):
    recipe, manifest = load_recipe("xray_trauma"), read_manifest(data / "films.csv")
    model = fit_appearance(recipe, manifest)
    assert unlike_images(recipe, manifest, "test", None) == []
    assert unlike_images(recipe, manifest, "test", model) == []
    others = read_manifest(data / "others.csv")
    (said,) = unlike_images(recipe, others, None, model)
    assert said.startswith("ATTENTION: 6 of 6 images or volumes that were looked at (o") and said.endswith(
        " ...) look unlike those that the model learned from. Are they of the same body part, view and kind?"
    )
    upside = data / "upside.png"
    Image.fromarray(np.asarray(Image.open(data / "p50.png"))[::-1]).save(upside)
    turned = replace(manifest.cases[50], image=upside)
    cases = (*manifest.cases[:50], turned, *manifest.cases[51:])
    assert unlike_images(recipe, replace(manifest, cases=cases), "test", model) == [
        "ATTENTION: 1 of 20 images or volumes that were looked at (upside.png) seem to be stored upside "
        "down, unlike those that the model learned from."
    ]
    assert unlike_images(recipe, replace(manifest, cases=cases), "train", model) == []


def test_the_tool_measures_held_out_and_other_images(data, run, tmp_path):
    def call(*options):
        command = [sys.executable, str(TOOL), str(run.path), "--data", str(data / "films.csv")]
        done = subprocess.run(
            [*command, "--out", str(tmp_path / "table.csv"), *map(str, options)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        with open(tmp_path / "table.csv", newline="", encoding="utf-8") as stream:
            return {(row["data"], row["stored"]): row for row in csv.DictReader(stream)}

    rows = call("--others", data / "others.csv")
    own = "films, held out"
    assert rows[own, "as it is"]["volumes"] == "20" and rows["others", "as it is"]["volumes"] == "6"
    assert float(rows[own, "as it is"]["unlike"]) <= 0.1
    assert float(rows[own, "upside down"]["upside_down"]) >= 0.9
    assert float(rows[own, "turned by 90 degrees"]["on_side"]) >= 0.9
    assert float(rows[own, "inverted"]["inverted"]) >= 0.9
    assert float(rows["others", "as it is"]["unlike"]) == 1
    kept = run.appearance.read_bytes()
    assert len(call()) == 6, "rows of the same model are replaced"
    assert run.appearance.read_bytes() == kept
