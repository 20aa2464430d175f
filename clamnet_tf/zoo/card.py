"""Write the card of an entry, README.md.

It is made from entry.yaml alone; the prose fields there hold what no metric says.
"""

from clamnet_tf.reporting.learning_wording import WARNING
from clamnet_tf.zoo.card_header import with_header
from clamnet_tf.zoo.card_metrics import MIXED, is_separate, metrics_section
from clamnet_tf.zoo.entry import Entry, OutputSection
from clamnet_tf.zoo.markdown import item, prose, wrapped

SECTIONS = (
    "Metrics",
    "Training data",
    "Input and output",
    "Intended use",
    "Limits",
    "Use",
    "Changelog",
)


def card(entry: Entry) -> str:
    """Return README.md of an entry: the header for the Hugging Face Hub, then `card_text`."""
    return with_header(card_text(entry), entry)


def card_text(entry: Entry) -> str:
    """Return the card without its header: the title, the summary, then SECTIONS."""
    parts = [
        f"# {entry.name}",
        *([wrapped(f"**{entry.learning[0]}**")] if is_warning(entry) else []),
        wrapped(entry.summary),
        *([] if entry.metrics.dice_volume is None or is_separate(entry) else [wrapped(MIXED)]),
    ]
    for title, text in card_sections(entry).items():
        parts += [f"## {title}", text]
    return "\n\n".join(parts) + "\n"


def is_warning(entry: Entry) -> bool:
    """Return whether the check of learning ended with a warning, which then is the card's first sentence."""
    return entry.learning is not None and entry.learning[0].startswith(WARNING)


def card_sections(entry: Entry) -> dict:
    """Return title -> text of every section, in the order of SECTIONS."""
    texts = (metrics_section, _data, _contract, _intended, _limits, _use, _changelog)
    return {title: text(entry) for title, text in zip(SECTIONS, texts, strict=True)}


def missing_sections(entry: Entry, text: str) -> list[str]:
    """Return the titles of sections that are missing in the card `text` or do not say what the entry says.

    The card may contain more than these sections.
    """
    return [title for title, body in card_sections(entry).items() if f"## {title}\n\n{body}\n" not in text]


def megabytes(count: int) -> str:
    """Format a number of bytes: "2.5 MB"."""
    return f"{count / 1e6:.1f} MB"


def _data(entry: Entry) -> str:
    """Write the section on the training data and the licences."""
    data = entry.training_data
    return "\n\n".join(
        [
            wrapped(f"{data.name}. {data.origin}"),
            *([wrapped(f"Taught by {entry.taught_by}")] if entry.taught_by else []),
            wrapped(f"Licence of the data: {data.licence}"),
            wrapped(f"Licence of the weights: {entry.weights.licence}"),
        ]
    )


def _contract(entry: Entry) -> str:
    """Write the section on the network's input and output."""
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
        f"; window: centre {given.window.center:g}, width {given.window.width:g} (8-bit pictures are assumed "
        f"to show this window already)"
        if given.window
        else ""
    )
    outside = "0 outside" if given.organ.surroundings == "blank" else "the image is kept outside"
    normalised = (
        "" if given.normalization == "none" else f", per volume and channel, inside the organ; {outside}"
    )
    lines = [
        f"Input: float32, (slices, {given.side}, {given.side}, {given.channels}): {given.modality} slices "
        f"cropped to the organ ({organ}).",
        f"Channels, in order: {'; '.join(given.channel_order)}."
        + (f" {given.missing_channels}" if given.missing_channels else ""),
        f"Normalisation: {scale}{normalised}{window}.",
        f"Units: {given.units} Spacing: {given.spacing}",
        _output(given.side, made),
    ]
    if entry.markers:
        numbers = ", ".join(
            f"{class_number} {section.name}" for class_number, section in enumerate(entry.markers, start=1)
        )
        lines.append(f"Masks hold the number of the lesion class: 0 none, {numbers}.")
    return "\n".join(item(line) for line in lines)


def _output(side: int, made: OutputSection) -> str:
    """Write the line on the network's output for slices of `side` pixels."""
    names = ", ".join(f"`{head}`" for head in made.heads)
    if made.activation == "linear":
        return (
            f"Output: a dict of {names}, each (slices, h, w, 1) float32: the evidence of {made.classes[1]} "
            f"that an image classifier finds at each place, in units of the logit, coarser than the slice. "
            f"It is not the result: `clamnet-tf predict` and the SavedModel of `clamnet-tf export` compute "
            f"from it, by gradients, the map that is cut."
        )
    channels = 1 if made.activation == "sigmoid" else len(made.classes)
    meaning = (
        f"the probability of {made.classes[1]}"
        if made.activation == "sigmoid"
        else f"classes {', '.join(made.classes)}"
    )
    return (
        f"Output: a dict of {names}, each (slices, {side}, {side}, {channels}) float32, {made.activation}; "
        f"{meaning}."
    )


def _intended(entry: Entry) -> str:
    """Write the section on the intended use."""
    return prose(entry.intended_use)


def _limits(entry: Entry) -> str:
    """Write the section on the limits."""
    return "\n".join(item(limit) for limit in entry.limits)


def _use(entry: Entry) -> str:
    """Write the section on how to use the entry and how it was made."""
    made, minutes = entry.made_with, entry.made_with.training_seconds / 60
    commands = [
        "```",
        f"clamnet-tf predict {entry.name} STUDY --out DIR",
        f'network = clamnet_tf.load("{entry.name}")',
        "```",
    ]
    files = (
        f"`model.keras` ({megabytes(entry.weights.bytes)}, sha256 {entry.weights.sha256[:16]}...) consists "
        f"of stock Keras layers: `keras.saving.load_model` reads it without clamnet-tf. `selection.json` has "
        f"the thresholds that turn probabilities into masks, `recipe.yaml` says how the network was trained, "
        f"`golden.json` has the output that it must give for a fixed input."
    )
    onnx = entry.weights.onnx
    if onnx:
        files += (
            f" `{onnx.file}` ({megabytes(onnx.bytes)}) is the same network for ONNX Runtime, with which "
            f"`clamnet-tf predict` needs no TensorFlow."
        )
    versions = (
        f"Made with clamnet-tf {made.clamnet_tf}, TensorFlow {made.tensorflow}, Keras {made.keras}, Python "
        f"{made.python} in {minutes:.0f} min on {made.machine}."
    )
    return "\n\n".join(["\n".join(commands), wrapped(files), wrapped(versions)])


def _changelog(entry: Entry) -> str:
    """Write the changelog."""
    return "\n".join(
        item(f"{change.version} ({change.date}): {change.changes}") for change in entry.changelog
    )
