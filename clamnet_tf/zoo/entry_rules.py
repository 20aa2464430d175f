"""Check rules of an entry that concern several keys."""

from clamnet_tf.zoo.entry import Entry, Figure


def entry_rules(entry: Entry):
    """Yield (path, expected, received) for every broken rule."""
    if not entry.name.startswith(f"{entry.modality}_"):
        yield ("name",), f"a name that begins with the modality, {entry.modality}_", entry.name
    if entry.input.modality != entry.modality:
        yield ("input", "modality"), f"{entry.modality}, as the entry's modality says", entry.input.modality
    if len(entry.input.channel_order) != entry.input.channels:
        yield (
            ("input", "channel_order"),
            f"{entry.input.channels} entries, one per channel",
            str(len(entry.input.channel_order)),
        )
    if entry.output.activation in ("sigmoid", "linear") and len(entry.output.classes) != 2:
        yield (
            ("output", "classes"),
            f"2 classes, since the activation is {entry.output.activation}",
            str(len(entry.output.classes)),
        )
    kinds = sorted({head.split("_")[0] for head in entry.output.heads})
    expected = ["evidence"] if entry.output.activation == "linear" else ["head"]
    if kinds != expected:
        yield (
            ("output", "heads"),
            f"{expected[0]}_1, .. since the activation is {entry.output.activation}",
            ", ".join(entry.output.heads),
        )
    if isinstance(entry.threshold.head, int) and f"head_{entry.threshold.head}" not in entry.output.heads:
        yield (
            ("threshold", "head"),
            f"mean or one of {', '.join(entry.output.heads)}",
            str(entry.threshold.head),
        )
    if (entry.metrics.dice_volume is None) != (entry.metrics.dice_volume_median is None) or (
        entry.metrics.dice_slice is None
    ) != (entry.metrics.outlined_slices is None):
        yield (
            ("metrics",),
            "dice_volume with dice_volume_median, or dice_slice with outlined_slices",
            "one of a pair without the other",
        )
    if entry.metrics.dice_volume is None and entry.metrics.dice_slice is None:
        yield ("metrics",), "dice_volume, dice_slice or both", "none"
    yield from _markers_rules(entry)
    class_metrics = [
        (("markers", index, "metrics"), section.metrics) for index, section in enumerate(entry.markers or ())
    ]
    for path, section in [(("metrics",), entry.metrics), *class_metrics]:
        for name, value in section:
            if isinstance(value, Figure) and not (value.low is None or value.low <= value.value) & (
                value.high is None or value.value <= value.high
            ):
                yield (
                    (*path, name),
                    "a value inside its interval",
                    f"{value.value:g} ({value.low} to {value.high})",
                )
    for path, text in _texts(entry.model_dump()):
        if not all(sign.isprintable() or sign == "\n" for sign in text):
            yield path, "text without control characters", ascii(text)[:60]
    versions = [change.version for change in entry.changelog]
    if versions[0] != entry.version or versions != sorted(set(versions), reverse=True):
        yield (
            ("changelog",),
            f"versions from {entry.version} downwards, each once",
            ", ".join(map(str, versions)),
        )


def _markers_rules(entry: Entry):
    """Yield (path, expected, received) for broken rules on the list of classes and the sections beside it."""
    if (entry.threshold.raw_value is None) != bool(entry.markers):
        expected = (
            "null, since every lesion class has its own"
            if entry.markers
            else "a number; null where the entry has several lesion classes"
        )
        yield ("threshold", "raw_value"), expected, str(entry.threshold.raw_value)
    if not entry.markers:
        return
    names = [section.name for section in entry.markers]
    if entry.kind != "marker":
        yield ("kind",), "marker, since the entry has several lesion classes and an organ is one", entry.kind
    if entry.eta is not None:
        yield ("eta",), "null, since every lesion class has its own", str(entry.eta)
    if entry.output.activation != "softmax":
        yield (
            ("output", "activation"),
            "softmax, since the entry has several lesion classes",
            entry.output.activation,
        )
    if entry.output.classes[1:] != names:
        expected = f"the background, then the lesion classes in order: background, {', '.join(names)}"
        yield ("output", "classes"), expected, ", ".join(entry.output.classes)
    if len(set(names)) < len(names):
        yield ("markers",), "each lesion class once", ", ".join(names)


def _texts(value, path=()):
    """Yield (path, text) for every text in plain values."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, (dict, list)):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(child, (*path, key))
