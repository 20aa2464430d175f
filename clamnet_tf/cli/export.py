"""Define `clamnet-tf export`: a trained network for TensorFlow Serving, LiteRT or ONNX."""

import rich_click as click

FORMATS = ("savedmodel", "litert", "onnx")


@click.command()
@click.argument("model", metavar="MODEL", type=click.Path())
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    required=True,
    help="savedmodel: TensorFlow Serving; litert: small devices; onnx: onnxruntime.",
)
@click.option(
    "--out",
    type=click.Path(),
    required=True,
    help="Folder: <out>/<name>/<version>/ of a SavedModel, <out>/<name>.tflite or .onnx with a .json.",
)
@click.option(
    "--head",
    type=int,
    help="Export only this head, without the nodes it does not need.  [default: as in the recipe]",
)
@click.option(
    "--dicom",
    is_flag=True,
    help="savedmodel: also accept DICOM files; needs tensorflow-io (TensorFlow 2.17) here and on the server.",
)
@click.option("--int8", is_flag=True, help="litert: 8-bit weights and activations; needs --calibrate.")
@click.option(
    "--calibrate",
    type=click.Path(exists=True),
    help="litert --int8: folder of images (labelled or not) or of prepared slices.",
)
@click.option(
    "--cache",
    type=click.Path(),
    help="Folder of prepared slices.  [default: $CLAMNET_TF_CACHE or ~/.cache/clamnet_tf]",
)
@click.option("--quiet", is_flag=True, help="Print errors only.")
def export(model, kind, out, head, dicom, int8, calibrate, cache, quiet):
    """Export MODEL (a run folder, or a zoo entry's name or folder) for other runtimes.

    The export is checked in a fresh process before it gets its name. contract.json (of a SavedModel: in
    assets/) says what the model takes and gives. Masks of single slices are made with a fixed threshold; the
    post-processing of volumes is done only by clamnet-tf itself: clamnet-tf predict MODEL --server URL.

    Example: clamnet-tf export zoo/mri_carcinoma --format savedmodel --out models/
    """
    if dicom and kind != "savedmodel":
        raise click.UsageError(f"--dicom belongs to --format savedmodel; received --format {kind}.")
    if (int8 or calibrate) and kind != "litert":
        raise click.UsageError(f"--int8 and --calibrate belong to --format litert; received --format {kind}.")
    if int8 != bool(calibrate):
        raise click.UsageError("--int8 needs --calibrate FOLDER, and --calibrate needs --int8.")
    from clamnet_tf.progress import Reporter
    from clamnet_tf.quiet import silence
    from clamnet_tf.recipe.catalogue import load_recipe
    from clamnet_tf.zoo.resolve import open_model

    reporter = Reporter(quiet=quiet)
    run = open_model(model, reporter)
    recipe = load_recipe(str(run.recipe))
    silence()
    from clamnet_tf.evaluation.calibration_slices import calibration_slices
    from clamnet_tf.export.source import source_of
    from clamnet_tf.inference.trained_model import load_trained_model

    source = source_of(run, recipe, load_trained_model(run, recipe), head)
    cuts = ", ".join(f"{threshold:.3f}" for threshold in source.thresholds)
    reporter.line(
        f"Model: {run.path} (recipe {recipe.name}, head {source.identity.head}); threshold {cuts}: "
        f"{source.rule}"
    )
    if kind == "savedmodel":
        from clamnet_tf.export.saved_model import export_savedmodel

        written = export_savedmodel(source, out, dicom=dicom)
    elif kind == "onnx":
        from clamnet_tf.export.onnx import export_onnx

        written = export_onnx(source, out)
    else:
        from clamnet_tf.export.litert import export_litert

        slices = calibration_slices(calibrate, recipe, cache=cache, reporter=reporter) if int8 else None
        written = export_litert(source, out, slices=slices)
    for line in written.notes:
        reporter.line(f"  {line}")
    reporter.line(f"Written: {written.path}")
