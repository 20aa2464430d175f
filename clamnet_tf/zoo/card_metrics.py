"""Write the section of an entry's card that has its metrics."""

from clamnet_tf.reporting.method_words import method_in_words
from clamnet_tf.zoo.entry import Entry, Figure
from clamnet_tf.zoo.markdown import item, prose, table, wrapped

MIXED = (
    "The Dice per patient below was measured before November 2026: a patient without a lesion counted 0 "
    "when any pixel was marked, and was left out when none was. Today clamnet-tf evaluate measures it on "
    "patients with a lesion only."
)
"""Note on cards of entries that were measured before November 2026."""


def within(figure: Figure, scale: float = 1.0, digits: int = 2, sign: str = "") -> str:
    """Format a metric with its interval: "0.75 (0.64 to 0.84)"; with sign="+" "+0.01 (-0.03 to +0.05)".

    Args:
        figure: Metric.
        scale: Factor, for example 100 for per cent.
        digits: Digits after the point.
        sign: "+" shows the sign of positive numbers.
    """
    value, low, high = (
        "" if number is None else f"{scale * number:{sign}.{digits}f}"
        for number in (figure.value, figure.low, figure.high)
    )
    return f"{value} ({low} to {high})" if low and high else value


def is_separate(entry: Entry) -> bool:
    """Return whether Dice was measured on patients with a lesion only, as it is since November 2026."""
    return entry.metrics.patients_with_lesion is not None


def metrics_section(entry: Entry) -> str:
    """Write the section: what was measured on whom, a table of metrics, tables per named class, thresholds,
    notes.
    """
    metrics = entry.metrics
    where = f"{metrics.data}, {metrics.split} split" if metrics.split else metrics.data
    kind = "simulated patients" if metrics.simulated else "patients"
    groups = ""
    if is_separate(entry):
        lesions = metrics.patients_with_lesion
        groups = (
            f"; {lesions} of the patients have a lesion and are fully outlined, "
            f"{metrics.patients_without_lesion} have none"
            if lesions
            else f"; no patient is fully outlined, {metrics.patients_without_lesion} have no lesion"
        )
    measured = (
        f"Measured on {metrics.patients} {kind} ({metrics.slices} slices{groups}) of {where}; seed "
        f"{metrics.seed}. Intervals: {metrics.interval}."
    )
    volumes, outlined = metrics.dice_volume, metrics.dice_slice
    of_whom = f" with a lesion ({metrics.patients_with_lesion} patients)" if is_separate(entry) else " volume"
    headline = (
        (f"Dice per patient{of_whom}", f"{within(volumes)}, median {metrics.dice_volume_median:.2f}")
        if volumes
        else (
            f"Dice per outlined slice ({metrics.outlined_slices} slices; no patient is fully outlined)",
            within(outlined) if outlined else "not measured",
        )
    )
    rows = [("Metric", "Value"), headline]
    if volumes and outlined:
        rows.append((f"Dice per slice with a lesion ({metrics.outlined_slices} slices)", within(outlined)))
    rows += _simple_rows(metrics)
    if metrics.auroc_slice:
        rows.append(("Slice AUROC", within(metrics.auroc_slice)))
    if metrics.pointing_game:
        rows.append(
            (
                "Share of slices whose pixel of highest probability is in the lesion (pointing game)",
                within(metrics.pointing_game),
            )
        )
    if metrics.pointing_near:
        rows.append(
            (
                "The same, or within 8/224 of the image's longer side of it",
                within(metrics.pointing_near),
            )
        )
    rows += _lesion_rows(metrics)
    if metrics.normal_area:
        rows.append(("Marked area on normal slices, % of the organ", within(metrics.normal_area, 100)))
    if metrics.specificity_patient:
        rows.append(
            (
                f"Patients without a lesion left unmarked ({metrics.patients_without_lesion} patients), %",
                within(metrics.specificity_patient, 100, 0),
            )
        )
    if metrics.normal_area_patient:
        rows.append(
            (
                "Marked area of patients without a lesion, % of the organ",
                within(metrics.normal_area_patient, 100),
            )
        )
    if entry.markers:
        together = "All lesion classes together; a pixel counts as marked whatever its class:"
        of_each = _class_tables(entry.markers) if is_separate(entry) else _class_tables_mixed(entry.markers)
        parts = [together, table(rows), *of_each, _cuts(entry)]
    else:
        cut = entry.threshold
        parts = [
            table(rows),
            wrapped(
                f"A pixel is marked from a probability of {cut.value:.3f} (without post-processing of the "
                f"volume: {cut.raw_value:.3f}); {cut.rule}."
            ),
        ]
    if entry.learning:
        judged = "Whether anything was learned, judged by image labels of the validation patients:"
        parts += [judged, "\n".join(item(sentence) for sentence in entry.learning)]
    return "\n\n".join([wrapped(measured), *parts, *([prose(entry.notes)] if entry.notes else [])])


