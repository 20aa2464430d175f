"""Define `clamnet-tf init`: look at a folder of images and write a recipe that fits them."""

import rich_click as click

from clamnet_tf.cli.label_options import label_options


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path())
@label_options
@click.option(
    "--modality", type=click.Choice(["ct", "mri", "xray"]), help="How the images were made.  [default: asked]"
)
@click.option(
    "--region",
    type=click.Choice(["head", "chest", "abdomen", "breast", "bone", "other", "patch"]),
    help="Part of the body; patch: small fields of view cut around a place.  [default: asked]",
)
@click.option(
    "--lesion",
    type=click.Choice(["brighter", "darker", "shape"]),
    help="What a lesion differs by: brighter or darker than normal tissue at its place, or its shape.  "
    "[default: asked]",
)
@click.option(
    "--size",
    metavar="LOW-HIGH",
    help="Percentage of the organ that a lesion fills where there is one, such as 1-8.  [default: asked]",
)
@click.option("--condition", help="What is marked, such as pneumonia.  [default: the class folder's name]")
@click.option("--yes", is_flag=True, help="Take the proposed answer of every question that has one.")
@click.option("--out", type=click.Path(), help="File of the recipe.  [default: named after DIR, here]")
@click.option(
    "--write-labels",
    "label_table",
    type=click.Path(),
    help="Write a table with a row per image for you to fill in labels, and no recipe.",
)
def init(folder, labels, modality, region, lesion, size, condition, yes, out, label_table):
    """Look at the images in DIR, say what they are, and write a recipe that fits them.

    DIR is a folder of images with labels (see `clamnet-tf data inspect --help`), or a manifest.csv. What the
    images do not say is asked, at most four questions, or given by options. Each choice in the recipe has its
    reason beside it. Nothing is trained.

    Example: clamnet-tf init studies/ --modality xray --region chest --lesion brighter --size 20-80
    """
    from pathlib import Path

    from clamnet_tf.progress import Reporter
    from clamnet_tf.workflows.suggestion import Given, suggest, write_labels

    if label_table:
        write_labels(Path(folder), labels, Path(label_table), Reporter())
        return
    given = Given(modality, region, lesion, size, condition)
    suggest(Path(folder), labels, given, _ask_at_terminal(yes), Path(out) if out else None, Reporter())


def _ask_at_terminal(take_proposed: bool):
    """Return the function that asks a question of `suggest`."""

    def ask(option, question, allowed, proposed):
        if take_proposed and proposed is not None:
            click.echo(f"{question} [{proposed}] (--{option})")
            return proposed
        try:
            if allowed:
                return click.prompt(question, type=click.Choice(allowed), default=proposed)
            return click.prompt(question, value_proc=_size, default=proposed)
        except click.Abort:
            choices = f" {'|'.join(allowed)}" if allowed else " LOW-HIGH, such as 1-8"
            raise click.UsageError(
                f"{question} Nobody answered; say it with --{option}{choices}"
                + (", or take what is proposed with --yes." if proposed is not None else ".")
            ) from None

    return ask


def _size(text: str) -> str:
    """Return the answer when it is a range of percentages; otherwise the question is asked again."""
    from clamnet_tf.errors import UserInputError
    from clamnet_tf.recipe_suggestion.answers import read_size

    try:
        read_size(text)
    except UserInputError as error:
        raise click.BadParameter(str(error)) from error
    return text
