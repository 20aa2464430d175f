"""Give the cases of a labelled data set the files of their other sequences.

A label may stand at any file or series of a study. Labels of single slices must stand at the reference, on
whose grid they are.
"""

import contextlib
from dataclasses import replace
from pathlib import Path

from clamnet_tf.datasets.layouts.dicom_headers import Header, read_header
from clamnet_tf.datasets.layouts.dicom_series import sort_headers
from clamnet_tf.datasets.layouts.dicom_tree import dicom_files
from clamnet_tf.datasets.layouts.listing import VOLUMES, list_folder
from clamnet_tf.datasets.manifest import Case, Manifest
from clamnet_tf.datasets.problems import listed
from clamnet_tf.datasets.sequence_columns import in_order_of
from clamnet_tf.datasets.sequence_files import SequenceGroup
from clamnet_tf.datasets.sequence_inputs import group_files, group_series
from clamnet_tf.datasets.sequence_names import studies_of_names
from clamnet_tf.datasets.stacking import differs
from clamnet_tf.errors import DataError, ImageError
from clamnet_tf.imaging.companions import header_of
from clamnet_tf.imaging.formats import format_promised
from clamnet_tf.recipe.sequences import Sequences, standard_sequences


def with_sequences(manifest: Manifest, sequences: Sequences | None) -> Manifest:
    """Return the manifest whose cases know the files of all sequences.

    Cases of a study of several series or files become those of its reference; files that match no sequence
    stay as they are, as images that hold all channels. The account says how many studies were found, or that
    there may be some where the recipe names no sequences.

    Args:
        manifest: the labelled cases.
        sequences: the sequences of the recipe; None: every file holds all channels, unless the manifest has a
            column per sequence.

    Raises:
        DataError: columns of a manifest name other sequences; several files match one sequence; labels of
            single slices stand at another sequence than the reference; or a field of data.sequences is none
            of DICOM.
    """
    if sequences is None:
        return _with_hint(manifest)
    cases = [by_columns(case, sequences) for case in manifest.cases]
    open_cases = [case for case in cases if case.sequences is None]
    groups = [*_dicom_groups(manifest, open_cases, sequences), *_file_groups(open_cases, sequences)]
    cases, found, problems = _regrouped(cases, groups)
    if problems:
        raise DataError(
            f"{manifest.root}: {len(problems)} studies whose labels do not fit their sequences:\n"
            f"{listed(problems)}"
        )
    found += sum(case.sequences is not None for case in manifest.cases)
    if not found:
        return manifest
    names = ", ".join(sequences.names)
    line = f"Studies with a series or file per sequence ({names}): {found}; others hold all channels."
    return replace(manifest, cases=tuple(cases), account=(*manifest.account, line))


def _with_hint(manifest: Manifest) -> Manifest:
    """Return the manifest with a line in its account where files that are images each look like sequences."""
    images = dict.fromkeys(case.image for case in manifest.cases if case.sequences is None)
    volumes = [path for path in images if _kind(path) in VOLUMES]
    studies = [study for study in studies_of_names(volumes, standard_sequences()) if len(study.files_of) > 1]
    if not studies:
        return manifest
    names = " and ".join(path.name for path in studies[0].files[:2])
    line = (
        f"ATTENTION: {len(studies)} studies have several sequences ({names}), each of which counts as an "
        "image of its own. data.sequences makes them the channels of one image (docs/how-to/sequences.md)."
    )
    return replace(manifest, account=(*manifest.account, line))


def by_columns(case: Case, sequences: Sequences | None) -> Case:
    """Return a case with the columns of its manifest in the order of the model's sequences.

    Raises:
        DataError: the columns name other sequences.
    """
    if case.sequences is None or sequences is None:
        return case
    group = in_order_of(case.sequences, sequences)
    return replace(case, image=group.images[group.reference].files[0], sequences=group)


