"""Check a training without training (`fit --dry-run`): prepare a few slices, draw what the network will see,
measure memory and time.
"""

import dataclasses
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from clamnet_tf.datasets.announced_channels import announced_channels
from clamnet_tf.datasets.manifest import Manifest
from clamnet_tf.datasets.pseudonyms import hiding
from clamnet_tf.diagnostics.hardware import GIGABYTE, memory
from clamnet_tf.errors import DataError, UnfitImages
from clamnet_tf.files import make_folder
from clamnet_tf.preprocessing.cache import Prepared, default_cache
from clamnet_tf.preprocessing.crop import CropBox
from clamnet_tf.preprocessing.dataset import find_split, prepare_with_progress
from clamnet_tf.preprocessing.volumes import group_cases
from clamnet_tf.progress import Reporter
from clamnet_tf.quiet import silence
from clamnet_tf.recipe.classes import class_names
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.reporting.contact_sheet import CELL, SheetRow, contact_sheet
from clamnet_tf.reporting.overlays import display_gray, overlay, write_png
from clamnet_tf.runs import CLASSIFIERS
from clamnet_tf.training.normal_reference import with_normal_atlas
from clamnet_tf.workflows.dataset import Source
from clamnet_tf.workflows.misfit import misfit_lines, pointing_to_init
from clamnet_tf.zoo.organ_networks import organ_network_of

SHOWN = 8  # training slices on the sheet, in pairs
WANTED = {("train", True): 4, ("train", False): 4, ("val", True): 1, ("val", False): 1}  # ten slices
MOST_CHANNELS = 4  # that are shown
SHEET = "contact_sheet.png"
SCORED = 256  # slices of a class that score a checkpoint, at most (training.slices)


def dry_run(recipe: Recipe, source: Source, out: str, reporter: Reporter) -> Path:
    """Prepare about ten slices, draw a contact sheet, and measure memory and time; nothing is trained.

    Args:
        recipe: Resolved recipe.
        source: Where the images are.
        out: Folder for the contact sheet.
        reporter: Reporter for progress and results.

    Returns:
        The contact sheet.

    Raises:
        ClamnetError: As in `fit`, for the slices that are prepared.
    """
    with hiding(lambda: reporter.hide), tempfile.TemporaryDirectory(prefix="clamnet-dry-run-") as cache:
        manifest = find_split(
            recipe,
            data=source.data,
            labels=source.labels,
            split_file=source.split_file,
            cache=source.cache,
            reporter=reporter,
            keep_identifiers=source.keep_identifiers,
        )
        silence()
        few, prepared, seconds = _prepare(recipe, manifest, source, Path(cache), reporter)
        for line in misfit_lines(recipe, prepared, source):
            reporter.line(line)
        from clamnet_tf.training.dry_run import draw_views, measure_stages

        shown = draw_views(recipe, few, prepared, SHOWN)
        sheet = make_folder(out) / SHEET
        write_png(sheet, _sheet(recipe, few, prepared, shown))
        reporter.line(f"Contact sheet: {sheet} (what the network will see; look at it before training)")
        reporter.line("Measuring a few steps of every stage; their weights are thrown away.")
        costs = measure_stages(recipe, few, prepared)
        total = round(len(manifest.cases) * len(prepared.table) / len(few.cases))
        for line in (
            *_time_lines(recipe, manifest, costs, total, seconds / len(prepared.table)),
            *_memory_lines(prepared, total, source.cache),
        ):
            reporter.line(line)
    return sheet


def _prepare(recipe: Recipe, manifest: Manifest, source: Source, cache: Path, reporter: Reporter):
    """Return (manifest of a few volumes, their Prepared slices, seconds of preparation)."""
    from clamnet_tf.training.slices import TrainingSlices

    channels = announced_channels(manifest) if recipe.data.channels is None else None
    network, classes = organ_network_of(recipe, reporter), class_names(recipe)
    for factor in (1, 3, 9):  # blank slices do not count
        few = few_cases(manifest, {key: factor * count for key, count in WANTED.items()}, classes)
        began = time.perf_counter()
        try:
            prepared = prepare_with_progress(
                recipe, few, cache, reporter, network, channels=channels, any_modality=source.any_modality
            )
        except UnfitImages as error:
            raise pointing_to_init(error, source) from error
        seconds = time.perf_counter() - began
        try:
            TrainingSlices.of(recipe, prepared)
            return few, with_normal_atlas(recipe, prepared, cache), seconds
        except DataError:
            if factor == 9 or len(few.cases) == len(manifest.cases):
                raise
    raise AssertionError("the loop returns or raises")


def few_cases(manifest: Manifest, wanted: dict[tuple[str, bool], int], classes=()) -> Manifest:
    """Return the manifest with the first whole volumes that give the wanted numbers of slices.

    Args:
        manifest: Manifest with every case's split set.
        wanted: (side, whether abnormal) -> number of cases.
        classes: Lesion classes of the recipe, of each of which a training case is wanted.
    """
    left, unseen, chosen = Counter(wanted), set(classes), []
    groups = group_cases(manifest)
    for index in np.random.default_rng(0).permutation(len(groups)):
        cases = [manifest.cases[case] for case in groups[index].cases]
        offered = Counter((case.split, bool(case.label)) for case in cases if case.label is not None)
        markers = {name for case in cases if case.split == "train" for name in case.markers} & unseen
        if markers or any(left[key] > 0 for key in offered):
            chosen += groups[index].cases
            unseen -= markers
            left.subtract(offered)
        if not unseen.difference(("",)) and all(count <= 0 for count in left.values()):
            break
    return dataclasses.replace(manifest, cases=tuple(manifest.cases[case] for case in sorted(chosen)))


