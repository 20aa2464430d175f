"""Define `clamnet-tf zoo`: trained networks that are shipped, in your own folders, or offered by
registries.
"""

import json
import math
import os
import shutil
import sys
import textwrap

import rich_click as click

_WIDTH = 80
_HEAD = ("NAME", "KIND", "MODALITY", "CONDITION", "SIZE", "DICE (95 %)", "DATA")
_FLEXIBLE = (3, 6)  # indices of columns that may be cut, down to the width of their heading


@click.group()
def zoo():
    """List, show, verify, publish and pull trained networks, the entries of the zoo.

    An entry is a folder with the network, its recipe and a card. Entries are looked up in the packaged zoo,
    in the folders of $CLAMNET_TF_ZOO, among pulled entries, and in the registries of $CLAMNET_TF_REGISTRY.
    """


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")
_timeout = click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=20,
    show_default=True,
    help="Seconds without data after which a connection is given up.",
)


@zoo.command("list")
@_json
@click.option(
    "--remote", is_flag=True, help="Also ask the registries of $CLAMNET_TF_REGISTRY for what they offer."
)
@_timeout
def list_entries(as_json, remote, timeout):
    """List the entries on this machine: what they mark, how well, and on which data that was measured."""
    from clamnet_tf.errors import ZooError
    from clamnet_tf.zoo.catalogue import local_entries

    rows, unreadable = [], []
    for location in local_entries():
        try:
            rows.append({"source": location.source, "folder": str(location.folder), "entry": location.read()})
        except ZooError as error:
            unreadable.append(str(error))
    offers = _offers(timeout) if remote else []
    if as_json:
        entries = [{**_facts(row["entry"]), "source": row["source"], "folder": row["folder"]} for row in rows]
        click.echo(json.dumps(entries + offers, indent=2))
    else:
        for line in _table(rows):
            click.echo(line)
        for offer in offers:
            click.echo(
                f"{offer['name']} version {offer['version']}, {offer['bytes'] / 1e6:.1f} MB, offered by "
                f"{offer['source']}"
            )
    for message in unreadable:
        first_line, *further_lines = message.splitlines()
        hint = f" (and {len(further_lines)} more problems: clamnet-tf zoo verify)" if further_lines else ""
        click.echo(f"Not listed: {first_line}{hint}", err=True)


@zoo.command()
@click.argument("name")
@_json
def show(name, as_json):
    """Print the card of entry NAME (a name or a folder): metrics, data, licences, intended use and limits."""
    from clamnet_tf.zoo.card import card
    from clamnet_tf.zoo.resolve import entry_at

    location = entry_at(name)
    entry = location.read()
    if as_json:
        click.echo(
            json.dumps({**entry.model_dump(mode="json"), "folder": str(location.folder.resolve())}, indent=2)
        )
        return
    click.echo(card(entry), nl=False)
    click.echo(f"\nFolder: {location.folder.resolve()}")


@zoo.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
def verify(names):
    """Check entries (names or folders; all on this machine when none is given); the exit code is 1 if one is
    wrong.

    The checks cover the schema, sha256 and size of the weights, the declarations against recipe and network,
    the golden output, and the card.
    """
    from clamnet_tf.quiet import silence
    from clamnet_tf.zoo.catalogue import local_entries
    from clamnet_tf.zoo.resolve import entry_at

    entries = [entry_at(name) for name in names] if names else local_entries()
    silence()
    from clamnet_tf.zoo.verify import verify as check_entry

    failed = 0
    for location in entries:
        checks = check_entry(location.folder)
        wrong = [check for check in checks if check.problem]
        failed += bool(wrong)
        click.echo(
            f"{'WRONG' if wrong else 'OK':5}  {location.folder}  "
            f"({', '.join(check.name for check in checks if not check.problem)})"
        )
        for check in wrong:
            click.echo(textwrap.indent(f"{check.name}: {check.problem}", "       "))
    if failed:
        raise click.exceptions.Exit(1)


