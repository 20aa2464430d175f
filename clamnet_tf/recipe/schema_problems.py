"""Turn pydantic's errors about a tree of nodes into Problems, for recipes, zoo entries and other files of
closed sections.
"""

from clamnet_tf.recipe.expected import advice_text, expected_text, received_text
from clamnet_tf.recipe.json_schema import field_schema, keys
from clamnet_tf.recipe.problems import Problem, dotted
from clamnet_tf.recipe.suggest import nearest, nearest_path


def schema_problems(schema, root, error, known):
    """Return one Problem per path from pydantic's errors, and the paths that cannot be used because of them.

    Args:
        schema: JSON Schema of the model.
        root: Node that was validated.
        error: pydantic's ValidationError.
        known: paths that are already reported.
    """
    unknown, others = [], []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        path = _data_path(schema, item["loc"])
        if item["type"] == "extra_forbidden":
            unknown.append(path)
        else:
            missing_entry = item["type"] == "missing" and isinstance(
                path[-1], int
            )  # of a pair: its length is wrong
            others.append(path[:-1] if missing_entry else path)
    problems, wrong = [], set()
    for path in unknown:
        near = nearest_path(schema, path)
        problems.append(_unknown_key(schema, root, path, near))
        wrong.add(path)
        if near and near[:-1] == path[:-1] and find(root, near) is None:
            wrong.add(near)  # it was most likely meant, so that its default says nothing
    outer = {other[:length] for other in others for length in range(len(other))}
    for path in dict.fromkeys(others):
        inside = path in outer  # a union: the kind fits, an entry does not
        if not inside and path not in known and path not in wrong:
            problems.append(_wrong_value(schema, root, path))
        wrong.add(path)
    return problems, wrong


def _data_path(schema, loc):
    """Return pydantic's location without the labels of union members: keys as long as they lead through
    sections, then indices.
    """
    path: tuple[str | int, ...] = ()
    in_section = True
    for part in loc:
        if in_section or isinstance(part, int):
            path = (*path, part)
            in_section = bool(keys(schema, path))
    return path


def _unknown_key(schema, root, path, near):
    section = f"of {dotted(path[:-1])} " if len(path) > 1 else ""
    advice = f"nearest valid key {dotted(near)}" if near else ""
    return Problem(
        place(root, path),
        path,
        f"a key {section}({', '.join(keys(schema, path[:-1]))})",
        ascii(path[-1][:60]),
        advice,
    )


def _wrong_value(schema, root, path):
    part = field_schema(schema, path)
    node = find(root, path)
    if node is None:
        advice = ""
        parent = find(root, path[:-1])
        near = (
            nearest(path[-1], [key for key in parent.value if key not in keys(schema, path[:-1])])
            if parent
            else None
        )
        if near:
            advice = f"is {dotted((*path[:-1], near))} meant for it?"
        return Problem(
            place(root, path), path, expected_text(schema, part), "nothing, and it has no default", advice
        )
    value = node.plain()
    return Problem(
        node.place, path, expected_text(schema, part), received_text(value), advice_text(schema, part, value)
    )


def find(root, path):
    """Return the node at `path`, or None when the tree does not hold it."""
    node = root
    for part in path:
        if (isinstance(node.value, dict) and part in node.value) or (
            isinstance(node.value, list) and isinstance(part, int) and part < len(node.value)
        ):
            node = node.value[part]
        else:
            return None
    return node


def place(root, path):
    """Return where `path` is written, or the nearest section around it."""
    while path and find(root, path) is None:
        path = path[:-1]
    return find(root, path).place
