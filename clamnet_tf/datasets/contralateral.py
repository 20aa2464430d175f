"""Find the image of the same patient's other breast, by what headers and manifest say; never by guessing.

Two images belong together when one is of the left and one of the right breast, of the same patient,
examination and view. DICOM says so itself (ImageLaterality or Laterality, StudyInstanceUID, ViewPosition);
a manifest says it in its columns laterality and view. Where nothing states the side, two images are a
candidate, and pixels must show that the breasts face opposite ways (inference.asymmetry).
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from clamnet_tf.datasets.manifest import Case
from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.readers import kind_of

ALONE = "it is the only image of its patient and examination"
NO_OTHER_SIDE = "no image of the other breast in the same view"
SEVERAL = "several images of one breast in the same view"
UNKNOWN = (
    "the side of more than two images of one patient is not stated (DICOM ImageLaterality, or the columns "
    "laterality and view of a manifest)"
)


@dataclass(frozen=True)
class Pairing:
    """Which case shows the other breast of each case.

    Attributes:
        partners: per case, the index of the case of the other breast; None without one.
        stated: per case, whether headers or the manifest state both sides; otherwise pixels must confirm it.
        reasons: per case, why it has no partner; "" where it has one.
    """

    partners: tuple[int | None, ...]
    stated: tuple[bool, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class _Facts:
    """Hold what is known of one image; an unknown text is empty."""

    examination: str
    laterality: str
    view: str


def pair_breasts(cases: Sequence[Case]) -> Pairing:
    """Return which case shows the other breast of each of `cases`.

    Args:
        cases: one image per file; headers of DICOM files are read, without pixels.
    """
    facts = [_facts_of(case) for case in cases]
    groups: dict[tuple[str, str], list[int]] = {}
    for index, case in enumerate(cases):
        groups.setdefault((case.patient, facts[index].examination), []).append(index)
    partners: list[int | None] = [None] * len(cases)
    stated, reasons = [False] * len(cases), [ALONE] * len(cases)
    for members in groups.values():
        for part, known in _parts(members, facts):
            sides = [facts[index].laterality for index in part]
            if len(part) == 2 and (not known or set(sides) == {"left", "right"}):
                for index, other in zip(part, reversed(part)):
                    partners[index], stated[index], reasons[index] = other, known, ""
            elif len(members) > 1:
                why = NO_OTHER_SIDE if len(set(sides)) == 1 else SEVERAL
                for index in part:
                    reasons[index] = why if known else UNKNOWN
    return Pairing(tuple(partners), tuple(stated), tuple(reasons))


def _parts(members: list[int], facts: list[_Facts]):
    """Yield (images that may be compared, whether all their sides are stated) of one examination."""
    if any(not facts[index].laterality for index in members):
        yield members, False
        return
    views: dict[str, list[int]] = {}
    for index in members:
        views.setdefault(facts[index].view, []).append(index)
    for part in views.values():
        yield part, True


def _facts_of(case: Case) -> _Facts:
    """Return what the manifest and, where it is silent, the DICOM header say of one image."""
    examination = laterality = view = ""
    try:
        is_dicom = case.image.is_file() and kind_of(case.image) == "dicom"
    except ImageError:  # reported when the image is read
        is_dicom = False
    if is_dicom:
        from clamnet_tf.datasets.layouts.dicom_sides import read_side  # loads pydicom

        with contextlib.suppress(ImageError):
            examination, laterality, view = read_side(case.image)
    return _Facts(examination, case.laterality or laterality, (case.view or view).upper())
