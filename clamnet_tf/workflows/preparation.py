"""Prepare the slices of a data folder for `data prepare`: in the cache that `fit` opens, or as records."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clamnet_tf.datasets.announced_channels import announced_channels
from clamnet_tf.datasets.expected_images import expected_images
from clamnet_tf.datasets.manifest import Manifest
from clamnet_tf.diagnostics.packages import install_extra
from clamnet_tf.errors import DataError, EnvironmentFailure
from clamnet_tf.preprocessing.archive import check_archive, prepare_archive, prepare_on_worker
from clamnet_tf.preprocessing.cache import default_cache
from clamnet_tf.preprocessing.dataset import find_split
from clamnet_tf.preprocessing.shards import count_shards
from clamnet_tf.progress import Reporter
from clamnet_tf.quiet import silence
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.workflows.dataset import Source
from clamnet_tf.zoo.organ_networks import organ_network_of


def prepare_slices(
    recipe: Recipe,
    source: Source,
    reporter: Reporter,
    *,
    records: tuple[str, str] | None,
    beam: tuple[str, ...] | None,
) -> Path:
    """Prepare every slice of a data folder as a recipe says.

    Args:
        recipe: The recipe.
        source: Where the images are.
        reporter: Reporter for progress.
        records: (tfrecord or array_record, folder) of records to write; None: into the cache.
        beam: Options of an Apache Beam pipeline that does the work; None: this process.

    Returns:
        The folder of the slices: that of the records, or the cache.

    Raises:
        DataError, ImageError: The images cannot be prepared, or records are to hold labels of studies or
            both breasts of a patient.
        EnvironmentFailure: Beam is requested and not installed.
    """
    cache = Path(source.cache or default_cache())
    manifest = find_split(
        recipe,
        data=source.data,
        labels=source.labels,
        split_file=source.split_file,
        cache=cache,
        reporter=reporter,
        keep_identifiers=source.keep_identifiers,
    )
    if records is not None and any(case.label_level == "study" for case in manifest.cases):
        raise DataError(
            f"{manifest.root}: expected labels of slices, since a record holds the label of its slice; "
            "received labels of studies (data.labels, or the column label_level). Leave --format out: fit "
            "reads the cache."
        )
    if records is not None and recipe.data.contralateral:
        raise DataError(
            f"{manifest.root}: expected a recipe without data.contralateral, since a record holds one image "
            "and not the other breast of its patient. Leave --format out: fit reads the cache."
        )
    channels = announced_channels(manifest) if recipe.data.channels is None else None
    expected = expected_images(recipe, channels, any_modality=source.any_modality)
    sections: dict[str, Any] = {"data": recipe.data, "organ": recipe.organ, "expected": expected}
    on_beam = None
    if beam is not None:
        on_beam = _beam(manifest, functools.partial(organ_network_of, recipe, Reporter(quiet=True)), beam)
    if records is not None:
        form, out = records
        _write_records(
            manifest, form, out, sections, on_beam, lambda: organ_network_of(recipe, reporter), reporter
        )
        return Path(out)
    if on_beam:
        on_beam(cache, functools.partial(prepare_on_worker, cache=cache.resolve(), **sections))
    network = organ_network_of(recipe, reporter)
    shards = prepare_archive(
        recipe, manifest, cache=cache, reporter=reporter, organ_network=network, expected=expected
    )
    survey = check_archive(manifest, shards, recipe.data.minimum_organ_fraction)
    blank = f"{survey.left_out} are blank or nearly blank and are not used in training"
    reporter.line(f"  {survey.kept} slices show the organ; {blank}.")
    return cache


def _beam(manifest: Manifest, open_organ_network: Callable, options: tuple[str, ...]) -> Callable:
    """Return run(target, make), which makes the shards of `manifest` with Beam."""
    try:
        from clamnet_tf.preprocessing.beam_runner import run_on_beam
    except ModuleNotFoundError as error:
        if error.name != "apache_beam":
            raise
        advice = install_extra("beam")
        raise EnvironmentFailure(
            f"--runner beam needs Apache Beam, which is not installed: {advice}"
        ) from error
    return lambda target, make: run_on_beam(manifest, target.resolve(), make, open_organ_network, options)


def _write_records(manifest, form, out, sections, on_beam, open_organ_network, reporter) -> None:
    """Write the slices as records."""
    silence()
    from clamnet_tf.preprocessing.tfrecords import open_folder, write_every_shard, write_on_worker

    out = open_folder(out, form, shards=count_shards(manifest), **sections)
    if on_beam:
        on_beam(out, functools.partial(write_on_worker, out=out.resolve(), form=form, **sections))
        return
    with reporter.bar("Preparing slices", len(manifest.cases)) as bar:
        write_every_shard(
            manifest,
            out,
            form,
            **sections,
            organ_network=open_organ_network(),
            progress=lambda done, total: bar.update(done),
        )
