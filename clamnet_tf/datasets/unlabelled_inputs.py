"""Turn the files that `predict` was given into cases without labels, and name their volumes and results.

Crop box and statistics belong to a volume, so single-slice files must be put together as in training: DICOM
files by series; pictures of one folder, one size and names <stem>_<n> or <stem>-<n> by n. Any other file is a
volume of its own.
"""

import collections
import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from clamnet_tf.datasets.deidentify import Identifiers
from clamnet_tf.datasets.input_files import RESULT_COLUMNS, RESULT_SETTINGS, RESULT_TABLE, InputFiles
from clamnet_tf.datasets.layouts.listing import PICTURES, natural_key, stem_of
from clamnet_tf.datasets.manifest import Case, Manifest
from clamnet_tf.datasets.problems import listed
from clamnet_tf.datasets.result_names import NUMBERED, result_names
from clamnet_tf.datasets.sequence_files import described
from clamnet_tf.errors import DataError, ImageError
from clamnet_tf.imaging.formats import suffix_of
from clamnet_tf.imaging.readers import kind_of, read_volume
from clamnet_tf.recipe.sequences import Sequences
from clamnet_tf.texts import printable

if TYPE_CHECKING:  # loads pydicom, which pictures do not need
    from clamnet_tf.datasets.layouts.dicom_headers import Header
    from clamnet_tf.datasets.layouts.dicom_series import SortedHeaders

__all__ = ["RESULT_COLUMNS", "RESULT_SETTINGS", "RESULT_TABLE", "Inputs", "find_inputs"]


@dataclass(frozen=True)
class Inputs:
    """The inputs of `predict` as cases, with the names of their volumes and results.

    Attributes:
        manifest: cases with label None; its root is the deepest folder around all inputs, its account says
            how the files were understood.
        volumes: per case, the name of the volume to which it belongs.
        names: per case, the name of its file in tables: its path below the root.
        outputs: per case, the path of its results below the output folder, without suffix, all different.
        failures: one message per file or folder that cannot be used.
        identifiers: identifiers of patients in DICOM headers, removed from account, volumes, names, outputs
            and failures, while the manifest's cases hold true paths; empty when identifiers are to be kept.
        notes: {name of a volume: lines on images of its series that were set aside}.
    """

    manifest: Manifest
    volumes: tuple[str, ...]
    names: tuple[str, ...]
    outputs: tuple[Path, ...]
    failures: tuple[str, ...]
    identifiers: Identifiers
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def hide(self, text: str) -> str:
        """Return a message about these inputs without identifiers of patients."""
        return printable(self.identifiers.hide(text))


def find_inputs(
    paths, *, stacks: bool = True, keep_identifiers: bool = False, sequences: Sequences | None = None
) -> Inputs:
    """Return files and folders, in any mix, as Inputs, in the given order (folders in natural order).

    A file that is given twice counts once. In folders, masks (<name>_mask.*), earlier results and files of
    other kinds are skipped, and the account says so.

    Args:
        paths: image files; folders, searched to the bottom; manifest CSVs, which state themselves which files
            form a volume and where organ masks are.
        stacks: whether numbered pictures form volumes; an X-ray has no slices.
        keep_identifiers: keep names of patients in the names of results.
        sequences: which series or files of a study are the channels of an image; None: every file holds all
            channels.

    Raises:
        DataError: nothing can be used. Problems with a part of the inputs are in `failures`.
    """
    files = InputFiles(keep_identifiers=keep_identifiers, sequences=sequences)
    for path in paths:
        files.add(Path(path))
    files.drop_masks()
    root = Path(os.path.commonpath(files.roots)) if files.roots else Path.cwd()
    builder = _VolumeBuilder(root, files, stacks, sequences)
    cases, hide = builder.build(), lambda name: printable(files.identifiers.hide_name(name))
    failures = tuple(printable(files.identifiers.hide(failure)) for failure in files.failures)
    if not cases:
        problems = failures or ("no INPUT was given",)
        raise DataError(
            problems[0] if len(problems) == 1 else f"None of the inputs can be used:\n{listed(problems)}"
        )
    manifest = Manifest(root, tuple(cases), tuple(builder.account), "inputs")
    volumes = tuple(hide(builder.names[case.image]) for case in cases)
    names = tuple(hide(builder.relative_name(case.image)) for case in cases)
    notes = {hide(volume): tuple(map(hide, lines)) for volume, lines in builder.notes.items()}
    return Inputs(
        manifest,
        volumes,
        names,
        result_names(cases, root, files.identifiers.hide_name),
        failures,
        files.identifiers,
        notes,
    )


