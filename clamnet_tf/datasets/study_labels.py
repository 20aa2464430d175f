"""Say of each case whether its label speaks of one slice or of a whole study, and check labels of studies.

A study is all cases of one patient and series; without a series, all cases of the patient. When its label is
that of the study, every slice of an abnormal study may hold the lesion, and normal slices come from normal
studies.
"""

from dataclasses import replace

from clamnet_tf.datasets.manifest import Case, Manifest
from clamnet_tf.datasets.problems import listed
from clamnet_tf.errors import DataError

SLICE, STUDY = "slice", "study"


def study_of(case: Case) -> tuple[str, str]:
    """Return what the cases of one study have in common: patient and series."""
    return case.patient, case.series or ""


def with_label_level(manifest: Manifest, level: str, *, training: bool = True) -> Manifest:
    """Return the manifest in which every case says what its label speaks of, and an account of studies.

    Where the manifest is silent, labels are those of `level`. The built-in cohort has labels of slices, from
    which those of studies are made: a study is abnormal when a slice is.

    Args:
        manifest: the cases.
        level: "slice" or "study", data.labels of the recipe.
        training: whether labels that contradict are refused. Otherwise a study whose labels differ has labels
            of slices, which measure more than one of the study would.

    Raises:
        DataError: labels of a study's slices differ, only a part of its slices is labelled by study, or every
            study is abnormal.
    """
    cases = [replace(case, label_level=case.label_level or level) for case in manifest.cases]
    if all(case.label_level == SLICE for case in cases):
        return replace(manifest, cases=tuple(cases))
    studies: dict[tuple[str, str], list[int]] = {}
    for index, case in enumerate(cases):
        studies.setdefault(study_of(case), []).append(index)
    problems = []
    for study, indices in studies.items():
        slices = [cases[index] for index in indices]
        if manifest.layout == "cohort":
            label = max(case.label or 0 for case in slices)
            names = tuple(sorted({name for case in slices for name in case.markers}))
            for index in indices:
                cases[index] = replace(cases[index], label=label, markers=names)
        elif problem := _contradiction(slices):
            series = f", series {study[1]!r}" if study[1] else ""
            problems.append(f"patient {study[0]!r}{series}: {problem}")
            for index in indices:
                cases[index] = replace(cases[index], label_level=SLICE)
    if problems and training:
        raise DataError(
            f"{manifest.root}: expected one label for all slices of a study, since labels are those of "
            f"studies (data.labels of the recipe, or the column label_level); {len(problems)} of "
            f"{len(studies)} studies have several:\n{listed(problems)}\n"
            "If these are labels of slices, use data.labels: slice, which teaches more. If they are labels "
            "of several studies of one patient, name the studies in a column series."
        )
    result = replace(manifest, cases=tuple(cases))
    if training:
        _check_normal_studies(result)
    return replace(result, account=(*result.account, *_account(result)))


def level_problems(manifest: Manifest, level: str) -> tuple[Manifest, list[str]]:
    """Return (`with_label_level`, []), or (the manifest as it is, why labels of studies are refused)."""
    try:
        return with_label_level(manifest, level), []
    except DataError as error:
        return manifest, [str(error)]


def _contradiction(slices: list[Case]) -> str:
    """Return why the cases of one study cannot have one label, or an empty text."""
    if all(case.label_level == SLICE for case in slices):
        return ""
    levels = sorted({str(case.label_level) for case in slices})
    if len(levels) > 1:
        counts = " and ".join(
            f"{sum(case.label_level == level for case in slices)} by {level}" for level in levels
        )
        return f"slices are labelled {counts}"
    labels = sorted({-1 if case.label is None else case.label for case in slices})
    if len(labels) > 1:
        counts = ", ".join(
            f"{sum((-1 if case.label is None else case.label) == label for case in slices)} slices with "
            f"{'no label' if label < 0 else f'label {label}'}"
            for label in labels
        )
        return counts
    names = sorted({"+".join(case.markers) for case in slices})
    if len(names) > 1:
        return f"slices with the lesion classes {' and '.join(name or '(none)' for name in names)}"
    return ""


def _check_normal_studies(manifest: Manifest) -> None:
    by_study = [case for case in manifest.cases if case.label_level == STUDY]
    if any(case.label for case in by_study) and not any(case.label == 0 for case in manifest.cases):
        raise DataError(
            f"{manifest.root}: expected normal studies beside the abnormal ones, since labels of studies "
            f"leave open which slices of an abnormal study are normal; received "
            f"{len({study_of(case) for case in by_study})} studies, all of them abnormal. Add normal "
            "studies, or label slices (data.labels: slice)."
        )


def _account(manifest: Manifest) -> list[str]:
    """Return a line on how many studies have a label of their own; none when no study has."""
    labels = {study_of(case): case.label for case in manifest.cases if case.label_level == STUDY}
    if not labels:
        return []
    abnormal = sum(bool(label) for label in labels.values())
    by_slice = sum(case.label_level == SLICE for case in manifest.cases)
    rest = f"; {by_slice} images have labels of their own" if by_slice else ""
    return [
        f"Labels are those of studies: {abnormal} abnormal, each of whose slices may hold the lesion, and "
        f"{len(labels) - abnormal} normal{rest}."
    ]
