"""Divide patients into folds for cross-validation: by label, by site, or one fold per site.

Every patient is in the held-out part of exactly one fold. The draw is that of datasets.stratify: the same
patients and the same seed give the same folds on every machine.
"""

import hashlib
from dataclasses import dataclass, replace

from clamnet_tf.datasets import stratify
from clamnet_tf.datasets.manifest import Manifest
from clamnet_tf.datasets.problems import listed
from clamnet_tf.datasets.split import labelled_patients, split_manifest
from clamnet_tf.errors import DataError
from clamnet_tf.recipe.schema_data import SplitSection


@dataclass(frozen=True)
class Fold:
    """Describe the patients that one network of a cross-validation does not see.

    Attributes:
        number: Number of the fold, from 1.
        name: Name for readers: "fold 2", or "fold 2, site B" where each fold is one site.
        patients: Patients held out, in the order of the data.
    """

    number: int
    name: str
    patients: tuple[str, ...]


def draw_folds(manifest: Manifest, k: int | None, *, seed: int, by_site: bool = False) -> list[Fold]:
    """Divide the patients of a manifest into folds.

    By patient, the folds are stratified by the set of labels that a patient has and spread evenly over the
    sites. By site, a site is never divided: the largest sites come first, each into the fold that has the
    fewest patients, of equal folds into that with the fewest abnormal patients.

    Args:
        manifest: Cases, all with a label.
        k: Number of folds, at least 2; None: one fold per site.
        seed: Seed of the draw.
        by_site: Keep the patients of a site together.

    Raises:
        DataError: There are fewer patients or sites than folds, a case has no label, or, by site, a patient
            has no site or several.
    """
    patients = labelled_patients(manifest)
    if k is not None and not by_site:
        if not 2 <= k <= len(patients):
            raise DataError(
                f"--k {k}: expected 2 to {len(patients)}, the number of patients of {manifest.root}; every "
                f"fold holds out at least one of them."
            )
        dealt = stratify.draw_folds(patients, k, seed)
        return [
            Fold(
                index + 1,
                f"fold {index + 1}",
                tuple(patient for patient in patients if dealt[patient] == index),
            )
            for index in range(k)
        ]
    sites = _sites(manifest, patients)
    if k is None:
        if len(sites) < 2:
            raise DataError(
                f"--k site: expected patients of at least 2 sites; those of {manifest.root} are all of "
                f"{next(iter(sites))!r}. Give a number, for example --k 5."
            )
        return [
            Fold(number, f"fold {number}, site {site}", tuple(sites[site]))
            for number, site in enumerate(sorted(sites), start=1)
        ]
    if not 2 <= k <= len(sites):
        raise DataError(
            f"--k {k} --by site: expected 2 to {len(sites)}, the number of sites of {manifest.root} "
            f"({', '.join(sorted(sites))})."
        )
    return _whole_sites(patients, sites, k, seed)


def fold_manifest(manifest: Manifest, fold: Fold, section: SplitSection, *, seed: int, both_classes: bool):
    """Return the manifest with the fold's patients as test, and the others as train and val.

    The validation patients are drawn from the others, stratified like every split, in the proportion of the
    recipe's data.split; each fold draws its own.

    Args:
        manifest: Cases, all with a label.
        fold: The fold.
        section: data.split of the recipe.
        seed: Seed of the draw.
        both_classes: Require normal and abnormal images in train and in val.

    Raises:
        DataError: Too few patients are left for train and val, or one of them lacks a class; the message
            names the fold.
    """
    patients, held_out = labelled_patients(manifest), set(fold.patients)
    pool = {patient: cases for patient, cases in patients.items() if patient not in held_out}
    try:
        if section.train <= 0 or section.val <= 0:
            raise DataError(
                f"data.split: train and val must be above 0, received train={section.train}, "
                f"val={section.val}: validation patients choose checkpoint and threshold."
            )
        sides = stratify.draw_sides(
            pool, {"train": section.train, "val": section.val}, seed + fold.number, manifest.root
        )
        sides |= dict.fromkeys(fold.patients, "test")
        cases = tuple(replace(case, split=sides[case.patient]) for case in manifest.cases)
        return split_manifest(replace(manifest, cases=cases), section, both_classes=both_classes)
    except DataError as error:
        raise DataError(f"{fold.name}: {error}") from error


def _sites(manifest: Manifest, patients) -> dict[str, list[str]]:
    """Return {site: its patients}. Raises DataError for a patient with no site or with several."""
    sites: dict[str, list[str]] = {}
    without, several = [], []
    for patient, cases in patients.items():
        own = {case.site for case in cases}
        if len(own) > 1:
            several.append(f"patient {patient!r}: {', '.join(sorted(map(str, own)))}")
        elif own == {None} or own == {""}:
            without.append(f"patient {patient!r}")
        else:
            sites.setdefault(cases[0].site, []).append(patient)
    if without or several:
        raise DataError(
            f"{manifest.root}: folds by site need exactly one site per patient; {len(without)} have none and "
            f"{len(several)} have several:\n{listed([*without, *several])}\n"
            f"Add the column site to the manifest or to the table of labels, or use folds by patient."
        )
    return sites


def _whole_sites(patients, sites: dict[str, list[str]], k: int, seed: int) -> list[Fold]:
    """Put whole sites into k folds of about equal size."""
    abnormal = {
        site: sum(any(case.label > 0 for case in patients[patient]) for patient in own)
        for site, own in sites.items()
    }
    folds: list[list[str]] = [[] for _ in range(k)]
    order = sorted(sites, key=lambda site: (-len(sites[site]), _rank(seed, site)))
    for site in order:
        lightest = min(
            range(k),
            key=lambda index: (
                sum(len(sites[own]) for own in folds[index]),
                sum(abnormal[own] for own in folds[index]),
                index,
            ),
        )
        folds[lightest].append(site)
    members = [{patient for site in own for patient in sites[site]} for own in folds]
    return [
        Fold(number, f"fold {number}", tuple(patient for patient in patients if patient in own))
        for number, own in enumerate(members, start=1)
    ]


def _rank(seed: int, site: str) -> str:
    """Return a random but reproducible rank of a site."""
    return hashlib.sha256(f"{seed}\0site\0{site}".encode("utf-8", "surrogateescape")).hexdigest()
