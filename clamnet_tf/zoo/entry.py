"""Define entry.yaml, which describes a trained network.

There is one class per section; like a recipe's (see recipe/schema.py) they are strict and accept no other
keys.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from clamnet_tf.recipe.schema_data import OrganSection, WindowSection
from clamnet_tf.recipe.section import Fraction, PositiveCount, Probability, Section, Seed
from clamnet_tf.runs import APPEARANCE_FILE, KEPT_FILE

ENTRY_FILE, CARD_FILE, GOLDEN_FILE, ONNX_FILE = "entry.yaml", "README.md", "golden.json", "model.onnx"
BASELINES_FILE = KEPT_FILE
#: Every file that an entry must have.
FILES = (ENTRY_FILE, CARD_FILE, GOLDEN_FILE, "recipe.yaml", "selection.json", "model.keras")
#: Files that entries published before November 2026 lack; a registry offers FILES and these, and no others.
OPTIONAL_FILES = (BASELINES_FILE, APPEARANCE_FILE, ONNX_FILE)
LARGEST_WEIGHTS = 10_000_000  # bytes, of an entry that is published

Version = Annotated[int, Field(ge=1, le=1_000_000)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", min_length=1, max_length=60)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Sentence = Annotated[str, Field(min_length=1, max_length=400)]
Prose = Annotated[str, Field(min_length=1, max_length=6000)]
Word = Annotated[str, Field(min_length=1, max_length=60)]


class OnnxSection(Section):
    """Describe the file of the same network for ONNX Runtime."""

    file: Literal["model.onnx"] = Field(description="ONNX file with the outputs of model.keras.")
    sha256: Digest = Field(description="Of that file; checked before every loading.")
    bytes: PositiveCount = Field(description="Size of that file.")


class WeightsSection(Section):
    """Describe the network's file."""

    file: Literal["model.keras"] = Field(description="Keras 3 file of stock layers, beside entry.yaml.")
    sha256: Digest = Field(description="Of that file; checked before every loading.")
    bytes: PositiveCount = Field(description="Size of that file.")
    licence: Prose = Field(
        description="What may be done with the weights, given the data they were learned from."
    )
    onnx: OnnxSection | None = Field(
        None, description="The same network for ONNX Runtime; null: predict needs TensorFlow."
    )


