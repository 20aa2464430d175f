"""Define `clamnet-tf predict`: masks, tables and pages for images, made with a trained run."""

import rich_click as click

from clamnet_tf.cli.prediction_options import (
    DEFAULT,
    FORMATS,
    SENT,
    any_modality_option,
    engine_option,
    format_option,
)


@click.command()
@click.argument("model", metavar="MODEL", type=click.Path())
@click.argument("inputs", metavar="INPUT...", type=click.Path(), nargs=-1, required=True)
@click.option(
    "--out",
    type=click.Path(),
    required=True,
    help="Folder for the results: new, empty, or begun by the same command, which then continues.",
)
@format_option(f"What to write: {', '.join(FORMATS)}.  [default: {DEFAULT}]")
@click.option(
    "--segmentation",
    type=click.Choice(["binary", "labelmap", "fractional"]),
    default="binary",
    show_default=True,
    help="For dicom-seg: the mask as one bit per segment or as a label map, or the probability of every "
    "pixel as 0 to 255.",
)
@click.option(
    "--rank",
    is_flag=True,
    help="Rank the volumes by how unsure the networks are: columns in volumes.csv, and worklist.csv.",
)
@click.option(
    "--uncertainty",
    is_flag=True,
    help="Also write how far the networks differ in each pixel, in the formats of the masks.",
)
@click.option(
    "--keep-identifiers",
    is_flag=True,
    help="Keep names of patients in names of results, tables, pages and messages.  [default: replaced]",
)
@any_modality_option
@engine_option
@click.option(
    "--server",
    metavar="URL",
    help="Get probabilities from this model server: http://HOST:8501/v1/models/NAME, or "
    "grpc://HOST:8500/NAME.  [default: computed here]",
)
@click.option(
    "--cache",
    type=click.Path(),
    help="Keep prepared slices in this folder, for further predictions of the same files.  [default: not "
    "kept]",
)
@click.option(
    "--send",
    metavar="ADDRESS",
    help="Store segmentations, reports and pictures in this archive: dicomweb://HOST/PATH. Needs an archive "
    f"as INPUT.  [--format by default: {','.join(SENT)}]",
)
@click.option("--quiet", is_flag=True, help="Print errors only.")
def predict(
    model,
    inputs,
    out,
    formats,
    segmentation,
    rank,
    uncertainty,
    keep_identifiers,
    any_modality,
    engine,
    server,
    cache,
    send,
    quiet,
):
    """Mark lesions in images, on their own grid, with MODEL (a run folder, or a zoo entry's name or folder).

    INPUT: image files (DICOM, NIfTI, PNG and the other formats of docs/how-to/formats.md) and folders of
    them, in any combination. The DICOM files of a series are one volume. So are pictures of one folder and
    size whose names differ only in a number at the end (head_1.png, head_2.png, ...), unless the model was
    trained on X-rays. For a model of several sequences (FLAIR, T1 ...), the series of a DICOM study and the
    files of a patient become the channels of one image (docs/how-to/sequences.md). A manifest CSV
    says itself which files belong together. DICOM objects that are not images (segmentations, structure sets,
    reports, localizers) and files named as outlines (_seg, _gt, labelsTr) are skipped.

    Volumes with a position in the patient are brought to axial slices for marking, however they are stored,
    and results return to the files' own grid. A series with several volumes (phases, echoes, b-values,
    acquisitions, fields of view) is split; copies count once; images that belong to no volume are set aside
    and listed.

    The results are the tables marks.csv (slices) and volumes.csv and, by format, in folders like those of the
    input: png <name>_mask.png and overlay <name>_overlay.png per slice; nifti <name>_mask.nii.gz, for DICOM
    with the patient's geometry; dicom-seg <name>_seg.dcm, for archives and viewers (pip install
    'clamnet-tf[dicom]'); dicom-sr <name>_sr.dcm, a structured report (TID 1500) with volume, longest diameter
    and score of each segment; dicom-sc <name>_sc/, overlays of the marked slices for viewers without
    segmentations; report report.html, a page to look through. A model with several lesion classes
    writes the class numbers (1, 2, ...) into masks, one segment per class into dicom-seg, one colour per
    class into overlays and pages, and further columns into the tables.

    --rank says what to correct next: worklist.csv lists the volumes, the most uncertain first, by the
    disagreement of heads and folds and the distance of the score to the cut. --uncertainty writes
    <name>_uncertainty.png, <name>_uncertainty.nii.gz or <name>_uncertainty_seg.dcm (fractional) beside the
    masks. Both need a model with several heads, or the average of a cross-validation (clamnet-tf folds).

    --engine onnxruntime computes the networks with ONNX Runtime, which starts much sooner than TensorFlow,
    from the model.onnx of a zoo entry or of a run (clamnet-tf zoo onnx RUN). Masks are those of
    TensorFlow, up to pixels whose probability equals the threshold within rounding.

    With --server the network runs on a model server (see clamnet-tf export); MODEL says how slices are
    prepared and marked, and must be the model that is served.

    When it is started as several processes (TF_CONFIG, or SLURM's srun) on storage that all of them see, each
    process marks its share of the volumes, and the first one writes the tables and pages over all.

    A folder of many studies is processed one volume at a time. If the command is killed, run it again: it
    continues where it stopped. Failures are listed at the end. The exit code is 1 when some inputs could not
    be used, 2 when none could.

    INPUT may also be an archive (PACS) that speaks DICOMweb, with a search:
    dicomweb://HOST/PATH?StudyInstanceUID=... (or PatientID, AccessionNumber, Modality, StudyDate=FIRST-LAST).
    Studies are fetched and marked one at a time, and --send stores their segmentations, reports and
    pictures. Credentials come from the environment or the file netrc, see docs/how-to/pacs.md (pip install
    'clamnet-tf[dicom,pacs]').

    From DICOM headers only geometry and UIDs are written. Where names of folders and files repeat the
    patient's name, ID, birth date, accession number or institution, these become patient1, hidden1 and so on.
    Names that no header repeats are your own and stay, and so do words in the pixels. Exception: dicom-seg
    objects contain patient and study of their source, as the standard demands; an archive could not file them
    otherwise.

    Example: clamnet-tf predict runs/first studies/ scan.nii.gz --format dicom-seg,report --out marked/
    """
    from clamnet_tf.datasets.unlabelled_inputs import find_inputs
    from clamnet_tf.inference.engine import choose_engine
    from clamnet_tf.prediction.fingerprint import fingerprint
    from clamnet_tf.prediction.progress_log import check_folder
    from clamnet_tf.progress import Reporter
    from clamnet_tf.recipe.catalogue import load_recipe
    from clamnet_tf.runtime.process_group import named_process_group
    from clamnet_tf.zoo.organ_networks import organ_network_of
    from clamnet_tf.zoo.resolve import open_model
    from clamnet_tf.zoo.sequences import sequences_of_model

    process_group = named_process_group()
    reporter = Reporter(quiet=quiet or process_group.index > 0)
    run = open_model(model, reporter)
    recipe = load_recipe(str(run.recipe))
    out = check_folder(out)
    archives, formats = _archives(inputs, send, formats, process_group)
    if any(name.startswith("dicom") for name in formats):
        from clamnet_tf.prediction.dicom_seg import require_highdicom

        require_highdicom()
    sequences = sequences_of_model(run.path, recipe)
    if not archives:
        input_files = find_inputs(
            inputs,
            stacks=recipe.modality != "xray",
            keep_identifiers=keep_identifiers,
            sequences=sequences,
        )
        reporter.line(
            f"Input: {len(input_files.manifest.cases)} files in {len(set(input_files.volumes))} volumes "
            f"below {input_files.hide(str(input_files.manifest.root))}"
        )
        for line in input_files.manifest.account:
            reporter.line(f"  {line}")
    chosen_engine = choose_engine(engine, run)
    from clamnet_tf.prediction.predict import Choice, predict_inputs
    from clamnet_tf.workflows.model_notes import load_announced

    trained, known = load_announced(run, recipe, chosen_engine, reporter)
    if server:
        trained = _with_server(server, trained, run, recipe)
        reporter.line(f"Probabilities: from {server}")
    choice = Choice(
        formats,
        segmentation,
        keep_identifiers,
        any_modality,
        rank,
        uncertainty,
        warnings=known.warnings,
        about=known.about,
    )
    organ_network = organ_network_of(recipe, reporter, engine=engine)
    if archives:
        from clamnet_tf.workflows.study_marking import StudyMarker, predict_studies

        source, search, destination = archives
        outcome = predict_studies(
            StudyMarker(trained, recipe, out, fingerprint(run), choice, cache, organ_network, sequences),
            source,
            search,
            reporter=reporter,
            destination=destination,
        )
    else:
        outcome = predict_inputs(
            trained,
            recipe,
            input_files,
            out=out,
            reporter=reporter,
            model=fingerprint(run),
            choice=choice,
            cache=cache,
            organ_network=organ_network,
            process_group=process_group,
        )
    if not process_group.index:
        _report(outcome, reporter, out, rank, "studies" if archives else "volumes", recipe.modality)


