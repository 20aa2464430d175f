"""Put overrides (`--set network.depth=3`) into the tree of a recipe file before it is validated.

An override is read as strictly as the file. The problems of file and overrides are reported together, each
with its own place. Keys of 0.1.0 are accepted (moved.py).
"""

from clamnet_tf.recipe.json_schema import json_schema, keys
from clamnet_tf.recipe.moved import present_path
from clamnet_tf.recipe.problems import Place, Problem
from clamnet_tf.recipe.reader import UNREADABLE, Node, read_value

_EXAMPLE = "for example --set network.depth=3"


def apply_overrides(root: Node, overrides) -> list:
    """Put overrides ("path.to.key=value", in this order) into the tree; return the Problems of their text."""
    problems, seen = [], {}
    for rank, text in enumerate(overrides, start=1):
        path_text, equals, value_text = text.partition("=")
        path_text = path_text.strip()
        place = Place(f"--set {path_text}", rank=rank)
        path = present_path(path_text.split("."))
        if not equals or not all(path):
            problems.append(
                Problem(
                    Place(f"--set {text}", rank=rank),
                    (),
                    "a key with dots, =, and a value",
                    repr(text),
                    _EXAMPLE,
                )
            )
            continue
        if path in seen:
            problems.append(Problem(place, path, "each key once", "it again", "remove one of the overrides"))
            continue
        seen[path] = place
        if not value_text.strip():
            problems.append(
                Problem(
                    place, path, "a value after =", "none", "write null for nothing, '' for an empty text"
                )
            )
            continue
        node, found = read_value(value_text, place, path)
        if node is not None and isinstance(node.value, dict):
            example = f"{path_text}.{next(iter(node.value), 'key')}=..."
            found.append(
                Problem(
                    place,
                    path,
                    "a single value or a list",
                    "a mapping",
                    f"set its keys one by one: --set {example}",
                )
            )
            node = None
        problems += found
        problems += _graft(root, path, node or Node(place, UNREADABLE), place)
    return problems


def _graft(root, path, leaf, place):
    """Put `leaf` at `path`; sections that are missing or null come into being."""
    node = root
    for depth, key in enumerate(path[:-1], start=1):
        child = node.value.get(key)
        if child is None or child.value is None:
            child = node.value[key] = Node(place, {})
        if not isinstance(child.value, dict):
            return _in_the_way(child, path, depth, place)
        node = child
    node.value[path[-1]] = leaf
    return []


def _in_the_way(child, path, depth, place):
    """Return the problem of an override that leads through a plain value; none when that value is itself a
    problem.
    """
    if child.value is UNREADABLE or keys(json_schema(), path[:depth]):
        return []
    through = ".".join(path[:depth])
    advice = f"set it whole: --set {through}=" + ("[...]" if isinstance(child.value, list) else "...")
    return [Problem(place, path, "the path of a key", f"a path into the value of {through}", advice)]
