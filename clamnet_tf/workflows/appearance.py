"""Describe what the training images of a run look like, and say which other images look unlike them."""

from collections.abc import Iterator

import numpy as np

from clamnet_tf.datasets.announced_channels import announced_channels
from clamnet_tf.datasets.expected_images import expected_images
from clamnet_tf.datasets.manifest import Case, Manifest
from clamnet_tf.errors import UserInputError
from clamnet_tf.inference.appearance import AppearanceModel
from clamnet_tf.preprocessing.assembled_volume import AssembledVolume
from clamnet_tf.preprocessing.thumbnails import thumbnails
from clamnet_tf.preprocessing.volumes import Group, assemble, group_cases
from clamnet_tf.progress import Reporter
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.runs import RunFolder

_MOST_SLICES = 4000  # read again from their files: a minute or less
_MOST_VOLUMES = 800


def write_appearance(run: RunFolder, recipe: Recipe, manifest: Manifest, reporter: Reporter) -> None:
    """Write what the training images look like, from which `predict` notices images of another kind.

    At most 4,000 slices are read again, of volumes spread evenly over the training patients. A run that has
    the file already keeps it. When the images cannot be read again, or are of fewer than 10 patients, a line
    says that the run has none; the run is complete without it.

    Args:
        run: Run folder.
        recipe: Recipe of the run.
        manifest: Training data with their split.
        reporter: Reporter for progress.
    """
    if run.appearance.exists():
        return
    try:
        model = fit_appearance(recipe, manifest)
    except UserInputError as error:
        reporter.line(f"predict will not notice images unlike these: {reporter.hide(str(error))}")
        return
    if model is None:
        reporter.line("predict will not notice images unlike these: fewer than 10 training patients.")
        return
    model.save(run.appearance)


def fit_appearance(recipe: Recipe, manifest: Manifest) -> AppearanceModel | None:
    """Return what the training images of a manifest look like; None for fewer than 10 patients.

    Raises:
        DataError, ImageError: A file cannot be read, or does not fit the recipe.
    """
    images, patients = [], []
    for case, volume in _volumes(recipe, manifest, "train"):
        small = thumbnails(volume.array)
        if len(small):
            images.append(small)
            patients.append(case.patient)
    if len({small.shape[-1] for small in images}) > 1:
        return None
    return AppearanceModel.fit(images, patients)


def unlike_images(
    recipe: Recipe, manifest: Manifest, split: str | None, model: AppearanceModel | None
) -> list[str]:
    """Return sentences on images of a manifest that look unlike those a model learned from.

    At most 4,000 slices are read again, of volumes spread evenly over the patients.

    Args:
        recipe: Recipe of the model.
        manifest: Images that are evaluated.
        split: Side of the split; None: all cases.
        model: What the training images look like; None: it is not known.

    Returns:
        No sentence where nothing is to be said.

    Raises:
        DataError, ImageError: A file cannot be read, or does not fit the recipe.
    """
    if model is None:
        return []
    found: dict[str, list[str]] = {}
    count = 0
    for case, volume in _volumes(recipe, manifest, split, model.channels):
        if volume.array.shape[-1] != model.channels:
            return []  # the evaluation refuses such images
        appearance = model.assess(thumbnails(volume.array))
        count += 1
        if appearance is not None and (appearance.stored or appearance.distance > 1):
            found.setdefault(appearance.stored or "", []).append(manifest.hide(case.image.name))
    sentences = []
    for stored, names in found.items():
        where = f"{len(names)} of {count} images or volumes ({', '.join(names[:3])}"
        where += " ...)" if len(names) > 3 else ")"
        sentences.append(
            f"ATTENTION: stored {stored}, it seems: {where}."
            if stored
            else f"ATTENTION: unlike the images that the model learned from: {where}. Are they of the same "
            "body part, view and kind?"
        )
    return sentences


def _chosen(manifest: Manifest, split: str | None) -> list[Group]:
    """Return groups of one side, evenly spread, of at most _MOST_SLICES cases."""
    groups = [
        group
        for group in group_cases(manifest)
        if split is None or manifest.cases[group.cases[0]].split == split
    ]
    cases = sum(len(group.cases) for group in groups)
    share = min(1.0, _MOST_VOLUMES / max(len(groups), 1), _MOST_SLICES / max(cases, 1))
    wanted = np.unique(np.linspace(0, len(groups) - 1, round(share * len(groups))).round().astype(int))
    return [groups[index] for index in wanted]


def _volumes(
    recipe: Recipe, manifest: Manifest, split: str | None, channels: int | None = None
) -> Iterator[tuple[Case, AssembledVolume]]:
    """Yield (its first case, volume) of the chosen groups, until _MOST_SLICES slices were read.

    Args:
        recipe: The recipe.
        manifest: Images.
        split: Side of the split; None: all cases.
        channels: Number of channels of the model's images; None: the images say it.
    """
    if channels is None and recipe.data.channels is None:
        channels = announced_channels(manifest)
    read = 0
    for group in _chosen(manifest, split):
        for volume in assemble(
            manifest,
            group,
            channels=recipe.data.channels,
            dicom_backend=recipe.data.dicom_backend,
            with_organ=False,
            expected=expected_images(recipe, channels, any_modality=True),
        ):
            yield manifest.cases[volume.wanted[0][1]], volume
            read += len(volume.array)
        if read >= _MOST_SLICES:
            return
