"""The card of an entry, README.md: rendered from entry.yaml alone, whose prose fields hold what no figure
says.
"""

import textwrap

from clamnet_tf.zoo.entry import Entry, Figure

SECTIONS = (
    "Figures",
    "Data it learned from",
    "Input and output",
    "Intended use",
    "What it is not",
    "Use",
    "Changelog",
)
WIDTH = 120
MIXED = (
    "The Dice per patient below was measured before November 2026: a patient without a lesion counted 0 "
    "when any pixel was marked, and was left out "
    "when none was. clamnet-tf evaluate measures it on patients with a lesion alone."
)


def card(entry: Entry) -> str:
    """README.md of an entry: a title, the summary, then SECTIONS."""
    parts = [
        f"# {entry.name}",
        _wrapped(entry.summary),
        *([] if entry.metrics.dice_volume is None or _separate(entry) else [_wrapped(MIXED)]),
    ]
    for title, text in card_sections(entry).items():
        parts += [f"## {title}", text]
    return "\n\n".join(parts) + "\n"


def card_sections(entry: Entry) -> dict:
    """Title -> text of every section, in the order of SECTIONS."""
    texts = (_figures, _data, _contract, _intended, _limits, _use, _changelog)
    return {title: text(entry) for title, text in zip(SECTIONS, texts, strict=True)}


def missing_sections(entry: Entry, text: str) -> list[str]:
    """Sections of the card `text` that are not there, or do not say what the entry says; the card may say
    more.
    """
    return [title for title, body in card_sections(entry).items() if f"## {title}\n\n{body}\n" not in text]


def within(figure: Figure, scale: float = 1.0, digits: int = 2, sign: str = "") -> str:
    """0.75 (0.64 to 0.84); with the sign "+" +0.01 (-0.03 to +0.05)."""
    value, low, high = (
        each if each is None else f"{scale * each:{sign}.{digits}f}"
        for each in (figure.value, figure.low, figure.high)
    )
    return value if low is None or high is None else f"{value} ({low} to {high})"


def megabytes(count: int) -> str:
    """2.5 MB."""
    return f"{count / 1e6:.1f} MB"


def _separate(entry: Entry) -> bool:
    """Whether Dice was measured on patients with a lesion alone, as it is since November 2026."""
    return entry.metrics.patients_with_lesion is not None


def _figures(entry: Entry) -> str:
    metrics = entry.metrics
    where = f"{metrics.data}, side {metrics.split} of the split" if metrics.split else metrics.data
    kind = "simulated patients" if metrics.simulated else "patients"
    held = ""
    if _separate(entry):
        held = (
            f"; {metrics.patients_with_lesion} of the patients have a lesion and are outlined whole, "
            f"{metrics.patients_without_lesion} have none"
        )
    measured = (
        f"Measured on {metrics.patients} {kind} ({metrics.slices} slices{held}) of {where}; seed "
        f"{metrics.seed}. Intervals: {metrics.interval}."
    )
    volumes, outlined = metrics.dice_volume, metrics.dice_slice
    of_whom = f" with a lesion ({metrics.patients_with_lesion} patients)" if _separate(entry) else " volume"
    headline = (
        (f"Dice per patient{of_whom}", f"{within(volumes)}, median {metrics.dice_volume_median:.2f}")
        if volumes
        else (
            f"Dice per outlined slice ({metrics.outlined_slices} slices; no patient is outlined whole)",
            within(outlined),
        )
    )
    rows = [("Figure", "Value"), headline]
    if volumes and outlined:
        rows.append((f"Dice per slice with a lesion ({metrics.outlined_slices} slices)", within(outlined)))
    rows += _simple_rows(metrics)
    if metrics.auroc_slice:
        rows.append(("Slice AUROC", within(metrics.auroc_slice)))
    if metrics.pointing_game:
        rows.append(("Brightest pixel inside the lesion (pointing game)", within(metrics.pointing_game)))
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
        together = "All markers together, a pixel being marked or not whichever marker it is:"
        of_each = _of_markers(entry.markers) if _separate(entry) else _of_markers_mixed(entry.markers)
        parts = [together, _table(rows), *of_each, _cuts(entry)]
    else:
        cut = entry.threshold
        parts = [
            _table(rows),
            _wrapped(
                f"A pixel is marked from {cut.value:.3f} on (slice by slice: {cut.raw_value:.3f}); "
                f"{cut.rule}."
            ),
        ]
    return "\n\n".join([_wrapped(measured), *parts, *([_prose(entry.notes)] if entry.notes else [])])


