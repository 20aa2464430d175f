"""DICOM headers -> the volumes that their files form: series are taken apart as `imaging.series_sorting`
says."""

import collections
from dataclasses import dataclass

from clamnet_tf.datasets.layouts.dicom_headers import Header
from clamnet_tf.imaging.dicom import pixel_digest
from clamnet_tf.imaging.series_sorting import SET_ASIDE, sort_series


@dataclass(frozen=True)
class SeriesVolume:
    """Files that form one volume. key: unlike that of any other volume; words: what tells it from the
    others of its series, or ''."""

    uid: str
    key: str
    words: str
    headers: tuple[Header, ...]


@dataclass(frozen=True)
class SortedHeaders:
    """One SeriesInstanceUID taken apart. strays: (header, why); copies: (copy, original); unclear:
    (headers, why)."""

    uid: str
    volumes: tuple[SeriesVolume, ...]
    strays: tuple[tuple[Header, str], ...]
    copies: tuple[tuple[Header, Header], ...]
    unclear: tuple[tuple[tuple[Header, ...], str], ...]

    def notes(self, shown) -> tuple[str, ...]:
        """A line on each stray; shown: header -> what its file is called."""
        return tuple(f"{shown(header)}{SET_ASIDE}{why}" for header, why in self.strays)


def sort_headers(headers) -> list[SortedHeaders]:
    """Take every series apart; in the order of its first file. A file of several frames is a volume of
    its own."""
    series: dict[str, list[Header]] = collections.defaultdict(list)
    for header in headers:
        series[header.series].append(header)
    return [_sort(uid, members) for uid, members in series.items()]


def _sort(uid: str, members: list[Header]) -> SortedHeaders:
    of_path = {header.path: header for header in members}
    found = sort_series([header.frame for header in members if header.frames == 1], pixel_digest)
    several = [header for header in members if header.frames > 1]
    volumes = [
        SeriesVolume(
            uid, f"{uid} {words}" if words else uid, words, tuple(of_path[frame.path] for frame in frames)
        )
        for words, frames in found.volumes
    ]
    volumes += [
        SeriesVolume(uid, f"{uid} {header.instance or header.path.name}", header.path.name, (header,))
        for header in several
    ]
    pairs = lambda some: tuple((of_path[frame.path], other) for frame, other in some)
    copies = tuple((of_path[one.path], of_path[other.path]) for one, other in found.copies)
    unclear = tuple((tuple(of_path[frame.path] for frame in frames), why) for frames, why in found.unclear)
    return SortedHeaders(uid, tuple(volumes), pairs(found.strays), copies, unclear)
