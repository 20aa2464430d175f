"""A tree of nodes -> a Recipe, or one RecipeError with every problem of reader, overrides, schema and rules."""

from pydantic import ValidationError

from clamnet_tf.recipe.expected import advice_text, expected_text, received_text
from clamnet_tf.recipe.json_schema import field_schema, json_schema, keys
from clamnet_tf.recipe.problems import Problem, dotted, recipe_error
from clamnet_tf.recipe.reader import Node
from clamnet_tf.recipe.rules import RULES
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.recipe.suggest import nearest, nearest_path


def validate(root: Node, problems=()) -> Recipe:
    """The Recipe that the tree holds; RecipeError with its problems and those that are already known."""
    problems = list(problems)
    wrong = set(root.unreadable())  # paths whose value cannot be used
    recipe = None
    try:
        recipe = Recipe.model_validate(root.plain())
    except ValidationError as error:
        found, paths = _schema_problems(root, error, wrong)
        problems += found
        wrong |= paths
    problems += _rule_problems(root, wrong)
    if problems:
        raise recipe_error(problems)
    return recipe


def _schema_problems(root, error, known):
    """One Problem per path from pydantic's errors, and the paths that cannot be used because of them."""
    schema = json_schema()
    unknown, others = [], []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        path = _data_path(schema, item["loc"])
        if item["type"] == "extra_forbidden":
            unknown.append(path)
        else:
            missing_entry = item["type"] == "missing" and isinstance(path[-1], int)  # of a pair: its length is wrong
            others.append(path[:-1] if missing_entry else path)
    problems, wrong = [], set()
    for path in unknown:
        near = nearest_path(schema, path)
        problems.append(_unknown_key(schema, root, path, near))
        wrong.add(path)
        if near and near[:-1] == path[:-1] and _find(root, near) is None:
            wrong.add(near)  # it was most likely meant, so that its default says nothing
    for path in dict.fromkeys(others):
        inside = any(len(other) > len(path) and other[: len(path)] == path for other in others)  # a union: the kind fits, an entry does not
        if not inside and path not in known and path not in wrong:
            problems.append(_wrong_value(schema, root, path))
        wrong.add(path)
    return problems, wrong


def _data_path(schema, loc):
    """pydantic's location without the labels of union members: keys as long as they lead through sections, then indices."""
    path, in_section = (), True
    for part in loc:
        if isinstance(part, int):
            path = (*path, part)
        elif in_section:
            path = (*path, part)
            in_section = bool(keys(schema, path))
    return path


def _unknown_key(schema, root, path, near):
    section = f"of {dotted(path[:-1])} " if len(path) > 1 else ""
    advice = f"nearest valid key {dotted(near)}" if near else ""
    return Problem(_place(root, path), path, f"a key {section}({', '.join(keys(schema, path[:-1]))})", ascii(path[-1][:60]), advice)


def _wrong_value(schema, root, path):
    part = field_schema(schema, path)
    node = _find(root, path)
    if node is None:
        advice = ""
        parent = _find(root, path[:-1])
        near = nearest(path[-1], [key for key in parent.value if key not in keys(schema, path[:-1])]) if parent else None
        if near:
            advice = f"is {dotted((*path[:-1], near))} meant for it?"
        return Problem(_place(root, path), path, expected_text(schema, part), "nothing, and it has no default", advice)
    value = node.plain()
    return Problem(node.place, path, expected_text(schema, part), received_text(value), advice_text(schema, part, value))


def _rule_problems(root, wrong):
    problems = []
    for rule in RULES:
        if any(_touches(path, other) for path in rule.inputs for other in wrong):
            continue
        for finding in rule.check(*(_value(root, path) for path in rule.inputs)):
            stated = next((path for path in (finding.path, *rule.inputs) if _find(root, path)), finding.path)
            default = "" if _find(root, finding.path) else " (the default)"
            problems.append(Problem(_place(root, stated), finding.path, finding.expected, finding.received + default, finding.advice))
    return problems


def _touches(path, other):
    """Whether one of two paths leads through the other."""
    shorter = min(len(path), len(other))
    return path[:shorter] == other[:shorter]


def _find(root, path):
    """The node at `path`, None when the tree does not hold it."""
    node = root
    for part in path:
        if isinstance(node.value, dict) and part in node.value:
            node = node.value[part]
        elif isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
        else:
            return None
    return node


def _value(root, path):
    """The value at `path`, from the tree or else the schema's default."""
    node = _find(root, path)
    if node is not None:
        return node.plain()
    section, value = Recipe, None
    for key in path:
        value = section.model_fields[key].get_default(call_default_factory=True)
        section = type(value)
    return value


def _place(root, path):
    """Where `path` is written, or the nearest section around it."""
    while path and _find(root, path) is None:
        path = path[:-1]
    return _find(root, path).place
