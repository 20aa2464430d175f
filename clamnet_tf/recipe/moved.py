"""Recipe keys that had another name or stood in another section in 0.1.0: the one table of them.

Recipes, run folders, zoo entries and `--set` overrides with the old keys are read as if they had the new
ones. The hash of a recipe is that of its old form, so that runs, studies and exported models still
recognise it.
"""

from clamnet_tf.recipe.problems import Place, Problem
from clamnet_tf.recipe.reader import Node

#: Path of a key or section in 0.1.0 -> its path today.
MOVED: dict[tuple[str, ...], tuple[str, ...]] = {
    ("training", "strategy"): ("runtime", "strategy"),
    ("training", "mixed_precision"): ("runtime", "mixed_precision"),
    ("training", "xla"): ("runtime", "xla"),
    ("markers",): ("classes",),
    ("pairs", "views"): ("pairs", "augmentation"),
    ("attribution", "classifier", "views"): ("attribution", "classifier", "augmentation"),
    ("loss", "agreement"): ("loss", "consistency"),
    ("self_training", "marker"): ("self_training", "foreground_fraction"),
    ("self_training", "background"): ("self_training", "background_fraction"),
    ("inference", "through_plane"): ("inference", "axial_smoothing"),
    ("inference", "main_component"): ("inference", "keep_largest_component"),
    ("inference", "one_sided"): ("inference", "suppress_bilateral"),
    ("inference", "appearance"): ("inference", "intensity_refinement"),
}
NEW_SECTIONS = ("runtime",)
"""Sections that 0.1.0 did not have."""


def move_keys(root: Node) -> list[Problem]:
    """Rename the old keys in a recipe file's tree and return a Problem for each that stands there twice."""
    problems = []
    for old, new in MOVED.items():
        holder = _section(root, old[:-1])
        if holder is None or old[-1] not in holder:
            continue
        node = holder[old[-1]]
        target = holder if old[:-1] == new[:-1] else _section(root, new[:-1], node.place)
        if target is None:  # what stands in the way is a problem of its own, which the schema reports
            del holder[old[-1]]
        elif new[-1] in target:
            del holder[old[-1]]
            expected = f"{'.'.join(new)} alone, as this key is called now"
            problems.append(Problem(node.place, old, expected, "both", "remove this one"))
        elif target is holder:
            _rename(holder, old[-1], new[-1])
        else:
            target[new[-1]] = holder.pop(old[-1])
    return problems


def _section(root: Node, path, place: Place | None = None) -> dict[str, Node] | None:
    """Return the content of the section at `path`, or None where there is none.

    place: a section that is missing or null is made, as if it were written there; None: it is not made.
    """
    content = root.value
    for key in path:
        if not isinstance(content, dict):
            return None
        node = content.get(key)
        if place is not None and (node is None or node.value is None):
            node = content[key] = Node(place, {})
        if node is None:
            return None
        content = node.value
    return content if isinstance(content, dict) else None


def _rename(section: dict[str, Node], old: str, new: str) -> None:
    """Rename a key in place; the order of the keys, which messages follow, stays."""
    items = [(new if key == old else key, node) for key, node in section.items()]
    section.clear()
    section.update(items)


def present_path(path) -> tuple[str, ...]:
    """Return what the key at `path` of 0.1.0 is called today; paths of today come back as they are."""
    path = tuple(path)
    for old, new in MOVED.items():
        if path[: len(old)] == old:
            return new + path[len(old) :]
    return path


def before_moving(content: dict) -> dict:
    """Return a serialised recipe with the keys and sections of 0.1.0.

    Keys of NEW_SECTIONS that are not in MOVED do not count: runtime.data_service changes who makes the
    batches, not the batches.
    """
    content = _copied(content)
    for old, new in MOVED.items():
        source, target = _below(content, new[:-1]), _below(content, old[:-1])
        if source is not None and target is not None and new[-1] in source:
            target[old[-1]] = source.pop(new[-1])
    return {key: value for key, value in content.items() if key not in NEW_SECTIONS}


def _copied(value):
    return {key: _copied(child) for key, child in value.items()} if isinstance(value, dict) else value


def _below(content: dict, path) -> dict | None:
    """Return the dict at `path` of nested dicts, or None where there is none."""
    found: dict | None = content
    for key in path:
        inner = found.get(key) if found is not None else None
        found = inner if isinstance(inner, dict) else None
    return found
