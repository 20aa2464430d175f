"""Choose the keys of a recipe from what the images are and from the answers, each with its reason.

A suggestion begins with the shipped recipe that was measured on the most similar images, and changes what
does not fit. A row of the tables below that was measured says so in the recipe it names
(recipes/EXPERIMENTS.md).
"""

import math
from dataclasses import dataclass
from typing import Any

from clamnet_tf.recipe_suggestion.answers import ORGAN_WORDS, Answers
from clamnet_tf.recipe_suggestion.image_survey import ImageSurvey
from clamnet_tf.recipe_suggestion.sequences import SuggestedSequences

LARGEST_PATCH = 96  # pixels; smaller images are taken as fields of view cut around a place
FEWEST_SLICES = 4  # slices of a volume that have neighbours worth smoothing over
SMALLEST_WIDTH = 6  # pixels that the smallest lesion should measure in a prepared slice
LARGEST_SIDE = 256
PRETRAINED_SIDES = {"xray_carcinoma": 384, "xray_trauma": 448}  # base -> side it was measured with, the most
SMOOTHED = 11 / 448  # of the side: attribution.smoothing of xray_trauma
ORGANS = {  # (modality, region) -> (organ.method, why)
    ("mri", "head"): ("brain", "axial MRI of the head: the brain without skull, scalp and orbits"),
    ("ct", "head"): ("cranium", "head CT: the inside of the skull, since bone is as bright as blood"),
    ("ct", "chest"): ("lungs_ct", "chest CT: both lungs with their opacities"),
    ("xray", "chest"): ("network", "chest X-ray: the lungs, by a trained network"),
    ("xray", "breast"): ("breast", "mammograms: the breast without label, tape and pectoral muscle"),
    ("xray", "bone"): ("bone", "bone X-rays: limb and trunk, soft parts and cast included"),
}
WINDOWS = {  # region -> (centre, width, name), in Hounsfield units
    "head": (40.0, 120.0, "a wide brain window"),
    "chest": (-600.0, 1500.0, "the lung window"),
    "bone": (400.0, 1800.0, "a bone window"),
}
SOFT_TISSUE = (40.0, 400.0, "the soft-tissue window")


@dataclass(frozen=True)
class Choice:
    """One key of the suggested recipe.

    Attributes:
        key: dotted path.
        value: its value as in YAML.
        reason: why, in one clause.
    """

    key: str
    value: Any
    reason: str


@dataclass(frozen=True)
class CaseFacts:
    """Hold the facts that the table of cases states.

    Attributes:
        slices_per_volume: median number of slices per volume.
        with_organ: whether every case has an organ mask.
        sequences: the sequences that studies have as series or files of their own; None: a file is an image.
    """

    slices_per_volume: float = 1.0
    with_organ: bool = False
    sequences: SuggestedSequences | None = None


def base_recipe(answers: Answers) -> tuple[str, str]:
    """Return (name of the shipped recipe to begin with, why)."""
    modality, region, shape = answers.modality, answers.region, answers.lesion == "shape"
    if region == "patch":
        return (
            "ct_nodule",
            "small fields of view: classifiers learn the labels, their attribution is outlined",
        )
    if modality == "xray" and region == "breast":
        return (
            "xray_carcinoma",
            "large images: one map of evidence on an encoder with ImageNet weights. On mammograms it points "
            "at lesions and does not outline them",
        )
    if modality == "xray" and shape:
        return (
            "xray_trauma",
            "a lesion that is a shape, in large images: classifiers with ImageNet weights. They tell X-rays "
            "with a fracture apart and point near it in nearly half of them; they do not outline it, so "
            "expect no usable masks",
        )
    if shape:
        return (
            "ct_nodule",
            "a lesion that is a shape: classifiers learn the labels, their attribution is outlined",
        )
    if modality == "ct" and region in ("head", "chest"):
        name = "ct_trauma" if region == "head" else "ct_pneumonia"
        return name, "what deviates from normal slices teaches the network"
    if modality == "xray" and region == "chest":
        return "xray_pneumonia", "what deviates from normal lungs teaches the network"
    if modality == "ct":
        return "ct_carcinoma", "pairs of abnormal and normal slices, then self-training"
    return "mri_carcinoma", "pairs of abnormal and normal images, then self-training"


def choose(survey: ImageSurvey, facts: CaseFacts, answers: Answers, base: str) -> list[Choice]:
    """Return the keys that replace those of the base recipe, in the order of the sections.

    Args:
        survey: what the images are.
        facts: what the table of cases says.
        answers: what the user knows.
        base: name of the shipped recipe, of `base_recipe`.
    """
    return [
        *_sequences(facts),
        *_values(survey, answers, base),
        *_side(survey, answers, base),
        *_organ(facts, answers, base),
        *_views(survey, facts, answers, base),
        *_pairs(facts, base),
        *_sizes(answers, base),
        *_volumes(survey, facts, answers, base),
    ]


