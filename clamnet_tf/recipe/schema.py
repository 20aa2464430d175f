"""The schema of recipes: one class per section, each option with its type, default, unit and allowed values.

pydantic 2 is used rather than frozen dataclasses because it reports every problem of a file in one go, with
the path of each, and writes the JSON Schema that editors use. Models are strict (nothing is coerced except
int to float), closed (`extra="forbid"`), finite and frozen. Checks between several sections stand in
`rules.py`. The numbers in brackets are the rows of the table in docs/explanation/paper.md.
"""

from typing import Annotated, Literal

from pydantic import Field, model_serializer

from clamnet_tf.recipe.objectives import OBJECTIVES
from clamnet_tf.recipe.schema_attribution import AttributionSection
from clamnet_tf.recipe.schema_data import DataSection, OrganSection
from clamnet_tf.recipe.schema_loss import LossSection, TwinSection
from clamnet_tf.recipe.schema_network import NetworkSection
from clamnet_tf.recipe.schema_pairs import MatchingSection, OptimizerSection, PairsSection
from clamnet_tf.recipe.section import (
    Fraction,
    NonNegative,
    PositiveCount,
    Probability,
    Section,
    Seed,
    without,
)

MASKED_SHARE = 0.25
"""Usual value of training.masked_share."""


class TrainingSection(Section):
    """Steps and batches."""

    supervision: Literal["labels", "masks", "mixed"] = Field(
        "labels",
        description="labels: image labels only; masks: supervised (ceilings, organ networks); mixed: slices "
        "with a mask learn from it, the others from their labels.",
    )
    masked_patients: PositiveCount | None = Field(
        None,
        description="masks and mixed: how many of the training patients with outlined lesions teach with "
        "their masks, drawn with the seed (a larger number keeps those of a smaller one); null for all.",
    )
    masked_share: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        MASKED_SHARE,
        description="mixed: least share of each batch that is drawn from slices with a mask; where more of "
        "the abnormal slices have one, it is their share.",
    )
    patients: PositiveCount | None = Field(
        None,
        description="How many of the training patients are used, drawn with the seed and stratified like "
        "the split; null for all.",
    )
    shuffle_labels: bool = Field(
        False,
        description="Negative control: the image labels of the training slices are permuted among them; "
        "those of the other sides stay.",
    )
    steps: PositiveCount = Field(300, description="Optimizer steps.")
    batch_size: Annotated[int, Field(ge=2)] = Field(
        16, description="Slices per step, half abnormal, half normal (masks: any); per global batch."
    )
    evaluate_every: PositiveCount = Field(
        50,
        description="Steps between mask-free looks at the validation patients; checkpoint candidates. Where "
        "the last one is kept anyway (selection.checkpoint), looks before it take at most 64 slices of each "
        "label.",
    )
    checkpoint_every: PositiveCount = Field(25, description="Steps between checkpoints for --resume.")
    optimizer: OptimizerSection = Field(default_factory=OptimizerSection)
    seed: Seed = Field(
        0, description="Seed of weights, pairs, views, and of the draws of patients and shuffled labels."
    )

    @model_serializer(mode="wrap")
    def _without_masks(self, handler):
        return without(handler(self), masked_patients=None, masked_share=MASKED_SHARE)


class RuntimeSection(Section):
    """The machines that a training runs on. What is learned does not depend on them, except for mixed
    precision.
    """

    strategy: Literal["auto", "one_device", "mirrored", "multi_worker"] = Field(
        "auto",
        description="tf.distribute strategy. one_device; mirrored: all GPUs of this machine; multi_worker: "
        "all processes that TF_CONFIG or a "
        "SLURM job step names; auto: multi_worker when TF_CONFIG names two or more, else mirrored on two or "
        "more GPUs, else one_device.",
    )
    mixed_precision: bool | Literal["bfloat16"] = Field(
        False,
        description="false: float32; true: float16 compute with float32 heads, for GPUs; bfloat16: the "
        "convolutions of training steps are computed in bfloat16, for processors with AMX, and everything "
        "else, weights included, stays float32.",
    )
    xla: bool = Field(False, description="Compile the step with XLA (slower on CPU).")
    data_service: Annotated[str, Field(max_length=300, pattern=r"^grpc://[A-Za-z0-9._-]+:[0-9]+$")] | None = (
        Field(
            None,
            description="Address of a tf.data service (grpc://host:port of clamnet-tf data-service) whose "
            "workers make the batches, the same ones; "
            "null: this process makes them. The workers must see the folder of prepared slices under the "
            "same path.",
        )
    )
    tracking: Literal["none", "mlflow"] = Field(
        "none",
        description="mlflow: send parameters, metrics, report and model to the MLflow server or folder of "
        "MLFLOW_TRACKING_URI (extra mlflow); what is learned does not depend on it.",
    )

    @model_serializer(mode="wrap")
    def _without_tracking(self, handler):
        return without(handler(self), tracking="none")