def _dicom_groups(manifest: Manifest, cases: list[Case], sequences: Sequences):
    """Return (group, {file of its reference: header}) of the DICOM studies to which cases belong."""
    files = {case.image for case in cases if _kind(case.image) == "dicom" and case.image.is_file()}
    if not files:
        return []
    headers: list[Header] = []
    for path in dict.fromkeys((*sorted(files), *dicom_files(list_folder(manifest.root)))):
        with contextlib.suppress(ImageError):  # reported when the image is read
            header = read_header(path)
            if header.is_image and not header.is_localizer:
                headers.append(header)
    studies = {header.study for header in headers if header.path in files}
    series = sort_headers([header for header in headers if header.study in studies])
    grouped = group_series(series, sequences)
    if grouped.problems:
        raise DataError("\n".join(grouped.problems))
    of_path = {header.path: header for header in headers}
    result = []
    for item in grouped.series:
        for volume in item.volumes:
            if volume.key in grouped.groups:
                group = grouped.groups[volume.key]
                reference = group.images[group.reference].files
                result.append((group, {path: (of_path[path], volume.key) for path in reference}))
    return result


def _file_groups(cases: list[Case], sequences: Sequences):
    """Return (group, {reference file: None}) of the volume files that belong to studies of cases."""
    files = {case.image for case in cases if _kind(case.image) in VOLUMES and case.image.is_file()}
    beside = {path for folder in {path.parent for path in files} for path in folder.iterdir()}
    beside = {path for path in beside if not path.name.startswith(".") and header_of(path) is None}
    paths = sorted(files | {path for path in beside if _kind(path) in VOLUMES and path.is_file()})
    grouped = group_files(paths, sequences)
    studies = [(group, {path: None}) for path, group, _ in grouped.groups if files & set(group.files)]
    problems = [text for text in grouped.problems if any(path.name in text for path in files)]
    if problems:
        raise DataError("\n".join(problems))
    return studies


def _kind(path: Path) -> str | None:
    """Return the format that the name promises; a name without suffix may be DICOM."""
    promised = format_promised(path)
    return "dicom" if promised is None else promised.name


def _regrouped(cases: list[Case], groups) -> tuple[list[Case], int, list[str]]:
    """Return (cases, number of studies, problems) with the cases of each study moved to its reference."""
    of_image: dict[Path, list[Case]] = {}
    for case in cases:
        of_image.setdefault(case.image, []).append(case)
    replaced: dict[Path, list[Case]] = {}  # first file of a study that has cases -> its cases
    gone: set[Path] = set()
    problems, found = [], 0
    for group, reference in groups:
        labelled = [path for path in group.files if path in of_image]
        if not labelled:
            continue
        at_reference = [path for path in labelled if path in reference]
        try:
            new = (
                [case for path in at_reference for case in of_image[path]]
                if at_reference
                else _moved([case for path in labelled for case in of_image[path]], group, reference)
            )
        except DataError as error:
            problems.append(str(error))
            continue
        found += 1
        first = next(case.image for case in cases if case.image in set(labelled))
        gone |= set(labelled)
        replaced[first] = [replace(case, sequences=group) for case in new]
    result: list[Case] = []
    for case in cases:
        if case.image in replaced:
            result += replaced.pop(case.image)
        elif case.image not in gone:
            result.append(case)
    return result, found, problems


def _moved(cases: list[Case], group: SequenceGroup, reference) -> list[Case]:
    """Return cases of the reference with the label that stands at another sequence."""
    first, name = cases[0], group.images[group.reference].name
    odd = next((case for case in cases if differs(case, first) or case.slice_index is not None), None)
    if odd is not None:
        raise DataError(
            f"{odd.image}: labels of single slices; expected them at the reference sequence "
            f"{name} ({next(iter(reference))}), on whose grid slices lie. Label that file or series, "
            "or the study as a whole."
        )
    moved = []
    for path, header in reference.items():
        if header is None:
            moved.append(replace(first, image=path, series=None, position=None))
        else:
            moved.append(replace(first, image=path, series=header[1], position=header[0].position))
    return moved