class _VolumeBuilder:
    """Groups the input files into cases and volumes, and writes the account."""

    def __init__(self, root: Path, files: InputFiles, stacks: bool, sequences: Sequences | None):
        self.root, self.files, self.stacks, self.sequences = root, files, stacks, sequences
        self.cases: dict[Path, Case] = dict(files.table_cases)
        self.names: dict[Path, str] = {}
        self.account: list[str] = []
        self.notes: dict[str, tuple[str, ...]] = {}

    def build(self) -> list[Case]:
        """Return all cases in the order of the inputs."""
        self._group_table_cases()
        self._group_dicom([path for path, kind in self.files.kinds.items() if kind == "dicom"])
        self._group_pictures([path for path, kind in self.files.kinds.items() if kind in PICTURES])
        volumes = [path for path, kind in self.files.kinds.items() if kind not in (*PICTURES, "dicom")]
        self._add_single_files(self._group_sequence_files(volumes), "Files")
        if self.files.skipped:
            self.account.append(
                "Skipped: "
                + ", ".join(f"{count} {description}" for description, count in self.files.skipped.items())
                + "."
            )
        return [
            self.cases[path] for path in (*self.files.table_cases, *self.files.kinds) if path in self.cases
        ]

    def _group_table_cases(self) -> None:
        for path, case in self.files.table_cases.items():
            with contextlib.suppress(ImageError):  # reported when the image is read
                if path.is_file() and kind_of(path) == "dicom":
                    from clamnet_tf.datasets.layouts.dicom_headers import read_header

                    self._collect_identifiers(read_header(path))
            grouped = case.series is not None or case.position is not None
            self.names[path] = (
                f"{case.patient} {case.series or ''}".strip() if grouped else self.relative_name(path)
            )
        if self.files.table_cases:
            self.account.append(
                f"Manifest: {len(self.files.table_cases)} files in {len(set(self.names.values()))} volumes, "
                f"as its columns say."
            )

    def _group_dicom(self, paths: list[Path]) -> None:
        if not paths:
            return
        from clamnet_tf.datasets.layouts.dicom_headers import read_header
        from clamnet_tf.datasets.layouts.dicom_series import sort_headers
        from clamnet_tf.datasets.sequence_inputs import group_series

        headers: list[Header] = []
        instances: set[str] = set()
        for path in paths:
            try:
                header = read_header(path)
            except ImageError as error:
                self.files.failures.append(str(error))
                continue
            self._collect_identifiers(header)
            if header.is_cut_off:
                self.files.failures.append(
                    f"{path}: damaged or cut off DICOM file: {header.kind} without Rows and Columns. Export "
                    f"or copy it again."
                )
            elif not header.is_image:
                self.files.skipped[f"DICOM files without an image to mark ({header.kind})"] += 1
            elif header.is_localizer and path not in self.files.named:
                self.files.skipped["DICOM localizers (name one as INPUT to mark it all the same)"] += 1
            elif header.frames > 1 and header.instance and header.instance in instances:
                self.files.skipped["copies of a DICOM image"] += 1
            else:
                instances.add(header.instance)
                headers.append(header)
        lines, aside, series = [], [], sort_headers(headers)
        grouped = group_series(series, self.sequences)
        series = grouped.series
        self.files.failures += grouped.problems
        self.files.skipped["DICOM images of series that are no sequence of the model"] += grouped.left_out
        for sorted_headers in series:
            lines += self._group_series(sorted_headers, grouped.groups)
            aside += sorted_headers.notes(lambda header: self.relative_name(header.path))
            self.files.skipped["copies of a DICOM image"] += len(sorted_headers.copies)
        self.files.skipped += collections.Counter()  # drops counts of 0
        self._add_lines(f"DICOM series: {len(series)}", lines)
        self._add_lines(
            f"Studies of several series: {len(grouped.groups)}",
            [self.visible_name(described(group, self.relative_name)) for group in grouped.groups.values()],
        )
        self._add_lines(f"ATTENTION: {len(aside)} DICOM images belong to no volume", aside)
        labelled = sum(header.is_labelled for header in headers)
        if labelled:
            self.account.append(
                f"ATTENTION: {labelled} images have words in their pixels (BurnedInAnnotation), perhaps a "
                f"name; pictures of results show them."
            )

    def _group_series(self, series: "SortedHeaders", groups) -> list[str]:
        """Add the volumes of a series; return lines on them."""
        lines = []
        for index, volume in enumerate(series.volumes):
            is_single = len(volume.headers) == 1
            folder = self.relative_name(
                Path(os.path.commonpath([header.path.parent for header in volume.headers]))
            )
            description = f"series {series.uid}" + (f", {volume.words}" if volume.words else "")
            name = self.relative_name(volume.headers[0].path) if is_single else f"{folder}: {description}"
            for header in volume.headers:
                self._add_case(
                    header.path,
                    name,
                    header.patient or header.study,
                    volume.key,
                    None if is_single else header.position,
                    groups.get(volume.key),
                )
            kind = "one volume" if not is_single or len(series.volumes) == 1 else "a volume of its own"
            lines.append(
                f"{self.visible_name(folder)}: DICOM {description}, {len(volume.headers)} "
                f"file{'s' * (not is_single)}, {kind}"
            )
            if not index and series.strays:
                self.notes[name] = series.notes(lambda header: self.relative_name(header.path))
        for headers, reason in series.unclear:
            folder = self.relative_name(Path(os.path.commonpath([header.path.parent for header in headers])))
            self.files.failures.append(f"{folder}: series {series.uid}: {reason}.")
        return lines

    def _collect_identifiers(self, header: "Header") -> None:
        if not self.files.keep_identifiers:
            self.files.identifiers.add(header.texts)

    def _group_pictures(self, paths: list[Path]) -> None:
        patterns: dict[tuple, list[Path]] = collections.defaultdict(list)
        for path in paths:
            match = NUMBERED.fullmatch(stem_of(path)) if self.stacks else None
            patterns[(path.parent, match["stem"] + match["dash"], suffix_of(path)) if match else path].append(
                path
            )
        stacks, single = [], []
        for pattern, members in patterns.items():
            if len(members) == 1:
                single += members
                continue
            sizes: dict[tuple, list[Path]] = collections.defaultdict(list)
            for path in members:
                try:
                    sizes[read_volume(path).array.shape].append(path)
                except ImageError as error:
                    self.files.failures.append(f"{error} The volume it belongs to is marked without it.")
            for shape, paths_of_size in sizes.items():
                if shape[0] > 1 or len(paths_of_size) == 1:
                    single += paths_of_size
                else:
                    stacks.append(
                        (
                            pattern,
                            shape,
                            sorted(paths_of_size, key=lambda path: natural_key(path.name)),
                            len(sizes) > 1,
                        )
                    )
        lines = []
        for (folder, stem, suffix), (_, height, width, channels), members, several_sizes in stacks:
            numbers = [int(NUMBERED.fullmatch(stem_of(path))["number"]) for path in members]
            size = f"{height} x {width}"
            name = f"{self.relative_name(folder / stem)}<n>{suffix or ''}" + (
                f" of {size}, {channels} channel(s)" if several_sizes else ""
            )
            for path, number in zip(members, numbers):
                self._add_case(path, name, name, name, float(number))
            gaps = (
                len(set(range(min(numbers), max(numbers) + 1)) - set(numbers))
                if max(numbers) - min(numbers) < 10**6
                else 0
            )
            missing = f", {gaps} number(s) between them missing" if gaps else ""
            lines.append(
                f"{self.visible_name(self.relative_name(folder / stem))}<n>{suffix or ''}: {len(members)} "
                f"pictures of {size}, n = {min(numbers)} to {max(numbers)}{missing}, one volume"
            )
        self._add_lines(f"Volumes of numbered pictures: {len(stacks)}", lines)
        self._add_single_files(single, "Pictures")

    def _group_sequence_files(self, paths: list[Path]) -> list[Path]:
        """Add the studies whose files match the sequences by name; return the files that are left."""
        if not paths:
            return []
        from clamnet_tf.datasets.sequence_inputs import group_files

        found = group_files(paths, self.sequences, self.files.named)
        for path, group, _ in found.groups:
            self._add_case(path, self.relative_name(path), self.relative_name(path), None, None, group)
        self.files.failures += found.problems
        self.files.skipped["files of sequences that the model does not use"] += len(found.others)
        lines = [
            self.visible_name(f"{self.relative_name(study)}: {described(group, lambda path: path.name)}")
            for _, group, study in found.groups
        ]
        self._add_lines(f"Studies of several files: {len(lines)}", lines)
        self.files.skipped += collections.Counter()  # drops counts of 0
        return found.rest

    def _add_single_files(self, paths: list[Path], title: str) -> None:
        for path in paths:
            self._add_case(path, self.relative_name(path), self.relative_name(path), None, None)
        self._add_lines(
            f"{title}, each a volume of its own: {len(paths)}",
            [self.visible_name(self.relative_name(path)) for path in paths],
        )

    def _add_case(self, path, name, patient, series, position, sequences=None) -> None:
        self.names[path] = name
        self.cases[path] = Case(
            image=path, patient=patient, label=None, series=series, position=position, sequences=sequences
        )

    def _add_lines(self, title: str, lines) -> None:
        if lines := list(lines):
            self.account += [title, *listed(lines, 10).split("\n")]

    def visible_name(self, name: str) -> str:
        """Return a name without identifiers of patients."""
        return printable(self.files.identifiers.hide_name(name))

    def relative_name(self, path: Path) -> str:
        """Return the path of a file below the root, by which it is called."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)
