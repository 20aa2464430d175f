"""Read the pixels of every image of a manifest; report sizes, channels and what would stop a training."""

import collections

from clamnet_tf.datasets.manifest import Manifest
from clamnet_tf.datasets.problems import listed
from clamnet_tf.datasets.split import check_leakage
from clamnet_tf.errors import DataError, ImageError
from clamnet_tf.imaging.readers import read_volume
from clamnet_tf.preprocessing.trainable import lacking_slices
from clamnet_tf.preprocessing.volumes import assemble, group_cases, slice_hash


def survey_pixels(
    manifest: Manifest, *, split: Manifest | None = None, dicom_backend: str = "pydicom", progress=None
) -> tuple[list[str], list[str]]:
    """Read every image once, like a training does, and report what it finds; lesion masks are not opened.

    Args:
        manifest: the cases.
        split: the same cases with their sides, where these could be drawn; then problems of single sides are
            foreseen too. None: no split.
        dicom_backend: which library reads DICOM.
        progress: `progress(done, total)` counts cases; None: no progress.

    Returns:
        Lines about sizes, channels and slices; problems.
    """
    paths = list(dict.fromkeys(case.image for case in manifest.cases))
    sizes, channels, owners = collections.Counter(), collections.Counter(), {}
    problems, hashes, slices = [], {}, []  # slices: (case, whether the slice is not blank)
    done = 0
    for group in group_cases(manifest):
        volumes, failed = _volumes(manifest, group, dicom_backend)
        problems += failed
        for volume in volumes:
            for index, case, _, _ in volume.wanted:
                image = volume.array[index]
                height, width, depth = image.shape
                sizes[f"{height} x {width}"] += 1
                channels[depth] += 1
                owners.setdefault(depth, manifest.cases[case].image)
                value = slice_hash(image)
                slices.append((case, bool(value)))
                if value:
                    hashes.setdefault(case, []).append(value)
        done += len(group.cases)
        if progress is not None:
            progress(done, len(manifest.cases))
    blank = sum(not not_blank for _, not_blank in slices)
    lines = [
        f"Slices: {len(slices)} in {len(paths)} files, {blank} of them blank (constant).",
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
        problems += _lacking(split, slices)
    return lines, problems


def _volumes(manifest: Manifest, group, dicom_backend: str) -> tuple[list, list[str]]:
    """Return (volumes of a group, what keeps it from being read), naming every unreadable file."""
    try:
        return assemble(manifest, group, channels=None, dicom_backend=dicom_backend, with_organ=False), []
    except DataError as error:
        return [], [str(error)]
    except ImageError as error:
        group_error, errors = str(error), []
    for path in dict.fromkeys(manifest.cases[case].image for case in group.cases):
        try:
            read_volume(path, dicom_backend=dicom_backend)
        except ImageError as error:
            errors.append(str(error))
    return [], errors or [group_error]


def _lacking(split: Manifest, slices) -> list[str]:
    """Return what `fit` would miss: slices of a class on a side that are not blank."""
    cases = [split.cases[case] for case, _ in slices]
    if not cases:
        return []
    return lacking_slices(
        [case.label for case in cases],
        [case.split for case in cases],
        [not_blank for _, not_blank in slices],
        pairs=True,
    )


def _counted(counter) -> str:
    text = ", ".join(f"{key} ({count} slices)" for key, count in counter.most_common(6))
    return text + (f" and {len(counter) - 6} more" if len(counter) > 6 else "") if counter else "none"


def _copies(manifest: Manifest, hashes) -> list[str]:
    """Report the same pixels under two patients, which leak as soon as a split separates them."""
    first_case, problems = {}, []
    for index, values in hashes.items():
        case = manifest.cases[index]
        for value in values:
            other = manifest.cases[first_case.setdefault(value, index)]
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
