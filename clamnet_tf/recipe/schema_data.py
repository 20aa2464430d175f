"""The recipe's sections from files to prepared slices: cohort, window, split, normal atlas, organ."""

from typing import Annotated, Literal

from pydantic import Field, model_serializer

from clamnet_tf.recipe.schema_sequences import SequenceSection
from clamnet_tf.recipe.section import Fraction, Positive, Section, Seed, without


class CohortSection(Section):
    """The built-in simulated cohort, used when no `--data` is given."""

    kind: Literal["brain_mri", "chest_ct", "abdomen_ct", "bone_xray", "head_ct"] = Field(
        "brain_mri",
        description="Which simulated cohort: brain_mri (tumours), chest_ct (pneumonia; DICOM, HU), "
        "abdomen_ct (liver tumours; DICOM, HU), bone_xray "
        "(fractures of the forearm; DICOM) or head_ct (intraparenchymal and subdural haemorrhage; DICOM, "
        "HU).",
    )
    patients: Annotated[int, Field(ge=4, le=500)] = Field(40, description="Number of simulated patients.")
    slices: Annotated[int, Field(ge=1, le=120)] = Field(
        24, description="Images per patient: axial slices, at least 4; bone_xray: views, 1 or 2."
    )
    side: Annotated[int, Field(ge=32, le=512)] = Field(
        160, description="Side of a simulated image, in pixels."
    )
    seed: Seed = Field(2022, description="Seed of anatomy, lesions and noise.")
    healthy: Annotated[float, Field(ge=0.0, le=0.9)] = Field(
        0.0,
        description="Share of patients without a lesion, beside those that the kind has anyway (head_ct: 2 "
        "of 12, bone_xray: half, where it stays 0).",
    )

    @model_serializer(mode="wrap")
    def _without_the_usual_patients(self, handler):
        return without(handler(self), healthy=0.0)


class WindowSection(Section):
    """A fixed intensity window (CT: Hounsfield units; DICOM PS3.3 C.11.2)."""

    center: float = Field(
        description="Centre of the window, in stored units after slope and intercept (HU for CT)."
    )
    width: Positive = Field(description="Full width of the window, same units.")


class SplitSection(Section):
    """Fractions of patients per side, when neither manifest nor `--split-file` gives a split."""

    train: Fraction = Field(0.6, description="Fraction of patients to train on.")
    val: Fraction = Field(0.15, description="Fraction of patients for mask-free selection.")
    test: Fraction = Field(0.25, description="Fraction of patients held out for evaluation.")
    seed: Seed = Field(0, description="Seed of the stratified draw.")


class NormalAtlasSection(Section):
    """An additional channel: how far a pixel lies above what normal training slices show at that place of
    the organ.
    """

    channel: Annotated[int, Field(ge=0)] = Field(
        0, description="Channel that is compared, counted after data.channels."
    )
    smoothing: Annotated[float, Field(ge=0.0, le=16.0)] = Field(
        1.0, description="Deviation of the Gaussian before, within the organ, in pixels of a slice of 128."
    )
    lesions: Literal["brighter", "darker"] = Field(
        "brighter", description="Whether lesions are brighter or darker than normal tissue at the same place."
    )
    opening: Annotated[float, Field(ge=0.0, le=16.0)] = Field(
        0.0,
        description="Radius of the disk of a grey-scale opening before, in pixels of a slice of 128: "
        "structures narrower than the disk, "
        "as vessels of the lung, count as their surroundings; 0 for none.",
    )
    level: Fraction = Field(
        0.5,
        description="Quantile of the organ's values that is taken off as the slice's own level: the median, "
        "or less where lesions fill much "
        "of the organ.",
    )
    places: bool = Field(
        True,
        description="Whether every place of the organ is compared with the same place of normal slices; "
        "false: with the whole organ of "
        "normal slices, which holds for images of other origin too.",
    )

    @model_serializer(mode="wrap")
    def _without_the_usual_level(self, handler):
        return without(handler(self), opening=0.0, level=0.5, places=True)


