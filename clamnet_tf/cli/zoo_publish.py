"""Define `clamnet-tf zoo publish`: make a run an entry, in a folder or on the Hugging Face Hub."""

import rich_click as click


@click.command()
@click.argument("run", type=click.Path())
@click.option(
    "--to",
    required=True,
    type=click.Path(),
    help="Folder with the entry's name, for example zoo/mri_carcinoma; or hf://OWNER/REPOSITORY[/NAME].",
)
@click.option(
    "--about",
    type=click.Path(),
    help="YAML with what the run cannot know: summary, licences, origin of the data, intended use, limits.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="One text of that file, for example weights_licence=...; may be repeated.",
)
@click.option(
    "--figures",
    type=click.Path(),
    help="metrics.json of an evaluation of these weights.  [default: RUN/evaluation/metrics.json]",
)
@click.option(
    "--kind",
    type=click.Choice(["marker", "organ"]),
    default="marker",
    show_default=True,
    help="marker: marks lesions; organ: finds the organ.",
)
@click.option(
    "--version",
    type=click.IntRange(min=1),
    help="Version of the entry; must be raised to replace one.  [default: 1]",
)
@click.option("--change", help="Line for the changelog; needed when an entry is replaced.")
@click.option(
    "--public",
    is_flag=True,
    help="Make a repository of the Hub that does not exist yet public; without this it is private.",
)
def publish(run, to, about, overrides, figures, kind, version, change, public):
    """Make a zoo entry from RUN: a finished and evaluated run folder, or an entry that was evaluated again
    (--figures).

    Texts that are not given are taken from the version that is replaced. The command refuses runs without
    metrics, metrics of other weights, entries without licences or origin of the data, and weights above 10
    MB.

    To hf://OWNER/REPOSITORY[/NAME] it uploads to the Hugging Face Hub, in one commit: a run or new figures as
    a version above the one there, an entry (folder or name) as it is. The token is that of HF_TOKEN or of
    `hf auth login`. Needs pip install 'clamnet-tf[hub]'.

    Example: clamnet-tf zoo publish runs/first --to zoo/mri_carcinoma --version 2 --change "Trained on more
    patients."
    """
    from clamnet_tf.quiet import silence
    from clamnet_tf.zoo.about import read_about

    silence()
    from clamnet_tf.export.heads_onnx import converter_is_installed
    from clamnet_tf.zoo.entry import is_entry
    from clamnet_tf.zoo.publish import Release, last_version, publish_again
    from clamnet_tf.zoo.publish import publish as publish_run

    if to.startswith("hf://"):
        from clamnet_tf.zoo.hub_publish import NewVersion, publish_to_hub

        new = NewVersion(about, overrides, figures, kind, version, change, converter_is_installed())
        _say_uploaded(to, *publish_to_hub(run, to, new, public=public), public)
        return
    if public:
        raise click.UsageError("--public belongs to --to hf://OWNER/REPOSITORY.")
    texts, release = read_about(about, overrides, last_version(to)), Release(version or 1, change)
    if is_entry(run):
        entry = publish_again(run, to, texts, release, figures_file=figures)
    else:
        entry = publish_run(
            run, to, texts, release, kind=kind, figures_file=figures, onnx=converter_is_installed()
        )
    click.echo(f"{to}: {_words(entry)}")
    if entry.weights.onnx is None:
        click.echo(_no_onnx(entry, to))


def _say_uploaded(to: str, entry, done, public: bool) -> None:
    """Print what was uploaded, and who can see it."""
    click.echo(f"{to}: {entry.name} {_words(entry)}")
    click.echo(f"Uploaded: {done.url}")
    seen = "private" if done.private else "public"
    click.echo(f"The repository is new and {seen}." if done.created else f"The repository is {seen}.")
    if public and done.private:
        click.echo("--public counts for a new repository; the settings of this one make it public.", err=True)
    if entry.weights.onnx is None:
        click.echo(_no_onnx(entry, "FOLDER", ", and publish the folder"))


def _no_onnx(entry, folder: str, then: str = "") -> str:
    """Say that an entry lacks model.onnx, and how to make it if that is possible."""
    if not entry.has_heads:
        return "It has no model.onnx: only TensorFlow, which predict needs, computes its gradients."
    return (
        f"It has no model.onnx, so that predict needs TensorFlow. To make it: pip install "
        f"'clamnet-tf[export]', then clamnet-tf zoo onnx {folder}{then}"
    )


def _words(entry) -> str:
    """Return version, size and headline of an entry."""
    metrics = entry.metrics
    if metrics.dice_volume is None:
        on = f"{metrics.outlined_slices} outlined slices"
    elif metrics.patients_with_lesion is None:
        on = f"{metrics.patients} patients"
    else:
        on = f"{metrics.patients_with_lesion} patients with a lesion"
    size = f"{entry.weights.bytes / 1e6:.1f} MB"
    return f"version {entry.version}, {size}, Dice {metrics.headline.value:.3f} on {on} of {metrics.data}"
