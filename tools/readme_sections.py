"""Replace the parts of README.md and docs/ that tools write, each between a pair of markers."""

import re
from pathlib import Path


def rewrite(path: Path, **sections: str) -> None:
    """Write each section between the markers of its name in the page at `path`.

    Raises:
        ValueError: the page lacks a marker, so that the section would be lost.
    """
    text = path.read_text(encoding="utf-8")
    for name, content in sections.items():
        if f"<!-- {name}:begin -->" not in text:
            raise ValueError(f"{path}: expected the marker <!-- {name}:begin -->; it is missing")
        text = insert(text, name, content)
    path.write_text(text, encoding="utf-8")


def insert(text: str, name: str, content: str) -> str:
    """Return `text` with `content` between its markers <!-- name:begin --> and <!-- name:end -->."""
    return re.sub(
        rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)",
        lambda found: found[1] + content + found[2],
        text,
        flags=re.S,
    )