def _sequences(facts: CaseFacts):
    """Yield the sequences of which a study has a series or file each."""
    if facts.sequences is not None and not facts.sequences.by_columns:
        why = f"one channel each, put together study by study ({facts.sequences.studies} studies)"
        yield Choice("data.sequences", list(facts.sequences.sections), why)


def _values(survey: ImageSurvey, answers: Answers, base: str):
    """Yield channels, window, normalisation and atlas."""
    yield Choice("data.cohort", None, "the recipe is for images of your own")
    gray = [0] if survey.gray_as_colour else None
    yield Choice("data.channels", gray, "gray stored as colour: one channel" if gray else "all channels")
    zscore = Choice("data.normalization", "zscore", "mean 0 and deviation 1 within the organ of each volume")
    if answers.modality != "ct":
        yield Choice("data.window", None, "values of this modality have no fixed unit")
        yield zscore
    elif survey.not_hounsfield and not survey.eight_bits:
        yield Choice("data.window", None, "ATTENTION: the values are not Hounsfield units")
        yield zscore
    elif answers.region == "patch" and survey.eight_bits:
        yield Choice("data.window", None, "pictures of 8 bits; their contrast may differ from patch to patch")
        yield zscore
    else:
        center, width, name = WINDOWS.get(answers.region, SOFT_TISSUE)
        unit = "which pictures of 8 bits are taken to show" if survey.eight_bits else "in Hounsfield units"
        yield Choice("data.window", {"center": center, "width": width}, f"{name}, {unit}")
        if base in ("ct_pneumonia", "ct_trauma"):
            yield Choice(
                "data.normalization", "window", "0 to 1: a Hounsfield unit means the same everywhere"
            )
        else:
            yield zscore
    if base in ("ct_pneumonia", "ct_trauma", "xray_pneumonia"):
        yield Choice("data.normal_atlas.lesions", answers.lesion, "you said so")
        if base == "ct_pneumonia" and answers.lesion == "darker":
            yield Choice("data.normal_atlas.opening", 0.0, "an opening would remove what is bright, not dark")


def _side(survey: ImageSurvey, answers: Answers, base: str):
    """Yield the side of prepared slices, and what is measured in their pixels."""
    side = _side_of_slices(survey, answers, base)
    yield side
    if base == "xray_trauma":
        smoothing = round(SMOOTHED * side.value, 1)
        yield Choice("attribution.smoothing", smoothing, "pixels, in proportion to the side")


def _side_of_slices(survey: ImageSurvey, answers: Answers, base: str) -> Choice:
    """Return the side of prepared slices: the base's own, or more where small lesions need it."""
    if answers.region == "patch":
        side = max(16, round(survey.longest_side / 16) * 16) if survey.longest_side else 48
        return Choice(
            "data.side", side, f"the patches have {survey.longest_side} pixels: nothing is resampled"
        )
    usual = PRETRAINED_SIDES.get(base, 64 if base == "xray_pneumonia" else 128)
    most = PRETRAINED_SIDES.get(base, LARGEST_SIDE)
    relative = 2 * math.sqrt(answers.size[0] / 100 / math.pi)  # of a round lesion in a square organ
    needed = math.ceil(SMALLEST_WIDTH / relative / 32) * 32
    stored = survey.shortest_side // 32 * 32
    side = max(usual, min(needed, most))
    if stored and side > max(stored, 64):
        side = max(stored, 64)
        return Choice("data.side", side, f"the images have about {survey.shortest_side} pixels, no more")
    width = relative * side
    fits = "" if width >= SMALLEST_WIDTH - 0.5 else ", which is little: crop the images closer if you can"
    return Choice(
        "data.side", side, f"a lesion of {answers.size[0]:g} % is about {width:.0f} pixels wide{fits}"
    )


def _organ(facts: CaseFacts, answers: Answers, base: str):
    """Yield the organ step."""
    if facts.with_organ:
        yield Choice("organ.method", "given", "the table names an organ mask for every image")
    elif answers.region == "patch":
        yield Choice("organ.method", "none", "a patch is the region of interest itself")
    elif base == "xray_trauma":
        yield Choice("organ.method", "none", "the whole image, as it was measured on fractures")
    else:
        usual = (
            ("body", "a CT without table and clothing; organ masks in the table's column organ do better")
            if answers.modality == "ct"
            else ("foreground", "the largest bright component; nothing more special is known for this region")
        )
        method, why = ORGANS.get((answers.modality, answers.region), usual)
        yield Choice("organ.method", method, why)
        if method == "network":
            yield Choice("organ.network", "xray_lungs", "of the zoo: finds lungs in frontal chest X-rays")
            return
    yield Choice("organ.network", None, "this organ step needs none")


