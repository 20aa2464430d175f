"""Every entry under zoo/: what it says of its files is true, and its network gives the golden output without clamnet_tf being loaded."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = sorted(path.parent for path in (ROOT / "zoo").glob("*/entry.yaml"))
SECTIONS = ("## Figures", "## Data it learned from", "## Intended use", "## What it is not", "## Use")

GOLDEN = """
import importlib.machinery, importlib.util, json, sys
loader = importlib.machinery.SourceFileLoader("zoo_entry", sys.argv[1])
tool = importlib.util.module_from_spec(importlib.util.spec_from_loader("zoo_entry", loader))
loader.exec_module(tool)
found = tool.golden(sys.argv[2])
assert not any(name.split(".")[0] == "clamnet_tf" for name in sys.modules)
print(json.dumps(found))
"""


@pytest.fixture(params=ENTRIES, ids=lambda path: path.name)
def entry(request):
    return request.param, yaml.safe_load((request.param / "entry.yaml").read_text(encoding="utf-8"))


def test_files_are_what_the_entry_says(entry):
    folder, content = entry
    weights = (folder / content["weights"]["file"]).read_bytes()
    assert len(weights) == content["weights"]["bytes"] <= 10_000_000
    assert hashlib.sha256(weights).hexdigest() == content["weights"]["sha256"]
    assert content["name"] == folder.name == f"{content['modality']}_{content['condition']}"


def test_recipe_and_cuts_agree_with_the_entry(entry):
    from clamnet_tf.marking.volume_marking import VolumeMarking, VolumeSteps
    from clamnet_tf.recipe.catalogue import load_recipe

    folder, content = entry
    recipe = load_recipe(folder / content["recipe"])
    assert (recipe.data.side, recipe.loss.eta) == (content["input"]["side"], content["eta"])
    marking = VolumeMarking.from_row(content["marking"])
    assert marking.steps == VolumeSteps.of(recipe.inference) and 0 < marking.threshold < 1
    assert json.loads((folder / "selection.json").read_text())["markings"]["mean"] == content["marking"]


def test_the_card_has_its_sections_and_the_measured_figures(entry):
    folder, content = entry
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert [section for section in SECTIONS if section not in card] == []
    dice = content["figures"]["dice_per_patient"]
    assert dice["low"] <= dice["mean"] <= dice["high"]
    assert f"{dice['mean']:.2f} ({dice['low']:.2f} to {dice['high']:.2f})" in card


def test_the_network_gives_the_golden_output_without_clamnet_tf(entry):
    folder, _ = entry
    wanted = json.loads((folder / "golden.json").read_text())
    done = subprocess.run([sys.executable, "-c", GOLDEN, str(ROOT / "tools" / "zoo-entry"), str(folder / "model.keras")], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    for head, values in wanted["marker_probability"].items():
        ours = found["marker_probability"][head]
        assert [ours["mean"], ours["maximum"], *ours["at"]] == pytest.approx([values["mean"], values["maximum"], *values["at"]], abs=wanted["tolerance"])
