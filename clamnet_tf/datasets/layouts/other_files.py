"""Sort the files of a folder that are not read as images: which ones the user would miss, and why."""

import collections
from pathlib import Path

from clamnet_tf.datasets.layouts.listing import Listing
from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.companions import header_of
from clamnet_tf.imaging.other_formats import ARCHIVES, OTHER_FORMATS, PICTURES, VOLUMES, advice
from clamnet_tf.imaging.readers import not_readable
from clamnet_tf.imaging.sniff import sniff

_NO_IMAGES = "files that are not images"
_MISSED = (*VOLUMES, "jpeg2000")  # unreadable formats in which clinics store images of patients


def other_files(listing: Listing, paths: list[Path]) -> tuple[collections.Counter, list[str]]:
    """Return ({words: count} of files that are skipped, one message per file that the user would miss).

    The user would miss volumes in formats that are not read, and files that cannot be opened. Pictures of
    other formats and archives are skipped with their format in words, because viewers and web pages lie
    beside images too. All other files are not images.
    """
    skipped, failures = collections.Counter(), []
    for path in paths:
        try:
            kind = sniff(path)
        except ImageError as error:
            failures.append(str(error))
            continue
        if kind in _MISSED and not (kind == "parrec" and path.suffix.lower() == ".rec"):
            failures.append(not_readable(path))
        elif kind in (*PICTURES, *ARCHIVES, "npz"):
            skipped[
                f"of a format that is not read: {OTHER_FORMATS[kind][0]} ({advice(kind).rstrip('.')})"
            ] += 1
        elif header_of(path) is None and path.name != "DICOMDIR":
            skipped[_NO_IMAGES] += 1
    return skipped, failures
