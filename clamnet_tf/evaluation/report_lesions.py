"""Say in words what the report shows of lesions, of patients told apart, and of the slice score."""

import math

from clamnet_tf.reporting import diagrams
from clamnet_tf.reporting.wording import count, number, percent, within


def lesion_content(metrics: dict) -> dict:
    """Return what the template `lesions.html.j2` shows: sentences, rows of tables and charts.

    Args:
        metrics: Content of metrics.json.
    """
    lesions, froc, calibration = metrics["lesions"], metrics["froc"], metrics["calibration"]
    return {
        "lesion_sentences": [*_lesions(lesions, metrics["reasons"]), *_surface(metrics["surface_dice"])],
        "lesion_missing": metrics["reasons"].get("lesions"),
        "lesion_rows": _size_rows(lesions),
        "froc_sentences": _froc(froc),
        "froc_chart": diagrams.froc_chart(froc["curve"], froc["points"]) if froc["curve"] else None,
        "detection_sentences": _detection(metrics["detection"]),
        "detection_rows": [
            {"name": name, **metrics["detection"][name]}
            for name in ("slices", "patients")
            if metrics["detection"][name]["auroc"]["mean"] is not None
        ],
        "detection_missing": [
            f"{name.capitalize()}: not measured; {metrics['reasons'][f'detection.{name}']}."
            for name in ("slices", "patients")
            if f"detection.{name}" in metrics["reasons"]
        ],
        "calibration_sentences": _calibration(calibration, metrics["reasons"]),
        "calibration_missing": metrics["reasons"].get("calibration"),
        "calibration_chart": diagrams.reliability_chart(calibration["bins"]) if calibration["bins"] else None,
    }


def _in(interval: dict, form=percent) -> str:
    text = within(interval, form)
    return f" ({text})" if text else ""


def _lesions(lesions: dict, reasons: dict) -> list[str]:
    """Return sentences on lesions found, marks that are right, F1 and false marks per image."""
    sentences = []
    if lesions["recall"]["mean"] is not None:
        sentences.append(
            f"Of {count(lesions['lesions'], 'lesion')} in {count(lesions['patients'], 'patient')}, the "
            f"network finds {lesions['found']}: {percent(lesions['recall']['mean'])}{_in(lesions['recall'])}."
        )
        if lesions["precision"]["mean"] is None:
            sentences.append(f"Precision is not measured: {reasons['lesions.precision']}.")
        else:
            sentences.append(
                f"Of {count(lesions['marks'], 'mark')} in these patients, "
                f"{percent(lesions['precision']['mean'])} belong to a lesion{_in(lesions['precision'])}; the "
                f"others are false."
            )
        sentences.append(
            f"The F1 of lesions, which is high only when few are missed and few marks are false, is "
            f"{number(lesions['f1']['mean'])}{_in(lesions['f1'], number)}."
        )
    for key, words in (("with_lesion", "with a lesion"), ("without_lesion", "without a lesion")):
        false = lesions["false_marks_per_image"][key]
        if false["mean"] is not None:
            sentences.append(
                f"In patients {words} there are {number(false['mean'])} false marks per image"
                f"{_in(false, number)}, on {count(false['images'], 'image')}."
            )
    if lesions["images_incomplete"]:
        sentences.append(
            f"{count(lesions['images_incomplete'], 'image')} could not be included, because slices are not "
            f"outlined."
        )
    return sentences


def _surface(surface: dict) -> list[str]:
    """Return the sentence on the normalised surface Dice."""
    if not surface["slices"]:
        return []
    unit = {"mm": "mm", "px": "pixels"}[surface["unit"]]
    shares = " and ".join(
        f"{percent(row['mean'])} within {row['tolerance']} {unit}{_in(row)}" for row in surface["tolerances"]
    )
    return [
        f"On average, the outlines of mark and reference lie to {shares} of each other (normalised surface "
        f"Dice), on {count(surface['slices'], 'slice')} with a lesion of "
        f"{count(surface['patients'], 'patient')}; a missed lesion counts 0."
    ]


