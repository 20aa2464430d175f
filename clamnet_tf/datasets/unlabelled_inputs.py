"""What `predict` was given -> cases without labels: which files are images, which of them form one volume,
how results are named.

Crop box and statistics belong to a volume, so single-slice files must be put together as in training: DICOM
files by series; pictures of one folder, one size and names <stem>_<n> or <stem>-<n> by n. Any other file is a
volume of its own.
"""

import collections
import contextlib
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from clamnet_tf.datasets.deidentify import Identifiers
from clamnet_tf.datasets.layouts.dicom_headers import Header, read_header
from clamnet_tf.datasets.layouts.dicom_series import SortedHeaders, sort_headers
from clamnet_tf.datasets.layouts.listing import PICTURES, list_folder, natural_key, stem_of
from clamnet_tf.datasets.layouts.other_files import other_files
from clamnet_tf.datasets.manifest import Case, Manifest, listed, read_manifest
from clamnet_tf.datasets.result_names import NUMBERED, result_names
from clamnet_tf.datasets.table_files import SUFFIXES as TABLE_SUFFIXES
from clamnet_tf.errors import DataError, ImageError
from clamnet_tf.imaging.formats import suffix_of, titles
from clamnet_tf.imaging.readers import kind_of, read_volume
from clamnet_tf.texts import printable

RESULT_TABLE = "marks.csv"  # what predict writes; a folder that holds one is left out
RESULT_SETTINGS = (
    "prediction.json"  # likewise, written before anything else: also of a prediction that was killed
)
RESULT_COLUMNS = ("input", "slice", "volume", "presence_score")  # that table begins with these
_MASK = re.compile(r"(?P<stem>.+)_mask(_[0-9]+)?", re.IGNORECASE)
_MASKS = "masks (<name>_mask.*)"


@dataclass(frozen=True)
class Inputs:
    """manifest: cases with label None; its root is the deepest folder around all inputs, its account says
    what was taken as what.

    volumes: per case, what the volume it belongs to is called
    names: per case, what its file is called in tables: its path below the root
    outputs: per case, where its results go: a path below the output folder, without suffix, all different
    failures: why some of what was given cannot be used, one message each
    notes: {what a volume is called: lines on images of its series that were set aside}
    identifiers: of patients, as found in DICOM headers. They are taken out of account, volumes, names,
        outputs and failures; the manifest's cases hold true paths. Empty when identifiers are to be kept.
    """

    manifest: Manifest
    volumes: tuple[str, ...]
    names: tuple[str, ...]
    outputs: tuple[Path, ...]
    failures: tuple[str, ...]
    identifiers: Identifiers
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def hide(self, text: str) -> str:
        """A message about these inputs, without identifiers of patients."""
        return printable(self.identifiers.hide(text))


def find_inputs(paths, *, stacks: bool = True, keep_identifiers: bool = False) -> Inputs:
    """Files and folders, in any mix -> Inputs, in the order given (folders in natural order).

    paths: image files; folders, searched to the bottom; manifest CSVs, which say themselves what forms a
    volume and where organ masks are. Twice the same file counts once. In folders, masks (<name>_mask.*),
    earlier results and files of other kinds are passed over, and the account says so. stacks: whether
    numbered pictures form volumes; an X-ray has no slices.
    keep_identifiers: leave names of patients in names. DataError when nothing can be used; what only a part
    suffers from is in `failures`.
    """
    found = _Found(keep_identifiers=keep_identifiers)
    for path in paths:
        found.add(Path(path))
    found.drop_masks()
    root = Path(os.path.commonpath(found.roots)) if found.roots else Path.cwd()
    builder = _Builder(root, found, stacks)
    cases, hide = builder.build(), lambda name: printable(found.identifiers.hide_name(name))
    failures = tuple(printable(found.identifiers.hide(failure)) for failure in found.failures)
    if not cases:
        problems = failures or ("no INPUT was given",)
        raise DataError(
            problems[0] if len(problems) == 1 else f"None of the inputs can be used:\n{listed(problems)}"
        )
    manifest = Manifest(root, tuple(cases), tuple(builder.account), "inputs")
    volumes = tuple(hide(builder.names[case.image]) for case in cases)
    names = tuple(hide(builder.short(case.image)) for case in cases)
    notes = {hide(volume): tuple(map(hide, lines)) for volume, lines in builder.notes.items()}
    return Inputs(
        manifest,
        volumes,
        names,
        result_names(cases, root, found.identifiers.hide_name),
        failures,
        found.identifiers,
        notes,
    )


