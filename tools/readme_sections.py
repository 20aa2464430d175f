"""Replace the parts of README.md that tools write, each between a pair of markers."""

import re


def insert(text: str, name: str, content: str) -> str:
    """Return `text` with `content` between its markers <!-- name:begin --> and <!-- name:end -->."""
    return re.sub(
        rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)",
        lambda found: found[1] + content + found[2],
        text,
        flags=re.S,
    )
