"""Open the masks that teach, of the patients that may teach.

This is the only training module that may open masks.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from clamnet_tf.errors import DataError
from clamnet_tf.input_pipeline.pipeline import KnownMasks
from clamnet_tf.losses.of_masks import IGNORED
from clamnet_tf.preprocessing.mask_access import open_masks
from clamnet_tf.preprocessing.mask_table import TAUGHT, MaskUse, uses_of


@dataclass(frozen=True, eq=False)
class TeachingMasks:
    """The masks that teach a run.

    Attributes:
        known: (N,) bool, which of the training rows have a mask that teaches.
        masks: (N, H, W) uint8 label maps on the prepared grid: 0 background, 1 .. class, IGNORED; 0 where
            none is known.
        uses: rows of masks.csv.
    """

    known: np.ndarray
    masks: np.ndarray
    uses: list[MaskUse]

    @property
    def patients(self) -> int:
        """Number of patients of which a mask file teaches."""
        return len({use.patient for use in self.uses})

    def for_pairs(self) -> KnownMasks:
        """Return the masks as `pipeline.pair_dataset` takes them."""
        return KnownMasks(self.masks, self.known.astype(np.float32))

    def over(self, marks) -> np.ndarray:
        """Return a teacher's marks (N, H, W) of the training rows, with the masks in their place where these
        are known.
        """
        return np.where(self.known[:, None, None], self.masks, marks)

    @property
    def digest(self) -> str:
        """Text that is equal in two processes when the same masks teach the same rows."""
        return hashlib.sha256(self.known.tobytes() + self.masks.tobytes()).hexdigest()


def open_teaching_masks(manifest, prepared, slices, section, classes: int, workers, say) -> TeachingMasks:
    """Open the masks of the training slices that teach with theirs; none when image labels alone teach.

    With training.supervision masks, all slices of the patients that teach have a known mask, normal ones
    without a file an empty one. With mixed, those are the patients with outlined lesions; a slice that is
    ignored throughout is taught by its label.

    Args:
        manifest: the cases, with the masks that may teach.
        prepared: Prepared slices made from it.
        slices: TrainingSlices.
        section: recipe section training.
        classes: how many lesion classes the recipe has.
        workers: processes of the cluster, which must open the same masks.
        say: callable that receives a line on what was assumed in reading the masks, and on who teaches.

    Raises:
        DataError: no training slice has a mask, there are fewer patients with outlined lesions than
            training.masked_patients asks for, or a mask shows a lesion in a slice that is labelled normal.
    """
    table, rows = slices.table, slices.rows
    notes: dict[str, str] = {}
    known = np.zeros(len(rows), bool)
    if section.supervision == "labels":
        return TeachingMasks(known, np.zeros((len(rows), 0, 0), np.uint8), [])
    outlined = _outlined_patients(manifest, table, rows)
    everyone = section.supervision == "masks" and section.masked_patients is None
    if not outlined and not everyone:
        raise DataError(
            f"training.supervision {section.supervision}: expected masks of abnormal training slices; the "
            f"manifest names none. Name them in its column mask, or use supervision: labels."
        )
    chosen = _drawn(outlined, section.masked_patients, section.seed)
    candidates = np.flatnonzero(
        np.ones(len(rows), bool) if everyone else np.isin(table.patient[rows], chosen)
    )
    opened = open_masks(
        manifest,
        prepared,
        rows[candidates],
        purpose="supervision",
        grid="prepared",
        classes=classes,
        notes=notes,
    )
    for note, file in notes.items():
        say(f"Note on masks (first {file}): {note}")
    masks = np.zeros((len(rows), *prepared.organ.shape[1:]), np.uint8)
    for index, mask in zip(candidates, opened):
        if mask is None or (not everyone and _says_nothing(mask, prepared.organ[rows[index]])):
            continue
        known[index], masks[index] = True, mask
    if not known.any():
        raise DataError(
            "training.supervision: masks needs masks of training slices; the manifest names none. Use "
            "supervision: labels."
        )
    if section.supervision == "mixed":
        _check_labels(manifest, table, rows[known], masks[known], say)
    result = TeachingMasks(known, masks, uses_of(TAUGHT, manifest, prepared.table, rows[known]))
    workers.check_same("The masks that teach", result.digest)
    count = result.patients
    say(
        f"Masks of {count} patient{'s' * (count != 1)} teach ({len(result.uses)} slices with a mask file); "
        "none of them will be measured."
    )
    if unused := _unused(manifest, table, rows, chosen, everyone):
        say(
            f"{unused} more of their slices with a mask file do not teach: they show too "
            "little of the organ (data.minimum_organ_fraction)."
        )
    return result


def _unused(manifest, table, rows, chosen, everyone: bool) -> int:
    """Return how many slices of the patients that teach have a mask file, but are no training rows."""
    others = np.setdiff1d(np.flatnonzero(table.split == "train"), rows)
    return sum(
        manifest.cases[int(table.case[row])].mask is not None and (everyone or table.patient[row] in chosen)
        for row in others
    )


def _outlined_patients(manifest, table, rows) -> list[str]:
    """Return the names of the patients of which an abnormal training slice has a mask file, in order."""
    outlined = [
        str(table.patient[row])
        for row in rows
        if table.label[row] > 0 and manifest.cases[int(table.case[row])].mask is not None
    ]
    return list(dict.fromkeys(outlined))


def _drawn(patients: list[str], count: int | None, seed: int) -> list[str]:
    """Return `count` of the patients, None: all; the draw of a larger count holds that of a smaller one."""
    if count is None:
        return patients
    if count > len(patients):
        raise DataError(
            f"training.masked_patients: expected at most the {len(patients)} training patients with outlined "
            f"lesions, received {count}; null takes all."
        )

    def rank(name):
        text = f"{seed}\0masks\0{name}".encode("utf-8", "surrogateescape")
        return hashlib.sha256(text).hexdigest(), name

    return sorted(patients, key=rank)[:count]


def _says_nothing(mask, organ) -> bool:
    """Return whether every organ pixel of a mask is ignored."""
    return not (np.asarray(organ, bool) & (mask != IGNORED)).any()


def _check_labels(manifest, table, rows, masks, say) -> None:
    """Refuse lesions in slices labelled normal, which pairs would teach as background; report empty masks of
    abnormal ones.
    """
    lesion = ((masks > 0) & (masks != IGNORED)).any(axis=(1, 2))
    ignores = (masks == IGNORED).any(axis=(1, 2))
    label = table.label[rows]
    wrong = rows[lesion & (label == 0)]
    if len(wrong):
        case = manifest.cases[int(table.case[wrong[0]])]
        raise DataError(
            f"{case.mask}: shows a lesion in slice {table.slice_index[wrong[0]]} of {case.image}, which is "
            f"labelled normal ({len(wrong)} such slices). Correct the label in the manifest, or the mask."
        )
    has_file = np.array([manifest.cases[int(case)].mask is not None for case in table.case[rows]])
    empty = rows[~lesion & ~ignores & (label > 0) & has_file]
    if len(empty):
        first = manifest.cases[int(table.case[empty[0]])].mask
        say(
            f"Note on masks: {len(empty)} slices labelled abnormal have an empty mask, which teaches that "
            f"nothing is there (first {first})."
        )
