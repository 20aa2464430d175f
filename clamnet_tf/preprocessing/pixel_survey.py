"""Look at the pixels of every image of a manifest: sizes, channels, and everything that would stop
training.
"""

import collections

from clamnet_tf.datasets.manifest import Manifest, listed
from clamnet_tf.datasets.split import check_leakage
from clamnet_tf.errors import DataError, ImageError
from clamnet_tf.imaging.readers import read_volume
from clamnet_tf.preprocessing.trainable import lacking_slices
from clamnet_tf.preprocessing.volumes import assemble, group_cases, slice_hash


def survey_pixels(
    manifest: Manifest, *, split: Manifest | None = None, dicom_backend: str = "pydicom", progress=None
) -> tuple[list[str], list[str]]:
    """(lines about sizes, channels and slices; problems). Reads every image once, as a training does; marker
    masks are not opened.

    split: the same cases with sides, where they could be drawn: then problems of single sides are foreseen
    too. `progress(done, total)` counts cases.
    """
    paths = list(dict.fromkeys(case.image for case in manifest.cases))
    sizes, channels, owners = collections.Counter(), collections.Counter(), {}
    problems, hashes, kept = [], {}, []  # kept: (case, whether the slice is not blank)
    done = 0
    for group in group_cases(manifest):
        found, failed = _volumes(manifest, group, dicom_backend)
        problems += failed
        for volume in found:
            for number, case, _, _ in volume.wanted:
                image = volume.array[number]
                height, width, depth = image.shape
                sizes[f"{height} x {width}"] += 1
                channels[depth] += 1
                owners.setdefault(depth, manifest.cases[case].image)
                value = slice_hash(image)
                kept.append((case, bool(value)))
                if value:
                    hashes.setdefault(case, []).append(value)
        done += len(group.cases)
        if progress is not None:
            progress(done, len(manifest.cases))
    blank = sum(not seen for _, seen in kept)
    lines = [
        f"Slices: {len(kept)} in {len(paths)} files, {blank} of them blank (constant).",
        f"Sizes (rows x columns): {_counted(sizes)}.",
    ]
    lines.append(f"Channels: {_counted(channels)}.")
    if len(channels) > 1:
        examples = "; ".join(f"{depth}: {path}" for depth, path in owners.items())
        problems.append(
            f"images of different channel counts ({examples}); convert them, or choose common channels with"
            " data.channels."
        )
    copies = _copies(manifest, hashes)
    problems += copies
    if split is not None:
        problems += [] if copies else _sides(split, hashes)
        problems += _lacking(split, kept)
    return lines, problems


def _volumes(manifest: Manifest, group, dicom_backend: str) -> tuple[list, list[str]]:
    """(volumes of a group, what keeps it from being read): of several unreadable files each is named."""
    try:
        return assemble(manifest, group, channels=None, dicom_backend=dicom_backend, with_organ=False), []
    except DataError as error:
        return [], [str(error)]
    except ImageError as error:
        first, told = str(error), []
    for path in dict.fromkeys(manifest.cases[case].image for case in group.cases):
        try:
            read_volume(path, dicom_backend=dicom_backend)
        except ImageError as error:
            told.append(str(error))
    return [], told or [first]


def _lacking(split: Manifest, kept) -> list[str]:
    """What `fit` would miss: slices of a class on a side that are not blank."""
    cases = [split.cases[case] for case, _ in kept]
    if not cases:
        return []
    return lacking_slices(
        [case.label for case in cases], [case.split for case in cases], [seen for _, seen in kept], pairs=True
    )


def _counted(counter) -> str:
    shown = ", ".join(f"{key} ({count} slices)" for key, count in counter.most_common(6))
    return shown + (f" and {len(counter) - 6} more" if len(counter) > 6 else "") if counter else "none"


def _copies(manifest: Manifest, hashes) -> list[str]:
    """The same pixels under two patients: leakage as soon as a split parts them."""
    first, problems = {}, []
    for index, values in hashes.items():
        case = manifest.cases[index]
        for value in values:
            other = manifest.cases[first.setdefault(value, index)]
            if other.patient != case.patient:
                problems.append(
                    f"{other.image} (patient {other.patient}) and {case.image} (patient {case.patient})"
                )
    return (
        [f"{len(problems)} images have the same pixels as one of another patient:\n{listed(problems, 5)}"]
        if problems
        else []
    )


def _sides(split: Manifest, hashes) -> list[str]:
    try:
        check_leakage(split, hashes)
    except DataError as error:
        return [str(error)]
    return []
