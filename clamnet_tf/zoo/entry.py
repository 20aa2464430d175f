"""What entry.yaml says of a trained network: one class per section, strict and closed like a recipe's (see
recipe/schema.py).
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from clamnet_tf.recipe.schema_data import OrganSection, WindowSection
from clamnet_tf.recipe.section import Fraction, PositiveCount, Probability, Section, Seed
from clamnet_tf.runs import KEPT_FILE

ENTRY_FILE, CARD_FILE, GOLDEN_FILE = "entry.yaml", "README.md", "golden.json"
BASELINES_FILE = KEPT_FILE
#: Every file that an entry must have.
FILES = (ENTRY_FILE, CARD_FILE, GOLDEN_FILE, "recipe.yaml", "selection.json", "model.keras")
#: Files that entries published before November 2026 lack; a registry offers these and FILES, and no others.
OPTIONAL_FILES = (BASELINES_FILE,)
LARGEST_WEIGHTS = 10_000_000  # bytes, of an entry that is published

Version = Annotated[int, Field(ge=1, le=1_000_000)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", min_length=1, max_length=60)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Sentence = Annotated[str, Field(min_length=1, max_length=400)]
Prose = Annotated[str, Field(min_length=1, max_length=6000)]
Word = Annotated[str, Field(min_length=1, max_length=60)]


class WeightsSection(Section):
    """The network's file."""

    file: Literal["model.keras"] = Field(description="Keras 3 file of stock layers, beside entry.yaml.")
    sha256: Digest = Field(description="Of that file; checked before every loading.")
    bytes: PositiveCount = Field(description="Size of that file.")
    licence: Prose = Field(
        description="What may be done with the weights, with regard to the data they were learned from."
    )


class InputSection(Section):
    """What the network must be given."""

    modality: Literal["mri", "ct", "xray"] = Field(description="How the images are made.")
    channels: PositiveCount = Field(description="Channels of a slice.")
    channel_order: Annotated[list[Sentence], Field(min_length=1)] = Field(
        description="What each channel holds, in order."
    )
    missing_channels: Sentence | None = Field(
        None, description="What stands in for a channel that is not there; null: nothing can."
    )
    units: Sentence = Field(description="Unit of the pixels before normalisation.")
    spacing: Sentence = Field(description="Which pixel spacings it was made for.")
    window: WindowSection | None = Field(
        None, description="Fixed window before normalisation, as in the recipe."
    )
    normalization: Literal["zscore", "percentile", "window", "none"] = Field(
        description="Per volume and channel, inside the organ; 0 outside."
    )
    side: PositiveCount = Field(
        description="Height and width of a slice, in pixels, after the crop to the organ."
    )
    organ: OrganSection = Field(description="How the organ is found, as in the recipe.")


class OutputSection(Section):
    """What the network gives."""

    heads: Annotated[list[Annotated[str, Field(pattern=r"^head_[1-9]$")]], Field(min_length=1)] = Field(
        description="Keys of the output dict."
    )
    classes: Annotated[list[Word], Field(min_length=2)] = Field(
        description="Meaning of the last axis; of a sigmoid its one channel is the second."
    )
    activation: Literal["softmax", "sigmoid"] = Field(
        description="softmax over all classes, or one sigmoid channel."
    )


class ThresholdSection(Section):
    """How probabilities become a mask."""

    head: Literal["mean"] | Annotated[int, Field(ge=1, le=9)] = Field(
        description="Mean of the heads, or head k."
    )
    value: Fraction = Field(
        description="Cut of the volume's consistent map, see selection.json; of several markers once each "
        "is shifted by its own."
    )
    raw_value: Fraction | None = Field(
        description="Cut of the network's own map, slice by slice; null: every marker has its own."
    )
    rule: Prose = Field(description="Where the cut comes from.")


class Figure(Section):
    """A measured value with its interval."""

    value: float = Field(description="The value.")
    low: float | None = Field(description="Lower end of the interval; null: a single patient has none.")
    high: float | None = Field(description="Upper end.")


class SimpleMethodSection(Section):
    """A way to mark without a network, measured on the same patients or outlined slices as the headline."""

    name: Word = Field(description="As in metrics.json, for example whole_organ.")
    dice: Figure = Field(
        description="Its Dice, of patients with a lesion or of outlined slices, as the headline."
    )
    difference: Figure = Field(
        description="Dice of the network less its Dice, paired by patient or by slice."
    )