@dataclass
class _Found:
    """Files by what is to be done with them, all absolute, without repeats."""

    files: dict[Path, str | None] = field(
        default_factory=dict
    )  # path: kind as in imaging.readers, None for one that is no image
    tabled: dict[Path, Case] = field(default_factory=dict)  # cases of manifest CSVs
    alone: set[Path] = field(default_factory=set)  # files that were given by their own name
    roots: list[Path] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    passed: collections.Counter = field(
        default_factory=collections.Counter
    )  # words: count of files passed over
    identifiers: Identifiers = field(default_factory=Identifiers)
    keep_identifiers: bool = False

    def add(self, given: Path) -> None:
        path = Path(os.path.abspath(given))
        if path.is_dir():
            self._add_folder(given, path)
        elif not path.exists():
            self.failures.append(f"{given}: there is no such file or folder; check the name.")
        elif path.suffix.lower() in TABLE_SUFFIXES:
            self._add_manifest(path)
        else:
            self.alone.add(path)
            try:
                self._take(path, path.parent, kind_of(path))
            except ImageError as error:
                self.failures.append(str(error))

    def drop_masks(self) -> None:
        """Files given one by one, as by a pattern of the shell: <name>_mask beside <name> is not an image."""
        stems = {(path.parent, stem_of(path)) for path in self.alone}
        for path in self.alone:
            match = _MASK.fullmatch(stem_of(path))
            if match and (path.parent, match["stem"]) in stems and self.files.pop(path, None):
                self.passed[_MASKS] += 1

    def _take(self, path: Path, root: Path, kind: str | None) -> None:
        if path not in self.files and path not in self.tabled:
            self.files[path] = kind
        if root not in self.roots:
            self.roots.append(root)

    def _add_folder(self, given: Path, folder: Path) -> None:
        try:
            listing = list_folder(folder)
        except DataError:
            self.failures.append(f"{given}: the folder holds no files.")
            return
        results = [
            path.parent
            for path in listing.files
            if path.name in (RESULT_TABLE, RESULT_SETTINGS) and _is_result(path)
        ]
        passed, others = collections.Counter(), []
        for path in listing.files:
            if any(path.is_relative_to(folder) for folder in results):
                passed[f"results of earlier predictions (folders with a {RESULT_TABLE})"] += 1
            elif listing.kind(path) is None or path.name == "DICOMDIR":
                others.append(path)
            elif suffix_of(path) and _MASK.fullmatch(stem_of(path)):
                passed[_MASKS] += 1
            else:
                self._take(path, folder, listing.kind(path))
        words, failures = other_files(listing, others)
        passed += words
        self.passed += passed
        self.failures += failures
        if folder not in self.roots:
            words = ", ".join(f"{count} {what}" for what, count in passed.items())
            more = f" {len(failures)} file(s) cannot be read." if failures else ""
            self.failures.append(
                f"{given}: no image in this folder, only {words or 'files that cannot be read'}.{more} "
                f"Name the folder that holds {titles(last='or')} files."
            )

    def _add_manifest(self, path: Path) -> None:
        try:
            cases = read_manifest(path).cases
        except DataError as error:
            self.failures.append(str(error))
            return
        for case in cases:
            if case.image not in self.files:
                self.tabled.setdefault(
                    case.image,
                    replace(case, label=None, mask=None, split=None, eta=None, slice_index=None, markers=()),
                )
        self.roots += [path.parent, *dict.fromkeys(case.image.parent for case in cases)]