def _size_rows(lesions: dict) -> list[dict]:
    """Return the rows of the table of lesion sizes, all together first; empty when there is no lesion."""
    if lesions["recall"]["mean"] is None:
        return []
    unit = {"ml": "ml", "px": "pixels"}[lesions["size_unit"]]
    rows = [
        {
            "name": "All",
            "size": "",
            "lesions": lesions["lesions"],
            "false_marks": _false_marks(lesions),
            **_of(lesions),
        }
    ]
    for row in lesions["by_size"]:
        low, high = (f"{edge:,g}" if edge else "" for edge in (row["from"], row["below"]))
        size = f"{low} to {high} {unit}" if low and high else f"below {high} {unit}" if high else ""
        rows.append(
            {
                "name": row["name"].capitalize(),
                "size": size or f"{low} {unit} and more",
                "lesions": row["lesions"],
                "false_marks": row["false_marks"],
                **_of(row),
            }
        )
    return rows


def _false_marks(lesions: dict) -> int:
    return sum(row["false_marks"] for row in lesions["by_size"])


def _of(row: dict) -> dict:
    return {name: row[name] for name in ("recall", "precision", "f1")}


def _froc(froc: dict) -> list[str]:
    """Return sentences on the FROC; empty when it was not measured."""
    if froc["cpm"]["mean"] is None:
        return []
    at_one = next(point for point in froc["points"] if point["false_per_image"] == 1)
    return [
        f"With a cut that allows one false mark per image on average, {percent(at_one['mean'])} of the "
        f"lesions are found{_in(at_one)}.",
        f"Averaged over the seven numbers of false marks in the chart, "
        f"{percent(froc['cpm']['mean'])} are found{_in(froc['cpm'])}; this mean is called CPM.",
        f"Measured on {count(froc['lesions'], 'lesion')} in {count(froc['images'], 'image')} of "
        f"{count(froc['patients'], 'patient')}; {froc['images_without_lesion']} of the images have no "
        f"lesion.",
    ]


def _detection(detection: dict) -> list[str]:
    """Return sentences on patients told apart, and on how few normal ones decide."""
    patients, sentences = detection["patients"], []
    if patients["auroc"]["mean"] is not None:
        pairs = math.floor(100 * patients["auroc"]["mean"] + 0.5)
        sentences.append(
            f"Given a patient with an abnormal slice and one without, the network scores the former higher "
            f"in {pairs} of 100 such pairs{_in(patients['auroc'])}."
        )
    for name, level in (("slice", detection["slices"]), ("patient", patients)):
        found = level["sensitivity_at_specificity"]
        if level["auroc"]["mean"] is not None:
            demanded = " (or ".join(f"{round(100 * float(specificity))}" for specificity in found)
            reached = " (or ".join(percent(row["mean"]) for row in found.values())
            sentences.append(
                f"If at least {demanded}) of 100 normal {name}s are to be called normal, {reached}) of the "
                f"abnormal {name}s are recognised."
            )
    few = [
        f"{count(level['normal'], f'normal {name}')}"
        for name, level in (("slice", detection["slices"]), ("patient", patients))
        if level["auroc"]["mean"] is not None and level["normal"] < 20
    ]
    if few:
        sentences.append(
            f"With only {' and '.join(few)}, a specificity of 95\u00a0% means that none of them may be "
            f"called abnormal, which one unusual image decides."
        )
    return sentences


def _calibration(calibration: dict, reasons: dict) -> list[str]:
    """Return sentences on the calibration of the slice score and on the temperature."""
    if calibration["ece"] is None:
        return []
    share = calibration["abnormal"] / calibration["slices"]
    sentences = [
        f"Read as the probability that a slice is abnormal, the slice score is off by "
        f"{number(calibration['ece'])} on average (expected calibration error, "
        f"{len(calibration['bins'])} bins of equal width), on {count(calibration['slices'], 'slice')} of "
        f"{count(calibration['patients'], 'patient')}.",
        f"Its mean squared error, the Brier score, is {number(calibration['brier']['mean'])}"
        f"{_in(calibration['brier'], number)}; 0 is perfect, and the share of abnormal slices "
        f"({percent(share)}) given to every slice would have {number(share * (1 - share))}.",
    ]
    heat = calibration["temperature"]
    if heat["value"] is None:
        sentences.append(f"There is no temperature: it {_why(reasons['calibration.temperature'])}.")
    else:
        sentences.append(
            f"A temperature of {number(heat['value'])}, fitted on the labels of "
            f"{count(heat['slices'], 'validation slice')} of {count(heat['patients'], 'patient')} and not on "
            f"masks, would make these {number(heat['ece'])} and {number(heat['brier'])}. The report only "
            f"states it: scores and marks stay as they are."
        )
    return sentences


def _why(reason: str) -> str:
    return reason if reason.startswith("was") else f"was not fitted, since {reason}"
