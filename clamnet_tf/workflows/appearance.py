"""Describe what the training images of a run look like, and say which other images look unlike them."""

from collections.abc import Iterator

import numpy as np

from clamnet_tf.datasets.announced_channels import announced_channels
from clamnet_tf.datasets.expected_images import expected_images
from clamnet_tf.datasets.manifest import Case, Manifest
from clamnet_tf.errors import DataError, UserInputError
from clamnet_tf.inference.appearance import LEAST_PATIENTS, AppearanceModel
from clamnet_tf.preprocessing.assembled_volume import AssembledVolume
from clamnet_tf.preprocessing.thumbnails import thumbnails
from clamnet_tf.preprocessing.volumes import assemble, group_cases
from clamnet_tf.progress import Reporter
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.runs import RunFolder

_MOST_PIXELS = 1_000_000_000  # read again from their files: a minute, about
_MOST_THUMBNAILS = 2000
_ENOUGH = 20  # patients are looked at, however large their volumes are


def write_appearance(run: RunFolder, recipe: Recipe, manifest: Manifest, reporter: Reporter) -> None:
    """Write what the training images look like, from which `predict` notices images of another kind.

    Images of at least 20 patients in random order are read again, until 10^9 pixels are read. A run that has
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
    model.save(run.appearance)


def fit_appearance(recipe: Recipe, manifest: Manifest) -> AppearanceModel:
    """Return what the training images of a manifest look like.

    Raises:
        DataError: They are of fewer than 10 patients, or of different numbers of channels.
        ImageError: A file cannot be read, or does not fit the recipe.
    """
    images, patients, count = [], [], 0
    for case, volume in _volumes(recipe, manifest, "train"):
        small = thumbnails(volume.array)
        if len(small):
            images.append(small)
            patients.append(case.patient)
            count += len(small)
        if count >= _MOST_THUMBNAILS and len(set(patients)) >= _ENOUGH:
            break
    channels = {small.shape[-1] for small in images}
    if len(channels) > 1:
        raise DataError(f"the training images have {' or '.join(map(str, sorted(channels)))} channels.")
    model = AppearanceModel.fit(images, patients)
    if model is None:
        raise DataError(
            f"expected training images of {LEAST_PATIENTS} patients or more that show something; received "
            f"{len(set(patients))}."
        )
    return model


def unlike_images(
    recipe: Recipe, manifest: Manifest, split: str | None, model: AppearanceModel | None
) -> list[str]:
    """Return sentences on images of a manifest that look unlike those a model learned from.

    Images of at least 20 patients in random order are read again, until 10^9 pixels are read.

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
            name = case.image.name if len(volume.grids) == 1 else case.patient
            found.setdefault(appearance.stored or "", []).append(manifest.hide(name))
    sentences = []
    for stored, names in found.items():
        which = f"{', '.join(names[:3])} ..." if len(names) > 3 else ", ".join(names)
        where = f"{len(names)} of {count} images or volumes that were looked at ({which})"
        sentences.append(
            f"ATTENTION: {where} seem to be stored {stored}, unlike those that the model learned from."
            if stored
            else f"ATTENTION: {where} look unlike those that the model learned from. Are they of the same "
            "body part, view and kind?"
        )
    return sentences


def _volumes(
    recipe: Recipe, manifest: Manifest, split: str | None, channels: int | None = None
) -> Iterator[tuple[Case, AssembledVolume]]:
    """Yield (its first case, volume) of one side in random order, until enough was read.

    Args:
        recipe: The recipe.
        manifest: Images.
        split: Side of the split; None: all cases.
        channels: Number of channels of the model's images; None: the images say it.
    """
    if channels is None and recipe.data.channels is None:
        channels = announced_channels(manifest)
    cases = manifest.cases
    groups = [
        group for group in group_cases(manifest) if split is None or cases[group.cases[0]].split == split
    ]
    read, patients = 0, set()
    for index in np.random.default_rng(0).permutation(len(groups)):
        for volume in assemble(
            manifest,
            groups[index],
            channels=recipe.data.channels,
            dicom_backend=recipe.data.dicom_backend,
            with_organ=False,
            expected=expected_images(recipe, channels, any_modality=True),
        ):
            case = cases[volume.wanted[0][1]]
            read += volume.array.size
            patients.add(case.patient)
            yield case, volume
        if read >= _MOST_PIXELS and len(patients) >= _ENOUGH:
            return
