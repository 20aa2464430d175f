"""List several problems in one message, and suggest the known name that was probably meant."""

import difflib

SHOWN = 20
LONGEST_COMPARED = 100  # characters; no similar name is searched for longer words


def listed(problems, limit: int = SHOWN) -> str:
    """Return at most `shown` problems, one per line, then how many more there are."""
    problems = list(problems)
    lines = [f"  {problem}" for problem in problems[:limit]]
    if len(problems) > limit:
        lines.append(f"  ... and {len(problems) - limit} more")
    return "\n".join(lines)


def nearest(name: str, names) -> str:
    """Return ' (did you mean ...?)' for the closest of `names`, or ''."""
    if len(name) > LONGEST_COMPARED:
        return ""
    matches = difflib.get_close_matches(name.lower(), list(names), n=1, cutoff=0.6)
    return f" (did you mean {matches[0]!r}?)" if matches else ""