def _sheet(recipe: Recipe, manifest: Manifest, prepared: Prepared, shown) -> np.ndarray:
    """Draw the contact sheet."""
    from clamnet_tf.evaluation.original_slices import original_slices

    channels = range(min(MOST_CHANNELS, prepared.images.shape[3]))
    main = recipe.pairs.augmentation.main_channel or 0  # of the views
    originals = {
        int(row): original_slices(manifest, prepared, [row], recipe.data)[0][0]
        for row in dict.fromkeys(shown.rows.tolist())
    }
    rows = []
    for number, row in enumerate(shown.rows):
        organ = np.asarray(prepared.organ[row]) > 0
        image = np.asarray(prepared.images[row], np.float32)
        box = CropBox(*(int(value) for value in prepared.table.box[row]))
        picture = _outlined(originals[int(row)], box.restore_mask(organ))
        inputs = [display_gray(image, channel, organ) for channel in channels]
        views = [display_gray(view[number], main) for view in shown.views]
        first = number % 2 == 0
        rows.append(
            SheetRow(
                _caption(manifest, prepared, int(row), number if shown.paired else None),
                (picture, *inputs, *views),
                begins_group=shown.paired and first,
            )
        )
    names = [f"Channel {channel} of the network's input" for channel in channels]
    if prepared.atlas is not None and len(names) == prepared.images.shape[3]:
        names[-1] = "Deviation from normal slices (of these few)"
    side = prepared.images.shape[1]
    title = [
        f"Recipe {recipe.name}: what the network will see ({side} x {side} pixels). organ.method "
        f"{recipe.organ.method}, data.normalization {recipe.data.normalization}.",
        "The organ should be outlined in blue, lesions inside of it. Views must not hide or invent a lesion.",
    ]
    of_channel = f" of channel {main}" if prepared.images.shape[3] > 1 else ""
    view_names = [f"Random view{of_channel}", f"Another random view{of_channel}"][: len(shown.views)]
    return contact_sheet(title, ["Image, organ in blue", *names, *view_names], rows)


def _outlined(image: np.ndarray, organ: np.ndarray) -> np.ndarray:
    """Return an image (H, W, C) as a picture with its organ outlined, so small that the line is seen."""
    step = -(-max(image.shape[:2]) // CELL)
    return overlay(display_gray(image[::step, ::step]), None, organ[::step, ::step])


def _caption(manifest: Manifest, prepared: Prepared, row: int, place: int | None) -> str:
    table = prepared.table
    label = "abnormal" if table.label[row] > 0 else "normal"
    name = manifest.hide(Path(table.image[row]).name)
    pair = "" if place is None else f"Pair {place // 2 + 1}: "
    partner = " partner" if place is not None and place % 2 else ""
    share = f"{100 * table.area[row]:.0f} % of the image is organ"
    return f"{pair}{label}{partner}\n{name}, slice {table.slice_index[row]}\n{share}"


def _time_lines(recipe: Recipe, manifest: Manifest, costs, total: int, seconds_per_slice: float):
    """Yield the estimated time of a training."""
    sides, training = Counter(case.split for case in manifest.cases), recipe.training
    slices = {side: round(count * total / len(manifest.cases)) for side, count in sides.items()}
    seconds, before = 0.0, None
    for cost in costs:
        scored = min(2 * SCORED, slices.get("val", 0))
        if cost.name != CLASSIFIERS:  # their cut is no quantile of training slices
            scored += min(SCORED, slices["train"])
        scores = -(-cost.steps // training.evaluate_every)
        teaching = slices["train"] * before.seconds_per_slice if before else 0.0
        stage = (
            cost.seconds_to_begin
            + cost.steps * cost.seconds_per_step
            + scores * scored * cost.seconds_per_scored_slice
            + teaching
        )
        seconds, before = seconds + stage, cost
        yield (
            f"  {cost.name}: {cost.parameters:,} parameters, {cost.steps} steps of "
            f"{cost.seconds_per_step:.2f} s, with scores about {_minutes(stage)}."
        )
    preparing = total * seconds_per_slice
    marking = slices.get("test", 0) * costs[-1].seconds_per_slice
    yield (
        f"Estimated time: preparing {total} slices {_minutes(preparing)}, training {_minutes(seconds)}, "
        f"marking {slices.get('test', 0)} test slices {_minutes(marking)}; together about "
        f"{_minutes(preparing + seconds + marking)}, and the report. Measured on this machine, as busy as it "
        "is now."
    )


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _memory_lines(prepared: Prepared, total: int, cache):
    """Yield what memory and disk a training takes, and whether they suffice."""
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    whole, free = memory()
    here = f", of which this machine has {whole / GIGABYTE:.1f} GB" if whole else ""
    yield f"Memory: {peak / GIGABYTE:.1f} GB at most in these steps{here}."
    if free is not None and free < 0.2 * peak:
        yield (
            f"ATTENTION: only {free / GIGABYTE:.1f} GB are free beside this process. Close programs, or "
            "lower data.side or training.batch_size."
        )
    _, side, _, channels = prepared.images.shape
    needed = total * side * side * (2 * channels + 1)
    folder = Path(cache or default_cache())
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    disk = shutil.disk_usage(existing).free
    yield (
        f"Disk: {needed / GIGABYTE:.2f} GB of prepared slices in {folder}, where {disk / GIGABYTE:.1f} GB "
        "are free."
    )
    if disk < 1.5 * needed:
        yield "ATTENTION: that may not suffice. Name another folder with --cache."
