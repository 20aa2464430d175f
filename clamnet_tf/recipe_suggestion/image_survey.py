"""Look at the image files of a folder, with or without labels: what they are, how large, and of which body
region.

Headers of at most HEADERS files are read, and the pixels of at most PIXELS of them, or of all that are
pictures.
"""

import collections
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clamnet_tf.datasets.layouts.dicom_headers import Header, read_header
from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.colour_check import gray_of, is_colour
from clamnet_tf.imaging.dicom_header import open_dataset, quiet
from clamnet_tf.imaging.formats import FORMATS
from clamnet_tf.imaging.hounsfield_check import why_not_hounsfield
from clamnet_tf.imaging.readers import kind_of, read_volume
from clamnet_tf.imaging.volume import Volume
from clamnet_tf.recipe_suggestion.body_regions import modality_of_code, region_in_words

HEADERS, PIXELS = 400, 24
PICTURES = "pictures"  # end of the words for files that are read quickly
AIR = -300.0  # Hounsfield units; only CT has such values
UNREADABLE = "files that cannot be read"
NO_IMAGE = "DICOM objects without an image (reports, segmentations, doses ...)"
UNKNOWN_CODES = ("", "OT", "SC")  # Modality of files that do not say it
_DESCRIPTIONS = ("BodyPartExamined", "StudyDescription", "SeriesDescription", "ProtocolName")


@dataclass(frozen=True)
class ImageSurvey:
    """Describe the files of a folder: formats, sizes, modality, region.

    Attributes:
        files: number of image files.
        examined: number of files whose headers were read.
        groups: words for a kind of file ("CT in DICOM", "PNG pictures") -> number of examined files.
        modality: ct, mri or xray where the files say so, all alike; else None.
        modality_source: what says so, in words.
        region: a region of `body_regions.REGIONS` that the headers name; else None.
        sizes: (rows, columns) of the examined files.
        slices: median number of slices per file.
        channels: numbers of channels of the files that were read, gray stored as colour counted as one.
        gray_as_colour: whether gray is stored in several equal channels.
        colour: a file whose red, green and blue differ; None when there is none.
        eight_bits: whether the files that were read are pictures of shades 0..255.
        not_hounsfield: why values of CT are not in Hounsfield units; None when they are, or are pictures.
        two_values: a file that holds two values only, as masks do; None when there is none.
        unreadable: (file, reason) of the first file that cannot be read; None when all can be.
    """

    files: int
    examined: int
    groups: dict[str, int]
    modality: str | None = None
    modality_source: str = ""
    region: str | None = None
    sizes: tuple[tuple[int, int], ...] = ()
    slices: int = 1
    channels: tuple[int, ...] = ()
    gray_as_colour: bool = False
    colour: Path | None = None
    eight_bits: bool = False
    not_hounsfield: str | None = None
    two_values: Path | None = None
    unreadable: tuple[Path, str] | None = None

    @property
    def unreadable_count(self) -> int:
        """Number of examined files that cannot be read."""
        return self.groups.get(UNREADABLE, 0)

    @property
    def shortest_side(self) -> int:
        """The median of the shorter sides of the images, in pixels; 0 when no size is known."""
        return int(statistics.median(min(size) for size in self.sizes)) if self.sizes else 0

    @property
    def longest_side(self) -> int:
        """The longest side of any examined image, in pixels; 0 when no size is known."""
        return max((max(size) for size in self.sizes), default=0)

    def lines(self) -> list[str]:
        """Return what was found, one sentence per line."""
        kinds = ", ".join(f"{count} x {words}" for words, count in self.groups.items())
        sample = "" if self.examined == self.files else f"; {self.examined} of them were examined"
        lines = [f"Images: {self.files} files{sample}: {kinds}."]
        if self.sizes:
            rows, columns = (sorted(sides) for sides in zip(*self.sizes))
            middle = f"{statistics.median_low(rows)} x {statistics.median_low(columns)}"
            same = len(set(self.sizes)) == 1
            between = f", from {rows[0]} x {columns[0]} to {rows[-1]} x {columns[-1]}"
            lines.append(f"Size (rows x columns): {middle}{'' if same else between}.")
        if self.channels:
            stored = ", gray stored as colour" if self.gray_as_colour else ""
            bits = "shades of 8 bits" if self.eight_bits else "measured values"
            shown = " or ".join(map(str, sorted(set(self.channels))))
            lines.append(f"Channels: {shown}{stored}; {bits}; slices per file: {self.slices}.")
        if self.modality:
            lines.append(f"Modality: {self.modality}, {self.modality_source}.")
        if self.region:
            lines.append(f"Body region: {self.region}, by the headers.")
        return lines