def _report(outcome, reporter, out, rank, unit, modality) -> None:
    """Print what was marked; exit with code 1 when some inputs could not be used."""
    from clamnet_tf.datasets.problems import listed
    from clamnet_tf.datasets.unlabelled_inputs import RESULT_TABLE
    from clamnet_tf.prediction.report import INDEX
    from clamnet_tf.prediction.tables import WORKLIST, totals
    from clamnet_tf.reporting.image_words import in_words_of

    if outcome.resumed:
        reporter.line(f"Continued in {out}: {outcome.resumed} of the {unit} were finished already")
    marked = f"Marked: {outcome.marked_slices} of {outcome.slices} slices"
    reporter.line(in_words_of(modality, marked))
    for line in totals(outcome.volumes):
        reporter.line(line)
    if outcome.notes:
        reporter.line(f"Notes on the images:\n{listed(outcome.notes, 10)}")
    reporter.line(f"Results: {out}")
    reporter.line(f"Table: {out / RESULT_TABLE}")
    if (out / INDEX).is_file():
        reporter.line(f"Page: {out / INDEX}")
    if rank:
        reporter.line(f"What to correct first: {out / WORKLIST}")
    if outcome.failures:
        click.echo(
            f"Error: {len(outcome.failures)} of the inputs could not be used:\n{listed(outcome.failures)}",
            err=True,
        )
        raise click.exceptions.Exit(1)


