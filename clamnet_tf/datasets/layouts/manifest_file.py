"""Recognise a folder with a manifest.csv (or .tsv, .xlsx), our own format."""

from pathlib import Path

from clamnet_tf.datasets.layouts.label_words import NOTHING_SAID, LabelWords
from clamnet_tf.datasets.layouts.listing import Listing
from clamnet_tf.datasets.manifest import Manifest, read_manifest
from clamnet_tf.datasets.table_files import SUFFIXES

NAMES = tuple(f"manifest{suffix}" for suffix in SUFFIXES)


def recognize(
    listing: Listing, labels: Path | None, label_words: LabelWords = NOTHING_SAID
) -> Manifest | None:
    """Return the Manifest of <folder>/manifest.csv, or None when there is none."""
    paths = [listing.root / name for name in NAMES if listing.root / name in listing.files]
    return read_manifest(paths[0]) if labels is None and paths else None
