"""Define `clamnet-tf listen`: mark studies that scanners or archives send."""

import rich_click as click

from clamnet_tf.cli.prediction_options import SENT, any_modality_option, engine_option, format_option


@click.command()
@click.argument("model", metavar="MODEL", type=click.Path())
@click.option(
    "--out",
    type=click.Path(),
    required=True,
    help="Folder for images and results: new, empty, or begun by the same command, which then continues.",
)
@click.option("--title", default="CLAMNET", show_default=True, help="AE title of this service.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0: all.")
@click.option("--port", type=click.IntRange(1, 65535), default=11112, show_default=True, help="DICOM port.")
@click.option(
    "--accept",
    metavar="TITLE",
    multiple=True,
    help="AE title that may send images; may be repeated.  [default: all]",
)
@click.option(
    "--send",
    metavar="ADDRESS",
    help="Where results go: dicomweb://HOST/PATH, or dicom://AETITLE@HOST:PORT.  [default: nowhere]",
)
@format_option(f"As of predict.  [default: {','.join(SENT)}]")
@click.option(
    "--quiet-seconds",
    type=click.FloatRange(1),
    default=30.0,
    show_default=True,
    help="A study is complete when no image of it has arrived for so long.",
)
@click.option(
    "--keep-hours",
    type=click.FloatRange(0),
    default=24.0,
    show_default=True,
    help="Keep the images of a marked study for so long, for images that arrive late.",
)
@click.option(
    "--health-port",
    type=click.IntRange(1, 65535),
    default=11113,
    show_default=True,
    help="HTTP port of /health and /metrics, at the address of --host.",
)
@any_modality_option
@engine_option
def listen(
    model,
    out,
    title,
    host,
    port,
    accept,
    send,
    formats,
    quiet_seconds,
    keep_hours,
    health_port,
    any_modality,
    engine,
):
    """Receive studies by C-STORE, mark each with MODEL when it is complete, and send its results.

    A scanner, workstation or archive sends images to the AE title and port of this service. When nothing more
    of a study arrives it is marked as `predict` does, with results in OUT/<StudyInstanceUID>, and its
    segmentations, reports and pictures go to --send. A study that is sent again gives no second result; one
    to which images were added is marked again as a whole. The service may be killed and started again at any
    time.

    An image that cannot be kept is refused, so that its sender knows, and told in a line.

    GET /health answers 200, or 503 with the reason while results cannot be sent; GET /metrics is for
    Prometheus. C-STORE has neither encryption nor passwords here: listen in a protected network, and name the
    senders with --accept.

    Needs pip install 'clamnet-tf[dicom,pacs]'.

    Example: clamnet-tf listen runs/first --out results/ --host 0.0.0.0 --send dicom://PACS@pacs:104
    """
    import signal
    import threading

    from clamnet_tf.errors import UserInputError
    from clamnet_tf.inference.engine import choose_engine
    from clamnet_tf.pacs.peer import Peer, Receiver, parse_peer, require_pynetdicom
    from clamnet_tf.pacs.service_metrics import ServiceMetrics
    from clamnet_tf.prediction.dicom_seg import require_highdicom
    from clamnet_tf.prediction.fingerprint import fingerprint
    from clamnet_tf.prediction.progress_log import RECEIVED, check_folder
    from clamnet_tf.progress import Reporter
    from clamnet_tf.recipe.catalogue import load_recipe
    from clamnet_tf.zoo.organ_networks import organ_network_of
    from clamnet_tf.zoo.resolve import open_model
    from clamnet_tf.zoo.sequences import sequences_of_model

    if not 0 < len(title) <= 16:
        raise UserInputError(f"--title: expected an AE title of 1 to 16 characters; received {title!r}.")
    if send and formats and "dicom-seg" not in formats:
        raise UserInputError("--send: expected --format with dicom-seg, to which all that is sent refers.")
    require_pynetdicom()
    require_highdicom()
    destination = None
    if send:
        destination = Peer(parse_peer(send), title) if send.startswith("dicom://") else _archive(send)
    reporter = Reporter()
    run = open_model(model, reporter)
    recipe = load_recipe(str(run.recipe))
    out = check_folder(out)
    chosen_engine = choose_engine(engine, run)
    from clamnet_tf.prediction.mark_groups import Choice
    from clamnet_tf.workflows.listening import Listening
    from clamnet_tf.workflows.model_notes import load_announced
    from clamnet_tf.workflows.study_marking import StudyMarker

    trained, known = load_announced(run, recipe, chosen_engine, reporter)
    choice = Choice(formats or SENT, any_modality=any_modality, warnings=known.warnings, about=known.about)
    organ_network = organ_network_of(recipe, reporter, engine=engine)
    sequences = sequences_of_model(run.path, recipe)
    marker = StudyMarker(trained, recipe, out, fingerprint(run), choice, None, organ_network, sequences)
    receiver = Receiver(out / RECEIVED, title, accept)
    metrics = ServiceMetrics(receiver.waiting)
    receiver.on_image = metrics.images.inc

    def refused(reason):
        metrics.refused.inc()
        reporter.line(f"Refused: {reason}")

    receiver.on_refusal = refused
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    service = Listening(
        marker,
        receiver,
        metrics,
        reporter=reporter,
        destination=destination,
        quiet_seconds=quiet_seconds,
        keep_hours=keep_hours,
    )

    def start():
        receiver.start(host, port)
        reporter.line(f"Listening: {title} at {host}:{port}; http://{host}:{health_port}/health and /metrics")

    metrics.start(host, health_port)
    try:
        service.run(stop, start)
    finally:
        receiver.stop()
        metrics.stop()


def _archive(send):
    """Return the archive that results go to."""
    from clamnet_tf.pacs.address import parse_archive
    from clamnet_tf.pacs.archive import Archive
    from clamnet_tf.pacs.credentials import open_session, unprotected

    address = parse_archive(send, "--send")
    if warning := unprotected(address):
        click.echo(warning, err=True)
    return Archive(address, open_session(address))
