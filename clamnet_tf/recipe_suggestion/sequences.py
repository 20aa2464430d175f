"""Find out whether a folder holds several sequences of each patient, as series or files of their own."""

import collections
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clamnet_tf.datasets.layouts.dicom_headers import read_header
from clamnet_tf.datasets.layouts.dicom_series import sort_headers
from clamnet_tf.datasets.layouts.listing import stem_of
from clamnet_tf.datasets.manifest import Manifest
from clamnet_tf.datasets.sequence_headers import studies_of_series
from clamnet_tf.datasets.sequence_names import studies_of_names
from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.formats import FORMATS, format_promised
from clamnet_tf.recipe.sequences import standard_sequences
from clamnet_tf.recipe.standard_sequences import USUAL_NAMES

LEAST_SHARE = 0.5  # of the studies that must have a sequence, so that a network can count on it
MOST_HEADERS = 4000  # DICOM files whose headers are read; more of the same tell nothing new
_NUMBER = re.compile(r"(?P<study>.+)_(?P<number>[0-9]{4})")  # names of nnU-Net: case_0000.nii.gz


@dataclass(frozen=True)
class SuggestedSequences:
    """Say which sequences the studies of a folder have.

    Attributes:
        sections: entries of data.sequences as in YAML, one per channel, one of them the reference.
        studies: number of studies.
        left_out: names of sequences that only few studies have.
        by_columns: whether the manifest has a column per sequence, so that data.sequences is not needed.
    """

    sections: tuple[dict[str, Any], ...]
    studies: int
    left_out: tuple[str, ...] = ()
    by_columns: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the sequences."""
        return tuple(section["name"] for section in self.sections)

    @property
    def reference(self) -> int:
        """Return the index of the reference."""
        return next(index for index, section in enumerate(self.sections) if section.get("reference"))


def sequences_of_columns(manifest: Manifest) -> SuggestedSequences | None:
    """Return the sequences that the columns of a manifest name, or None when it has one column `image`."""
    groups = [case.sequences for case in manifest.cases if case.sequences is not None]
    if not groups:
        return None
    names = [image.name for image in groups[0].images]
    sections = tuple({"name": name, "reference": index == 0} for index, name in enumerate(names))
    return SuggestedSequences(sections, len(groups), by_columns=True)


def suggest_sequences(paths: Iterable[Path], modality: str) -> SuggestedSequences | None:
    """Return the sequences of the studies to which image files belong, or None where a file is an image.

    MR sequences are recognised by their usual names and headers (recipe.standard_sequences), and the numbers
    of nnU-Net by file names, with the names of its dataset.json where one is there.

    Args:
        paths: image files; folders are left alone.
        modality: ct, mri or xray.
    """
    files = [path for path in paths if path.is_file()]
    volumes = [path for path in files if (known := format_promised(path)) is not None and known.is_volume]
    volumes = sorted({beside for path in volumes for beside in _beside(path)})
    if modality == "mri" and (found := _by_name(volumes) or _by_header(files)):
        return found
    return _by_number(volumes)


def _beside(path: Path) -> list[Path]:
    """Return the volume files in the folder of a file: a label may stand at one of a study alone."""
    return [
        other
        for other in path.parent.iterdir()
        if other.is_file() and (known := format_promised(other)) is not None and known.is_volume
    ]


def _by_name(volumes: list[Path]) -> SuggestedSequences | None:
    return _suggested([set(study.files_of) for study in studies_of_names(volumes, standard_sequences())])


def _by_header(files: list[Path]) -> SuggestedSequences | None:
    headers = []
    for path in [path for path in files if format_promised(path) in (None, FORMATS["dicom"])][:MOST_HEADERS]:
        try:
            header = read_header(path)
        except ImageError:
            continue
        if header.is_image and not header.is_localizer:
            headers.append(header)
    found = studies_of_series(sort_headers(headers), standard_sequences()) if headers else []
    return _suggested([set(study.volumes) for study in found if not study.problem])


def _suggested(studies: list[set[int]]) -> SuggestedSequences | None:
    """Return the standard sequences that most studies have, with FLAIR or else the first as reference.

    Args:
        studies: per study, indices of the standard sequences.
    """
    counts = collections.Counter(index for study in studies for index in study)
    frequent = [index for index in sorted(counts) if counts[index] >= LEAST_SHARE * len(studies)]
    if len(frequent) < 2:
        return None
    names = list(USUAL_NAMES.values())
    chosen = [names[index] for index in frequent]
    reference = "FLAIR" if "FLAIR" in chosen else chosen[0]
    sections = [{"name": name} | ({"reference": True} if name == reference else {}) for name in chosen]
    left_out = tuple(names[index] for index in sorted(counts) if index not in frequent)
    return SuggestedSequences(tuple(sections), len(studies), left_out)


def _by_number(volumes: list[Path]) -> SuggestedSequences | None:
    studies = collections.defaultdict(set)
    for path in volumes:
        if match := _NUMBER.fullmatch(stem_of(path)):
            studies[path.parent, match["study"]].add(match["number"])
    counts = collections.Counter(number for numbers in studies.values() for number in numbers)
    frequent = [number for number in sorted(counts) if counts[number] >= LEAST_SHARE * len(studies)]
    if len(frequent) < 2 or frequent[0] != "0000":
        return None  # pictures and slices are numbered too, from 1 mostly
    said = _names_of_numbers({folder for folder, _ in studies})
    names = [said.get(int(number), f"channel {number}") for number in frequent]
    if len({_plain(name) for name in names}) < len(names):
        names = [f"channel {number}" for number in frequent]
    first = next((index for index, name in enumerate(names) if "flair" in name.lower()), 0)
    sections = [
        {"name": name, "files": [f"_{number}$"]} | ({"reference": True} if index == first else {})
        for index, (name, number) in enumerate(zip(names, frequent, strict=True))
    ]
    left_out = tuple(said.get(int(number), number) for number in sorted(counts) if number not in frequent)
    return SuggestedSequences(tuple(sections), len(studies), left_out)


def _names_of_numbers(folders: set[Path]) -> dict[int, str]:
    """Return {number: name} of the dataset.json of nnU-Net in or above folders; {} without a valid one."""
    for path in sorted({place / "dataset.json" for folder in folders for place in (folder, folder.parent)}):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            names = content.get("channel_names") or content.get("modality") or {}
            return {
                int(number): str(name).strip()[:60] for number, name in names.items() if str(name).strip()
            }
        except (OSError, ValueError, AttributeError):
            continue
    return {}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower())
