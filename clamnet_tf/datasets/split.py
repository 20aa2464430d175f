"""Split patients into train, val and test, stratified and equal on every machine, and refuse leakage."""

import unicodedata
from dataclasses import replace
from pathlib import Path

from clamnet_tf import spreadsheet
from clamnet_tf.datasets.manifest import SIDES, Manifest, nearest
from clamnet_tf.datasets.problems import listed
from clamnet_tf.datasets.pseudonyms import true_name
from clamnet_tf.datasets.row_reader import SIDE_NAMES
from clamnet_tf.datasets.stratify import draw_sides
from clamnet_tf.datasets.table_files import read_table
from clamnet_tf.datasets.table_limits import shown_columns
from clamnet_tf.errors import DataError
from clamnet_tf.files import write_text
from clamnet_tf.recipe.schema_data import SplitSection
from clamnet_tf.reporting.learning_wording import LEAST_PATIENTS


def split_manifest(
    manifest: Manifest, section: SplitSection, split_file: Path | None = None, *, both_classes: bool = True
) -> Manifest:
    """Return the manifest with a side for every case, and lines in its account that describe the split.

    Sides come from `split_file`, else from the manifest's own split, else from a seeded draw by patient,
    stratified by site and by the set of labels that a patient has. A split without val gets it from train by
    the same draw. See also `check_leakage`, which needs the pixels.

    Args:
        manifest: the cases, all with a label.
        section: data.split of the recipe: fractions and seed.
        split_file: CSV patient,split that names every patient, or None.
        both_classes: require normal and abnormal images in train and val; training from masks does without.

    Raises:
        DataError: a patient is on two sides or on none, a patient of the file is unknown or one of the
            manifest is missing from it, train or val lacks normal or abnormal images, or there are too few
            patients.
    """
    patients = labelled_patients(manifest)
    if split_file is not None:
        sides, origin = read_split(split_file, patients, manifest.hidden), f"given by {split_file}"
    elif any(case.split for case in manifest.cases):
        sides, origin = _own_split(manifest, patients), "given by the data itself"
    else:
        _check_fractions(section)
        sides = draw_sides(
            patients, {side: getattr(section, side) for side in SIDES}, section.seed, manifest.root
        )
        origin = f"drawn by patient, stratified by label and site, seed {section.seed}"
    if "val" not in sides.values() and "train" in sides.values():
        _check_fractions(section)
        pool = {patient: cases for patient, cases in patients.items() if sides[patient] == "train"}
        sides |= draw_sides(pool, {"train": section.train, "val": section.val}, section.seed, manifest.root)
        origin += f"; it has no val, which was drawn from its train patients, seed {section.seed}"
    cases = tuple(replace(case, split=sides[case.patient]) for case in manifest.cases)
    if both_classes:
        _check_classes(manifest, cases)
    lines = [f"Split {origin}:"]
    for side in SIDES:
        cases_of_side = [case for case in cases if case.split == side]
        normal = sum(case.label == 0 for case in cases_of_side)
        count = len({case.patient for case in cases_of_side})
        lines.append(
            f"  {side}: {count} patients, {len(cases_of_side)} images ({len(cases_of_side) - normal} "
            f"abnormal, {normal} normal)"
        )
    if both_classes:
        lines += _few_to_judge(cases)
    return replace(manifest, cases=cases, account=(*manifest.account, *lines))


def _few_to_judge(cases) -> list[str]:
    """Return a line where the validation patients are too few to tell whether anything was learned."""
    counts = [
        len({case.patient for case in cases if case.split == "val" and (case.label > 0) == abnormal})
        for abnormal in (True, False)
    ]
    if min(counts) >= LEAST_PATIENTS:
        return []
    return [
        f"  ATTENTION: {counts[0]} val patients have abnormal images and {counts[1]} normal ones; whether a "
        f"training has learned anything is judged from {LEAST_PATIENTS} of each. More patients, a larger "
        "data.split.val or a --split-file give them."
    ]


def read_split(path, patients, hidden=None) -> dict[str, str]:
    """Read a CSV patient,split that names exactly `patients`; raise DataError with every problem and its
    line.

    Args:
        path: the file.
        patients: true names of the patients of the data.
        hidden: datasets.pseudonyms.Pseudonyms of the data. A column data, which `write_split` adds, says that
            the file holds pseudonyms.

    Returns:
        {patient: side}.
    """
    header, rows = read_table(path)
    names = [name.lower() for name in header]
    if sorted(names) not in (["patient", "split"], ["data", "patient", "split"]):
        raise DataError(
            f"{path}: a split file has the columns patient,split; received {shown_columns(header)}."
        )
    known, lines, problems = set(patients), {}, []
    sides: dict[str, str] = {}
    for line, cells in rows:
        cells = {name.lower(): value for name, value in cells.items()}
        written = unicodedata.normalize("NFC", cells["patient"])
        patient, side = true_name(written, cells.get("data"), known, hidden, path), cells["split"]
        if side.lower() not in SIDE_NAMES:
            problems.append(
                f"line {line}: split: expected train, val or test, received "
                f"{side!r}{nearest(side, SIDE_NAMES)}"
            )
        elif patient not in known:
            problems.append(
                f"line {line}: patient {patient!r} is not in the data{nearest_exact(patient, known)}"
            )
        elif sides.setdefault(patient, SIDE_NAMES[side.lower()]) != SIDE_NAMES[side.lower()]:
            problems.append(
                f"line {line}: patient {patient!r} is on two sides: {sides[patient]} in line "
                f"{lines[patient]}, {side} here"
            )
        lines.setdefault(patient, line)
    problems += [
        f"patient {patient!r} of the data has no line" for patient in patients if patient not in lines
    ]
    if problems:
        raise DataError(f"{path}: {len(problems)} problem(s):\n{listed(problems)}")
    return sides


