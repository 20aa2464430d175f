"""Find the series of one DICOM study that are the sequences of an image, by any field of their headers."""

import collections
import re
from dataclasses import dataclass
from pathlib import Path

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from clamnet_tf.datasets.layouts.dicom_series import SeriesVolume, SortedHeaders
from clamnet_tf.errors import DataError
from clamnet_tf.imaging.acquisition import number
from clamnet_tf.imaging.dicom_header import open_dataset, quiet
from clamnet_tf.imaging.image_grids import stored_plane
from clamnet_tf.recipe.sequences import Sequence, Sequences

_SHARED = "SharedFunctionalGroupsSequence"
_PER_FRAME = "PerFrameFunctionalGroupsSequence"
_TREATMENT = r"(?![-_ ]*(op|surg|treat|rt|radi|chemo|biops|resect))"  # post-op says nothing of contrast
_GIVEN = re.compile(
    rf"(?i)(?<![a-z])(post{_TREATMENT}|gd|gad\w*|contrast|km|ce)(?![a-z])|\+ ?(c|gd|km)(?![a-z])"
    r"|(?<![a-z])c ?\+|t1ce?gd"
)
_NOT_GIVEN = re.compile(
    rf"(?i)(?<![a-z])(pre{_TREATMENT}|native?|plain)(?![a-z])|(?<![a-z+])[-] ?c(?![a-z])"
    r"|(?<![a-z])c ?-(?![a-z0-9])"
    r"|(?<![a-z])(?<!w/)(?<!with/)(without|w/?o|non?|ohne)[-_ ]*(contrast|gad\w*|gd|km|c(?![a-z])|$)"
)
_NO_AGENT = ("", "NO", "NONE", "N", "0")


@dataclass(frozen=True)
class SeriesStudy:
    """The series of one study that were taken for sequences.

    Attributes:
        study: StudyInstanceUID.
        volumes: index of a sequence -> its volume.
        notes: which volume was taken among several.
        others: volumes of the study that are no sequence of the model.
        problem: why the study cannot be used, or None.
    """

    study: str
    volumes: dict[int, SeriesVolume]
    notes: tuple[str, ...]
    others: tuple[SeriesVolume, ...]
    problem: str | None = None


def check_fields(sequences: Sequences) -> None:
    """Refuse names of fields that are no keywords of DICOM, which would match nothing; with DataError."""
    for sequence in sequences.sequences:
        for field in sequence.match:
            if field != "contrast" and tag_for_keyword(field) is None:
                raise DataError(
                    f"data.sequences: {sequence.name}: expected keywords of DICOM (SeriesDescription, "
                    f"EchoTime ...) or contrast in match; received {field}."
                )


def studies_of_series(series: list[SortedHeaders], sequences: Sequences) -> list[SeriesStudy]:
    """Return the studies of which a volume matches a sequence, in the order of their first series.

    Where several volumes of a study match one sequence, axial ones come before others, then the one with most
    images, then the first; a note says which. A volume that matches several sequences is a problem.
    """
    check_fields(sequences)
    by_study: dict[tuple, list[SeriesVolume]] = collections.defaultdict(list)
    for sorted_headers in series:
        for volume in sorted_headers.volumes:
            header = volume.headers[0]
            by_study[header.patient, header.study or header.series].append(volume)
    studies = (_study(uid, volumes, sequences) for (_, uid), volumes in by_study.items())
    return [study for study in studies if study.volumes or study.problem]


def _study(uid: str, volumes: list[SeriesVolume], sequences: Sequences) -> SeriesStudy:
    candidates: dict[int, list[SeriesVolume]] = collections.defaultdict(list)
    others: list[SeriesVolume] = []
    descriptions: dict[str, str] = {}
    problem: str | None = None
    for volume in volumes:
        dataset = open_dataset(volume.headers[0].path, pixels=False)
        descriptions[volume.key] = field_text(dataset, "SeriesDescription")
        found = [index for index, one in enumerate(sequences.sequences) if matches(dataset, one)]
        if len(found) > 1:
            names = " and ".join(sequences.names[index] for index in found)
            problem = (
                f"study {uid}: the series {descriptions[volume.key]!r} matches {names}; make the patterns of "
                "data.sequences exclude one another, or name the files in a manifest."
            )
        elif found:
            candidates[found[0]].append(volume)
        else:
            others.append(volume)
    chosen: dict[int, SeriesVolume] = {}
    notes: list[str] = []
    for index, several in sorted(candidates.items()):
        first, *rest = sorted(several, key=_preference)
        chosen[index] = first
        if rest:
            left = ", ".join(repr(descriptions[volume.key]) for volume in rest)
            notes.append(
                f"ATTENTION: {len(several)} series match {sequences.names[index]}: "
                f"{descriptions[first.key]!r} of {len(first.headers)} file(s) was taken, not {left}"
            )
            others += rest
    return SeriesStudy(uid, chosen, tuple(notes), tuple(others), problem)


def _preference(volume: SeriesVolume) -> tuple:
    frame = volume.headers[0].frame
    plane = None if frame is None else stored_plane(frame)
    return (plane != "axial", -sum(header.frames for header in volume.headers))


def matches(dataset: Dataset, sequence: Sequence) -> bool:
    """Return whether a header holds what a sequence asks for; False for a sequence without patterns."""
    if not sequence.match:
        return False
    for field, wanted in sequence.match.items():
        if field == "contrast":
            agrees = contrast_given(dataset) == wanted
        elif isinstance(wanted, re.Pattern):
            agrees = wanted.search(field_text(dataset, field)) is not None
        else:
            agrees = any(wanted[0] <= value <= wanted[1] for value in _numbers(field_value(dataset, field)))
        if not agrees:
            return False
    return True


def contrast_given(dataset: Dataset) -> bool:
    """Return whether contrast was given before a series, by its description, else by ContrastBolusAgent.

    The description decides first, since many scanners copy the agent into every series of an examination.
    """
    text = field_text(dataset, "SeriesDescription")
    if _NOT_GIVEN.search(text):
        return False
    return bool(_GIVEN.search(text)) or field_text(dataset, "ContrastBolusAgent").upper() not in _NO_AGENT


def field_text(dataset: Dataset, keyword: str) -> str:
    """Return the text of a field, parts of a list joined by backslashes; '' when it is absent."""
    value = field_value(dataset, keyword)
    with quiet():
        if value is None:
            return ""
        parts = value if isinstance(value, (list, tuple)) or hasattr(value, "append") else [value]
        return "\\".join(str(part).strip() for part in parts)


def field_value(dataset: Dataset, keyword: str):
    """Return the value of a field of a header, or of the functional groups of an enhanced one, or None."""
    names = (keyword, "EffectiveEchoTime") if keyword == "EchoTime" else (keyword,)
    with quiet():
        for name in names:
            places = [dataset]
            for group in (dataset.get(_SHARED), dataset.get(_PER_FRAME)):
                for element in group[0] if group else ():
                    if element.VR == "SQ" and element.value:
                        places.append(element.value[0])
            for place in places:
                value = place.get(name)
                if value is not None and value != "":
                    return value
    return None


def _numbers(value) -> list[float]:
    """Return the number of a field as a list, [] when the field is absent or holds something else."""
    try:
        found = number(value)
    except (TypeError, ValueError):
        return []
    return [] if found is None else [found]


def files_of(volume: SeriesVolume) -> tuple[Path, ...]:
    """Return the files of a volume."""
    return tuple(header.path for header in volume.headers)
