"""List several problems in one message, and suggest the known name that was probably meant."""

import difflib

SHOWN = 20
_ALIKE = 3  # places with one message, from which on they are told together
_NAMED = 3  # of those that follow the first one
LONGEST_COMPARED = 100  # characters; no similar name is searched for longer words


def listed(problems, limit: int = SHOWN) -> str:
    """Return at most `limit` problems, one per line, then how many more there are.

    Problems of the form "place: message" that share a message are one line from the third place on: the
    first place with the message, and the next places. A problem that is listed twice is told once.
    """
    problems = list(dict.fromkeys(map(str, problems)))
    places: dict[str, list[str]] = {}
    for problem in problems:
        place, _, message = problem.partition(": ")
        places.setdefault(message or problem, []).append(place)
    lines, told = [], 0
    for problem in problems:
        place, _, message = problem.partition(": ")
        alike = places[message or problem]
        if len(alike) < _ALIKE:
            lines.append(f"  {problem}")
            told += 1
        elif place == alike[0]:
            others, more = alike[1 : 1 + _NAMED], len(alike) - 1 - _NAMED
            named = ", ".join(others) + (f" and {more} more" if more > 0 else "")
            lines.append(f"  {problem}\n    The same holds for {named}.")
            told += len(alike)
        if len(lines) == limit:
            break
    if told < len(problems):
        lines.append(f"  ... and {len(problems) - told} more")
    return "\n".join(lines)


def nearest(name: str, names) -> str:
    """Return ' (did you mean ...?)' for the closest of `names`, or ''."""
    if len(name) > LONGEST_COMPARED:
        return ""
    matches = difflib.get_close_matches(name.lower(), list(names), n=1, cutoff=0.6)
    return f" (did you mean {matches[0]!r}?)" if matches else ""
