"""Make the JSON Schema of recipes, for editors and as the source of what messages say is expected."""

import functools

from clamnet_tf.recipe.schema import Recipe


@functools.cache
def json_schema() -> dict:
    """Return the JSON Schema (draft 2020-12) of a recipe: one shared dict, which callers must not change.

    Rules between several keys (`rules.py`) are not part of it.
    """
    return schema_of(Recipe, "clamnet-tf recipe")


def schema_of(model, title: str) -> dict:
    """Return the JSON Schema of a pydantic model made of closed sections."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **_without_titles(model.model_json_schema()),
    }


def field_schema(schema: dict, path) -> dict:
    """Return the part of `schema` at a path of keys and list indices; {} when there is none."""
    part = schema
    for step in path:
        for candidate in alternatives(schema, part):
            if isinstance(step, str) and step in candidate.get("properties", {}):
                part = candidate["properties"][step]
                break
            if isinstance(step, int) and candidate.get("type") == "array":
                fixed = candidate.get("prefixItems", [])
                part = fixed[step] if step < len(fixed) else candidate.get("items", {})
                break
        else:
            return {}
    return part


def alternatives(schema: dict, part: dict) -> list:
    """Return the schemas that `part` allows: the members of its anyOf, or itself; references resolved."""
    if "$ref" in part:
        part = schema["$defs"][part["$ref"].rsplit("/", 1)[1]]
    if "anyOf" in part:
        return [found for member in part["anyOf"] for found in alternatives(schema, member)]
    return [part]


def keys(schema: dict, path=()) -> list:
    """Return the keys of the section at `path`, in order; [] when it is no section."""
    for candidate in alternatives(schema, field_schema(schema, path)):
        if "properties" in candidate:
            return list(candidate["properties"])
    return []


def all_paths(schema: dict, path=()):
    """Return every path of keys below `path`, sections before their keys."""
    for key in keys(schema, path):
        yield (*path, key)
        yield from all_paths(schema, (*path, key))


def _without_titles(part):
    """Remove pydantic's titles of fields, which editors show in place of the description."""
    if isinstance(part, dict):
        return {
            key: {name: _without_titles(field) for name, field in value.items()}
            if key in ("properties", "$defs")
            else _without_titles(value)
            for key, value in part.items()
            if key != "title"
        }
    return [_without_titles(item) for item in part] if isinstance(part, list) else part