def _simple_rows(metrics) -> list[tuple]:
    """What simple methods reach on the same patients, and how far the network is from them."""
    rows = []
    for place, one in enumerate(metrics.simple_methods or ()):
        name = "the whole organ marked" if one.name == "whole_organ" else one.name.replace("_", " ")
        title = (
            f"Best simple method, picked with the masks: {name}"
            if place == 0
            else name[:1].upper() + name[1:]
        )
        rows.append((title, f"{within(one.dice)}; network less it {within(one.difference, sign='+')}"))
    return rows


def _of_markers(markers) -> list[str]:
    """Two tables with a row per marker, how well it is outlined where it is and how well it is found, and
    what they count.
    """
    outlined = [("Marker", "Dice per patient who has it", "Dice per outlined slice")]
    found = [
        (
            "Marker",
            "Slice AUROC",
            "Brightest pixel inside (pointing game)",
            "Marked area on slices without it, % of the organ",
            "Patients without it left unmarked, %",
        )
    ]
    for one in markers:
        own = one.metrics
        volumes = (
            f"{_cell(own.dice_volume)}, median {own.dice_volume_median:.2f}, {own.patients_with_lesion} "
            f"patients"
            if own.dice_volume
            else _cell(None)
        )
        outlined.append(
            (
                one.name,
                volumes,
                f"{_cell(own.dice_slice)}, {own.outlined_slices} slices" if own.dice_slice else _cell(None),
            )
        )
        unmarked = _cell(own.specificity_patient, 100, 0)
        found.append(
            (
                one.name,
                _cell(own.auroc_slice),
                _cell(own.pointing_game),
                _cell(own.normal_area, 100),
                unmarked,
            )
        )
    counted = (
        "Each marker by itself, as if it were the only one; a patient or slice that shows another "
        "alone is one without it."
    )
    return [_wrapped(counted), _table(outlined), _table(found)]


def _of_markers_mixed(markers) -> list[str]:
    """The tables of an entry measured before November 2026."""
    outlined = [
        (
            "Marker",
            "Patients who have it",
            "Dice per patient volume",
            "Dice of the patients who have it",
            "Dice per outlined slice",
        )
    ]
    found = [
        (
            "Marker",
            "Slice AUROC",
            "Brightest pixel inside (pointing game)",
            "Marked area on slices without it, % of the organ",
        )
    ]
    for one in markers:
        own = one.metrics
        volumes = (
            f"{_cell(own.dice_volume)}, median {own.dice_volume_median:.2f}, {own.patients} patients"
            if own.dice_volume
            else _cell(None)
        )
        slices = f"{_cell(own.dice_slice)}, {own.outlined_slices} slices" if own.dice_slice else _cell(None)
        held = "not measured" if own.dice_with_lesion is None else f"{own.dice_with_lesion:.2f}"
        outlined.append((one.name, str(own.patients_with_lesion), volumes, held, slices))
        found.append(
            (one.name, _cell(own.auroc_slice), _cell(own.pointing_game), _cell(own.normal_area, 100))
        )
    counted = (
        "Each marker by itself, as if it were the only one. Dice per patient volume: a patient who does not "
        "have the marker counts 0 when "
        "any pixel is marked as it, and is left out when none is; the column beside it leaves all of these "
        "patients out."
    )
    return [_wrapped(counted), _table(outlined), _table(found)]


def _cuts(entry: Entry) -> str:
    cuts = ", ".join(
        f"{one.name} {one.threshold.value:.3f} (slice by slice: {one.threshold.raw_value:.3f})"
        for one in entry.markers
    )
    return _wrapped(
        f"Each marker has its own cut: {cuts}; {entry.threshold.rule}. A pixel that lies above several cuts "
        f"belongs to the marker that is furthest "
        "above its own, in log-odds."
    )


def _cell(figure: Figure | None, scale: float = 1.0, digits: int = 2) -> str:
    return "not measured" if figure is None else within(figure, scale, digits)


