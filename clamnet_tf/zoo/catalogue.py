"""Where zoo entries are on this machine: those shipped with the package, in one's own folders, and pulled
from registries.
"""

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
    """An entry's folder, and which kind of place it is in: packaged, folder or pulled."""

    source: str
    folder: Path

    def read(self) -> Entry:
        """Its checked entry.yaml."""
        return read_entry(self.folder)


def packaged_folder() -> Path:
    """The folder of the shipped entries: clamnet_tf/_zoo when installed, zoo/ of the checkout otherwise."""
    installed = _PACKAGE / "_zoo"
    return installed if installed.is_dir() else _PACKAGE.parent / "zoo"


def own_folders() -> list[Path]:
    """The folders of $CLAMNET_TF_ZOO (separated like those of $PATH). ZooError for one that does not
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
    """Where registries' entries are kept: one folder per registry, in it <name>-<version>/."""
    from clamnet_tf.preprocessing.cache import (
        default_cache,  # loads NumPy and the image readers: only where it is needed
    )

    return default_cache() / "zoo"


def local_entries() -> list[Found]:
    """Every entry's folder on this machine, in the order of resolution; of pulled ones the newest version of
    each registry.

    Their entry.yaml is not read yet. A name is that of the folder (pulled: without its version).
    """
    found = [Found("packaged", folder) for folder in _entries_below(packaged_folder())]
    found += [Found("folder", folder) for root in own_folders() for folder in _entries_below(root)]
    for registry in sorted(pulled_folder().glob("*")):
        newest = {}
        for folder in sorted(_entries_below(registry), key=version_of):
            newest[folder_name(Found("pulled", folder))] = folder
        found += [Found("pulled", newest[name]) for name in sorted(newest)]
    return found


def folder_name(found: Found) -> str:
    """The entry's name, from its folder's."""
    return found.folder.name.rpartition("-")[0] if found.source == "pulled" else found.folder.name


def version_of(folder: Path) -> int:
    """Version of a pulled entry, from its folder's name <name>-<version>."""
    return int(folder.name.rpartition("-")[2])


def _entries_below(root: Path) -> list[Path]:
    return sorted(folder for folder in root.glob("*") if is_entry(folder) and not folder.name.startswith("."))