class SelfTrainingSection(Section):
    """Further networks that learn from the marks of the one before; the last one is the result
    (docs/method.md, "Self-training").
    """

    rounds: Annotated[int, Field(ge=0, le=3)] = Field(
        0,
        description="How many networks follow the first one; 0 for none. With the teacher attribution, 0 "
        "makes the classifiers' own attribution the result.",
    )
    teacher: Literal["first_network", "normal_atlas", "attribution", "auto"] = Field(
        "first_network",
        description="Whose marks teach the first round: the first network's, learned from pairs; those of "
        "data.normal_atlas; or "
        "those of an image classifier's attribution (section attribution). With the last two no first "
        "network is trained. auto: short "
        "runs of each that the recipe has the sections for, chosen without masks.",
    )
    steps: PositiveCount = Field(200, description="Optimizer steps per round.")
    foreground_fraction: Probability | None = Field(
        None,
        description="Share of the organ in abnormal training slices, highest P(lesion) first, taken as "
        "lesion; null: selection.prevalence.",
    )
    background_fraction: Probability = Field(
        0.86, description="Share, lowest P(lesion) first, taken as background; what lies between is ignored."
    )
    matching: MatchingSection = Field(
        default_factory=lambda: MatchingSection(on="none", same_site=False),
        description="How a normal slice is drawn for each abnormal one; none shows the rounds every height, "
        "since their marks come from pixels.",
    )
    network: NetworkSection = Field(
        default_factory=NetworkSection,
        description="Network of the rounds; it may be deeper, since its marks come from pixels.",
    )

    @model_serializer(mode="wrap")
    def _without_the_usual_teacher(self, handler):
        return without(handler(self), teacher="first_network")


class SelectionSection(Section):
    """How the checkpoint and the threshold are chosen without masks (docs/method.md, "Thresholds without
    masks").
    """

    prevalence: Probability = Field(
        0.06,
        description="Expected mean marked fraction of the organ in abnormal slices, from the clinical size "
        "range; fixes the threshold.",
    )
    threshold: Literal["prevalence"] | Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        "prevalence",
        description="prevalence: cut so that abnormal training slices mark that fraction on average; or a "
        "fixed probability.",
    )
    normal_area_limit: Fraction = Field(
        0.01, description="Largest mean marked fraction on normal validation slices."
    )
    auroc_slack: Fraction = Field(0.01, description="Slice AUROC may lie this far below its best.")
    checkpoint: Literal["rule", "last"] = Field("rule", description="The mask-free rule, or the last step.")


class ActivationMapSection(Section):
    """The activation map that marks lesions when loss.objective is classification."""

    method: Literal["grad_cam", "layer_cam"] = Field(
        "grad_cam", description="Grad-CAM (Selvaraju 2017) or LayerCAM (Jiang 2021)."
    )
    level: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Encoder level whose map is taken, 0 = full resolution; null: the deepest."
    )


class InferenceSection(Section):
    """How the heads' probability maps become masks."""

    head: Literal["mean"] | Annotated[int, Field(ge=1, le=6)] = Field(
        "mean", description="Mean of the heads, or head k. [3]"
    )
    batch_size: PositiveCount = Field(16, description="Slices per forward pass.")
    flip_views: bool = Field(False, description="Average with the left-right mirrored slice.")
    smallest_component: NonNegative = Field(
        0.0, description="Remove components below this fraction of the organ's area; 0 keeps all."
    )
    fill_holes: bool = Field(False, description="Fill holes of the mask.")
    axial_smoothing: Annotated[float, Field(ge=0.0, le=10.0)] = Field(
        0.0,
        description="Smooth the maps over neighbouring slices of a volume: deviation of the Gaussian, in "
        "slices; 0 for none.",
    )
    keep_largest_component: Fraction = Field(
        0.0,
        description="Leave out 3-D components that weigh less than this share of the volume's heaviest one; "
        "0 keeps all, 1 keeps one.",
    )
    suppress_bilateral: bool = Field(
        False,
        description="In that, a component weighs less the more is marked at its mirrored place, left and "
        "right: for an organ alike on both sides, with lesions on one.",
    )
    intensity_refinement: Annotated[float, Field(ge=0.0, le=5.0)] = Field(
        0.0,
        description="Weight of a volume's own intensities (what is surely marked there against the rest) "
        "near the cut; 0 for none.",
    )
    volume_threshold: Literal["common", "border_contrast"] = Field(
        "common",
        description="common: one cut for all volumes. border_contrast: what is marked at that cut grows or "
        "shrinks, in each volume, to where the image has the most contrast across its border; for lesions "
        "with a border.",
    )
    activation_map: ActivationMapSection = Field(default_factory=ActivationMapSection)

    @model_serializer(mode="wrap")
    def _without_later_keys(self, handler):
        return without(handler(self), suppress_bilateral=False, volume_threshold="common")


