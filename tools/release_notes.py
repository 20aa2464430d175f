"""Print the section of CHANGELOG.md for a release, and refuse versions that do not agree.

    python tools/release_notes.py vX.Y.Z

It needs no package, so that it runs before any environment is made.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def notes(tag: str, root: Path = ROOT) -> str:
    """Return the notes of the version `tag` (v0.1.0), without their heading.

    Raises:
        SystemExit: the tag is no version, the package, CITATION.cff or CHANGELOG.md have another one, or the
            section is empty.
    """
    if not (found := re.fullmatch(r"v(\d+\.\d+\.\d+)", tag)):
        sys.exit(f"Error: {tag}: expected a tag such as v0.1.0")
    version = found[1]
    for name, pattern in (
        ("clamnet_tf/__init__.py", r'^__version__ = "([^"]+)"'),
        ("CITATION.cff", r"^version: (\S+)"),
    ):
        said = re.search(pattern, (root / name).read_text(encoding="utf-8"), re.M)
        if said is None or said[1] != version:
            sys.exit(f"Error: {name} says version {said and said[1]}, the tag {tag}; change one of them")
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.search(rf"^## \[{re.escape(version)}\][^\n]*\n(.*?)(?=^## |\Z)", changelog, re.M | re.S)
    if section is None or not section[1].strip():
        sys.exit(f"Error: CHANGELOG.md has no section [{version}]; name the one of Unreleased so")
    return section[1].strip() + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout.write(notes(sys.argv[1]))