def nearest_exact(patient: str, known) -> str:
    """Return ' (did you mean ...?)' for a patient whose name begins like `patient` or the reverse, or ''."""
    alike = (
        sorted(name for name in known if name.startswith(patient) or patient.startswith(name))
        if patient
        else []
    )
    return f" (did you mean {alike[0]!r}?)" if alike else ""


def write_split(manifest: Manifest, path) -> None:
    """Write the split as CSV patient,split, readable as a split file, with patients in the manifest's order.

    Hidden names are written as pseudonyms, with a column data by which the file is recognised to fit its
    data.
    """
    hidden = manifest.hidden if manifest.hidden is not None and manifest.hidden.any else None
    head, more = (
        (("patient", "split"), ()) if hidden is None else (("patient", "split", "data"), (hidden.digest,))
    )
    name = str if hidden is None else hidden.patient
    rows = {case.patient: (name(case.patient), case.split or "", *more) for case in manifest.cases}.values()
    write_text(path, "".join(spreadsheet.line(row) for row in (head, *rows)))


def check_leakage(manifest: Manifest, hashes) -> None:
    """Refuse the same pixels, or the same patient, on two sides of the split.

    Args:
        manifest: cases with sides.
        hashes: {case index: [pixel hash, ...]} from `SliceTable.hashes()`, which leaves out constant images.

    Raises:
        DataError: names the patients and files.
    """
    _own_split(manifest, _by_patient(manifest))
    first_case: dict[str, int] = {}
    problems = []
    for index in sorted(hashes):
        case = manifest.cases[index]
        for pixel_hash in hashes[index]:
            other = manifest.cases[first_case.setdefault(pixel_hash, index)]
            if other.split != case.split:
                problems.append(
                    f"{other.image} (patient {other.patient}, {other.split}) and {case.image} (patient "
                    f"{case.patient}, {case.split})"
                )
    if problems:
        raise DataError(
            f"{manifest.root}: {len(problems)} image(s) have the same pixels on two sides of the "
            f"split:\n{listed(problems)}\n"
            "Give both patients the same side (--split-file), or remove one copy."
        )


def labelled_patients(manifest: Manifest) -> dict[str, list]:
    """Return {patient: its cases}, in the manifest's order. Raises DataError for cases without a label."""
    unlabelled = [f"{case.image}" for case in manifest.cases if case.label is None]
    if unlabelled:
        raise DataError(
            f"{manifest.root}: a split needs labels, {len(unlabelled)} image(s) have "
            f"none:\n{listed(unlabelled)}"
        )
    return _by_patient(manifest)


def _by_patient(manifest: Manifest) -> dict[str, list]:
    patients: dict[str, list] = {}
    for case in manifest.cases:
        patients.setdefault(case.patient, []).append(case)
    return patients


def _own_split(manifest: Manifest, patients) -> dict[str, str]:
    sides, problems = {}, []
    for patient, cases in patients.items():
        sides_of_patient = {case.split for case in cases}
        if len(sides_of_patient) > 1:
            examples = ", ".join(
                f"{side or 'no side'}: {next(c.image.name for c in cases if c.split == side)}"
                for side in sorted(sides_of_patient, key=str)
            )
            problems.append(f"patient {patient!r} is on two sides ({examples})")
        elif None in sides_of_patient:
            problems.append(f"patient {patient!r} has no side")
        sides[patient] = cases[0].split
    if problems:
        raise DataError(
            f"{manifest.root}: {len(problems)} patient(s) are not on one side of the "
            f"split:\n{listed(problems)}\n"
            "Give every patient one side: edit the manifest, or use --split-file; "
            "`clamnet-tf data inspect DIR --write-split FILE` draws such a file by patient."
        )
    return sides


def _check_fractions(section: SplitSection) -> None:
    if section.train <= 0 or section.val <= 0:
        raise DataError(
            f"data.split: train and val must be above 0, received train={section.train}, val={section.val}: "
            "validation patients choose checkpoint and threshold."
        )


def _check_classes(manifest: Manifest, cases) -> None:
    present = {case.label > 0 for case in cases}
    if len(present) == 1:
        raise DataError(
            f"{manifest.root}: one class only: every image is "
            f"{'abnormal' if present == {True} else 'normal'}; "
            "training needs normal (label 0) and abnormal images."
        )
    problems = []
    for side in ("train", "val"):
        labels = [case.label for case in cases if case.split == side]
        for name, count in (("normal", labels.count(0)), ("abnormal", len(labels) - labels.count(0))):
            if not count:
                problems.append(f"{side} has no {name} image (of {len(labels)})")
    if problems:
        raise DataError(
            f"{manifest.root}: train and val each need normal and abnormal images:\n{listed(problems)}\n"
            "Add patients, or give another split with --split-file."
        )
