"""Report a file that is no recipe (study, zoo entry ...) without quoting it.

A wrong path may name a file of secrets: a configuration with passwords is valid YAML, and every unknown key
of it would be quoted.
"""

from dataclasses import replace

from clamnet_tf.recipe.problems import Place, Problem

_SHOWN = 4  # keys


def without_quotes(root, problems: list, keys, what: str, source: str) -> list:
    """Return the problems of reading a file, free of the file's own words when it is of another kind.

    Args:
        root: the tree that was read, or None.
        problems: those of reading.
        keys: keys of the top level of the expected kind.
        what: the expected kind in words, for example "a recipe".
        source: name of the file.

    Returns:
        `problems` themselves for a file with at least one of the keys; else one problem that quotes
        nothing; for a file that could not be read to its end, the places and kinds of its faults.
    """
    if root is None:
        return [
            _bare(problem) if not problem.path or problem.path[0] not in keys else problem
            for problem in problems
        ]
    if is_foreign(root, keys):
        expected = f"{what} ({', '.join(list(keys)[:_SHOWN])} ...)"
        return [Problem(Place(source), (), expected, "a file with none of its keys", "check the path")]
    return problems


def is_foreign(root, keys) -> bool:
    """Tell whether a tree is a mapping that has keys, but none of `keys`."""
    return (
        root is not None
        and isinstance(root.value, dict)
        and bool(root.value)
        and not any(key in keys for key in root.value)
    )


def _bare(problem: Problem) -> Problem:
    """Return the problem without its path and without the name of a tag or alias."""
    received = problem.received
    if received.startswith(("the tag", "*")):
        received = "a tag" if received.startswith("the tag") else "an alias"
    return replace(problem, path=(), received=received)
