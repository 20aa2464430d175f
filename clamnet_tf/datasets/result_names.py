"""Name results like the files of the input tree, all different."""

import collections
import hashlib
import os
import re
from pathlib import Path

from clamnet_tf.datasets.layouts.listing import stem_of
from clamnet_tf.imaging.formats import format_promised, suffix_of
from clamnet_tf.texts import printable

NUMBERED = re.compile(r"(?P<stem>.+)(?P<dash>[_-])(?P<number>[0-9]+)")
LONGEST_NAME = 180  # bytes; file systems take 255, and results are <name>_<slice>_overlay.png


def short_name(name: str) -> str:
    """Return a name that leaves room for the suffixes of results; a long name is cut and gets a digest."""
    content = os.fsencode(name)
    if len(content) <= LONGEST_NAME:
        return name
    return (
        f"{content[: LONGEST_NAME - 9].decode('utf-8', 'ignore')}-{hashlib.sha256(content).hexdigest()[:8]}"
    )


def result_names(cases, root: Path, hide) -> tuple[Path, ...]:
    """Return one path per case for its results, without suffix: folders as in the input tree, then the file's
    name.

    Files that would share results keep their suffix in the name, as in scan_tif for scan.tif beside scan.png
    (or beside scan_0.png, since scan.tif may have a slice 0).

    Args:
        cases: the cases.
        root: the deepest folder around all inputs.
        hide: a function that removes identifiers of patients from a part of a path.
    """
    names = [
        (
            case.image.parent.relative_to(root) if case.image.is_relative_to(root) else Path(),
            stem_of(case.image),
        )
        for case in cases
    ]
    names = [
        (
            Path(*(short_name(_writable(hide(part))) for part in folder.parts)),
            short_name(_writable(hide(stem))),
        )
        for folder, stem in names
    ]
    taken = collections.Counter((folder, stem.lower()) for folder, stem in names)
    numbered = {
        (folder, match["stem"].lower())
        for folder, stem in names
        if (match := NUMBERED.fullmatch(stem)) and match["dash"] == "_"
    }
    outputs, used = [], set()
    for case, (folder, stem) in zip(cases, names):
        suffix = suffix_of(case.image) or ""
        promised = format_promised(case.image)
        several = promised is None or promised.slices != "one"
        name = stem
        if taken[folder, stem.lower()] > 1 or (several and (folder, stem.lower()) in numbered):
            name = f"{stem}_{suffix.strip('.').replace('.', '_') or 'file'}"
        base, count = name, 1
        while (folder, name.lower()) in used:
            count += 1
            name = f"{base}_{count}"
        used.add((folder, name.lower()))
        outputs.append(folder / name)
    return tuple(outputs)


def _writable(name: str) -> str:
    """Return a name that is not UTF-8 in letters that tables can hold, where the file system accepts them."""
    plain = printable(name)
    try:
        os.fsencode(plain)
    except UnicodeEncodeError:
        return name
    return plain
