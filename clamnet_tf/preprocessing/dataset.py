"""From a folder, or the built-in cohort, to cases, their split and prepared slices, said to the reader."""

from pathlib import Path

from clamnet_tf.datasets.announced_channels import announced_channels
from clamnet_tf.datasets.classes import class_account
from clamnet_tf.datasets.expected_images import expected_images
from clamnet_tf.datasets.layouts.label_words import LabelSource
from clamnet_tf.datasets.layouts.recognition import recognize
from clamnet_tf.datasets.pseudonyms import with_hidden
from clamnet_tf.datasets.split import split_manifest
from clamnet_tf.errors import DataError
from clamnet_tf.preprocessing.cache import Prepared, default_cache, prepare
from clamnet_tf.recipe.classes import class_names
from clamnet_tf.simulation.cohorts import COHORTS, write_cohort


def find_cases(recipe, data, labels, reporter, cache=None, *, keep_identifiers=False):
    """The manifest of `data`, or of the recipe's built-in cohort when `data` is None; says what was
    recognised.

    labels: the path of a table, or a LabelSource; None: the data folder itself says. keep_identifiers: leave
    names of patients in what is said and written; else `reporter` hides them from here on.

    DataError: neither is there.
    """
    source = labels if isinstance(labels, LabelSource) else LabelSource(Path(labels) if labels else None)
    if data is not None:
        manifest = with_hidden(recognize(Path(data), source.table, source.said), keep_identifiers)
        reporter.hide = manifest.hide
        reporter.line(f"Data: {data}")
    else:
        if source != LabelSource():
            raise DataError(
                "--labels, --normal and --abnormal speak of labels of one's own: they go with --data;"
                " received none."
            )
        cohort = recipe.data.cohort
        if cohort is None:
            raise DataError(
                f"--data: expected a folder or manifest of labelled images, since recipe {recipe.name} has "
                f"no built-in cohort (data.cohort is "
                "null); received none. The comment at its top says which data it is for: clamnet-tf recipe "
                "show " + recipe.name
            )
        reporter.line(
            f"Data: the built-in cohort of {COHORTS[cohort.kind].title} ({cohort.patients} patients, no "
            f"--data was given); "
            "figures on it say nothing about real patients."
        )
        with reporter.bar("Simulating patients", cohort.patients) as bar:
            manifest = write_cohort(
                cohort, Path(cache or default_cache()) / "cohorts", lambda done, total: bar.update(done)
            )
    for line in (*manifest.account, *class_account(manifest, class_names(recipe))):
        reporter.line(f"  {line}")
    return manifest


def find_split(recipe, *, data, labels, split_file, cache, reporter, keep_identifiers=False):
    """The manifest with every case's split set. keep_identifiers: as in `find_cases`."""
    manifest = find_cases(recipe, data, labels, reporter, cache, keep_identifiers=keep_identifiers)
    shown = len(manifest.account)
    both = recipe.training.supervision == "labels"
    manifest = split_manifest(
        manifest, recipe.data.split, Path(split_file) if split_file else None, both_classes=both
    )
    for line in manifest.account[shown:]:
        reporter.line(f"  {line}")
    return manifest


def prepare_with_progress(
    recipe,
    manifest,
    cache,
    reporter,
    organ_network=None,
    *,
    channels: int | None = None,
    any_modality: bool = False,
) -> Prepared:
    """`preprocessing.cache.prepare` with a bar, of images as the recipe expects them.

    channels: of the model's images; None before training, when the images decide. any_modality: the option.
    """
    if channels is None and recipe.data.channels is None:
        channels = announced_channels(manifest)
    with reporter.bar("Preparing slices", len(manifest.cases)) as bar:
        prepared = prepare(
            manifest,
            data=recipe.data,
            organ=recipe.organ,
            cache=Path(cache or default_cache()),
            progress=lambda done, total: bar.update(done),
            organ_network=organ_network,
            expected=expected_images(recipe, channels, any_modality=any_modality),
        )
    count, side, _, channels = prepared.images.shape
    how = "found in the cache" if prepared.reused else "prepared"
    reporter.line(
        f"  {count} slices of {side} x {side} pixels, {channels} channel(s), {how}: {prepared.folder}"
    )
    for line in prepared.account:
        reporter.line(f"  {line}")
    return prepared
