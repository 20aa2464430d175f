"""Draw patients for the sides of a split, or some patients out of many, stratified.

Order comes from sha256 of seed and name, so that it is the same on every machine.
"""

import collections
import hashlib

from clamnet_tf.errors import DataError

# Weight of a missing class (normal or abnormal) on each side.
_NEED_BOTH_CLASSES = {"train": 100, "val": 10, "test": 1}


def draw_sides(patients: dict[str, list], fractions: dict[str, float], seed: int, root) -> dict[str, str]:
    """Return {patient: side}, with shares as in `fractions`.

    Patients are stratified by label profile (the sets of a patient's labels and lesion classes): each profile
    gets its share of every side, at least one patient where it has enough, spread evenly over its sites.
    Where a side then lacks a class, patients are exchanged if that can mend it.

    Args:
        patients: {name: cases with label, markers and site}.
        fractions: weights of train, val and test; 0 leaves a side out.
        seed: seed of the draw.
        root: the data folder, for messages.

    Raises:
        DataError: there are fewer patients than sides.
    """
    total = sum(fractions.values())
    fractions = {side: fraction / total for side, fraction in fractions.items() if fraction > 0}
    if len(patients) < len(fractions):
        raise DataError(
            f"{root}: {len(patients)} patient(s) cannot be split into {' and '.join(fractions)}; at least "
            f"{len(fractions)} are needed, better 20."
        )
    profiles = _profiles(patients)
    sides: dict[str, str] = {}
    carried = dict.fromkeys(fractions, 0.0)
    for profile in sorted(profiles, key=lambda key: (-len(profiles[key]), key)):
        names = profiles[profile]
        wanted = {side: fraction * len(names) + carried[side] for side, fraction in fractions.items()}
        counts = _whole_shares(wanted, len(names))
        carried = {side: wanted[side] - counts[side] for side in fractions}
        sides |= _spread(
            _by_site(names, {name: patients[name][0].site or "" for name in names}, seed), counts
        )
    classes = {name: frozenset(case.label > 0 for case in cases) for name, cases in patients.items()}
    return _with_both_classes(sides, classes, tuple(fractions), seed)


def draw_folds(patients: dict[str, list], k: int, seed: int) -> dict[str, int]:
    """Return {patient: fold, from 0}, for k folds that differ by at most one patient.

    The patients of each label profile are put in a random order in which those of one site stay together, and
    dealt to the folds in turn; the next profile goes on where the last one ended. So the folds also differ by
    at most one patient of each profile.

    Args:
        patients: {name: cases with label, markers and site}.
        k: number of folds.
        seed: seed of the draw.
    """
    profiles = _profiles(patients)
    order = [
        name
        for profile in sorted(profiles, key=lambda key: (-len(profiles[key]), key))
        for name in _by_site(
            profiles[profile], {name: patients[name][0].site or "" for name in profiles[profile]}, seed
        )
    ]
    return {name: place % k for place, name in enumerate(order)}


def _profiles(patients: dict[str, list]) -> dict[tuple, list[str]]:
    """Return {(labels, lesion classes): the patients whose cases have exactly these}."""
    profiles: dict[tuple, list[str]] = collections.defaultdict(list)
    for patient, cases in patients.items():
        markers = {name for case in cases for name in case.markers}
        profiles[tuple(sorted({case.label for case in cases})), tuple(sorted(markers))].append(patient)
    return profiles


def draw_patients(patients: dict[str, tuple], count: int, seed: int) -> list[str]:
    """Return `count` of the names in `patients`, sorted; the same for the same seed on every machine.

    Each label profile is drawn in proportion, at least one patient where `count` allows, spread evenly over
    its sites.

    Args:
        patients: {name: (labels of its cases, site)}.
        count: number of patients to draw.
        seed: seed of the draw.
    """
    profiles: dict[tuple, list[str]] = collections.defaultdict(list)
    for patient, (labels, _) in patients.items():
        profiles[tuple(sorted(labels))].append(patient)
    order = sorted(profiles, key=lambda key: (-len(profiles[key]), key))
    shares = _whole_shares(
        {profile: count * len(profiles[profile]) / len(patients) for profile in order}, count
    )
    drawn: list[str] = []
    for profile in order:
        names = _by_site(profiles[profile], {name: patients[name][1] for name in profiles[profile]}, seed)
        sides = _spread(names, {"drawn": shares[profile], "left": len(names) - shares[profile]})
        drawn += [name for name in names if sides[name] == "drawn"]
    return sorted(drawn)


def _by_site(names: list[str], site: dict[str, str], seed: int) -> list[str]:
    """Return `names` in a random order in which those of one site stay together."""
    return sorted(
        names,
        key=lambda name: (_rank(seed, "site", site[name]), site[name], _rank(seed, "patient", name), name),
    )


def _whole_shares(wanted: dict[str, float], count: int) -> dict[str, int]:
    """Return whole shares that sum to `count`: at least one per side when `count` allows, largest remainders
    first.
    """
    floor = 1 if count >= len(wanted) else 0
    shares = dict.fromkeys(wanted, floor)
    for _ in range(count - floor * len(wanted)):
        shares[max(wanted, key=lambda side: wanted[side] - shares[side])] += 1
    return shares


def _spread(names: list[str], counts: dict[str, int]) -> dict[str, str]:
    """Assign `names` in order so that each stretch of them holds every side in proportion to `counts`."""
    sides, assigned = {}, dict.fromkeys(counts, 0)
    for rank, name in enumerate(names, start=1):
        open_sides = [side for side in counts if assigned[side] < counts[side]]
        sides[name] = max(open_sides, key=lambda side: counts[side] * rank / len(names) - assigned[side])
        assigned[sides[name]] += 1
    return sides


def _with_both_classes(
    sides: dict[str, str], classes: dict[str, frozenset], names: tuple, seed: int
) -> dict[str, str]:
    """Exchange two patients, or move one, as long as that brings a missing class to a side."""

    def lack(assigned) -> int:
        present = {
            side: set().union(*(classes[patient] for patient in assigned if assigned[patient] == side))
            for side in names
        }
        return sum(_NEED_BOTH_CLASSES[side] * (2 - len(present[side])) for side in names)

    now = lack(sides)
    while now:
        order = sorted(sides, key=lambda name: (_rank(seed, "mend", name), name))
        exchanges = (
            {a: sides[b], b: sides[a]}
            for a in order
            for b in order
            if sides[a] < sides[b] and classes[a] != classes[b]
        )
        moves = ({patient: side} for patient in order for side in names if side != sides[patient])
        for change in (*exchanges, *moves):
            after = lack(sides | change)
            if after < now:
                sides, now = sides | change, after
                break
        else:
            break
    return sides


def _rank(seed: int, kind: str, name: str) -> str:
    return hashlib.sha256(f"{seed}\0{kind}\0{name}".encode("utf-8", "surrogateescape")).hexdigest()