def _archives(inputs, send, formats, process_group):
    """Return (archive with the studies, search, archive for results or None) and the formats to write.

    The first is None when the inputs are files.
    """
    from clamnet_tf.errors import UserInputError
    from clamnet_tf.pacs.address import is_archive, parse_archive, parse_search
    from clamnet_tf.pacs.credentials import DESTINATION, SOURCE, open_session, unprotected

    if not any(map(is_archive, inputs)):
        if send:
            raise UserInputError(
                "--send: expected an archive (dicomweb://...) as INPUT; received files. The segmentations of "
                "files are in the output folder; send them with the tools of the archive."
            )
        return None, formats
    if len(inputs) > 1 or process_group.count > 1:
        raise UserInputError(
            "INPUT: expected one archive and one process; received "
            f"{len(inputs)} inputs and {process_group.count} process(es). Start one command per archive."
        )
    if send and formats and "dicom-seg" not in formats:
        raise UserInputError("--send: expected --format with dicom-seg, to which all that is sent refers.")
    from clamnet_tf.pacs.archive import Archive

    source, search = parse_search(inputs[0])
    addresses = [source, *([parse_archive(send, "--send")] if send else [])]
    archives = []
    for address in addresses:
        if warning := unprotected(address):
            click.echo(warning, err=True)
        same_host = address.host == source.host
        archives.append(Archive(address, open_session(address, SOURCE if same_host else DESTINATION)))
    destination = archives[1] if send else None
    return (archives[0], search, destination), formats or (SENT if send else ())


def _with_server(server, trained, run, recipe):
    """Return `trained` with a model server in place of its network."""
    import dataclasses

    from clamnet_tf.recipe.writer import recipe_hash
    from clamnet_tf.serving.served_probability import served_probability

    served = served_probability(
        server,
        run=run,
        recipe_sha256=recipe_hash(recipe),
        predictor=trained.probability,
        side=recipe.data.side,
    )
    return dataclasses.replace(trained, probability=served)
