"""How several problems are told in one message, and which known name was probably meant."""

import difflib

SHOWN = 20
LONGEST_COMPARED = 100  # signs of a word whose nearest neighbour is looked for


def listed(problems, shown: int = SHOWN) -> str:
    """At most `shown` problems, one per line, then how many more there are."""
    problems = list(problems)
    lines = [f"  {problem}" for problem in problems[:shown]]
    if len(problems) > shown:
        lines.append(f"  ... and {len(problems) - shown} more")
    return "\n".join(lines)


def nearest(name: str, names) -> str:
    """' (did you mean ...?)' for the closest of `names`, or ''."""
    if len(name) > LONGEST_COMPARED:
        return ""
    found = difflib.get_close_matches(name.lower(), list(names), n=1, cutoff=0.6)
    return f" (did you mean {found[0]!r}?)" if found else ""