class ClassSection(Section):
    """One of several lesion classes: class 1, 2 .. of the network, in the order of the list. [8, 9]"""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)] = Field(
        description="Name, [a-z0-9_], as in the manifest's column markers."
    )
    eta: Probability | None = Field(
        None,
        description="P(the slice's region holds this class), weight of a slice that names it; null: "
        "loss.eta. [9]",
    )
    prevalence: Probability | None = Field(
        None,
        description="Expected mean marked fraction of the organ in slices that name it; null: "
        "selection.prevalence.",
    )


class Recipe(Section):
    """A whole recipe."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$", max_length=60)] = Field(
        description="Name, [a-z0-9_]."
    )
    modality: Literal["mri", "ct", "xray"] = Field(description="How the images were made. [10]")
    condition: Annotated[str, Field(min_length=1, max_length=60)] = Field(
        description="What is marked: carcinoma, pneumonia, trauma ... [10]"
    )
    description: Annotated[str, Field(max_length=2000)] = Field(
        "", description="What the recipe is for, in a sentence or two."
    )
    classes: Annotated[list[ClassSection], Field(min_length=2, max_length=63)] | None = Field(
        None,
        description="Several lesion classes at once, named in the manifest's column markers; null: one "
        "class against background. [8]",
    )
    data: DataSection = Field(default_factory=DataSection)
    organ: OrganSection = Field(default_factory=OrganSection)
    pairs: PairsSection = Field(default_factory=PairsSection)
    network: NetworkSection = Field(default_factory=NetworkSection)
    twin: TwinSection = Field(default_factory=TwinSection)
    loss: LossSection = Field(default_factory=LossSection)
    training: TrainingSection = Field(default_factory=TrainingSection)
    runtime: RuntimeSection = Field(default_factory=RuntimeSection)
    attribution: AttributionSection | None = Field(
        None,
        description="The image classifier of self_training.teacher attribution, and how its decisions "
        "become marks; else null.",
    )
    self_training: SelfTrainingSection = Field(default_factory=SelfTrainingSection)
    selection: SelectionSection = Field(default_factory=SelectionSection)
    inference: InferenceSection = Field(default_factory=InferenceSection)

    @model_serializer(mode="wrap")
    def _without_absent_sections(self, handler):
        return without(handler(self), classes=None, attribution=None)

    @property
    def first_round(self) -> int:
        """Number of the first network that is trained: 0 learns from image labels, 1 from the marks of the
        atlas.
        """
        return 1 if self.self_training.teacher == "normal_atlas" else 0

    @property
    def learns_from_pairs(self) -> bool:
        """Whether the first network is trained with the hybrid loss on pairs of labelled slices, weighted
        by eta.
        """
        labels = self.training.supervision != "masks" and OBJECTIVES[self.loss.objective].needs_pairs
        return labels and self.self_training.teacher == "first_network"

    @property
    def slices_per_step(self) -> int:
        """Slices in each optimizer step of the network that gives the result."""
        attribution = self.attribution if self.self_training.teacher == "attribution" else None
        if attribution and not self.self_training.rounds:
            return attribution.classifier.batch_size
        return self.training.batch_size

    @property
    def optimizer_steps(self) -> int:
        """Optimizer steps of the whole training, all stages together."""
        taught = self.self_training.rounds * self.self_training.steps
        if self.self_training.teacher == "first_network":
            return self.training.steps + taught
        attribution = self.attribution if self.self_training.teacher == "attribution" else None
        return taught + (attribution.classifier.steps if attribution else 0)
