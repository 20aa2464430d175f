"""Define `clamnet-tf recipe`: list the shipped recipes, and check your own."""

import json
import textwrap

import rich_click as click

_WIDTH = 80
_INDENT = "    "


@click.group()
def recipe():
    """List, show and check recipes: the YAML files that define everything about a run."""


_overrides = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override one key, for example network.dropout=0.1; may be repeated.",
)


@recipe.command("list")
def list_recipes():
    """List the shipped recipes."""
    from clamnet_tf.recipe.catalogue import load_recipe, recipe_names

    rows = [("NAME", "MODALITY", "CONDITION", "")]
    for name in recipe_names():
        loaded = load_recipe(name)
        rows.append((name, loaded.modality, loaded.condition, loaded.description))
    for line in table(rows):
        click.echo(line)


def table(rows, width=_WIDTH):
    """Yield lines of at most `width` columns: per row one line with name, modality and condition (cut
    at a word boundary if necessary), and the description on indented lines below.
    """
    name_width, modality_width = (max(len(row[column]) for row in rows) for column in range(2))
    room = max(width - name_width - modality_width - 4, 3)
    for name, modality, condition, description in rows:
        short = textwrap.shorten(condition, room, placeholder="...")
        yield f"{name:{name_width}}  {modality:{modality_width}}  {short}".rstrip()
        yield from textwrap.wrap(description, width, initial_indent=_INDENT, subsequent_indent=_INDENT)


@recipe.command()
@click.argument("name")
@_overrides
def show(name, overrides):
    """Print recipe NAME (a shipped name or a path) in full: every key, with defaults, overrides and drawn
    levels.
    """
    from clamnet_tf.recipe.catalogue import load_recipe
    from clamnet_tf.recipe.writer import to_full_yaml

    click.echo(to_full_yaml(load_recipe(name, overrides)), nl=False)


@recipe.command()
@click.argument("file")
@_overrides
def validate(file, overrides):
    """Check FILE (a path or a shipped name): print OK and its hash, or all its problems with exit code 2."""
    from clamnet_tf.recipe.catalogue import load_recipe
    from clamnet_tf.recipe.writer import recipe_hash

    checked = load_recipe(file, overrides)
    click.echo(f"OK {file}: recipe {checked.name}, sha256 {recipe_hash(checked)}")


@recipe.command()
def schema():
    """Print the JSON Schema (draft 2020-12) of a recipe, for editors.

    With the YAML language server: clamnet-tf recipe schema > recipe.schema.json, then open the recipe with
    the line "# yaml-language-server: $schema=recipe.schema.json".
    """
    from clamnet_tf.recipe.json_schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
