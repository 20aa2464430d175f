"""Find the nearest valid key or value for a misspelt one."""

import difflib

from clamnet_tf.recipe.json_schema import all_paths, keys

LONGEST_WORD = 200  # characters; comparing longer ones takes long and no key is like them


def nearest(word: str, candidates) -> "str | None":
    """Return the candidate most like `word`, whatever its case; None when none is alike."""
    if len(word) > LONGEST_WORD:
        return None
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    found = difflib.get_close_matches(word.lower().replace("-", "_"), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def nearest_path(schema: dict, path: tuple) -> "tuple | None":
    """Return the valid path most like an unknown one: a key of the same section, else the same key
    elsewhere, else by its whole text.
    """
    section, word = path[:-1], str(path[-1])
    sibling = nearest(word, keys(schema, section))
    if sibling is not None:
        return (*section, sibling)
    paths = {".".join(known): known for known in all_paths(schema)}
    same_name = [known for known in paths.values() if known[-1] == word.lower()]
    if same_name:
        return min(same_name, key=len)
    names = tuple(part for part in path if isinstance(part, str))  # without places in lists
    paths = {
        text: known for text, known in paths.items() if known != names[: len(known)]
    }  # its own section is no advice
    whole = nearest(".".join(names), paths)
    return paths[whole] if whole else paths.get(".".join(_by_key(word, paths)))


def _by_key(word, paths):
    """Return the path whose last key is most like `word`."""
    by_key = {known[-1]: known for known in reversed(list(paths.values()))}
    found = nearest(word, by_key)
    return by_key[found] if found else ()
