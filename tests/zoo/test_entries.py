"""Every entry under zoo/: all checks of `verify`, names, licences, and the golden output in a process without
clamnet_tf.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from clamnet_tf.zoo.card import SECTIONS
from clamnet_tf.zoo.golden import golden_input

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = sorted(path.parent for path in (ROOT / "zoo").glob("*/entry.yaml"))

STRANGER = """
import json, sys
import keras, numpy as np

def numbers(m, pixels):
    return [float(m.mean()), float(m.max())] + [float(m[row, column]) for row, column in pixels]

for name, model, image, pixels in json.loads(sys.argv[1]):
    found = {}
    for head, value in keras.saving.load_model(model)(np.load(image), training=False).items():
        value = np.asarray(value)[0]
        markers = [value[..., place] for place in range(1, value.shape[-1])] if value.shape[-1] > 2 else []
        lesion = value[..., 0] if value.shape[-1] == 1 else 1 - value[..., 0]  # sigmoid, or softmax
        found[head] = [number for m in [lesion, *markers] for number in numbers(m, pixels)]
    print(json.dumps([name, found]))
assert not any(name.split(".")[0] == "clamnet_tf" for name in sys.modules)
"""


def test_there_are_entries_and_nothing_else_but_data():
    assert ENTRIES
    assert not list((ROOT / "zoo").rglob("*.py"))


@pytest.mark.parametrize("folder", ENTRIES, ids=lambda path: path.name)
def test_every_check_passes(folder):
    from clamnet_tf.zoo.verify import verify

    checks = verify(folder)
    assert [check.problem for check in checks if check.problem] == []
    of_onnx = [] if "evidence" in golden_of(folder) else ["golden output of model.onnx"]
    names = ["schema", "files", "recipe", "network", "shapes", "golden output", *of_onnx, "card"]
    assert [check.name for check in checks] == names


@pytest.mark.parametrize("folder", ENTRIES, ids=lambda path: path.name)
def test_the_card_is_whole_and_says_licences_and_that_it_is_no_device(folder):
    entry, card = (
        yaml.safe_load((folder / "entry.yaml").read_text(encoding="utf-8")),
        (folder / "README.md").read_text(encoding="utf-8"),
    )
    assert entry["name"] == folder.name == f"{entry['modality']}_{entry['condition']}"
    assert [title for title in SECTIONS if f"## {title}\n" not in card] == []
    assert (
        "Not a medical device" in card
        and "Licence of the data: " in card
        and "Licence of the weights: " in card
    )
    dice = entry["metrics"]["dice_volume"] or entry["metrics"]["dice_slice"]
    assert f"{dice['value']:.2f} ({dice['low']:.2f} to {dice['high']:.2f})" in card
    for one in entry.get("markers") or []:
        assert f"| {one['name']} | {one['metrics']['dice_volume']['value']:.2f} (" in card
        assert f", {one['metrics']['patients_with_lesion']} patients |" in card


def golden_of(folder):
    return json.loads((folder / "golden.json").read_text())


@pytest.fixture(scope="module")
def of_a_stranger(tmp_path_factory):
    """name -> head -> numbers of golden.json, of every entry in one process without clamnet_tf."""
    tmp, work = tmp_path_factory.mktemp("stranger"), []
    for folder in ENTRIES:
        golden = golden_of(folder)
        np.save(tmp / f"{folder.name}.npy", golden_input(golden["side"], golden["channels"]))
        work.append(
            (folder.name, str(folder / "model.keras"), str(tmp / f"{folder.name}.npy"), golden["pixels"])
        )
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, json.dumps(work)], capture_output=True, text=True, cwd=tmp
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(map(json.loads, done.stdout.splitlines()[-len(ENTRIES) :]))


@pytest.mark.parametrize("folder", ENTRIES, ids=lambda path: path.name)
def test_keras_alone_gives_the_golden_output(folder, of_a_stranger):
    golden, found = golden_of(folder), of_a_stranger[folder.name]
    stored = golden["evidence"] if "evidence" in golden else golden["marker_probability"]
    assert found.keys() == stored.keys()
    for head, row in stored.items():
        numbers = [
            number
            for each in (row, *row.get("markers", []))
            for number in (each["mean"], each["maximum"], *each["at"])
        ]
        assert found[head] == pytest.approx(numbers, abs=golden["tolerance"])


def test_the_golden_input_is_the_formula_it_always_was():
    image = golden_input(64, 2)
    assert image.shape == (1, 64, 64, 2) and image.dtype == np.float32
    row, column = 40, 20  # worked by hand: x = 0.125, y = -0.1875
    radius = np.sqrt(0.125**2 + 0.1875**2)
    bump = 2 * np.exp(-80 * ((0.125 - 0.1) ** 2 + (-0.1875 + 0.15) ** 2))
    np.testing.assert_allclose(
        image[0, row, column], [np.cos(20 * radius) + bump, np.cos(20 * radius + 1) + bump], rtol=1e-6
    )
    assert image[0, 0, 0].tolist() == [0, 0]
