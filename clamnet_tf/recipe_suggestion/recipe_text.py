"""Write a suggested recipe as YAML: what differs from the defaults, with the reason beside each choice."""

from collections.abc import Sequence
from typing import Any

import yaml
from pydantic import ValidationError

from clamnet_tf.recipe.catalogue import load_recipe, recipe_of
from clamnet_tf.recipe.section import Section
from clamnet_tf.recipe_suggestion.choices import Choice

WIDTH = 120  # characters of a line with its remark; a longer remark goes above its key
#: Keys that are written even where they have their default, since a reader looks for them.
ALWAYS = ("data.side", "data.normalization", "organ.method", "pairs.matching.on", "selection.prevalence")


def suggested_yaml(
    name: str, condition: str, modality: str, base: str, choices: Sequence[Choice], head: list[str]
):
    """Return (YAML of the recipe, the choices that it holds).

    Args:
        name: name of the recipe.
        condition: what is marked.
        modality: ct, mri or xray.
        base: name of the shipped recipe that the choices change.
        choices: the keys that differ from it.
        head: lines of the comment at the top.

    Raises:
        RecipeError: the choices contradict one another.
    """
    shipped = load_recipe(base)
    content = shipped.model_dump(mode="json")
    content |= {
        "name": name,
        "modality": modality,
        "condition": condition,
        "description": f"Suggested by clamnet-tf init; begins with {base}.",
    }
    for choice in choices:
        _set(content, choice.key, choice.value)
    checked = recipe_of(yaml.safe_dump(content, allow_unicode=True))
    least = _beside_defaults(checked)
    kept = []
    for choice in choices:
        written = _get(least, choice.key) is not _ABSENT
        if written or choice.key in ALWAYS:
            kept.append(choice)
            if not written:
                _set(least, choice.key, choice.value)
    remarks = {choice.key: choice.reason for choice in kept}
    lines = [f"# {line}".rstrip() for line in head]
    for key, value in least.items():
        if isinstance(value, dict) or not lines or key == "name":
            lines.append("")
        lines += _lines(key, value, key, 0, remarks)
    text = "\n".join(lines) + "\n"
    recipe_of(text)
    return text, kept


_ABSENT = object()


def _get(content: dict, key: str) -> Any:
    for name in key.split("."):
        if not isinstance(content, dict) or name not in content:
            return _ABSENT
        content = content[name]
    return content


def _set(content: dict, key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for name in sections:
        if not isinstance(content.get(name), dict):
            content[name] = {}
        content = content[name]
    content[last] = value


def _beside_defaults(section: Section) -> dict:
    """Return what of a section differs from its defaults, nested."""
    least, content = {}, section.model_dump(mode="json")
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        if isinstance(value, Section):
            inner = _beside_defaults(value)
            if default is None or _differs(value, default):
                least[name] = inner if default is not None or _has_defaults(value) else content[name]
        elif field.is_required() or value != default:
            least[name] = content.get(name, value)
    return least


def _differs(value: Section, default: Any) -> bool:
    return value != default


def _has_defaults(section: Section) -> bool:
    """Return whether a section can be written without any key."""
    try:
        type(section)()
    except ValidationError:
        return False
    return True


def _lines(key: str, value: Any, path: str, depth: int, remarks: dict[str, str]):
    """Yield the lines of one key, with its remark."""
    indent, remark = "  " * depth, remarks.get(path)
    name = f'"{key}"' if key == "on" else key  # YAML 1.1 tools take on for true
    nested = isinstance(value, dict) and bool(value) and not (remark and _is_flat(value))
    if nested:
        head = f"{indent}{name}:"
    else:
        flow = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
        head = f"{indent}{name}: {flow.strip().removesuffix('...').strip()}"
    if remark and len(head) + len(remark) + 3 > WIDTH:
        yield f"{indent}# {remark}"
        yield head
    else:
        yield f"{head} # {remark}" if remark else head
    if nested:
        for inner, inner_value in value.items():
            yield from _lines(inner, inner_value, f"{path}.{inner}", depth + 1, remarks)


def _is_flat(value: dict) -> bool:
    return not any(isinstance(each, (dict, list)) for each in value.values())