class MetricsSection(Section):
    """Measured figures, and on what."""

    data: Word = Field(description="Data set.")
    simulated: bool = Field(description="Whether its patients are simulated.")
    split: Literal["train", "val", "test"] | None = Field(description="Side of the split; null: all cases.")
    patients: PositiveCount = Field(description="Patients measured.")
    patients_with_lesion: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="Patients of dice_volume; null: measured before November 2026, when a patient without a "
        "lesion counted as a Dice of 0 if marked.",
    )
    patients_without_lesion: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Patients of specificity_patient."
    )
    slices: PositiveCount = Field(description="Slices measured.")
    seed: Seed = Field(description="training.seed of these weights.")
    interval: Sentence = Field(description="What the intervals are.")
    dice_volume: Figure | None = Field(
        None,
        description="Dice of each patient's volume, mean over patients with a lesion: the headline; null: "
        "none is outlined whole.",
    )
    dice_volume_median: float | None = Field(None, description="Median over patients.")
    dice_slice: Figure | None = Field(
        None,
        description="Dice of each outlined slice, mean over slices: the headline where no patient is "
        "outlined whole.",
    )
    outlined_slices: PositiveCount | None = Field(None, description="How many these are.")
    auroc_slice: Figure | None = Field(
        None, description="Slice labels against slice scores; null: not measurable there."
    )
    pointing_game: Figure | None = Field(
        None, description="Share of slices whose brightest pixel lies in the lesion."
    )
    normal_area: Figure | None = Field(None, description="Marked share of the organ on normal slices.")
    normal_area_patient: Figure | None = Field(
        None, description="Marked share of the organ of patients without a lesion."
    )
    specificity_patient: Figure | None = Field(
        None, description="Share of patients without a lesion of whom nothing is marked."
    )
    simple_methods: list[SimpleMethodSection] | None = Field(
        None,
        description="The best simple method, picked with the masks, and the whole organ marked; null: not "
        "compared.",
    )

    @property
    def headline(self) -> Figure:
        """The Dice of volumes, or of slices."""
        return self.dice_volume or self.dice_slice


class MarkerThresholdSection(Section):
    """The cuts of one of several markers."""

    value: Fraction = Field(description="Of its consistent map in a volume, see selection.json.")
    raw_value: Fraction = Field(description="Of its probability in the network's output, slice by slice.")


class MarkerMetricsSection(Section):
    """Figures of one of several markers by itself, on the patients of the entry's metrics; a slice that shows
    another alone is normal for it.
    """

    patients: Annotated[int, Field(ge=0)] = Field(description="Patients that dice_volume counts.")
    patients_with_lesion: Annotated[int, Field(ge=0)] = Field(description="Patients who have this marker.")
    dice_volume: Figure | None = Field(
        description="Mean over patients who have it; measured before November 2026 "
        "(metrics.patients_with_lesion is null): one who "
        "does not counts 0 if any of it is marked, and is left out otherwise."
    )
    dice_volume_median: float | None = Field(description="Median over these patients.")
    dice_with_lesion: float | None = Field(
        None,
        description="Of entries measured before November 2026: mean over none but the patients who have it.",
    )
    dice_slice: Figure | None = Field(
        description="Dice of each slice that shows it, mean over slices; null: none does."
    )
    outlined_slices: Annotated[int, Field(ge=0)] = Field(description="How many these are.")
    auroc_slice: Figure | None = Field(None, description="As in the entry's metrics, of this marker.")
    pointing_game: Figure | None = Field(None, description="As in the entry's metrics, of this marker.")
    normal_area: Figure | None = Field(None, description="Marked share of the organ on slices without it.")
    normal_area_patient: Figure | None = Field(
        None, description="Marked share of the organ of patients without it."
    )
    specificity_patient: Figure | None = Field(
        None, description="Share of patients without it of whom nothing is marked as it."
    )


class MarkerSection(Section):
    """One of several markers that the network tells apart: class 1, 2 .. of the output, in the order of the
    list.
    """

    name: Name = Field(description="Name, as in the recipe's markers.")
    eta: Probability | None = Field(
        description="Weight of slices that name it in training; null: not trained with it."
    )
    threshold: MarkerThresholdSection = Field(description="From its probabilities to marks.")
    metrics: MarkerMetricsSection = Field(description="Measured figures of it alone.")


class TrainingDataSection(Section):
    """What the network learned from."""

    name: Word = Field(description="Data set.")
    origin: Prose = Field(description="Who made it, from where, and which part was used.")
    licence: Prose = Field(description="Its licence, and whether that was read.")