class InputSection(Section):
    """Describe the network's input."""

    modality: Literal["mri", "ct", "xray"] = Field(description="How the images are made.")
    channels: PositiveCount = Field(description="Channels of a slice.")
    channel_order: Annotated[list[Sentence], Field(min_length=1)] = Field(
        description="What each channel holds, in order."
    )
    missing_channels: Sentence | None = Field(
        None, description="What replaces a channel that is missing; null: nothing can."
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


OutputName = Annotated[str, Field(pattern=r"^(head|evidence)_[1-9]$")]


class OutputSection(Section):
    """Describe the network's output."""

    heads: Annotated[list[OutputName], Field(min_length=1)] = Field(
        description="Keys of the output dict: heads, or evidence_1, .. for evidence maps of classifiers."
    )
    classes: Annotated[list[Word], Field(min_length=2)] = Field(
        description="Meaning of the last axis; of a sigmoid its one channel is the second."
    )
    activation: Literal["softmax", "sigmoid", "linear"] = Field(
        description="softmax over all classes, or one sigmoid channel; linear: evidence maps of classifiers, "
        "in units of the logit and coarser than the slice, from which predict computes the marks."
    )


class ThresholdSection(Section):
    """Say how probabilities become a mask."""

    head: Literal["mean"] | Annotated[int, Field(ge=1, le=9)] = Field(
        description="Mean of the heads, or head k."
    )
    value: Fraction = Field(
        description="Threshold of the post-processed map of a volume, see selection.json; with several "
        "lesion classes after each map is shifted by its own threshold."
    )
    raw_value: Fraction | None = Field(
        description="Threshold of the network's own map, slice by slice; null: every lesion class has its "
        "own."
    )
    rule: Prose = Field(description="How the threshold was determined.")


class Figure(Section):
    """Hold a measured value with its interval."""

    value: float = Field(description="The value.")
    low: float | None = Field(description="Lower end of the interval; null: a single patient has none.")
    high: float | None = Field(description="Upper end.")


class SimpleMethodSection(Section):
    """Describe a method without a network, measured on the same patients or outlined slices as the
    headline.
    """

    name: Word = Field(description="As in metrics.json, for example whole_organ.")
    dice: Figure = Field(
        description="Its Dice, of patients with a lesion or of outlined slices, as the headline."
    )
    difference: Figure = Field(
        description="Dice of the network less its Dice, paired by patient or by slice."
    )


class MetricsSection(Section):
    """Hold measured metrics, and on what they were measured."""

    data: Word = Field(description="Data set.")
    simulated: bool = Field(description="Whether its patients are simulated.")
    split: Literal["train", "val", "test"] | None = Field(description="Side of the split; null: all cases.")
    patients: PositiveCount = Field(description="Patients measured.")
    patients_with_lesion: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="Patients of dice_volume; null: measured before November 2026, when a marked patient "
        "without a lesion counted as a Dice of 0.",
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
        "none is fully outlined.",
    )
    dice_volume_median: float | None = Field(None, description="Median over patients.")
    dice_slice: Figure | None = Field(
        None,
        description="Dice of each outlined slice, mean over slices: the headline where no patient is "
        "fully outlined.",
    )
    outlined_slices: PositiveCount | None = Field(None, description="How many these are.")
    auroc_slice: Figure | None = Field(
        None, description="Slice labels against slice scores; null: not measurable there."
    )
    pointing_game: Figure | None = Field(
        None, description="Share of slices whose pixel of highest probability lies in the lesion."
    )
    pointing_near: Figure | None = Field(
        None,
        description="The same, counting pixels within 8/224 of the image's longer side of the lesion too.",
    )
    lesions: PositiveCount | None = Field(
        None, description="Lesions of the next three, as connected components; null: not counted."
    )
    lesion_recall: Figure | None = Field(None, description="Share of the lesions that a mark finds.")
    lesion_f1: Figure | None = Field(None, description="F1 of lesions and marks.")
    lesion_cpm: Figure | None = Field(
        None, description="Share of lesions found, mean over 1/8 to 8 false marks per image."
    )
    auroc_patient: Figure | None = Field(
        None, description="Patients told apart by their highest slice score; null: not measurable there."
    )
    normal_area: Figure | None = Field(None, description="Marked share of the organ on normal slices.")
    normal_area_patient: Figure | None = Field(
        None, description="Marked share of the organ of patients without a lesion."
    )
    specificity_patient: Figure | None = Field(
        None, description="Share of patients without a lesion in whom nothing is marked."
    )
    simple_methods: list[SimpleMethodSection] | None = Field(
        None,
        description="The best simple method, picked with the masks, and marking the whole organ; null: not "
        "compared.",
    )

    @property
    def headline(self) -> Figure:
        """Return the Dice of volumes if it was measured, else that of slices."""
        return self.dice_volume or self.dice_slice


class MarkerThresholdSection(Section):
    """Hold the thresholds of one named lesion class."""

    value: Fraction = Field(description="Of its post-processed map in a volume, see selection.json.")
    raw_value: Fraction = Field(description="Of its probability in the network's output, slice by slice.")


class MarkerMetricsSection(Section):
    """Hold metrics of one named lesion class by itself, on the patients of the entry's metrics.

    A slice that shows only another class is normal for it.
    """

    patients: Annotated[int, Field(ge=0)] = Field(description="Patients that dice_volume counts.")
    patients_with_lesion: Annotated[int, Field(ge=0)] = Field(description="Patients who have this class.")
    dice_volume: Figure | None = Field(
        description="Mean over patients who have it; measured before November 2026 "
        "(metrics.patients_with_lesion is null): a patient who does not have it counts 0 if any of it is "
        "marked, and is left out otherwise."
    )
    dice_volume_median: float | None = Field(description="Median over these patients.")
    dice_with_lesion: float | None = Field(
        None,
        description="Of entries measured before November 2026: mean over only the patients who have it.",
    )
    dice_slice: Figure | None = Field(
        description="Dice of each slice that shows it, mean over slices; null: no slice does."
    )
    outlined_slices: Annotated[int, Field(ge=0)] = Field(description="How many these are.")
    auroc_slice: Figure | None = Field(None, description="As in the entry's metrics, for this class.")
    pointing_game: Figure | None = Field(None, description="As in the entry's metrics, for this class.")
    normal_area: Figure | None = Field(None, description="Marked share of the organ on slices without it.")
    normal_area_patient: Figure | None = Field(
        None, description="Marked share of the organ of patients without it."
    )
    specificity_patient: Figure | None = Field(
        None, description="Share of patients without it in whom nothing is marked as it."
    )


