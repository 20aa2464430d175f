"""Measure the input pipeline: augmented pairs against what a training step consumes, and preparing slices."""

import tempfile
import time
from pathlib import Path

import numpy as np
from benchmarks.rounds import interleaved
from benchmarks.rows import Row, figure, milliseconds, ratio
from benchmarks.subjects import pairs, siamese_step
from PIL import Image

from clamnet_tf.datasets.layouts.recognition import recognize
from clamnet_tf.preprocessing.cache import prepare
from clamnet_tf.recipe.catalogue import load_recipe

GROUP = "Input"
PER_VOLUME = 24
VIEWS = "Blur, stretch, padding, flip, rotation, zoom, contrast, brightness, noise; two views and their warps"


def pair_maker(size):
    """Return a callable that makes `pipeline_batches` batches of augmented pairs."""
    dataset = pairs(size.side, max(size.batches), steps=size.pipeline_batches)(0)

    def make():
        for element in dataset:
            element["view_a"][0, 0, 0, 0].numpy()

    return make


def rows(size) -> list:
    """Return the rows of the input pipeline."""
    batch = max(size.batches)
    found = interleaved(
        {"pipeline": pair_maker(size), "step": siamese_step(size.network("group"), "shared", batch)},
        size.rounds,
    )
    made, step = found["pipeline"] / (size.pipeline_batches * batch), found["step"] / batch
    per = {
        "pipeline": f"{milliseconds(made)} per slice with two views",
        "step of twins": f"{milliseconds(step)} per slice",
    }
    return [
        ratio(
            GROUP,
            "prepared slices to augmented pairs against the step that consumes them",
            step,
            made,
            at_least=10,
            sides=per,
            note=VIEWS,
        ),
        preparation(size.slices),
    ]


def preparation(slices: int) -> Row:
    """Write a folder of TIFF files (kaggle_3m) and prepare it for the first time with the recipe
    mri_carcinoma.

    The brain mask is included.
    """
    recipe = load_recipe("mri_carcinoma")
    with tempfile.TemporaryDirectory() as home:
        home = Path(home)
        write_heads(home / "data", slices)
        manifest = recognize(home / "data")
        clock, processor = time.perf_counter(), time.process_time()
        prepared = prepare(manifest, data=recipe.data, organ=recipe.organ, cache=home / "cache")
        seconds, used = time.perf_counter() - clock, time.process_time() - processor
    count = len(prepared.images)
    return Row(
        GROUP,
        f"first preparation of {count} slices",
        seconds,
        "s",
        used,
        at_most=120,
        sides={"per slice": f"{figure(1000 * seconds / count)} ms"},
        note="Simulated heads of 256 x 256 x 3 as TIFF, brain mask, crop, z-score, to 128 x 128; two cores, "
        "so processor time may exceed the clock",
    )


def write_heads(folder: Path, slices: int) -> None:
    """Write heads as ellipses of scalp, skull, fluid and brain, with noise.

    Volumes have 24 slices, every second volume has a bright lesion.
    """
    rng = np.random.default_rng(0)
    rows_, columns = np.mgrid[:256, :256]
    for number in range(-(-slices // PER_VOLUME)):
        name = f"TCGA_XX_{number:04d}_19990101"
        home = folder / name
        home.mkdir(parents=True)
        for place in range(min(PER_VOLUME, slices - number * PER_VOLUME)):
            width = 0.6 + 0.4 * np.sin(np.pi * (place + 3) / (PER_VOLUME + 5))
            distance = np.hypot((rows_ - 128) / 105, (columns - 128) / 85) / width
            tissue = np.select(
                [distance < 0.78, distance < 0.84, distance < 0.92, distance < 1.0], [110, 60, 15, 190], 0
            )
            picture = (
                tissue[..., None] * rng.uniform(0.9, 1.1, 3)
                + rng.normal(0, 4, (256, 256, 3)) * (distance < 1)[..., None]
            )
            lesion = (np.hypot(rows_ - 110, columns - 150) < 14) & (place % 2 == 0) & (number % 2 == 0)
            picture[lesion] += 80
            Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(home / f"{name}_{place + 1}.tif")
            Image.fromarray((255 * lesion).astype(np.uint8)).save(home / f"{name}_{place + 1}_mask.tif")
