"""A folder with a manifest.csv, our own format."""

from pathlib import Path

from clamnet_tf.data.folders.listing import Listing
from clamnet_tf.data.manifest import Manifest, read_manifest

NAME = "manifest.csv"


def recognize(listing: Listing, labels: Path | None) -> Manifest | None:
    """The Manifest of <folder>/manifest.csv, or None."""
    path = listing.root / NAME
    return read_manifest(path) if labels is None and path in listing.files else None
