"""Turn a tree of nodes into a Recipe, or raise one RecipeError with every problem of reader, overrides,
schema and rules.
"""

from pydantic import ValidationError

from clamnet_tf.recipe.json_schema import json_schema
from clamnet_tf.recipe.problems import Problem, recipe_error
from clamnet_tf.recipe.reader import Node
from clamnet_tf.recipe.rules import RULES
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.recipe.schema_problems import find, place, schema_problems


def validate(root: Node, problems=()) -> Recipe:
    """Return the Recipe that the tree holds.

    Raises:
        RecipeError: with the tree's problems and those that are already known.
    """
    problems = list(problems)
    wrong = set(root.unreadable())  # paths whose value cannot be used
    recipe = None
    try:
        recipe = Recipe.model_validate(root.plain())
    except ValidationError as error:
        found, paths = schema_problems(json_schema(), root, error, wrong)
        problems += found
        wrong |= paths
    problems += _rule_problems(root, wrong)
    if problems or recipe is None:  # no recipe without a problem
        raise recipe_error(problems)
    return recipe


def _rule_problems(root, wrong):
    problems = []
    for rule in RULES:
        if any(_touches(path, other) for path in rule.inputs for other in wrong):
            continue
        for finding in rule.check(*(_value(root, path) for path in rule.inputs)):
            stated = next((path for path in (finding.path, *rule.inputs) if find(root, path)), finding.path)
            default = "" if find(root, finding.path) else " (the default)"
            problems.append(
                Problem(
                    place(root, stated),
                    finding.path,
                    finding.expected,
                    finding.received + default,
                    finding.advice,
                )
            )
    return problems


def _touches(path, other):
    """Tell whether one of two paths leads through the other."""
    shorter = min(len(path), len(other))
    return path[:shorter] == other[:shorter]


def _value(root, path):
    """Return the value at `path`, from the tree or else the schema's default."""
    node = find(root, path)
    if node is not None:
        return node.plain()
    section, value = Recipe, None
    for key in path:
        value = section.model_fields[key].get_default(call_default_factory=True)
        section = type(value)
    return value
