"""Rules of the section data.sequences (rule.py says what a rule is)."""

import re

from clamnet_tf.recipe.rule import Finding, rule
from clamnet_tf.recipe.standard_sequences import STANDARD, standard_sequence

_KEYWORD = re.compile(r"[A-Z][A-Za-z0-9]+")


@rule("data.sequences")
def sequences_once(sequences):
    names = [_plain(one["name"]) for one in sequences or []]
    for index, name in enumerate(names):
        if name in names[:index]:
            path = ("data", "sequences", index, "name")
            yield Finding(path, "each sequence once", f"{name} again", "remove one of them")
    marked = [index for index, one in enumerate(sequences or []) if one.get("reference")]
    for index in marked[1:]:
        path = ("data", "sequences", index, "reference")
        yield Finding(path, "at most one reference", "a further one", "leave one of them")


@rule("data.sequences")
def sequences_are_recognised(sequences):
    for index, one in enumerate(sequences or []):
        if not one.get("match") and not one.get("files") and standard_sequence(one["name"]) is None:
            yield Finding(
                ("data", "sequences", index, "name"),
                f"a standard name ({', '.join(STANDARD)}), or patterns in match or files",
                f"{one['name']} without patterns",
            )


@rule("data.sequences")
def sequence_patterns_are_valid(sequences):
    for index, one in enumerate(sequences or []):
        path = ("data", "sequences", index)
        for number, pattern in enumerate(one.get("files") or []):
            if fault := _fault(pattern):
                yield Finding((*path, "files", number), "a regular expression", f"{pattern!r} ({fault})")
        for field, value in (one.get("match") or {}).items():
            where = (*path, "match", field)
            if isinstance(value, bool) != (field == "contrast"):
                expected = "true or false" if field == "contrast" else "a regular expression, or two numbers"
                yield Finding(where, expected, repr(value))
            elif field != "contrast" and not _KEYWORD.fullmatch(field):
                yield Finding(where, "a DICOM keyword such as SeriesDescription, or contrast", repr(field))
            elif isinstance(value, str) and (fault := _fault(value)):
                yield Finding(where, "a regular expression", f"{value!r} ({fault})")
            elif isinstance(value, (list, tuple)) and value[0] > value[1]:
                yield Finding(where, "the lower end of the range first", f"{list(value)}")


@rule("data.sequences", "data.registration")
def registration_has_sequences(sequences, registration):
    if registration != "none" and not sequences:
        yield Finding(
            ("data", "registration"),
            "none, since only the sequences of data.sequences are registered",
            registration,
            "or name the sequences",
        )


def _plain(name: str) -> str:
    """Return a name as columns of manifests are compared with it."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _fault(pattern: str) -> str | None:
    """Return what is wrong with a regular expression, or None."""
    try:
        re.compile(pattern)
    except re.error as error:
        return str(error)
    return None
