"""The result of segmenting one image or volume from Python: arrays, sizes, and files on request."""

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from clamnet_tf.errors import DataError, UserInputError
from clamnet_tf.files import atomic_path
from clamnet_tf.prediction.dicom_seg import Algorithm, write_dicom_seg
from clamnet_tf.prediction.marked_volume import MarkedVolume
from clamnet_tf.prediction.nifti_masks import write_nifti
from clamnet_tf.prediction.tables import notes_of, volume_row
from clamnet_tf.reporting.overlays import write_png

SUFFIXES = (".nii.gz", ".nii", ".dcm", ".png")


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Hold the lesions that a model found in one image or volume.

    Attributes:
        volume: The marked volume, from which everything below follows.
        algorithm: What made the marks, for DICOM segmentations.
        warnings: Sentences on the model that a reader must know.
    """

    volume: MarkedVolume
    algorithm: Algorithm
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return the name of the image: its path below the folder of all inputs, or "array"."""
        return self.volume.name

    @property
    def mask(self) -> np.ndarray:
        """Return the mask, (slices, rows, columns) uint8: 0 background, 1 lesion.

        A model of several lesion classes marks with their numbers, in the order of `classes`. The slices of
        DICOM are those of the files, ordered by position; those of NIfTI are the axial planes; those of an
        array are the array's own. A picture has one slice.
        """
        return self.volume.mask

    @property
    def probability(self) -> np.ndarray:
        """Return the probability of each lesion class, (slices, rows, columns, classes) float32 in 0..1.

        It is 0 outside the organ.
        """
        assert self.volume.probability is not None  # Segmenter always asks for it
        return self.volume.probability

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the lesion classes; () for a model of one class without a name."""
        return self.volume.names

    @property
    def score(self) -> float:
        """Return the score that a lesion is present, in 0..1: the highest of all slices."""
        return float(self._row["presence_score"])

    @property
    def volume_ml(self) -> float | None:
        """Return the marked volume in ml; None for one slice, or where the spacing is not known."""
        return self._row["marked_ml"]

    @property
    def area_mm2(self) -> float | None:
        """Return the marked area of a single slice in mm2; None for a volume, or without a spacing."""
        return self._row["area_mm2"]

    @property
    def spacing_mm(self) -> tuple[float, float, float] | None:
        """Return the distance between slices, rows and columns in mm, or None when it is not known."""
        return self.volume.spacing_mm

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what a reader of the result should know, such as a sequence that was missing."""
        return (*self.warnings, *notes_of(self.volume))

    @property
    def _row(self) -> dict:
        return volume_row(self.volume, {})

    def save(self, path) -> Path:
        """Write the mask to a file, in the format that its suffix names, and return the path.

        The files are those of `clamnet-tf predict`: .nii.gz or .nii has the axes and affine of a NIfTI image,
        the patient's geometry for DICOM, and the spacing alone for arrays and pictures; .dcm is a DICOM
        segmentation of a DICOM series (needs the extra `dicom`); .png is for a single slice: 0 and 255, or
        the class numbers.

        Args:
            path: File to write; its folder must exist, and a file of that name is replaced.

        Raises:
            UserInputError: The suffix is not known, or the folder does not exist.
            DataError: The result does not fit the format, for example several slices into a PNG.
        """
        path = Path(path)
        suffix = next((known for known in SUFFIXES if path.name.lower().endswith(known)), None)
        if suffix is None:
            raise UserInputError(f"{path}: expected a name that ends with {', '.join(SUFFIXES)}.")
        if not path.parent.is_dir():
            raise UserInputError(f"{path}: the folder {path.parent} does not exist; create it first.")
        if suffix == ".dcm":
            write_dicom_seg(self.volume, path, segmentation="binary", algorithm=self.algorithm)
        elif suffix == ".png":
            self._save_png(path)
        else:
            self._save_nifti(path)
        return path

    def _save_png(self, path: Path) -> None:
        if len(self.mask) != 1:
            raise DataError(
                f"{path}: a PNG holds one slice; received {len(self.mask)} slices of {self.name}. Save as "
                ".nii.gz."
            )
        write_png(path, self.mask[0] if self.classes else self.mask[0] > 0)

    def _save_nifti(self, path: Path) -> None:
        if self.volume.kind == "nifti" and len(self.volume.files) > 1:
            raise DataError(
                f"{path}: {self.name} was read from {len(self.volume.files)} NIfTI files, each with its own "
                "grid. Use clamnet-tf predict, which writes a mask for each."
            )
        with tempfile.TemporaryDirectory() as folder:
            only = replace(
                self.volume,
                stem=Path("volume"),
                files=tuple((grid, Path("volume"), start) for grid, _, start in self.volume.files),
            )
            written = Path(folder) / write_nifti(only, Path(folder))[0]
            if path.name.lower().endswith(".nii"):
                import nibabel

                plain = written.with_name("plain.nii")
                nibabel.save(nibabel.load(written), plain)
                written = plain
            with atomic_path(path) as temporary:
                shutil.copyfile(written, temporary)
