"""Define `clamnet-tf recipe`: list the shipped recipes, and check your own."""

import json
import textwrap

import rich_click as click

_WIDTH = 80


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

    rows = [("NAME", "MODALITY", "CONDITION", "DESCRIPTION")]
    for name in recipe_names():
        loaded = load_recipe(name)
        rows.append((name, loaded.modality, loaded.condition, loaded.description))
    for line in table(rows):
        click.echo(line)


def table(rows, width=_WIDTH):
    """Yield lines of at most `width` columns: names in full, the other columns cut at a word boundary if
    necessary.
    """
    name_width, modality_width, condition_width = (
        max(len(row[column]) for row in rows) for column in range(3)
    )
    condition_width = min(condition_width, 20, max(width - name_width - modality_width - 4, 3))
    room = width - name_width - modality_width - condition_width - 6
    for name, modality, condition, description in rows:
        short = textwrap.shorten(condition, condition_width, placeholder="...")
        line = f"{name:{name_width}}  {modality:{modality_width}}  {short:{condition_width}}"
        if room >= 12:
            line += "  " + textwrap.shorten(description, room, placeholder="...")
        yield line.rstrip()


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
