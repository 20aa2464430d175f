"""Name sets of studies, as 20x30: 20 studies of 30 slices."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StudySet:
    """Say what a folder of studies holds.

    Attributes:
        studies: number of studies, one patient and one series each.
        slices: slices of a series.
        side: rows and columns of a slice, even.
    """

    studies: int
    slices: int
    side: int = 512

    @property
    def name(self) -> str:
        """Return the set in words, for tables."""
        studies = "1 study" if self.studies == 1 else f"{self.studies} studies"
        return f"{studies} of {self.slices} slices"

    @property
    def folder(self) -> str:
        """Return the name of its folder."""
        return f"{self.studies}x{self.slices}x{self.side}"


def parse_set(text: str, side: int = 512) -> StudySet:
    """Return the set that "20x30" names: 20 studies of 30 slices.

    Raises:
        ValueError: The text is of another form, or the side is odd.
    """
    if side < 16 or side % 2:
        raise ValueError(f"expected an even side of 16 pixels or more; received {side}")
    studies, times, slices = text.partition("x")
    if not (times and studies.isdigit() and slices.isdigit() and int(studies) and int(slices) > 1):
        raise ValueError(
            f"expected STUDIESxSLICES, at least one study of two slices, as 20x30; received {text}"
        )
    return StudySet(int(studies), int(slices), side)