@zoo.command()
@click.argument("run", type=click.Path())
@click.option(
    "--to",
    required=True,
    type=click.Path(),
    help="Folder with the entry's name, for example zoo/mri_carcinoma.",
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
    default=1,
    show_default=True,
    help="Version of the entry; must be raised to replace one.",
)
@click.option("--change", help="Line for the changelog; needed when an entry is replaced.")
def publish(run, to, about, overrides, figures, kind, version, change):
    """Make a zoo entry from RUN: a finished and evaluated run folder, or an entry that was evaluated again
    (--figures).

    Texts that are not given are taken from the version that is replaced. The command refuses runs without
    metrics, metrics of other weights, entries without licences or origin of the data, and weights above 10
    MB.

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

    texts, release = read_about(about, overrides, last_version(to)), Release(version, change)
    if is_entry(run):
        entry = publish_again(run, to, texts, release, figures_file=figures)
    else:
        entry = publish_run(
            run, to, texts, release, kind=kind, figures_file=figures, onnx=converter_is_installed()
        )
    metrics = entry.metrics
    on = (
        f"{metrics.patients_with_lesion} patients with a lesion"
        if metrics.dice_volume
        else f"{metrics.outlined_slices} outlined slices"
    )
    measured = f"Dice {metrics.headline.value:.3f} on {on} of {metrics.data}"
    click.echo(f"{to}: version {entry.version}, {entry.weights.bytes / 1e6:.1f} MB, {measured}")
    if entry.weights.onnx is None:
        click.echo(
            f"It has no model.onnx, so that predict needs TensorFlow. To make it: pip install "
            f"'clamnet-tf[export]', then clamnet-tf zoo onnx {to}"
        )


@zoo.command()
@click.argument("folders", metavar="FOLDER...", type=click.Path(), nargs=-1, required=True)
def onnx(folders):
    """Write model.onnx beside model.keras of runs and entries, with which predict needs no TensorFlow.

    The file is compared with TensorFlow before it gets its name. An entry declares it, so its version is
    raised; zoo publish makes the file by itself. Needs pip install 'clamnet-tf[export]'.

    Example: clamnet-tf zoo onnx runs/first
    """
    from clamnet_tf.quiet import silence

    silence()
    from clamnet_tf.zoo.onnx_copy import add_onnx

    for folder in folders:
        difference = add_onnx(folder)
        path = os.path.join(folder, "model.onnx")
        click.echo(
            f"{path}: {os.path.getsize(path) / 1e6:.1f} MB; largest difference of a probability from "
            f"TensorFlow's {difference:.1g}"
        )


@zoo.command()
@click.argument("name")
@click.option(
    "--from",
    "registry",
    help="One registry instead of those of $CLAMNET_TF_REGISTRY: https://HOST/index.json or "
    "hf://OWNER/REPOSITORY[@REVISION].",
)
@_timeout
@click.option("--quiet", is_flag=True, help="Print errors only.")
def pull(name, registry, timeout, quiet):
    """Download the newest version of entry NAME from a registry; an interrupted download continues.

    sha256 and size of every file are checked; the entry is complete or not there at all.
    """
    from clamnet_tf.progress import Reporter
    from clamnet_tf.zoo.remote import configured_registries, open_registry, pull_first

    registries = [open_registry(registry, timeout)] if registry else configured_registries(timeout)
    folder = pull_first(registries, name, Reporter(quiet=quiet))
    if not quiet:
        click.echo(f"Pulled: {folder}")


@zoo.command()
@click.argument("folder", type=click.Path())
def index(folder):
    """Print the index of a registry: every entry below FOLDER with size and sha256 of its files.

    Put it as index.json beside the entries on an https server: clamnet-tf zoo index zoo > zoo/index.json
    """
    from clamnet_tf.zoo.index import make_index

    click.echo(json.dumps(make_index(folder), indent=2))


def _facts(entry) -> dict:
    """Return what lists show of an entry."""
    metrics = entry.metrics
    return {
        "name": entry.name,
        "version": entry.version,
        "kind": entry.kind,
        "modality": entry.modality,
        "condition": entry.condition,
        "summary": entry.summary,
        "bytes": entry.weights.bytes,
        "dice_volume": metrics.dice_volume and metrics.dice_volume.model_dump(),
        "dice_slice": metrics.dice_slice and metrics.dice_slice.model_dump(),
        "data": metrics.data,
        "simulated": metrics.simulated,
        "split": metrics.split,
        "patients": metrics.patients,
        "patients_with_lesion": metrics.patients_with_lesion,
        "patients_without_lesion": metrics.patients_without_lesion,
        "seed": metrics.seed,
        "markers": entry.markers
        and [{"name": section.name, **section.metrics.model_dump()} for section in entry.markers],
        "weights_licence": entry.weights.licence,
    }


def _offers(timeout) -> list[dict]:
    """Return what the configured registries offer."""
    from clamnet_tf.zoo.remote import configured_registries

    return [
        {"name": item.name, "version": item.version, "bytes": item.bytes, "source": registry.label}
        for registry in configured_registries(timeout)
        for item in registry.listing()
    ]


def _table(rows):
    """Yield lines no wider than the terminal (at least 80 columns; uncut in a pipe).

    A long name gets a line of its own; conditions and data sets are cut.
    """
    limited = sys.stdout.isatty() or "COLUMNS" in os.environ
    lines, room = (
        [_HEAD],
        max(_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns) if limited else math.inf,
    )
    for row in rows:
        entry, dice = row["entry"], row["entry"].metrics.headline
        interval = "" if dice.low is None else f" ({dice.low:.2f}-{dice.high:.2f})"
        columns = (f"{entry.weights.bytes / 1e6:.1f} MB", f"{dice.value:.2f}{interval}", entry.metrics.data)
        lines.append((entry.name, entry.kind, entry.modality, entry.condition, *columns))
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    widths[0] = min(widths[0], 16)
    for column in _FLEXIBLE:
        over = sum(widths) + 2 * (len(widths) - 1) - room
        widths[column] -= max(0, min(over, widths[column] - len(_HEAD[column])))
    for index, line in enumerate(lines):
        name, *cells_after_name = line
        if len(name) > widths[0]:
            yield name
            name = ""
        cells = [
            name,
            *(
                cell if len(cell) <= width else f"{cell[: width - 3].rstrip()}..."
                for cell, width in zip(cells_after_name, widths[1:])
            ),
        ]
        yield "  ".join(f"{cell:{width}}" for cell, width in zip(cells, widths)).rstrip()
        if index == 0 and len(lines) == 1:
            yield "(no entry)"