class MarkerSection(Section):
    """Describe one of several lesion classes of the network: class 1, 2, ... of the output, in the order of
    the list.
    """

    name: Name = Field(description="Name, as in the recipe.")
    eta: Probability | None = Field(
        description="Weight, in training, of slices whose label names it; null: not trained with eta."
    )
    threshold: MarkerThresholdSection = Field(description="From its probabilities to marks.")
    metrics: MarkerMetricsSection = Field(description="Metrics of this class alone.")


class TrainingDataSection(Section):
    """Describe the training data."""

    name: Word = Field(description="Data set.")
    origin: Prose = Field(description="Who made it, from where, and which part was used.")
    licence: Prose = Field(description="Its licence, and whether that was read.")


class MadeWithSection(Section):
    """Hold versions and machine of the training."""

    clamnet_tf: Word = Field(description="Version.")
    tensorflow: Word = Field(description="Version.")
    keras: Word = Field(description="Version.")
    python: Word = Field(description="Version.")
    commit: Word | None = Field(None, description="git commit of clamnet-tf; null outside of a checkout.")
    machine: Sentence = Field(description="System and processor.")
    training_seconds: Annotated[float, Field(ge=0.0)] = Field(description="Duration of the training.")


class Change(Section):
    """Hold one line of the changelog."""

    version: Version = Field(description="Version of the entry.")
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] = Field(description="Day it was published.")
    changes: Sentence = Field(description="What is new in it.")


class Entry(Section):
    """Describe a zoo entry."""

    name: Name = Field(description="Name, modality first: mri_carcinoma.")
    version: Version = Field(description="Raised whenever a file of the entry changes.")
    kind: Literal["marker", "organ"] = Field(
        description="marker: marks lesions; organ: finds the organ to which slices are cropped."
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
        description="Weight of abnormal slices in training; null: not trained with eta, or every lesion "
        "class has its own."
    )
    threshold: ThresholdSection = Field(description="From probabilities to a mask.")
    metrics: MetricsSection = Field(
        description="Metrics; with several lesion classes those of all together, a pixel being marked or not."
    )
    markers: Annotated[list[MarkerSection], Field(min_length=2, max_length=63)] | None = Field(
        None,
        description="Several lesion classes, with thresholds and metrics of each; null: a single one.",
    )
    training_data: TrainingDataSection = Field(description="What it learned from.")
    taught_by: Sentence | None = Field(
        None, description="What taught it where lesions are; null: entries before November 2026."
    )
    learning: Annotated[list[Prose], Field(min_length=1)] | None = Field(
        None,
        description="Whether anything was learned, by image labels of the validation patients; the verdict "
        "first. null: not checked.",
    )
    intended_use: Prose = Field(description="What it is for.")
    limits: Annotated[list[Prose], Field(min_length=1)] = Field(
        description="What it cannot do, and where it fails."
    )
    notes: Prose | None = Field(None, description="How to read the metrics.")
    made_with: MadeWithSection = Field(description="Versions.")
    changelog: Annotated[list[Change], Field(min_length=1)] = Field(description="Newest version first.")

    @property
    def has_heads(self) -> bool:
        """Return whether the network marks lesions itself; False: the attribution of classifiers does."""
        return self.output.activation != "linear"


def is_entry(folder) -> bool:
    """Return whether a folder is a zoo entry rather than a run."""
    return (Path(folder) / ENTRY_FILE).is_file()