def _views(survey: ImageSurvey, facts: CaseFacts, answers: Answers, base: str):
    """Yield the random views that differ from those of the base recipe."""
    if base == "xray_trauma":
        return  # its classifiers have views of their own
    place, sequences = "pairs.augmentation", facts.sequences
    if answers.modality == "mri":
        channels = survey.channels[0] if len(set(survey.channels)) == 1 else 1
        main, filler = 1, "the channel that fills gaps; the second"
        if sequences is not None:
            channels, main = len(sequences.sections), sequences.reference
            filler = f"{sequences.names[main]} fills gaps"
        several = channels > 1
        why = f"{channels} channels: archives lack sequences" if several else "one channel only"
        yield Choice(f"{place}.channel_loss", 0.3 if several else 0.0, why)
        yield Choice(f"{place}.main_channel", main if several else None, filler if several else why)
    if answers.modality == "ct" and not survey.eight_bits and answers.region != "patch":
        yield Choice(f"{place}.intensity", 0.05, "Hounsfield units do not change between scanners")
    if answers.modality == "xray" and answers.region not in ("breast", "patch"):
        turn = 8.0 if answers.region == "chest" else 15.0
        yield Choice(f"{place}.rotate_degrees", turn, "patients do not lie straight")
        yield Choice(f"{place}.intensity", 0.3, "exposure differs between X-rays")


def _pairs(facts: CaseFacts, base: str):
    """Yield how normal partners are drawn."""
    if base not in ("mri_carcinoma", "ct_carcinoma"):
        return  # no first network is trained on pairs
    if facts.slices_per_volume >= FEWEST_SLICES:
        why = "a partner of the same height in the body, so that height does not tell the label"
        yield Choice("pairs.matching.on", "position", why)
        yield Choice("pairs.matching.tolerance", 0.05, "of the volume's height")
    else:
        yield Choice("pairs.matching.on", "none", "single images have no position in a volume")


def _sizes(answers: Answers, base: str):
    """Yield what depends on the expected size."""
    share, organ = answers.prevalence, ORGAN_WORDS[answers.region]
    low, high = answers.size
    spread = f"{low:g} to {high:g} % of {organ}; small ones are more frequent than large ones"
    if base == "ct_nodule":
        # in the recipe that was measured, 0.05 of a patch is expected and the surest 0.04 is marked
        surest = min(0.5, float(f"{0.8 * share:.2g}"))
        yield Choice("attribution.share", surest, "the surest part of that size is taught")
    elif base in ("ct_pneumonia", "xray_pneumonia"):
        surest = float(f"{share if base == 'ct_pneumonia' else 0.7 * share:.2g}")
        yield Choice("self_training.foreground_fraction", surest, "what is taught as lesion, of all organ")
    if base not in ("ct_nodule", *PRETRAINED_SIDES) or (share > 0.1 and base != "xray_trauma"):
        rest = math.floor(100 * min(0.95, max(1 - 1.8 * share, 0.8 * (1 - share)))) / 100
        why = "taught as background; what lies between is ignored"
        yield Choice("self_training.background_fraction", max(rest, 0.01), why)
    yield Choice("selection.prevalence", share, f"mean size: {spread}")


def _volumes(survey: ImageSurvey, facts: CaseFacts, answers: Answers, base: str):
    """Yield how neighbouring slices support one another."""
    if base not in ("mri_carcinoma", "ct_carcinoma"):
        return
    volumes = facts.slices_per_volume >= FEWEST_SLICES
    alone = "single images have no neighbours"
    smooth = 1.1 if base == "mri_carcinoma" else 0.7
    largest = 0.3 if base == "mri_carcinoma" else 0.15
    yield Choice(
        "inference.axial_smoothing", smooth if volumes else 0.0, "neighbouring slices" if volumes else alone
    )
    yield Choice(
        "inference.keep_largest_component",
        largest if volumes else 0.0,
        "small components beside a large one are left out" if volumes else alone,
    )
    both = volumes and answers.modality == "mri" and answers.region == "head"
    why = (
        "a lesion is on one side, orbits and ventricles are on both"
        if both
        else "not a paired organ, or no volumes"
    )
    yield Choice("inference.suppress_bilateral", both, why)
    if not volumes:
        yield Choice("inference.intensity_refinement", 0.0, "fitted to a volume; these are single images")
