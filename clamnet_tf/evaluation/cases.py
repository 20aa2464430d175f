"""Define what is evaluated: slices of the reference list, counts per patient, and rows of CSV files."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from clamnet_tf import spreadsheet
from clamnet_tf.files import atomic_path
from clamnet_tf.inference.thresholding import ThresholdRule
from clamnet_tf.metrics.components import VolumeLesions
from clamnet_tf.metrics.overlap import Overlap
from clamnet_tf.texts import HANDLER

OURS = "ours"


@dataclass(frozen=True, eq=False)
class SliceCase:
    """Hold one slice of the reference list and what was predicted for it. All arrays are on the ORIGINAL grid
    (H, W).
    """

    patient: str
    image: str
    """File of the slice, as in the manifest."""
    slice_index: int
    """Index inside the file; 0 for a single picture."""
    label: int | None
    """0 normal, 1 and above abnormal, None unknown."""
    organ: np.ndarray
    """Bool, True inside the organ."""
    probability: np.ndarray | None
    """Float 0..1; None: the prediction is missing."""
    truth: np.ndarray | None = None
    """Reference mask, bool or a label map; None: there is no mask. A normal slice without a mask counts as
    empty.
    """
    mask: np.ndarray | None = None
    """Marked pixels, bool or a label map, where more than a threshold on `probability` decides them. None:
    apply the threshold to `probability`.
    """
    heads: Mapping[str, np.ndarray | None] = field(default_factory=dict)
    """Probability maps (H, W) by name of the network's head."""
    baselines: Mapping[str, np.ndarray | None] = field(default_factory=dict)
    """Bool masks (H, W) by name of the other method."""
    spacing_mm: tuple[float, float, float] | None = None
    """Distance between slices, between rows and between columns, in mm."""
    study_label: int | None = None
    """Label of the slice's study, where labels are those of studies: `label` is then what the truth says,
    None for a slice of an abnormal study without a truth. None: labels are those of slices.
    """
    site: str | None = None
    volume: str | int | None = None
    """Volume to which the slice belongs, whose slices are listed in order; None: the slice stands alone."""
    follows: bool = True
    """Whether the slice lies directly on the one listed before it, if both are of one volume."""
    picture: np.ndarray | None = None
    """Image (H, W) or (H, W, C) to show in the report, in any unit."""


@dataclass(eq=False)
class PatientCounts:
    """Hold the sums over one patient's slices. The keys of the dicts are "ours", head names and baseline
    names.
    """

    patient: str
    site: str | None
    slices: int = 0
    known: int = 0
    missing: int = 0
    organ_px: int = 0
    overlaps: dict[str, Overlap] = field(default_factory=dict)
    histograms: dict[str, np.ndarray] = field(default_factory=dict)
    slice_dice: dict[str, list[float]] = field(default_factory=dict)
    """Dice of each slice that has a lesion, in the order of the slices; the same slices for every name."""
    normal_areas: dict[str, list[float]] = field(default_factory=dict)
    """Marked share of the organ, 0..1, of each slice known to be without a lesion; slices without an organ
    are left out.
    """
    lesions: list[VolumeLesions] = field(default_factory=list)
    """The lesions of each volume of known truth, or of each slice where slices stand alone."""
    volumes_incomplete: int = 0
    """Volumes in which the truth of a slice is unknown."""
    truth_ml: float | None = 0.0
    marked_ml: float | None = 0.0

    @property
    def complete(self) -> bool:
        """Return whether the truth of every slice is known; otherwise the patient's volume cannot be
        scored.
        """
        return self.known == self.slices

    @property
    def with_lesion(self) -> bool:
        """Return whether overlaps of volumes are measured on this patient: complete, with at least one lesion
        pixel.
        """
        return self.complete and self.overlaps[OURS].truth > 0

    @property
    def without_lesion(self) -> bool:
        """Return whether false marks are measured on this patient: complete, no lesion pixel, at least one
        organ pixel.
        """
        return self.complete and not self.overlaps[OURS].truth and self.organ_px > 0

    def marked_share(self, name: str) -> float | None:
        """Return the marked share of the organ over all slices, 0..1; None unless the patient is known to
        have no lesion.
        """
        return self.overlaps[name].marked / self.organ_px if self.without_lesion else None


@dataclass(eq=False)
class Evaluation:
    """Hold everything that figures.py and report.py need.

    `slices` are in the order of the reference list, `patients` in the order of their first slice.
    """

    marking: ThresholdRule
    slices: list[dict]
    patients: list[dict]
    counts: list[PatientCounts]
    heads: tuple[str, ...]
    baselines: tuple[str, ...]


def is_normal(row: dict) -> bool:
    """Return whether a slice should stay unmarked: it has no truth pixel or, without a mask, the label 0."""
    return row["truth_px"] == 0 if row["truth_px"] is not None else row["label"] == 0


def is_abnormal(row: dict) -> bool:
    """Return whether a slice has truth pixels or, without a mask, a label above 0."""
    return bool(row["label"] if row["truth_px"] is None else row["truth_px"])


def mean_of(values) -> float | None:
    """Return the mean of the values that are not None, or None when there are none."""
    values = [value for value in values if value is not None]
    return float(np.mean(values)) if values else None


def write_rows(path, rows: list[dict]) -> None:
    """Write rows as CSV with one header line; None becomes an empty field, floats have 6 significant
    digits.
    """
    with (
        atomic_path(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors=HANDLER) as stream,
    ):
        stream.write(spreadsheet.line(rows[0]))
        for row in rows:
            stream.write(
                spreadsheet.line(
                    f"{value:.6g}" if isinstance(value, float) else value for value in row.values()
                )
            )
