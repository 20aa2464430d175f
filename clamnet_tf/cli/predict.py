"""`clamnet-tf predict`: masks and overlays for images, by a trained run."""

import rich_click as click


@click.command()
@click.argument("model", metavar="MODEL", type=click.Path())
@click.argument("inputs", metavar="INPUT...", type=click.Path(), nargs=-1, required=True)
@click.option("--out", type=click.Path(), required=True, help="New or empty folder for masks, overlays and marks.csv.")
@click.option("--cache", type=click.Path(), help="Keep prepared slices in this folder, for more predictions of the same files.  [default: nothing is kept]")
@click.option("--quiet", is_flag=True, help="Print errors only.")
def predict(model, inputs, out, cache, quiet):
    """Mark lesions in images, on their own grid, with MODEL (a run folder).

    INPUT: image files (DICOM, NIfTI, PNG, JPEG, TIFF, npy) and folders of them, in any mix. The DICOM files of a series
    are one volume, and so are pictures of one folder and size that are named alike but for a number at the end
    (head_1.png, head_2.png ...), unless the model was trained on X-rays. A manifest CSV says itself what belongs together.

    Written are <name>_mask.png and <name>_overlay.png per slice (for NIfTI <name>_mask.nii.gz), in folders like
    those of the input, and the tables marks.csv (slices) and volumes.csv. Exit code 1 when some inputs could not be
    used, 2 when none could.

    Example: clamnet-tf predict runs/first patient7/ scan.nii.gz --out marked/
    """
    from clamnet_tf.data.inputs import RESULT_TABLE, find_inputs
    from clamnet_tf.data.manifest import listed
    from clamnet_tf.progress import Reporter
    from clamnet_tf.quiet import silence
    from clamnet_tf.recipe.catalogue import load_recipe
    from clamnet_tf.runs import RunFolder, check_output

    run = RunFolder.open_finished(model)
    recipe = load_recipe(str(run.recipe))
    out = check_output(out)
    reporter = Reporter(quiet=quiet)
    found = find_inputs(inputs, stacks=recipe.modality != "xray")
    reporter.line(f"Input: {len(found.manifest.cases)} files in {len(set(found.volumes))} volumes below {found.manifest.root}")
    for line in found.manifest.account:
        reporter.line(f"  {line}")
    silence()
    from clamnet_tf.evaluation.predict import predict_inputs, totals
    from clamnet_tf.evaluation.trained import load_trained

    trained = load_trained(run, recipe)
    reporter.line(f"Model: {run.path} (recipe {recipe.name}, step {trained.step}); threshold {trained.marking.threshold:.3f}: {trained.marking.rule}")
    outcome = predict_inputs(trained, recipe, found, out=out, reporter=reporter, cache=cache)
    reporter.line(f"Marked: {sum(row['marked_px'] > 0 for row in outcome.slices)} of {len(outcome.slices)} slices")
    for line in totals(outcome):
        reporter.line(line)
    if outcome.notes:
        reporter.line(f"Notes on the images:\n{listed(outcome.notes, 10)}")
    reporter.line(f"Masks and overlays: {out}")
    reporter.line(f"Table: {out / RESULT_TABLE}")
    if outcome.failures:
        click.echo(f"Error: {len(outcome.failures)} of the inputs could not be used:\n{listed(outcome.failures)}", err=True)
        raise click.exceptions.Exit(1)
