"""Finding a file by a name that differs from its own in case, Unicode form or separators, as tables of other
systems do.
"""

import difflib
import os
import unicodedata
from pathlib import Path

from clamnet_tf.texts import printable


def alike(text: str) -> str:
    """Return one form for all names that differ in case, Unicode form (NFC, NFD) or backslashes for slashes
    alone.
    """
    plain = unicodedata.normalize("NFC", printable(text).replace("\\", "/"))
    return unicodedata.normalize("NFC", plain.casefold())


class FolderNames:
    """Names in folders, each folder listed once."""

    def __init__(self):
        self._listed: dict[Path, dict[str, list[str]]] = {}

    def find(self, root: Path, text: str) -> list[Path]:
        """Every existing path below `root` that `text` may mean by `alike`, sorted; [] when there is none."""
        found = [Path(root)]
        for part in alike(text).split("/"):
            if part in ("", "."):
                continue
            if part == "..":
                found = [folder.parent for folder in found]
            else:
                found = [folder / name for folder in found for name in self._names(folder).get(part, ())]
        return sorted(path for path in found if path != Path(root))

    def nearest(self, root: Path, text: str) -> str:
        """' (nearest: ...)' for the name that is most like the first part of `text` that does not exist, or
        ''.
        """
        folder = Path(root)
        for part in alike(text).split("/"):
            here = self._names(folder)
            if len(here.get(part, ())) == 1:
                folder = folder / here[part][0]
            elif part not in ("", "."):
                return nearest_name(part, [name for names in here.values() for name in names])
        return ""

    def _names(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._listed:
            names: dict[str, list[str]] = {}
            try:
                for name in os.listdir(folder):
                    names.setdefault(alike(name), []).append(name)
            except OSError:
                pass  # no folder, or one that may not be read: it offers no names
            self._listed[folder] = names
        return self._listed[folder]


def nearest_name(text: str, names) -> str:
    """' (nearest: ...)' for the name most like `text`, leading zeros of numbers apart, or ''."""
    known = {alike(name): name for name in names}
    plain = alike(text)
    bare = plain.lstrip("0")
    found = [name for name in known if bare and name.lstrip("0") == bare] or difflib.get_close_matches(
        plain, list(known), n=1, cutoff=0.6
    )
    return f" (nearest: {printable(known[found[0]])!r})" if found else ""
