"""The usual names and headers of MR sequences, for recipes and models that name a sequence and no patterns.

File names: BIDS (_T1w, _ce-gadolinium_T1w, _FLAIR), BraTS (_t1, _t1ce, _flair; -t1n, -t1c, -t2f), and the
names that archives of single files use (_T1, _T1POST).
"""

from dataclasses import dataclass

_T1_WEIGHTED = r"(?i)^(?!.*(t2|dwi|adc|map|subtr|localizer)).*(t1|mp-?rage|bravo|spgr|vibe|tfl3d)"
_ENTITIES = r"(?:_[a-z]+-[a-z0-9]+)*"  # of BIDS, such as _run-1


@dataclass(frozen=True)
class StandardSequence:
    """The usual patterns of one sequence, as in `schema_sequences.SequenceSection`.

    Attributes:
        match: what the header of a DICOM series holds.
        files: patterns of the names of files.
    """

    match: dict
    files: tuple[str, ...]


STANDARD = {
    "pre-contrast t1": StandardSequence(
        {"SeriesDescription": _T1_WEIGHTED, "contrast": False},
        (r"(?i)(?:^|[_-])(?:t1n|t1w?|t1w?[_-]?pre|t1w?[_-]?native)$",),
    ),
    "post-contrast t1": StandardSequence(
        {"SeriesDescription": _T1_WEIGHTED, "contrast": True},
        (
            r"(?i)(?:^|[_-])(?:t1c|t1w?[_-]?(?:ce|gd|km|c\+)|t1w?[_-]?post(?:[_-]?contrast)?)$",
            rf"(?i)_ce-[a-z0-9]+{_ENTITIES}_t1w$",
        ),
    ),
    "flair": StandardSequence(
        {"SeriesDescription": r"(?i)^(?!.*(t1|map|subtr|localizer)).*(flair|tirm|dark.?fluid)"},
        (r"(?i)(?:^|[_-])(?:t2f|t2w?[_-]?flair|flair)$",),
    ),
    "t2": StandardSequence(
        {"SeriesDescription": r"(?i)^(?!.*(flair|tirm|dark.?fluid|t2\*|star|map|localizer)).*t2"},
        (r"(?i)(?:^|[_-])t2w?$",),
    ),
}
USUAL_NAMES = {
    "pre-contrast t1": "pre-contrast T1",
    "post-contrast t1": "post-contrast T1",
    "flair": "FLAIR",
    "t2": "T2",
}
"""How the names are written."""
OTHER_NAMES = {"t1": "pre-contrast t1", "t1 post": "post-contrast t1", "t1 post-contrast": "post-contrast t1"}


def standard_sequence(name: str) -> StandardSequence | None:
    """Return the usual patterns of a sequence by its name, or None for a name that is not a standard one."""
    key = name.strip().lower()
    return STANDARD.get(OTHER_NAMES.get(key, key))
