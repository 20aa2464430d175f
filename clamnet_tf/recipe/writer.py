"""Write a Recipe as text, with every option and the drawn levels, and compute its hash."""

import hashlib
import json
import re

import yaml

from clamnet_tf.recipe.duplicates import draw_levels
from clamnet_tf.recipe.moved import before_moving
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.recipe.section import Section


def resolve(recipe: Recipe) -> Recipe:
    """Return the recipe with the levels drawn that were to be drawn at random; the same seed draws the same
    ones.
    """
    later = recipe.self_training
    if later.rounds:
        later = later.model_copy(update={"network": _resolved(later.network)})
    return recipe.model_copy(update={"network": _resolved(recipe.network), "self_training": later})


def _resolved(network):
    duplicate = network.duplicate
    if duplicate.levels != "random":
        return network
    levels = draw_levels(network.depth, duplicate.count, duplicate.seed)
    return network.model_copy(update={"duplicate": duplicate.model_copy(update={"levels": levels})})


def hashed_content(recipe: Recipe) -> dict:
    """Return the values that decide a recipe's result: the resolved recipe under the keys of 0.1.0
    (moved.py).
    """
    return before_moving(resolve(recipe).model_dump(mode="json"))


def recipe_hash(recipe: Recipe) -> str:
    """Return the sha256 (64 hexadecimal digits) of `hashed_content` as canonical JSON: sorted keys, no
    spaces, UTF-8.
    """
    text = json.dumps(
        hashed_content(recipe), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def to_yaml(recipe: Recipe) -> str:
    """Return the YAML of the resolved recipe as run folders keep it; reading it gives `resolve(recipe)`
    again.

    Keys that are newer than 0.1.0 are left out while they have their default (`section.without`).
    """
    return _header(recipe) + yaml_text(resolve(recipe).model_dump(mode="json"))


def to_full_yaml(recipe: Recipe) -> str:
    """Return the YAML of the resolved recipe with every key of the schema, in the schema's order, for
    readers.
    """
    return _header(recipe) + yaml_text(_every_key(resolve(recipe)))


def _header(recipe) -> str:
    return (
        f"# Resolved recipe {recipe.name}, written by clamnet-tf: every option in full, drawn levels "
        f"included.\n"
        f"# sha256 {recipe_hash(recipe)} (of its options; comments do not count)\n"
    )


def _every_key(value):
    """Return the plain values of a section and of the sections in it."""
    if isinstance(value, Section):
        return {key: _every_key(getattr(value, key)) for key in type(value).model_fields}
    if isinstance(value, dict):
        return {key: _every_key(child) for key, child in value.items()}
    return [_every_key(item) for item in value] if isinstance(value, (list, tuple)) else value


def yaml_text(data: dict) -> str:
    """Return the YAML of plain values in their order, with short lists in one line; the strict reader reads
    the same values.
    """
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


_SHORT = 40  # characters of a text in a list in one line
_LINE_BREAKS = re.compile("[\r\x85\u2028\u2029\ufeff]")


class _Dumper(yaml.SafeDumper):
    """Writes short lists in one line, no aliases, and quotes around text that YAML 1.2 reads as a number."""

    def ignore_aliases(self, data):
        return True

    def represent_text(self, data):
        style = '"' if _LINE_BREAKS.search(data) else None  # single quotes would fold them
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)

    def represent_list(self, data):
        long = any(isinstance(item, dict) or (isinstance(item, str) and len(item) > _SHORT) for item in data)
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=not long)


_Dumper.add_representer(str, _Dumper.represent_text)
_Dumper.add_representer(list, _Dumper.represent_list)
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?$"), list("-+.0123456789")
)
