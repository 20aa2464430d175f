"""Find the zoo entries on this machine: packaged ones, those in the user's folders, and pulled ones."""

import os
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf.errors import ZooError
from clamnet_tf.zoo.entry import Entry, is_entry
from clamnet_tf.zoo.read import read_entry

FOLDERS_VARIABLE = "CLAMNET_TF_ZOO"
_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Found:
    """Locate an entry's folder; the source is packaged, folder or pulled."""

    source: str
    folder: Path

    def read(self) -> Entry:
        """Return the checked entry.yaml."""
        return read_entry(self.folder)


def packaged_folder() -> Path:
    """Return the folder of the packaged entries: clamnet_tf/_zoo when installed, zoo/ of the checkout
    otherwise.
    """
    installed = _PACKAGE / "_zoo"
    return installed if installed.is_dir() else _PACKAGE.parent / "zoo"


def own_folders() -> list[Path]:
    """Return the folders of $CLAMNET_TF_ZOO (separated like those of $PATH). Raises ZooError if one does not
    exist.
    """
    folders = [
        Path(text).expanduser() for text in os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep) if text
    ]
    for folder in folders:
        if not folder.is_dir():
            raise ZooError(
                f"{FOLDERS_VARIABLE}: expected folders of zoo entries; {folder} is none. Correct the "
                f"variable."
            )
    return folders


def pulled_folder() -> Path:
    """Return the folder of entries from registries: one folder per registry, with folders <name>-<version>/
    in it.
    """
    from clamnet_tf.preprocessing.cache import (
        default_cache,  # loads NumPy and the image readers: only where it is needed
    )

    return default_cache() / "zoo"


def local_entries() -> list[Found]:
    """Return every entry's folder on this machine, in the order of resolution.

    Of pulled entries it is the newest version of each registry. Their entry.yaml is not read yet. An entry's
    name is that of its folder (of a pulled one: without the version).
    """
    entries = [Found("packaged", folder) for folder in _entries_below(packaged_folder())]
    entries += [Found("folder", folder) for root in own_folders() for folder in _entries_below(root)]
    for registry in sorted(pulled_folder().glob("*")):
        newest = {}
        for folder in sorted(_entries_below(registry), key=version_of):
            newest[folder_name(Found("pulled", folder))] = folder
        entries += [Found("pulled", newest[name]) for name in sorted(newest)]
    return entries


def folder_name(location: Found) -> str:
    """Return the entry's name, taken from its folder."""
    return location.folder.name.rpartition("-")[0] if location.source == "pulled" else location.folder.name


def version_of(folder: Path) -> int:
    """Return the version of a pulled entry, taken from its folder's name <name>-<version>."""
    return int(folder.name.rpartition("-")[2])


def _entries_below(root: Path) -> list[Path]:
    """Return the folders of entries directly below `root`, sorted."""
    return sorted(folder for folder in root.glob("*") if is_entry(folder) and not folder.name.startswith("."))