def survey_images(paths: Sequence[Path], progress: Callable[[int, int], None] | None = None) -> ImageSurvey:
    """Examine image files.

    Args:
        paths: image files, or folders of one DICOM series each.
        progress: `progress(done, total)` counts examined files; None: no progress.

    Returns:
        What they are. Files that cannot be read are counted as such and stop nothing.
    """
    examined = spread(paths, HEADERS)
    with_pixels = set(spread(examined, PIXELS))
    groups: collections.Counter = collections.Counter()
    modalities: collections.Counter = collections.Counter()
    regions, sizes, looks, unreadable = [], [], [], None
    for index, path in enumerate(examined):
        try:
            header, group, code, region = _header_of(path)
            groups[group] += 1
            modalities[code] += 1
            regions.append(region)
            if header is not None and header.frame is not None:
                sizes.append((header.frame.rows, header.frame.columns))
            if path in with_pixels or (header is None and group.endswith(PICTURES)):
                volume = read_volume(path)
                looks.append(_look(path, volume))
                if header is None:
                    sizes.append(volume.array.shape[1:3])
        except ImageError as error:
            groups[UNREADABLE] += 1
            unreadable = unreadable or (path, str(error))
        if progress is not None:
            progress(index + 1, len(examined))
    modality, source = _modality(modalities, looks)
    named = [region for region in regions if region]
    agreed = len(set(named)) == 1 and len(named) > len(regions) / 2
    return ImageSurvey(
        files=len(paths),
        examined=len(examined),
        groups=dict(groups.most_common()),
        modality=modality,
        modality_source=source,
        region=named[0] if agreed else None,
        sizes=tuple(sizes),
        slices=int(statistics.median(look.slices for look in looks)) if looks else 1,
        channels=tuple(look.channels for look in looks),
        gray_as_colour=any(look.gray_as_colour for look in looks),
        colour=next((look.path for look in looks if look.colour), None),
        eight_bits=bool(looks) and all(look.eight_bits for look in looks),
        not_hounsfield=next((look.not_hounsfield for look in looks if look.not_hounsfield), None),
        two_values=next((look.path for look in looks if look.two_values), None),
        unreadable=unreadable,
    )


def spread(paths: Sequence[Path], most: int) -> list[Path]:
    """Return at most `most` of the paths, evenly spread."""
    if len(paths) <= most:
        return list(paths)
    return [paths[round(index)] for index in np.linspace(0, len(paths) - 1, most)]


def _header_of(path: Path) -> tuple[Header | None, str, str | None, str | None]:
    """Return (header of a DICOM file or None, group in words, its Modality or None, its region or None)."""
    file = next(iter(sorted(path.iterdir()))) if path.is_dir() else path
    kind = kind_of(file)
    if kind != "dicom":
        title = FORMATS[kind].title if kind else "other"
        noun = "volumes" if kind and FORMATS[kind].is_volume else PICTURES
        return None, f"{title} {noun}", None, None
    header, dataset = read_header(file), open_dataset(file, pixels=False)
    with quiet():
        code = str(dataset.get("Modality") or "").strip().upper()
        texts = [str(dataset.get(name) or "") for name in _DESCRIPTIONS]
    region = next(filter(None, map(region_in_words, texts)), None)
    if code == "MG":
        region = "breast"
    if not header.is_image:
        return header, NO_IMAGE, None, None
    known = modality_of_code(code)
    words = {"ct": "CT in DICOM", "mri": "MRI in DICOM", "xray": "X-ray in DICOM"}
    unsaid = "DICOM that does not say its modality"
    group = words[known] if known else unsaid if code in UNKNOWN_CODES else f"DICOM of modality {code}"
    return header, group, None if code in UNKNOWN_CODES else code, region


@dataclass(frozen=True)
class _Look:
    """Hold the statistics of the pixels of one file."""

    path: Path
    slices: int
    channels: int
    gray_as_colour: bool
    colour: bool
    eight_bits: bool
    two_values: bool
    lowest: float
    not_hounsfield: str | None


def _look(path: Path, volume: Volume) -> _Look:
    array = volume.array
    gray = gray_of(array) if array.shape[-1] > 1 else None
    channels = 1 if gray is not None else array.shape[-1]
    return _Look(
        path=path,
        slices=len(array),
        channels=channels,
        gray_as_colour=gray is not None,
        colour=is_colour(volume.grid, channels),
        eight_bits=volume.grid.eight_bits,
        two_values=_holds_two_values(array),
        lowest=float(array.min()),
        not_hounsfield=None if volume.grid.eight_bits else why_not_hounsfield(array),
    )


def _modality(modalities: collections.Counter, looks: list[_Look]) -> tuple[str | None, str]:
    """Return the one modality that all files say, and what says so."""
    codes = {code for code in modalities if code}
    known = {modality_of_code(code) for code in codes}
    if len(known) == 1 and not modalities[None]:
        return known.pop(), f"by the headers ({', '.join(sorted(codes))})"
    measured = [look for look in looks if not look.eight_bits]
    if not codes and measured and all(look.lowest <= AIR and not look.not_hounsfield for look in measured):
        return "ct", "since the values are Hounsfield units, down to those of air"
    return None, ""


def _holds_two_values(array: np.ndarray) -> bool:
    """Return whether every pixel has the lowest or the highest value, and these differ."""
    low, high = array.min(), array.max()
    return bool(low < high and ((array == low) | (array == high)).all())
