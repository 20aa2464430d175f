"""Write Markdown: wrapped paragraphs, list items and tables."""

import textwrap

WIDTH = 120


def table(rows) -> str:
    """Return a Markdown table; the first row is the header."""
    head, *lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, f"|{'|'.join(['---'] * len(rows[0]))}|", *lines])


def wrapped(text: str) -> str:
    """Return a paragraph wrapped at WIDTH columns."""
    return textwrap.fill(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False)


def item(text: str) -> str:
    """Return a list item wrapped at WIDTH columns."""
    return textwrap.fill(
        " ".join(text.split()),
        WIDTH,
        initial_indent="- ",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def prose(text: str) -> str:
    """Return paragraphs, each wrapped at WIDTH columns."""
    return "\n\n".join(wrapped(paragraph) for paragraph in text.split("\n\n") if paragraph.strip())
