"""Keys that stand in another section than they used to: recipes of run folders and zoo entries were written
before, and stay readable.

Recipe files are read as if they had the keys in their new place. An override is typed today: it gets the new
key as advice. A recipe's hash is that of its old form, so that runs, studies and exported models go on to be
recognised by it.
"""

from clamnet_tf.recipe.problems import Problem
from clamnet_tf.recipe.reader import Node

MOVED = {
    ("training", "strategy"): ("runtime", "strategy"),
    ("training", "mixed_precision"): ("runtime", "mixed_precision"),
    ("training", "xla"): ("runtime", "xla"),
}


def move_keys(root: Node) -> list:
    """Put the moved keys of a file's tree where they belong now; a Problem for each that stands in both
    places.
    """
    problems = []
    for (old_section, old_key), new in MOVED.items():
        section = root.value.get(old_section) if isinstance(root.value, dict) else None
        if section is None or not isinstance(section.value, dict) or old_key not in section.value:
            continue
        node = section.value.pop(old_key)
        target = root.value.setdefault(new[0], Node(node.place, {}))
        if target.value is None:
            target.value = {}
        if not isinstance(target.value, dict):  # a problem of its own, which the schema reports
            continue
        if new[1] in target.value:
            expected = f"{'.'.join(new)} alone, where this key stands now"
            problems.append(Problem(node.place, (old_section, old_key), expected, "both", "remove this one"))
        else:
            target.value[new[1]] = node
    return problems


def moved_problem(path, place) -> Problem | None:
    """What an override of the moved key `path` is told; None for all others."""
    new = MOVED.get(tuple(path))
    return (
        None
        if new is None
        else Problem(
            place,
            tuple(path),
            f"{'.'.join(new)}, where this key stands now",
            "its old place",
            f"write --set {'.'.join(new)}=...",
        )
    )


def before_moving(content: dict) -> dict:
    """A serialised recipe with the moved keys where they used to be, and nothing of sections that were not
    there.

    So runtime.data_service does not count: it changes who makes the batches, not the batches.
    """
    content = {key: dict(value) if isinstance(value, dict) else value for key, value in content.items()}
    for (old_section, old_key), (section, key) in MOVED.items():
        content[old_section][old_key] = content[section][key]
    for section in {new[0] for new in MOVED.values()}:
        del content[section]
    return content
