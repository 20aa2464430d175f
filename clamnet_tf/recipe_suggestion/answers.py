"""The four questions that a suggestion depends on, and their answers."""

import math
import re
from dataclasses import dataclass

from clamnet_tf.errors import UserInputError

MODALITIES = ("ct", "mri", "xray")
LESIONS = ("brighter", "darker", "shape")
#: Region -> what a share of the organ is a share of.
ORGAN_WORDS = {
    "head": "the inside of the head",
    "chest": "the lungs",
    "abdomen": "the body",
    "breast": "the breast",
    "bone": "the limb, soft parts included",
    "other": "the part of the body that is shown",
    "patch": "the patch",
}
#: Region -> usual kind of lesion.
USUAL_LESION = {"breast": "shape", "bone": "shape", "patch": "shape"}
#: (modality, region) or region -> usual percentages of the organ that a lesion fills.
USUAL_SIZES = {
    ("mri", "head"): (3.0, 20.0),
    ("ct", "head"): (1.0, 8.0),
    ("ct", "chest"): (5.0, 30.0),
    ("xray", "chest"): (20.0, 80.0),
    "abdomen": (0.3, 3.0),
    "breast": (0.5, 5.0),
    "bone": (0.5, 3.0),
    "patch": (2.0, 10.0),
}
ANY_SIZE = (1.0, 10.0)


@dataclass(frozen=True)
class Answers:
    """Hold the user's answers about the images.

    Attributes:
        modality: ct, mri or xray.
        region: a region of `body_regions.REGIONS`, or patch for small fields of view.
        lesion: brighter or darker than normal tissue at the same place, or shape: recognised by its shape.
        size: smallest and largest percentage of the organ that a lesion fills where there is one.
    """

    modality: str
    region: str
    lesion: str
    size: tuple[float, float]

    @property
    def prevalence(self) -> float:
        """The mean share of the organ, in 0..1, of sizes that are log-uniform between the two ends.

        Small lesions are more frequent than large ones, so that it lies below the middle of the range.
        """
        low, high = self.size
        mean = low if low == high else (high - low) / math.log(high / low)
        return float(f"{mean / 100:.2g}")


def usual_lesion(region: str) -> str:
    """Return the kind of lesion that is proposed for a region."""
    return USUAL_LESION.get(region, "brighter")


def usual_size(modality: str, region: str) -> tuple[float, float]:
    """Return the percentages of the organ that are proposed for a modality and region."""
    return USUAL_SIZES.get((modality, region)) or USUAL_SIZES.get(region) or ANY_SIZE


def size_text(size: tuple[float, float]) -> str:
    """Return a range of percentages as `read_size` reads it: 1-8."""
    return f"{size[0]:g}-{size[1]:g}"


def read_size(text: str) -> tuple[float, float]:
    """Read a range of percentages such as 1-8, or one percentage.

    Raises:
        UserInputError: it is no range of percentages above 0 and below 100.
    """
    numbers = re.fullmatch(
        r"\s*([0-9]+(?:\.[0-9]+)?)\s*%?\s*(?:(?:-|to|\u2013)\s*([0-9]+(?:\.[0-9]+)?)\s*%?)?\s*", text
    )
    low, high = (float(numbers[1]), float(numbers[2] or numbers[1])) if numbers else (0.0, 0.0)
    if not 0.01 <= low <= high <= 95:
        raise UserInputError(
            f"size: expected percentages of the organ from 0.01 to 95, the smaller one first, such as 1-8; "
            f"received {text!r}."
        )
    return low, high
