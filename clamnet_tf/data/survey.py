"""Look at the pixels of every image of a manifest: sizes, channels, and everything that would stop training."""

import collections

from clamnet_tf.data.manifest import Manifest, listed
from clamnet_tf.data.slice_numbers import volume_slice
from clamnet_tf.data.split import check_leakage
from clamnet_tf.data.stacking import differs
from clamnet_tf.data.volumes import group_cases, slice_hash
from clamnet_tf.errors import DataError, ImageError
from clamnet_tf.imaging.orientation import plane_name
from clamnet_tf.imaging.readers import read_volume


def survey(manifest: Manifest, *, dicom_backend: str = "pydicom", progress=None) -> tuple[list[str], list[str]]:
    """(lines about sizes, channels and slices; problems). Reads every image once; marker masks are not opened.

    `progress(done, total)` counts files.
    """
    paths = list(dict.fromkeys(case.image for case in manifest.cases))
    sizes, channels, owners = collections.Counter(), collections.Counter(), {}
    slices, blank, problems, hashes = 0, 0, [], {}
    planes: dict = {}
    first_case, asked = {}, collections.defaultdict(list)
    for index, case in enumerate(manifest.cases):
        first_case.setdefault(case.image, index)
        if case.slice_index is not None:
            asked[case.image].append(case.slice_index)
    for done, path in enumerate(paths, start=1):
        try:
            volume = read_volume(path, dicom_backend=dicom_backend)
            array = volume.array
            for number in asked[path]:
                volume_slice(path, volume, number)
        except (ImageError, DataError) as error:
            problems.append(str(error))
        else:
            count, height, width, depth = array.shape
            if volume.grid.kind == "dicom" and count == 1 and volume.affine is not None:
                planes[path] = plane_name(volume.affine)
            sizes[f"{height} x {width}"] += count
            channels[depth] += count
            owners.setdefault(depth, path)
            slices += count
            found = [slice_hash(image) for image in array]
            blank += found.count("")
            hashes[first_case[path]] = [value for value in found if value]
        if progress is not None:
            progress(done, len(paths))
    lines = [f"Slices: {slices} in {len(paths)} files, {blank} of them blank (constant).", f"Sizes (rows x columns): {_counted(sizes)}."]
    lines.append(f"Channels: {_counted(channels)}.")
    if len(channels) > 1:
        examples = "; ".join(f"{depth}: {path}" for depth, path in owners.items())
        problems.append(f"images of different channel counts ({examples}); convert them, or choose common channels with data.channels.")
    return lines, problems + _not_axial(manifest, planes) + _labels_missing(manifest) + _copies(manifest, hashes) + _sides(manifest)


def _counted(counter) -> str:
    shown = ", ".join(f"{key} ({count} slices)" for key, count in counter.most_common(6))
    return shown + (f" and {len(counter) - 6} more" if len(counter) > 6 else "") if counter else "none"


def _not_axial(manifest: Manifest, planes) -> list[str]:
    """Volumes of sagittal or coronal DICOM files that cannot be brought to axial slices: single ones, and those labelled slice by slice."""
    problems = []
    for group in group_cases(manifest):
        cases = [manifest.cases[index] for index in group.cases]
        first, plane = cases[0].image, planes.get(cases[0].image, "axial")
        if plane == "axial":
            continue
        if len(cases) == 1:
            problems.append(f"{first}: a single {plane} slice, of which no axial planes can be made; give its whole series.")
        elif odd := next((case for case in cases if differs(case, cases[0])), None):
            problems.append(f"{odd.image}: labelled otherwise than {first} of the same {plane} series, which is brought to axial slices; label it as a whole.")
    return problems


def _labels_missing(manifest: Manifest) -> list[str]:
    labels = [case.label for case in manifest.cases]
    problems = []
    if missing := labels.count(None):
        problems.append(f"{missing} images have no label; they cannot be trained on.")
    if len({label > 0 for label in labels if label is not None}) == 1:
        problems.append(f"one class only: every label is {'normal' if 0 in labels else 'abnormal'}; training needs both.")
    return problems


def _copies(manifest: Manifest, hashes) -> list[str]:
    """The same pixels under two patients: leakage as soon as a split parts them."""
    first, problems = {}, []
    for index, values in hashes.items():
        case = manifest.cases[index]
        for value in values:
            other = manifest.cases[first.setdefault(value, index)]
            if other.patient != case.patient:
                problems.append(f"{other.image} (patient {other.patient}) and {case.image} (patient {case.patient})")
    return [f"{len(problems)} images have the same pixels as one of another patient:\n{listed(problems, 5)}"] if problems else []


def _sides(manifest: Manifest) -> list[str]:
    if not any(case.split for case in manifest.cases):
        return []
    try:
        check_leakage(manifest, {})
    except DataError as error:
        return [str(error)]
    return []
