"""What is prepared of fixed images, against recorded numbers: other numbers need another VERSION, or older
caches pass for new ones.

They did once: a draft of a brain mask stayed in a cache, and a whole study learned from it
(recipes/EXPERIMENTS.md). After a wanted change raise `clamnet_tf.preprocessing.shards.VERSION` and record
again: python tests/datasets/test_preparation_version.py
"""

import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clamnet_tf.datasets.manifest import Case, Manifest
from clamnet_tf.preprocessing.cache import prepare
from clamnet_tf.preprocessing.shards import VERSION
from clamnet_tf.recipe.schema_data import CohortSection, DataSection, OrganSection
from clamnet_tf.simulation.cohorts import write_cohort

RECORDED = Path(__file__).with_name("prepared_numbers.json")
WINDOW = {"center": 40, "width": 120}
CASES = {  # images, section data, section organ
    "brain": ("brain_mri", {"normalization": "zscore"}, {"method": "brain", "margin": 0.02}),
    "foreground": ("brain_mri", {"normalization": "percentile"}, {"method": "foreground", "rim": 0.07}),
    "cranium": ("head_ct", {"normalization": "window", "window": WINDOW}, {"method": "cranium"}),
    "given": (
        "chest_ct",
        {"normalization": "zscore", "window": {"center": -600, "width": 1500}},
        {"method": "given"},
    ),
    "picture": ("picture", {"normalization": "window", "window": WINDOW}, {"method": "none"}),
}


def manifest_of(kind: str, folder: Path) -> Manifest:
    """One patient: simulated slices, or a picture of 8 bits."""
    if kind == "picture":
        rows, columns = np.mgrid[:60, :80]
        Image.fromarray(((3 * rows + 2 * columns) % 256).astype(np.uint8)).save(folder / "picture.png")
        return Manifest(folder, (Case(image=folder / "picture.png", patient="p", label=0),))
    whole = write_cohort(CohortSection(kind=kind, patients=4, slices=6, side=64, seed=3), folder)
    first = whole.cases[0].patient
    return Manifest(whole.root, tuple(case for case in whole.cases if case.patient == first))


def numbers(name: str, folder: Path) -> dict:
    """Hash of the images, then of each slice the organ's share, and mean and deviation inside it."""
    kind, data, organ = CASES[name]
    manifest = manifest_of(kind, folder)
    digest = hashlib.sha256()
    for path in sorted({case.image for case in manifest.cases}):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    prepared = prepare(
        manifest, data=DataSection(side=48, **data), organ=OrganSection(**organ), cache=folder / "cache"
    )
    found = []
    for image, inside in zip(np.asarray(prepared.images, np.float64), np.asarray(prepared.organ) > 0):
        within = image[inside] if inside.any() else np.zeros((1, image.shape[-1]))
        found.append([round(float(value), 4) for value in (inside.mean(), within.mean(), within.std())])
    return {"images": digest.hexdigest()[:16], "slices": found}


@pytest.mark.parametrize("name", CASES)
def test_other_numbers_have_another_version(name, tmp_path):
    recorded, found = json.loads(RECORDED.read_text(encoding="utf-8")), numbers(name, tmp_path)
    if found["images"] != recorded[name]["images"]:
        pytest.fail("the simulated images changed, not what is made of them: record again")
    same = np.shape(found["slices"]) == np.shape(recorded[name]["slices"]) and np.allclose(
        found["slices"], recorded[name]["slices"], atol=0.0015
    )
    assert same, (
        f"{name}: other numbers than recorded; raise clamnet_tf.preprocessing.shards.VERSION and record "
        f"again (see the top of this file)"
    )
    assert recorded["version"] == VERSION, "record again with the new VERSION"


if __name__ == "__main__":
    content = {"version": VERSION}
    for each in CASES:
        with tempfile.TemporaryDirectory() as place:
            content[each] = numbers(each, Path(place))
    RECORDED.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