def _lesion_rows(metrics) -> list[tuple]:
    """Return the rows that count lesions and patients, as far as measured."""
    rows = [
        (f"Lesions found ({metrics.lesions} lesions), %", metrics.lesion_recall, 100, 0),
        ("F1 of lesions (intersection over union of at least 0.1)", metrics.lesion_f1, 1, 2),
        (
            "Lesions found, mean over 1/8 to 8 false marks per image (CPM), %",
            metrics.lesion_cpm,
            100,
            0,
        ),
        ("AUROC of patients (highest slice score)", metrics.auroc_patient, 1, 2),
    ]
    return [(name, within(figure, scale, digits)) for name, figure, scale, digits in rows if figure]


def _simple_rows(metrics) -> list[tuple]:
    """Return the rows on simple methods measured on the same patients, and on the network's difference to
    them.
    """
    rows = []
    for rank, method in enumerate(metrics.simple_methods or ()):
        name = method_in_words(method.name)
        title = (
            f"Best simple method, picked with the masks: {name}" if rank == 0 else name[:1].upper() + name[1:]
        )
        rows.append(
            (title, f"{within(method.dice)}; network minus this method {within(method.difference, sign='+')}")
        )
    return rows


def _class_tables(markers) -> list[str]:
    """Write two tables with a row per named class: how well it is outlined where present, and how well it is
    detected.
    """
    outlined = [("Class", "Dice per patient who has it", "Dice per outlined slice")]
    detected = [
        (
            "Class",
            "Slice AUROC",
            "Pixel of highest probability inside (pointing game)",
            "Marked area on slices without it, % of the organ",
            "Patients without it left unmarked, %",
        )
    ]
    for section in markers:
        metrics = section.metrics
        volumes = (
            f"{_cell(metrics.dice_volume)}, median {metrics.dice_volume_median:.2f}, "
            f"{metrics.patients_with_lesion} patients"
            if metrics.dice_volume
            else _cell(None)
        )
        outlined.append(
            (
                section.name,
                volumes,
                f"{_cell(metrics.dice_slice)}, {metrics.outlined_slices} slices"
                if metrics.dice_slice
                else _cell(None),
            )
        )
        unmarked = _cell(metrics.specificity_patient, 100, 0)
        detected.append(
            (
                section.name,
                _cell(metrics.auroc_slice),
                _cell(metrics.pointing_game),
                _cell(metrics.normal_area, 100),
                unmarked,
            )
        )
    counted = (
        "Each lesion class by itself, as if it were the only one; a patient or slice that shows only another "
        "class counts as one without it."
    )
    return [wrapped(counted), table(outlined), table(detected)]


def _class_tables_mixed(markers) -> list[str]:
    """Write the tables of an entry that was measured before November 2026."""
    outlined = [
        (
            "Class",
            "Patients who have it",
            "Dice per patient volume",
            "Dice of the patients who have it",
            "Dice per outlined slice",
        )
    ]
    detected = [
        (
            "Class",
            "Slice AUROC",
            "Pixel of highest probability inside (pointing game)",
            "Marked area on slices without it, % of the organ",
        )
    ]
    for section in markers:
        metrics = section.metrics
        volumes = (
            f"{_cell(metrics.dice_volume)}, median {metrics.dice_volume_median:.2f}, "
            f"{metrics.patients} patients"
            if metrics.dice_volume
            else _cell(None)
        )
        slices = (
            f"{_cell(metrics.dice_slice)}, {metrics.outlined_slices} slices"
            if metrics.dice_slice
            else _cell(None)
        )
        with_lesion = (
            "not measured" if metrics.dice_with_lesion is None else f"{metrics.dice_with_lesion:.2f}"
        )
        outlined.append((section.name, str(metrics.patients_with_lesion), volumes, with_lesion, slices))
        detected.append(
            (
                section.name,
                _cell(metrics.auroc_slice),
                _cell(metrics.pointing_game),
                _cell(metrics.normal_area, 100),
            )
        )
    counted = (
        "Each lesion class by itself, as if it were the only one. Dice per patient volume: a patient who "
        "does not have the class counts 0 when any pixel is marked as it, and is left out when none is; the "
        "column to its right leaves all of these patients out."
    )
    return [wrapped(counted), table(outlined), table(detected)]


def _cuts(entry: Entry) -> str:
    """Write the paragraph on the thresholds of named classes."""
    cuts = ", ".join(
        f"{section.name} {section.threshold.value:.3f} ({section.threshold.raw_value:.3f})"
        for section in entry.markers or ()
    )
    return wrapped(
        f"Each lesion class has its own threshold (in parentheses: without post-processing of the volume): "
        f"{cuts}; {entry.threshold.rule}. A pixel above several "
        f"thresholds belongs to the class whose probability is furthest above its threshold, in log-odds."
    )


def _cell(figure: Figure | None, scale: float = 1.0, digits: int = 2) -> str:
    """Format a metric for a table cell; None becomes "not measured"."""
    return "not measured" if figure is None else within(figure, scale, digits)
