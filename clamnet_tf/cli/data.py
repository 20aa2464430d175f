"""Define `clamnet-tf data`: show what a folder of images contains, and prepare its slices ahead of
training.
"""

import rich_click as click

from clamnet_tf.cli.label_options import label_options

_LAYOUTS = """Known layouts: a manifest.csv (image, patient, label, ...); kaggle_3m
(<patient>/<patient>_<n>.tif with _mask.tif); DICOM files with a table of labels (CSV, Excel) per study,
series or instance; volumes or pictures with a table of labels, including BIDS; class folders (NORMAL and
others), optionally below train, val and test."""


@click.group()
def data():
    """Show what a data folder contains; prepare its slices."""


@data.command(epilog=_LAYOUTS)
@click.argument("folder", metavar="DIR", type=click.Path())
@label_options
@click.option(
    "--write-manifest",
    type=click.Path(),
    help="Write what was recognised as a manifest CSV that you can edit.",
)
@click.option(
    "--write-split",
    type=click.Path(),
    help="Draw a split by patient, regardless of the folders, and write it for --split-file.",
)
@click.option(
    "--recipe",
    "recipe_name",
    metavar="RECIPE",
    help=(
        "Inspect with this recipe's settings, and prepare the slices like fit: finds everything that fit"
        " would refuse."
    ),
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override one key of the recipe; may be repeated.",
)
@click.option(
    "--split-file",
    type=click.Path(),
    help="CSV patient,split (train, val, test); without it the split is drawn by patient.",
)
@click.option(
    "--cache",
    type=click.Path(),
    help="Folder of prepared slices; needs --recipe.  [default: $CLAMNET_TF_CACHE or ~/.cache/clamnet_tf]",
)
@click.option("--quick", is_flag=True, help="Do not open the images.")
def inspect(folder, labels, write_manifest, write_split, recipe_name, overrides, split_file, cache, quick):
    """Report what DIR contains: layout, patients, slices, labels, sites, sizes, channels, masks, problems.

    The exit code is 2 when a problem would stop training: fit uses the same checks.
    """
    import dataclasses
    from pathlib import Path

    from clamnet_tf.datasets.layouts.recognition import recognize
    from clamnet_tf.datasets.manifest import write_manifest as save_manifest
    from clamnet_tf.datasets.sequence_manifest import with_sequences
    from clamnet_tf.datasets.split import split_manifest
    from clamnet_tf.datasets.split import write_split as save_split
    from clamnet_tf.datasets.study_labels import level_problems
    from clamnet_tf.preprocessing.trainable import split_problems
    from clamnet_tf.progress import Reporter
    from clamnet_tf.recipe.catalogue import load_recipe
    from clamnet_tf.recipe.schema_data import SplitSection
    from clamnet_tf.recipe.sequences import sequences_of

    if overrides and not recipe_name:
        raise click.UsageError("--set needs --recipe.")
    recipe = load_recipe(recipe_name, overrides) if recipe_name else None
    section = recipe.data.split if recipe else SplitSection()
    reporter = Reporter()
    manifest = recognize(folder, labels.table, labels.said)
    if recipe:
        manifest = with_sequences(manifest, sequences_of(recipe))
    for line in manifest.account:
        reporter.line(line)
    if write_manifest:
        save_manifest(manifest, write_manifest)
        reporter.line(f"Manifest written: {write_manifest}")
    if write_split:
        without_split = dataclasses.replace(
            manifest, cases=tuple(dataclasses.replace(case, split=None) for case in manifest.cases)
        )
        drawn = split_manifest(without_split, section)
        save_split(drawn, write_split)
        for line in (*drawn.account[len(manifest.account) :], f"Split written: {write_split}"):
            reporter.line(line)
    manifest, contradictions = level_problems(manifest, recipe.data.labels if recipe else "slice")
    needs_both_classes = recipe is None or recipe.training.supervision != "masks"
    split, problems = split_problems(
        manifest, section, Path(split_file) if split_file else None, both_classes=needs_both_classes
    )
    problems = contradictions + problems
    for line in split.account[len(manifest.account) :] if split else ():
        reporter.line(line)
    if not quick:
        problems += _image_problems(
            manifest, split, reporter, recipe.data.dicom_backend if recipe else "pydicom"
        )
    if recipe and not quick and not problems:
        from clamnet_tf.workflows.inspection import training_problems

        problems += training_problems(recipe, split, cache, reporter)
    for problem in problems:
        reporter.line(f"PROBLEM: {problem}")
    if not quick or problems:
        reporter.line(f"{len(problems)} problem(s) found." if problems else "No problems found.")
    if not problems and not quick and not recipe:
        reporter.line("Checked with the default split; --recipe RECIPE checks with all settings of a recipe.")
    if problems:
        raise click.exceptions.Exit(2)


