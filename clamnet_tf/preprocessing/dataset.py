"""Turn a folder, or the built-in cohort, into cases, their split and prepared slices; report each step."""

from pathlib import Path

from clamnet_tf.datasets.announced_channels import announced_channels
from clamnet_tf.datasets.classes import class_account
from clamnet_tf.datasets.expected_images import expected_images
from clamnet_tf.datasets.layouts.label_words import LabelSource
from clamnet_tf.datasets.layouts.recognition import recognize
from clamnet_tf.datasets.pseudonyms import with_hidden
from clamnet_tf.datasets.sequence_manifest import with_sequences
from clamnet_tf.datasets.split import split_manifest
from clamnet_tf.datasets.study_labels import with_label_level
from clamnet_tf.errors import DataError
from clamnet_tf.preprocessing.cache import Prepared, default_cache, prepare
from clamnet_tf.preprocessing.contralateral import with_contralateral
from clamnet_tf.recipe.classes import class_names
from clamnet_tf.recipe.sequences import sequences_of
from clamnet_tf.simulation.cohorts import COHORTS, write_cohort


def find_cases(
    recipe, data, labels, reporter, cache=None, *, keep_identifiers=False, training=True, channel_names=()
):
    """Return the manifest of `data`, or of the recipe's built-in cohort, and report what was recognised.

    Args:
        recipe: the recipe.
        data: folder or manifest file; None: the recipe's built-in cohort.
        labels: path of a table of labels, or a LabelSource; None: the data folder itself tells the labels.
        reporter: receives the lines.
        cache: folder of the cache, where the cohort is written; None: the default one.
        keep_identifiers: leave patients' names in what is reported and written; otherwise `reporter` hides
            them from here on.
        training: see `datasets.study_labels.with_label_level`.
        channel_names: what the channels of the model hold, where it has a card (recipe.sequences).

    Raises:
        DataError: there is neither data nor a built-in cohort, labels were given without data, or labels of
            studies contradict.
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
                "no built-in cohort (data.cohort is null); received none. The comment at its top says which "
                f"data it is for: clamnet-tf recipe show {recipe.name}"
            )
        reporter.line(
            f"Data: the built-in cohort of {COHORTS[cohort.kind].title} ({cohort.patients} patients, no "
            f"--data was given); figures on it say nothing about real patients."
        )
        with reporter.bar("Simulating patients", cohort.patients) as bar:
            manifest = write_cohort(
                cohort, Path(cache or default_cache()) / "cohorts", lambda done, total: bar.update(done)
            )
    if data is not None:
        manifest = with_sequences(manifest, sequences_of(recipe, channel_names))
    manifest = with_label_level(manifest, recipe.data.labels, training=training)
    for line in (*manifest.account, *class_account(manifest, class_names(recipe))):
        reporter.line(f"  {line}")
    return manifest


def find_split(recipe, *, data, labels, split_file, cache, reporter, keep_identifiers=False):
    """Return the manifest with the split of every case set; the arguments are those of `find_cases`."""
    manifest = find_cases(recipe, data, labels, reporter, cache, keep_identifiers=keep_identifiers)
    reported = len(manifest.account)
    needs_both = recipe.training.supervision != "masks"
    manifest = split_manifest(
        manifest, recipe.data.split, Path(split_file) if split_file else None, both_classes=needs_both
    )
    for line in manifest.account[reported:]:
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
    """Call `preprocessing.cache.prepare` behind a progress bar, for images as the recipe expects them.

    Args:
        recipe: the recipe.
        manifest: the manifest whose cases have their split.
        cache: folder of the cache; None: the default one.
        reporter: receives the lines and the bar.
        organ_network: what finds the organ when organ.method is network, else None.
        channels: channels of the model's images; None before training, when the images decide.
        any_modality: accept images of another modality than the recipe's.
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
    if recipe.data.contralateral:
        prepared = with_contralateral(prepared, manifest, cache)
    count, side, _, channels = prepared.images.shape
    state = "found in the cache" if prepared.reused else "prepared"
    reporter.line(
        f"  {count} slices of {side} x {side} pixels, {channels} channel(s), {state}: {prepared.folder}"
    )
    for line in prepared.account:
        reporter.line(f"  {line}")
    return prepared