class MadeWithSection(Section):
    """Versions and machine of the training."""

    clamnet_tf: Word = Field(description="Version.")
    tensorflow: Word = Field(description="Version.")
    keras: Word = Field(description="Version.")
    python: Word = Field(description="Version.")
    commit: Word | None = Field(None, description="git commit of clamnet-tf; null outside of a checkout.")
    machine: Sentence = Field(description="System and processor.")
    training_seconds: Annotated[float, Field(ge=0.0)] = Field(description="Duration of the training.")


class Change(Section):
    """One line of the changelog."""

    version: Version = Field(description="Version of the entry.")
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] = Field(description="Day it was published.")
    changes: Sentence = Field(description="What is new in it.")


class Entry(Section):
    """A zoo entry."""

    name: Name = Field(description="Name, modality first: mri_carcinoma.")
    version: Version = Field(description="Raised whenever a file of the entry changes.")
    kind: Literal["marker", "organ"] = Field(
        description="marker: marks lesions; organ: finds the organ that is cropped to."
    )
    modality: Literal["mri", "ct", "xray"] = Field(description="How the images are made.")
    condition: Word = Field(description="What is marked.")
    summary: Sentence = Field(description="A sentence or two for lists.")
    recipe: Literal["recipe.yaml"] = Field(
        description="How it was trained: the resolved recipe, beside entry.yaml."
    )
    weights: WeightsSection = Field(description="The network.")
    input: InputSection = Field(description="Contract of the input.")
    output: OutputSection = Field(description="Contract of the output.")
    eta: Probability | None = Field(
        description="Weight of abnormal slices in training; null: not trained with it, or every marker has "
        "its own."
    )
    threshold: ThresholdSection = Field(description="From probabilities to a mask.")
    metrics: MetricsSection = Field(
        description="Measured figures; of several markers: of all together, a pixel being marked or not."
    )
    markers: Annotated[list[MarkerSection], Field(min_length=2, max_length=63)] | None = Field(
        None,
        description="Several markers that are told apart, with cuts and figures of each; null: one marker.",
    )
    training_data: TrainingDataSection = Field(description="What it learned from.")
    taught_by: Sentence | None = Field(
        None, description="What told it where the lesion is; null: entries before November 2026."
    )
    intended_use: Prose = Field(description="What it is for.")
    limits: Annotated[list[Prose], Field(min_length=1)] = Field(
        description="What it is not, and where it fails."
    )
    notes: Prose | None = Field(None, description="How the figures are to be read.")
    made_with: MadeWithSection = Field(description="Versions.")
    changelog: Annotated[list[Change], Field(min_length=1)] = Field(description="Newest version first.")


def entry_rules(entry: Entry):
    """(path, expected, received) of everything that concerns several keys."""
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
    if entry.output.activation == "sigmoid" and len(entry.output.classes) != 2:
        yield (
            ("output", "classes"),
            "2 classes, since the activation is sigmoid",
            str(len(entry.output.classes)),
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
    of_markers = [
        (("markers", place, "metrics"), one.metrics) for place, one in enumerate(entry.markers or ())
    ]
    for path, section in [(("metrics",), entry.metrics), *of_markers]:
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
    """What concerns a list of markers and the sections beside it."""
    if (entry.threshold.raw_value is None) != bool(entry.markers):
        expected = (
            "null, since every marker has its own"
            if entry.markers
            else "a number; null where the entry has several markers"
        )
        yield ("threshold", "raw_value"), expected, str(entry.threshold.raw_value)
    if not entry.markers:
        return
    names = [one.name for one in entry.markers]
    if entry.kind != "marker":
        yield ("kind",), "marker, since an organ is one and the entry has several markers", entry.kind
    if entry.eta is not None:
        yield ("eta",), "null, since every marker has its own", str(entry.eta)
    if entry.output.activation != "softmax":
        yield (
            ("output", "activation"),
            "softmax, since the entry has several markers",
            entry.output.activation,
        )
    if entry.output.classes[1:] != names:
        expected = f"the background, then the markers in their order: background, {', '.join(names)}"
        yield ("output", "classes"), expected, ", ".join(entry.output.classes)
    if len(set(names)) < len(names):
        yield ("markers",), "each marker once", ", ".join(names)


def _texts(value, path=()):
    """(path, text) of every text in plain values."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, (dict, list)):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(child, (*path, key))


def is_entry(folder) -> bool:
    """Whether a folder is a zoo entry rather than a run."""
    return (Path(folder) / ENTRY_FILE).is_file()
