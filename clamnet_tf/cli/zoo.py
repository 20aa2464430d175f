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

from clamnet_tf.cli.zoo_publish import publish

_WIDTH = 80
_HEAD = ("NAME", "KIND", "MODALITY", "CONDITION", "SIZE", "DICE (95 %)", "DATA")
_FLEXIBLE = (3, 6)  # indices of columns that may be cut, down to the width of their heading


@click.group()
def zoo():
    """List, show, verify, publish and pull trained networks, the entries of the zoo.

    An entry is a folder with the network, its recipe and a card. Entries are looked up in the packaged zoo,
    in the folders of $CLAMNET_TF_ZOO, among pulled entries, and in the registries of $CLAMNET_TF_REGISTRY.
    """


zoo.add_command(publish)
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
    from clamnet_tf.zoo.card import card_text
    from clamnet_tf.zoo.resolve import entry_at

    location = entry_at(name)
    entry = location.read()
    if as_json:
        click.echo(
            json.dumps({**entry.model_dump(mode="json"), "folder": str(location.folder.resolve())}, indent=2)
        )
        return
    click.echo(card_text(entry), nl=False)
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
@click.argument("folders", metavar="FOLDER...", type=click.Path(), nargs=-1, required=True)
def card(folders):
    """Write the header of entries' cards, from which the Hugging Face Hub takes licence, tags and metrics.

    The text below the header stays as it is, and so does the version. zoo publish writes it by itself;
    entries of earlier versions lack it.

    Example: clamnet-tf zoo card zoo/*
    """
    from clamnet_tf.zoo.card_header import renew_header

    for folder in folders:
        changed = renew_header(folder)
        path = os.path.join(folder, "README.md")
        click.echo(f"{path}: {'header written' if changed else 'has this header already'}")


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
