"""Prepare the slices that a training sees, from a recipe and the place of its images; the same for every
command.
"""

from dataclasses import dataclass
from pathlib import Path

from clamnet_tf.datasets.layouts.label_words import LabelSource
from clamnet_tf.datasets.manifest import Manifest
from clamnet_tf.datasets.split import check_leakage
from clamnet_tf.preprocessing.cache import Prepared
from clamnet_tf.preprocessing.dataset import find_split, prepare_with_progress
from clamnet_tf.progress import Reporter
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.training.normal_reference import with_normal_atlas
from clamnet_tf.zoo.organ_networks import organ_network_of


@dataclass(frozen=True)
class Source:
    """Say where images, labels and the split are, and how images are read.

    Attributes:
        data: Folder or manifest; None: the recipe's built-in cohort.
        labels: LabelSource of the label options, path of a table, or None.
        split_file: CSV patient,split; None: drawn by patient.
        cache: Folder of prepared slices; None: the default one.
        any_modality: Accept images of another modality or in another unit.
        keep_identifiers: Keep names of patients.
    """

    data: str | Path | None = None
    labels: LabelSource | str | Path | None = None
    split_file: str | Path | None = None
    cache: str | Path | None = None
    any_modality: bool = False
    keep_identifiers: bool = False


def prepare_dataset(recipe: Recipe, source: Source, reporter: Reporter) -> tuple[Manifest, Prepared]:
    """Find, split and prepare the images that a recipe is trained on.

    Returns:
        The manifest with every case's split set, and its prepared slices.

    Raises:
        DataError: There are no images, labels or classes. Otherwise as in `prepare_split`.
    """
    manifest = find_split(
        recipe,
        data=source.data,
        labels=source.labels,
        split_file=source.split_file,
        cache=source.cache,
        reporter=reporter,
        keep_identifiers=source.keep_identifiers,
    )
    return manifest, prepare_split(recipe, manifest, source.cache, reporter, any_modality=source.any_modality)


def prepare_split(
    recipe: Recipe, manifest: Manifest, cache, reporter: Reporter, *, any_modality: bool = False
) -> Prepared:
    """Prepare the slices of a split manifest, with the organ network and the normal atlas that the recipe
    names.

    Args:
        recipe: The recipe.
        manifest: Manifest with every case's split set.
        cache: Folder of prepared slices; None: the default one.
        reporter: Reporter for progress.
        any_modality: Accept images of another modality or in another unit.

    Raises:
        DataError, ImageError: Images are not what the recipe expects, or belong to two sides of the split.
        ZooError, RunError: There is no such organ network.
    """
    network = organ_network_of(recipe, reporter)
    prepared = prepare_with_progress(recipe, manifest, cache, reporter, network, any_modality=any_modality)
    check_leakage(manifest, prepared.table.hashes())
    return with_normal_atlas(recipe, prepared, cache)