class DataSection(Section):
    """How files become prepared slices."""

    labels: Literal["slice", "study"] = Field(
        "slice",
        description="What a label speaks of, unless the manifest's column label_level says it: one slice; or "
        "the whole study, each of whose slices may hold the lesion when it is abnormal.",
    )
    cohort: CohortSection | None = Field(
        default_factory=CohortSection,
        description="The built-in simulated cohort, used without --data; null: the recipe is for data of "
        "one's own.",
    )
    channels: list[Annotated[int, Field(ge=0)]] | None = Field(
        None,
        description="Channels to keep, by index, in order; null keeps all. kaggle_3m: 0 pre-contrast, 1 "
        "FLAIR, 2 post-contrast.",
    )
    sequences: Annotated[list[SequenceSection], Field(min_length=2, max_length=16)] | None = Field(
        None,
        description="The series or files of a study that are the channels of an image, in this order, where "
        "a study is not one image of several channels; null: every file holds all channels.",
    )
    registration: Literal["none", "rigid"] = Field(
        "none",
        description="How the sequences of a study are brought onto the reference before they are resampled: "
        "none, by their positions in the patient alone; rigid, also by a rotation and a shift that SimpleITK "
        "(extra [itk]) finds.",
    )
    window: WindowSection | None = Field(
        None,
        description="Fixed window applied before normalisation; null for none. Pictures of 8 bits (PNG, "
        "JPEG, TIFF) are taken to show it already.",
    )
    normalization: Literal["zscore", "percentile", "window", "none"] = Field(
        "zscore",
        description="Per volume and channel, inside the organ: zscore (mean 0, deviation 1, clipped to "
        "+-5); percentile "
        "(1st..99th to 0..1); window (the fixed window to 0..1); none.",
    )
    normal_atlas: NormalAtlasSection | None = Field(
        None,
        description="A further channel from normal training slices: how unusual each pixel is at its place "
        "of the organ; null for none.",
    )
    contralateral: bool = Field(
        False,
        description="Whether the same patient's other breast, mirrored, becomes a further channel of a "
        "mammogram, blank where there is none; for network.pretrained.comparison.",
    )
    side: Annotated[int, Field(ge=16, le=1024)] = Field(
        256, description="Side of a prepared slice, in pixels. [1, 4]"
    )
    minimum_organ_fraction: Fraction = Field(
        0.02,
        description="Slices whose organ covers less than this fraction of the image are left out of "
        "training (blank slices).",
    )
    split: SplitSection = Field(default_factory=SplitSection)
    dicom_backend: Literal["pydicom", "tensorflow_io"] = Field(
        "pydicom",
        description="Reader of DICOM pixels; tensorflow_io needs the extra [tfio] and TensorFlow 2.17.",
    )

    @model_serializer(mode="wrap")
    def _without_absent_atlas(self, handler):
        return without(
            handler(self),
            normal_atlas=None,
            contralateral=False,
            labels="slice",
            sequences=None,
            registration="none",
        )


class OrganSection(Section):
    """How the organ is found, and the crop around it. [4]"""

    method: Literal[
        "foreground", "brain", "cranium", "lungs_ct", "breast", "bone", "body", "network", "given", "none"
    ] = Field(
        "foreground",
        description="foreground: largest bright component, holes filled; brain: of axial MRI of the head, "
        "without skull, scalp and "
        "orbits; cranium: the inside of the skull in head CT; lungs_ct: both lungs in chest CT with their "
        "opacities; "
        "breast: of a mammogram, without label, tape and pectoral muscle; bone: limbs and trunk in bone "
        "X-rays, soft part and cast "
        "included; body: of a CT, without table and clothing; "
        "network: a trained network finds it; given: organ masks of the manifest; none: whole image.",
    )
    network: Annotated[str, Field(min_length=1, max_length=400)] | None = Field(
        None, description="For method network: a zoo entry's name or folder, or a run folder."
    )
    rim: Annotated[float, Field(ge=0.0, le=0.4)] = Field(
        0.0,
        description="Rim taken off the organ, as a fraction of its diameter: 0.07 leaves scalp and skull of "
        "a head out; "
        "0 with brain, where it would cut cortex.",
    )
    margin: Annotated[float, Field(ge=0.0, le=0.5)] = Field(
        0.02, description="Margin around the organ, as a fraction of its box."
    )
    surroundings: Literal["blank", "kept"] = Field(
        "blank",
        description="What the network sees outside of the organ, within the crop: blank, 0; kept, the "
        "image. Marks stay inside "
        "of the organ in both cases. An image blanked outside of lungs tells a classifier the shape of the "
        "lungs.",
    )

    @model_serializer(mode="wrap")
    def _without_the_usual_surroundings(self, handler):
        return without(handler(self), surroundings="blank")
