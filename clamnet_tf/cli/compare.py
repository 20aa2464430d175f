"""Define `clamnet-tf compare`: compare runs or cross-validations on the same patients."""

from pathlib import Path

import rich_click as click

from clamnet_tf.errors import UserInputError


@click.command()
@click.argument("named", metavar="NAME=FOLDER,...", nargs=-1)
@click.option(
    "--baseline",
    "baselines",
    multiple=True,
    metavar="NAME",
    help="Also a method without a network, from the evaluations of the first name; may be repeated.",
)
@click.option(
    "--table", type=click.Path(), help="Also write one row per patient with a lesion to this CSV file."
)
@click.option("--of-table", type=click.Path(), help="Print the lines of a table that --table wrote.")
def compare(named, baselines, table, of_table):
    """Compare ways of marking, patient by patient; each is measured in one or several folders.

    NAME=FOLDER,...: folders of clamnet-tf folds, run folders of clamnet-tf fit, or folders of clamnet-tf
    evaluate; several folders of one name are put together, and every patient is in one of them. The others
    are compared with the first name.

    Printed are the mean Dice of the patients with a lesion, the same ones for every name, with 95 % bootstrap
    intervals over these patients, and paired differences and ratios; where no patient is fully outlined, the
    Dice of the outlined slices. For the patients without a lesion: how many are left unmarked, and how much
    of their organ is marked.

    Example: clamnet-tf compare recipe=folds/first supervised=folds/masks --baseline whole_organ
    """
    from clamnet_tf.study.folds.compare import compare as compare_folders
    from clamnet_tf.study.folds.compare import table_lines

    if of_table:
        if named or baselines or table:
            raise click.UsageError("--of-table takes neither names nor other options.")
        for line in table_lines(of_table):
            click.echo(line)
        return
    wrong = [text for text in named if "=" not in text]
    if wrong or not named:
        raise UserInputError(f"{wrong[0] if wrong else 'no folders'}: expected NAME=FOLDER,FOLDER..")
    folders: dict[str, list[Path]] = {}
    for text in named:
        name, _, own = text.partition("=")
        if name in folders:
            raise UserInputError(f"{text}: the name {name} is given twice; separate its folders by commas.")
        folders[name] = [Path(folder) for folder in own.split(",")]
    found = compare_folders(folders, baselines)
    for line in found.lines():
        click.echo(line)
    if not found.patients:
        raise UserInputError("no patient has an outlined lesion: there is no Dice to compare.")
    if table:
        found.write(table)