def _image_problems(manifest, split, reporter, dicom_backend: str = "pydicom") -> list[str]:
    """Read every image, report what they are, and return why they cannot be used for training."""
    from clamnet_tf.preprocessing.pixel_survey import survey_pixels

    with reporter.bar("Reading images", len(manifest.cases)) as bar:
        lines, problems = survey_pixels(
            manifest, split=split, dicom_backend=dicom_backend, progress=lambda done, total: bar.update(done)
        )
    for line in lines:
        reporter.line(line)
    return problems


@data.command()
@click.argument("recipe_name", metavar="RECIPE")
@click.option(
    "--data",
    "folder",
    type=click.Path(),
    help="Folder of labelled images; without it the recipe's built-in cohort is used.",
)
@label_options
@click.option(
    "--split-file",
    type=click.Path(),
    help="CSV patient,split (train, val, test); without it the split is drawn by patient.",
)
@click.option(
    "--cache",
    type=click.Path(),
    help="Folder of prepared slices.  [default: $CLAMNET_TF_CACHE or ~/.cache/clamnet_tf]",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override one key of the recipe, for example data.side=128; may be repeated.",
)
@click.option(
    "--runner",
    type=click.Choice(["local", "beam"]),
    default="local",
    show_default=True,
    help="beam: Apache Beam (extra `beam`), here or on a cluster.",
)
@click.option(
    "--beam-option",
    "beam_options",
    multiple=True,
    metavar="OPTION",
    help="Option of the Beam pipeline, for example --runner=FlinkRunner; may be repeated.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["cache", "tfrecord", "array_record"]),
    default="cache",
    show_default=True,
    help="cache: what fit opens; the others: records for other readers.",
)
@click.option("--out", type=click.Path(), help="Folder of the records.")
@click.option(
    "--any-modality",
    is_flag=True,
    help="Accept images of another modality than the recipe's, or not in Hounsfield units.  [default: "
    "refused]",
)
@click.option("--quiet", is_flag=True, help="Print errors only.")
def prepare(
    recipe_name,
    folder,
    labels,
    split_file,
    cache,
    overrides,
    runner,
    beam_options,
    form,
    out,
    any_modality,
    quiet,
):
    """Prepare the slices of a data folder as RECIPE says: organ, crop, normalisation, resizing.

    A later `fit` with the same data and settings starts at once. If the command is killed, run it again: it
    continues. Several processes, also on several machines, share the work when they use the same cache.
    Records (--format) have the same slices for readers other than `fit`; their content, and how to read them,
    is described in `pydoc clamnet_tf.preprocessing.tfrecords`.
    """
    import time

    from clamnet_tf.progress import Reporter
    from clamnet_tf.recipe.catalogue import load_recipe
    from clamnet_tf.workflows.dataset import Source
    from clamnet_tf.workflows.preparation import prepare_slices

    if (form != "cache") != bool(out):
        raise click.UsageError(
            "--format tfrecord or array_record needs --out FOLDER, and --out needs one of these formats."
        )
    if beam_options and runner != "beam":
        raise click.UsageError("--beam-option needs --runner beam.")
    reporter, started = Reporter(quiet=quiet), time.monotonic()
    recipe = load_recipe(recipe_name, overrides)
    source = Source(folder, labels, split_file, cache, any_modality)
    records = None if form == "cache" else (form, out)
    written = prepare_slices(
        recipe, source, reporter, records=records, beam=beam_options if runner == "beam" else None
    )
    done = "Written" if records else "Prepared"
    reporter.line(f"{done} in {time.monotonic() - started:.1f} s: {out or written}")
