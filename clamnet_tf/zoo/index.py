"""Read and make the index of an https registry: a JSON file that lists the files of entries.

Every file has an address, a size and a sha256:

    {"format": 1, "entries": [{"name": "mri_carcinoma", "version": 1, "files": [
        {"file": "entry.yaml", "url": "mri_carcinoma/entry.yaml", "bytes": 5070, "sha256": "..."}, ...]}]}

`url` is absolute or relative to the index. Every file of `entry.FILES` is listed once, each of
`entry.OPTIONAL_FILES` at most once; no other file is allowed.
"""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from clamnet_tf.errors import ZooError
from clamnet_tf.plain_json import plain_json
from clamnet_tf.recipe.problems import Place
from clamnet_tf.recipe.reader import as_node
from clamnet_tf.recipe.section import Section
from clamnet_tf.zoo.entry import FILES, OPTIONAL_FILES, Digest, Name, Version, is_entry
from clamnet_tf.zoo.read import check, read_entry
from clamnet_tf.zoo.unchanged import sha256_digest

LARGEST_INDEX = 5_000_000  # bytes
MOST_ENTRIES = 5_000  # as many as fit into LARGEST_INDEX
LARGEST_FILE = 500_000_000  # bytes, that an index may declare


class IndexFile(Section):
    """Describe one file of an entry."""

    file: Literal[FILES + OPTIONAL_FILES] = Field(description="Its name in the entry's folder.")
    url: Annotated[str, Field(min_length=1, max_length=2000)] = Field(
        description="Where it is, absolute or relative to the index."
    )
    bytes: Annotated[int, Field(ge=1, le=LARGEST_FILE)] = Field(description="Its size; more is not read.")
    sha256: Digest = Field(description="Of its content.")


class IndexEntry(Section):
    """Describe one version of an entry."""

    name: Name = Field(description="The entry's name.")
    version: Version = Field(description="Its version.")
    files: Annotated[
        list[IndexFile], Field(min_length=len(FILES), max_length=len(FILES + OPTIONAL_FILES))
    ] = Field(description="Every file of the entry, once.")

    @property
    def bytes(self) -> int:
        """Return the size of all files together."""
        return sum(item.bytes for item in self.files)

    @property
    def digests(self) -> dict[str, str]:
        """Return file name -> digest of its content."""
        return {item.file: sha256_digest(item.sha256) for item in self.files}


class Index(Section):
    """Describe a registry's index."""

    format: Literal[1] = Field(description="Of this file.")
    entries: list[IndexEntry] = Field(
        description="In any order; several versions of one name may stand side by side."
    )


def read_index(text: bytes, source: str) -> Index:
    """Return the checked index of a JSON text.

    Args:
        text: The JSON text.
        source: Its name in messages.

    Raises:
        ZooError: The text is not a valid index.
    """
    data = plain_json(
        text,
        lambda reason: ZooError(
            f"{source}: expected the index of a zoo registry, a JSON file; received another file ({reason})."
        ),
    )
    if not isinstance(data, dict):
        raise ZooError(
            f'{source}: expected the index of a zoo registry, {{"format": 1, "entries": [...]}}; received '
            f"{type(data).__name__}."
        )
    entries = data.get("entries")
    if isinstance(entries, list) and len(entries) > MOST_ENTRIES:
        raise ZooError(
            f"{source}: expected an index of at most {MOST_ENTRIES:,} entries; received {len(entries):,}."
        )
    index = check(as_node(data, Place(source)), [], Index)
    for entry in index.entries:
        names = [item.file for item in entry.files]
        missing = set(FILES) - set(names)
        if missing:
            raise ZooError(
                f"{source}: entry {entry.name}: expected each of {', '.join(FILES)} once; missing: "
                f"{', '.join(sorted(missing))}."
            )
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ZooError(f"{source}: entry {entry.name}: expected each file once; {twice} is listed twice.")
    versions = [(entry.name, entry.version) for entry in index.entries]
    if len(set(versions)) < len(versions):
        name, version = Counter(versions).most_common(1)[0][0]
        twice = f"{name} version {version}"
        raise ZooError(f"{source}: expected each version of an entry once; {twice} is listed twice.")
    return index


def make_index(root) -> dict:
    """Return the index of all entries in the folders of `root`, with addresses relative to it.

    Raises:
        ZooError: An entry is wrong, or there is none.
    """
    folders = sorted(folder for folder in Path(root).glob("*") if is_entry(folder))
    if not folders:
        raise ZooError(f"{root}: expected a folder with zoo entries in it; found none.")
    return {"format": 1, "entries": [_entry(folder) for folder in folders]}


def _entry(folder: Path) -> dict:
    """Return the index entry of one folder."""
    entry = read_entry(folder)
    files = []
    for name in FILES + OPTIONAL_FILES:
        if not (folder / name).is_file():
            if name in OPTIONAL_FILES:
                continue
            raise ZooError(f"{folder}: expected {', '.join(FILES)}; {name} is missing.")
        content = (folder / name).read_bytes()
        files.append(
            {
                "file": name,
                "url": f"{folder.name}/{name}",
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        )
    return {"name": entry.name, "version": entry.version, "files": files}