def _table(rows) -> str:
    """Markdown; the first row is the head."""
    head, *lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, f"|{'|'.join(['---'] * len(rows[0]))}|", *lines])


def _data(entry: Entry) -> str:
    data = entry.training_data
    return "\n\n".join(
        [
            _wrapped(f"{data.name}. {data.origin}"),
            *([_wrapped(f"Taught by {entry.taught_by}")] if entry.taught_by else []),
            _wrapped(f"Licence of the data: {data.licence}"),
            _wrapped(f"Licence of the weights: {entry.weights.licence}"),
        ]
    )


def _contract(entry: Entry) -> str:
    given, made = entry.input, entry.output
    organs = {
        "foreground": "found as the largest bright component",
        "given": "given as masks",
        "none": "the whole slice",
    }
    organ = organs.get(given.organ.method, f"found by the method {given.organ.method}")
    scale = {
        "zscore": "mean 0 and deviation 1, clipped to +-5",
        "percentile": "1st to 99th percentile to 0..1",
        "window": "the window to 0..1",
        "none": "none",
    }[given.normalization]
    window = (
        f"; window: centre {given.window.center:g}, width {given.window.width:g} (pictures of 8 bits are "
        f"taken to show it already)"
        if given.window
        else ""
    )
    outside = "0 outside" if given.organ.surroundings == "blank" else "the image itself outside, too"
    lines = [
        f"Input: float32, (slices, {given.side}, {given.side}, {given.channels}): {given.modality} slices "
        f"cropped to the organ ({organ}).",
        f"Channels, in order: {'; '.join(given.channel_order)}."
        + (f" {given.missing_channels}" if given.missing_channels else ""),
        f"Normalisation: "
        f"{scale}{'' if given.normalization == 'none' else ', per volume and channel, inside the organ; ' + outside}{window}.",
        f"Units: {given.units} Spacing: {given.spacing}",
        f"Output: a dict of {', '.join(f'`{head}`' for head in made.heads)}, each (slices, {given.side}, "
        f"{given.side}, "
        f"{1 if made.activation == 'sigmoid' else len(made.classes)}) float32, {made.activation}; "
        + (
            f"the probability of {made.classes[1]}."
            if made.activation == "sigmoid"
            else f"classes {', '.join(made.classes)}."
        ),
    ]
    if entry.markers:
        numbers = ", ".join(f"{number} {one.name}" for number, one in enumerate(entry.markers, start=1))
        lines.append(f"Masks hold the number of the marker: 0 none, {numbers}.")
    return "\n".join(_item(line) for line in lines)


def _intended(entry: Entry) -> str:
    return _prose(entry.intended_use)


def _limits(entry: Entry) -> str:
    return "\n".join(_item(limit) for limit in entry.limits)


def _use(entry: Entry) -> str:
    made, minutes = entry.made_with, entry.made_with.training_seconds / 60
    return f"""```
clamnet-tf predict {entry.name} STUDY --out DIR
network = clamnet_tf.load("{entry.name}")
```

{
        _wrapped(
            f"`model.keras` ({megabytes(entry.weights.bytes)}, sha256 {entry.weights.sha256[:16]}...) consists of stock Keras layers: "
            "`keras.saving.load_model` reads it without clamnet-tf. `selection.json` holds the cuts that turn probabilities into masks, "
            "`recipe.yaml` how it was trained, `golden.json` a fixed input and what it must give."
        )
    }

{
        _wrapped(
            f"Made with clamnet-tf {made.clamnet_tf}, TensorFlow {made.tensorflow}, Keras {made.keras}, Python {made.python} "
            f"in {minutes:.0f} min on {made.machine}."
        )
    }"""


def _changelog(entry: Entry) -> str:
    return "\n".join(
        _item(f"{change.version} ({change.date}): {change.changes}") for change in entry.changelog
    )


def _wrapped(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False)


def _item(text: str) -> str:
    return textwrap.fill(
        " ".join(text.split()),
        WIDTH,
        initial_indent="- ",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _prose(text: str) -> str:
    """Paragraphs, wrapped one by one."""
    return "\n\n".join(_wrapped(paragraph) for paragraph in text.split("\n\n") if paragraph.strip())
