"""Summarise the content of a manifest in a few lines."""

import collections

from clamnet_tf.datasets.manifest import SIDES, Manifest


def dataset_summary(manifest: Manifest) -> list[str]:
    """Return lines on patients, images, labels, sites, masks and sides, without reading any file."""
    cases = manifest.cases
    labels = collections.Counter("unknown" if case.label is None else case.label for case in cases)
    names = {0: "normal"}
    label_counts = [
        f"{names.get(label, f'label {label}')} {count}" for label, count in sorted(labels.items(), key=str)
    ]
    mixed = collections.Counter()
    for patient_labels in _labels_by_patient(cases).values():
        mixed[
            "both"
            if len(patient_labels) > 1
            else "normal only"
            if patient_labels == {True}
            else "abnormal only"
        ] += 1
    lines = [
        f"Patients: {len({case.patient for case in cases})} "
        f"({', '.join(f'{count} {kind}' for kind, count in sorted(mixed.items()))}).",
        f"Images: {len(cases)} rows in {len({case.image for case in cases})} files.",
        f"Labels: {', '.join(label_counts)}.",
    ]
    classes = collections.Counter(name for case in cases for name in case.markers)
    if classes:
        lines.append(
            "Lesion classes: " + ", ".join(f"{name} {count}" for name, count in sorted(classes.items())) + "."
        )
    sites = collections.Counter(case.site for case in cases)
    if set(sites) != {None}:
        lines.append(
            "Sites: "
            + ", ".join(
                f"{site or 'unknown'} {count}"
                for site, count in sorted(sites.items(), key=lambda item: str(item[0]))
            )
            + "."
        )
    levels = collections.Counter(case.label_level for case in cases)
    if set(levels) != {None}:
        counts = ", ".join(f"{level} {levels[level]}" for level in ("slice", "study", None) if levels[level])
        lines.append(f"Labels speak of: {counts.replace('None', 'what the recipe says')}.")
    masks = sum(case.mask is not None for case in cases)
    lines.append(
        f"Masks: {masks} of {len(cases)} (they measure; they teach only where the recipe's "
        "training.supervision is not labels)."
        if masks
        else "Masks: none; metrics against masks will not be possible."
    )
    organs = sum(case.organ is not None for case in cases)
    if organs:
        lines.append(f"Organ masks: {organs} of {len(cases)}.")
    sides = collections.Counter(case.split for case in cases)
    if set(sides) != {None}:
        lines.append(
            "Split: " + ", ".join(f"{side} {sides[side]}" for side in (*SIDES, None) if sides[side]) + "."
        )
    return lines


def _labels_by_patient(cases) -> dict[str, set[bool]]:
    """Return {patient: {whether an image is normal}}."""
    labels: dict[str, set[bool]] = {}
    for case in cases:
        labels.setdefault(case.patient, set()).add(case.label == 0)
    return labels
