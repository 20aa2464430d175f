"""Find a file by a name that differs in case, Unicode form or separators, as in tables of other systems."""

import contextlib
import difflib
import os
import unicodedata
from pathlib import Path

from clamnet_tf.texts import printable


def alike(text: str) -> str:
    """Return one form for all names that differ only in case, Unicode form or backslash for slash."""
    plain = unicodedata.normalize("NFC", printable(text).replace("\\", "/"))
    return unicodedata.normalize("NFC", plain.casefold())


class FolderNames:
    """The names of files in folders; each folder is listed once."""

    def __init__(self):
        self._listed: dict[Path, dict[str, list[str]]] = {}

    def find(self, root: Path, text: str) -> list[Path]:
        """Return every existing path below `root` that `text` may mean by `alike`, sorted; [] when there is
        none.
        """
        paths = [Path(root)]
        for part in alike(text).split("/"):
            if part in ("", "."):
                continue
            if part == "..":
                paths = [folder.parent for folder in paths]
            else:
                paths = [folder / name for folder in paths for name in self._names(folder).get(part, ())]
        return sorted(path for path in paths if path != Path(root))

    def nearest(self, root: Path, text: str) -> str:
        """Return ' (nearest: ...)' for the existing name closest to the first part of `text` that does not
        exist.

        Returns:
            The hint, or '' when no name is close.
        """
        folder = Path(root)
        for part in alike(text).split("/"):
            names_here = self._names(folder)
            if len(names_here.get(part, ())) == 1:
                folder = folder / names_here[part][0]
            elif part not in ("", "."):
                return nearest_name(part, [name for names in names_here.values() for name in names])
        return ""

    def _names(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._listed:
            names: dict[str, list[str]] = {}
            with contextlib.suppress(OSError):  # no folder, or not to be read: it offers no names
                for name in os.listdir(folder):
                    names.setdefault(alike(name), []).append(name)
            self._listed[folder] = names
        return self._listed[folder]


def nearest_name(text: str, names) -> str:
    """Return ' (nearest: ...)' for the name closest to `text`, ignoring leading zeros of numbers, or ''."""
    known = {alike(name): name for name in names}
    plain = alike(text)
    bare = plain.lstrip("0")
    matches = [name for name in known if bare and name.lstrip("0") == bare] or difflib.get_close_matches(
        plain, list(known), n=1, cutoff=0.6
    )
    return f" (nearest: {printable(known[matches[0]])!r})" if matches else ""
