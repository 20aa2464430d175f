"""Define `clamnet-tf data-service`: processes that make training batches for others."""

import rich_click as click


@click.command()
@click.option(
    "--workers",
    type=click.IntRange(0),
    default=2,
    show_default=True,
    help="Worker processes on this machine.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=5050,
    show_default=True,
    help="Port of the dispatcher; 0 for any free one.",
)
@click.option(
    "--dispatcher",
    metavar="HOST:PORT",
    help="Join this dispatcher instead of starting one: for workers on further machines.",
)
@click.option(
    "--host", default="localhost", show_default=True, help="Name under which trainings reach this machine."
)
def data_service(workers, port, dispatcher, host):
    """Make training batches for other processes (tf.data service), until Ctrl-C or SIGTERM.

    The command prints the address that a recipe takes as runtime.data_service. Trainings get the same batches
    as without the service, and therefore the same weights; the service helps where a training waits for its
    batches. Workers read prepared slices from the cache folder, which they must see under the same path as
    the training. A worker that dies is started again; trainings continue meanwhile.

    Anyone who can reach these ports can run TensorFlow graphs here and read files: use the service only in
    networks that you trust, behind a firewall.

    Example: clamnet-tf data-service --workers 2, then clamnet-tf fit mri_carcinoma --set
    runtime.data_service=grpc://localhost:5050
    """
    from clamnet_tf.quiet import silence
    from clamnet_tf.runtime.data_servers import keep_working, start_dispatcher, work

    silence()
    if dispatcher and workers == 1:
        return work(dispatcher, host, 0)
    server = None
    if not dispatcher:
        server = start_dispatcher(port)
        dispatcher = f"{host}:{server.target.rsplit(':', 1)[1]}"
    click.echo(f"runtime.data_service: grpc://{dispatcher}")
    keep_working(dispatcher, host, workers, lambda line: click.echo(line))
    del server
