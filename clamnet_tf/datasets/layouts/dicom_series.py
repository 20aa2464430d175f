"""Group DICOM headers into volumes: every series is separated as `imaging.series_sorting` does."""

import collections
from dataclasses import dataclass

from clamnet_tf.datasets.layouts.dicom_headers import Header
from clamnet_tf.imaging.dicom import pixel_digest
from clamnet_tf.imaging.series_sorting import sort_series
from clamnet_tf.imaging.volume import SET_ASIDE


@dataclass(frozen=True)
class SeriesVolume:
    """Files that form one volume.

    Attributes:
        uid: SeriesInstanceUID.
        key: a text that differs from the key of every other volume.
        words: the difference from the other volumes of the series, or ''.
        headers: the files.
    """

    uid: str
    key: str
    words: str
    headers: tuple[Header, ...]


@dataclass(frozen=True)
class SortedHeaders:
    """One SeriesInstanceUID separated into volumes.

    Attributes:
        uid: SeriesInstanceUID.
        volumes: the volumes.
        strays: (header, reason) of files that belong to no volume.
        copies: (copy, original) of repeated images.
        unclear: (headers, reason) of files that cannot be separated into volumes.
    """

    uid: str
    volumes: tuple[SeriesVolume, ...]
    strays: tuple[tuple[Header, str], ...]
    copies: tuple[tuple[Header, Header], ...]
    unclear: tuple[tuple[tuple[Header, ...], str], ...]

    def notes(self, name_of) -> tuple[str, ...]:
        """Return a line on each stray.

        Args:
            name_of: a function from a header to the name of its file.
        """
        return tuple(f"{name_of(header)}{SET_ASIDE}{why}" for header, why in self.strays)


def sort_headers(headers) -> list[SortedHeaders]:
    """Separate every series into volumes, in the order of its first file.

    A file of several frames is a volume of its own.
    """
    series: dict[str, list[Header]] = collections.defaultdict(list)
    for header in headers:
        series[header.series].append(header)
    return [_sort(uid, members) for uid, members in series.items()]


def _sort(uid: str, members: list[Header]) -> SortedHeaders:
    of_path = {header.path: header for header in members}
    sorted_series = sort_series([header.frame for header in members if header.frames == 1], pixel_digest)
    multi_frame = [header for header in members if header.frames > 1]
    volumes = [
        SeriesVolume(
            uid, f"{uid} {words}" if words else uid, words, tuple(of_path[frame.path] for frame in frames)
        )
        for words, frames in sorted_series.volumes
    ]
    volumes += [
        SeriesVolume(uid, f"{uid} {header.instance or header.path.name}", header.path.name, (header,))
        for header in multi_frame
    ]
    strays = tuple((of_path[frame.path], why) for frame, why in sorted_series.strays)
    copies = tuple((of_path[copy.path], of_path[original.path]) for copy, original in sorted_series.copies)
    unclear = tuple(
        (tuple(of_path[frame.path] for frame in frames), why) for frames, why in sorted_series.unclear
    )
    return SortedHeaders(uid, tuple(volumes), strays, copies, unclear)