class _Builder:
    """Turns what was found into cases, volumes and the account."""

    def __init__(self, root: Path, found: _Found, stacks: bool):
        self.root, self.found, self.stacks = root, found, stacks
        self.cases: dict[Path, Case] = dict(found.tabled)
        self.names: dict[Path, str] = {}
        self.account: list[str] = []
        self.notes: dict[str, tuple[str, ...]] = {}

    def build(self) -> list[Case]:
        self._tabled()
        self._dicom([path for path, kind in self.found.files.items() if kind == "dicom"])
        self._pictures([path for path, kind in self.found.files.items() if kind in PICTURES])
        self._alone(
            [path for path, kind in self.found.files.items() if kind not in (*PICTURES, "dicom")], "Files"
        )
        if self.found.passed:
            self.account.append(
                "Passed over: "
                + ", ".join(f"{count} {what}" for what, count in self.found.passed.items())
                + "."
            )
        return [self.cases[path] for path in (*self.found.tabled, *self.found.files) if path in self.cases]

    def _tabled(self) -> None:
        for path, case in self.found.tabled.items():
            with contextlib.suppress(ImageError):  # said when it is read
                if path.is_file() and kind_of(path) == "dicom":
                    self._remember(read_header(path))
            grouped = case.series is not None or case.position is not None
            self.names[path] = f"{case.patient} {case.series or ''}".strip() if grouped else self.short(path)
        if self.found.tabled:
            self.account.append(
                f"Manifest: {len(self.found.tabled)} files in {len(set(self.names.values()))} volumes, as "
                f"its columns say."
            )

    def _dicom(self, paths: list[Path]) -> None:
        headers: list[Header] = []
        seen: set[str] = set()
        for path in paths:
            try:
                header = read_header(path)
            except ImageError as error:
                self.found.failures.append(str(error))
                continue
            self._remember(header)
            if header.is_cut_off:
                self.found.failures.append(
                    f"{path}: damaged or cut off DICOM file: {header.kind} without Rows and Columns. Export "
                    f"or copy it again."
                )
            elif not header.is_image:
                self.found.passed[f"DICOM files without an image to mark ({header.kind})"] += 1
            elif header.is_localizer and path not in self.found.alone:
                self.found.passed["DICOM localizers (name one as INPUT to mark it all the same)"] += 1
            elif header.frames > 1 and header.instance and header.instance in seen:
                self.found.passed["copies of a DICOM image"] += 1
            else:
                seen.add(header.instance)
                headers.append(header)
        lines, aside, series = [], [], sort_headers(headers)
        for sorted_headers in series:
            lines += self._series(sorted_headers)
            aside += sorted_headers.notes(lambda header: self.short(header.path))
            self.found.passed["copies of a DICOM image"] += len(sorted_headers.copies)
        self.found.passed += collections.Counter()  # drops what was counted 0 times
        self._say(f"DICOM series: {len(series)}", lines)
        self._say(f"ATTENTION: {len(aside)} DICOM images belong to no volume", aside)
        labelled = sum(header.is_labelled for header in headers)
        if labelled:
            self.account.append(
                f"ATTENTION: {labelled} images have words in their pixels (BurnedInAnnotation), perhaps a "
                f"name; pictures of results show them."
            )

    def _series(self, found: SortedHeaders) -> list[str]:
        """Put the volumes of a series; lines on them."""
        lines = []
        for number, volume in enumerate(found.volumes):
            alone = len(volume.headers) == 1
            folder = self.short(Path(os.path.commonpath([header.path.parent for header in volume.headers])))
            called = f"series {found.uid}" + (f", {volume.words}" if volume.words else "")
            name = self.short(volume.headers[0].path) if alone else f"{folder}: {called}"
            for header in volume.headers:
                self._put(
                    header.path,
                    name,
                    header.patient or header.study,
                    volume.key,
                    None if alone else header.position,
                )
            how = "one volume" if not alone or len(found.volumes) == 1 else "a volume of its own"
            lines.append(
                f"{self.called(folder)}: DICOM {called}, {len(volume.headers)} file{'s' * (not alone)}, {how}"
            )
            if not number and found.strays:
                self.notes[name] = found.notes(lambda header: self.short(header.path))
        for headers, why in found.unclear:
            folder = self.short(Path(os.path.commonpath([header.path.parent for header in headers])))
            self.found.failures.append(f"{folder}: series {found.uid}: {why}.")
        return lines

    def _remember(self, header: Header) -> None:
        if not self.found.keep_identifiers:
            self.found.identifiers.add(header.texts)

    def _pictures(self, paths: list[Path]) -> None:
        patterns: dict[tuple, list[Path]] = collections.defaultdict(list)
        for path in paths:
            match = NUMBERED.fullmatch(stem_of(path)) if self.stacks else None
            patterns[(path.parent, match["stem"] + match["dash"], suffix_of(path)) if match else path].append(
                path
            )
        stacks, alone = [], []
        for pattern, members in patterns.items():
            if len(members) == 1:
                alone += members
                continue
            sizes: dict[tuple, list[Path]] = collections.defaultdict(list)
            for path in members:
                try:
                    sizes[read_volume(path).array.shape].append(path)
                except ImageError as error:
                    self.found.failures.append(f"{error} The volume it belongs to is marked without it.")
            for shape, same in sizes.items():
                if shape[0] > 1 or len(same) == 1:
                    alone += same
                else:
                    stacks.append(
                        (
                            pattern,
                            shape,
                            sorted(same, key=lambda path: natural_key(path.name)),
                            len(sizes) > 1,
                        )
                    )
        lines = []
        for (folder, stem, suffix), (_, height, width, channels), members, several in stacks:
            numbers = [int(NUMBERED.fullmatch(stem_of(path))["number"]) for path in members]
            size = f"{height} x {width}"
            name = f"{self.short(folder / stem)}<n>{suffix or ''}" + (
                f" of {size}, {channels} channel(s)" if several else ""
            )
            for path, number in zip(members, numbers):
                self._put(path, name, name, name, float(number))
            gaps = (
                len(set(range(min(numbers), max(numbers) + 1)) - set(numbers))
                if max(numbers) - min(numbers) < 10**6
                else 0
            )
            missing = f", {gaps} number(s) between them missing" if gaps else ""
            lines.append(
                f"{self.called(self.short(folder / stem))}<n>{suffix or ''}: {len(members)} pictures of"
                f" {size}, n = {min(numbers)} to {max(numbers)}{missing}, one volume"
            )
        self._say(f"Volumes of numbered pictures: {len(stacks)}", lines)
        self._alone(alone, "Pictures")

    def _alone(self, paths: list[Path], what: str) -> None:
        for path in paths:
            self._put(path, self.short(path), self.short(path), None, None)
        self._say(
            f"{what}, each a volume of its own: {len(paths)}",
            [self.called(self.short(path)) for path in paths],
        )

    def _put(self, path, name, patient, series, position) -> None:
        self.names[path] = name
        self.cases[path] = Case(image=path, patient=patient, label=None, series=series, position=position)

    def _say(self, title: str, lines: list[str]) -> None:
        if lines:
            self.account += [title, *listed(lines, 10).split("\n")]

    def called(self, name: str) -> str:
        """A name as it may be shown."""
        return printable(self.found.identifiers.hide_name(name))

    def short(self, path: Path) -> str:
        """How a file is called: by its path below the root."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)


def _is_result(path: Path) -> bool:
    """Whether a table or settings were written by predict."""
    try:
        with open(path, encoding="utf-8") as stream:
            head = stream.read(2000)
            return (
                head.startswith(",".join(RESULT_COLUMNS))
                if path.name == RESULT_TABLE
                else '"keep_identifiers"' in head
            )
    except (OSError, UnicodeDecodeError):
        return False
