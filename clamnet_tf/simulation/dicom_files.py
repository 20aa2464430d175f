"""Write simulated images as DICOM, uncompressed and without dates: CT series and radiographs.

CT images follow PS3.3 A.3, radiographs A.2 (CR) and A.26 (DX).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    generate_uid,
)

from clamnet_tf.simulation.space import Space


@dataclass(frozen=True)
class CtFormat:
    """How a scanner stores Hounsfield units: HU = slope * stored + intercept.

    Attributes:
        signed: whether stored values are signed.
        bits: number of stored bits.
        slope, intercept: of the formula above.
        padding: stored value outside of the round field of view; None for reconstructed air.
        from_below: whether the first image is the lowest.
    """

    signed: bool
    bits: int
    slope: float
    intercept: float
    padding: int | None
    from_below: bool

    def store(self, hu: np.ndarray) -> np.ndarray:
        """Return the stored values of `hu`, rounded and clipped to the range of the bits."""
        low, high = (
            (-(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1) if self.signed else (0, 2**self.bits - 1)
        )
        return np.clip(np.rint((hu - self.intercept) / self.slope), low, high).astype(
            np.int16 if self.signed else np.uint16
        )


def instance_number(slice_index: int, slices: int, form: CtFormat) -> int:
    """Return the InstanceNumber of a slice that is counted from 0 and from below."""
    return slice_index + 1 if form.from_below else slices - slice_index


def write_ct_series(
    folder: Path,
    hu: np.ndarray,
    space: Space,
    form: CtFormat,
    *,
    patient: str,
    thickness_mm: float,
    uid_seed: str,
) -> None:
    """Write one file per slice into the new folder `folder`: IM0001.dcm upwards, in the order of
    InstanceNumber.

    Args:
        folder: a folder that does not exist yet.
        hu: (S, H, W) Hounsfield units.
        space: voxel centres.
        form: how values are stored.
        patient: PatientID.
        thickness_mm: thickness of the slices in mm.
        uid_seed: text that makes the UIDs; the same text gives the same bytes.
    """
    folder.mkdir(parents=True)
    stored, corner, between = form.store(hu), space.in_plane_mm[0], float(space.z_mm[1] - space.z_mm[0])
    if form.padding is not None:
        stored[:, np.hypot(space.y[0], space.x[0]) > space.side * space.pixel_mm / 2] = form.padding
    uids = {name: _uid(uid_seed, name) for name in ("study", "series", "frame of reference")}
    for slice_index, plane in list(enumerate(stored))[:: 1 if form.from_below else -1]:
        number = instance_number(slice_index, len(stored), form)
        image = _image(CTImageStorage, _uid(uid_seed, f"image {number}"), plane, form.bits, form.signed)
        image.Modality, image.PatientID, image.PatientName = "CT", patient, f"{patient}^SIMULATED"
        image.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
        image.SeriesDescription = "simulated phantom, no patient"
        image.StudyInstanceUID, image.SeriesInstanceUID = uids["study"], uids["series"]
        image.FrameOfReferenceUID, image.InstanceNumber = uids["frame of reference"], number
        image.ImagePositionPatient = [f"{value:.3f}" for value in (corner, corner, space.z_mm[slice_index])]
        image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        image.PixelSpacing = [f"{space.pixel_mm:.6f}"] * 2
        image.SliceThickness, image.SpacingBetweenSlices = f"{thickness_mm:.3f}", f"{between:.3f}"
        image.RescaleSlope, image.RescaleIntercept, image.RescaleType = form.slope, form.intercept, "HU"
        if form.padding is not None:
            image.add_new("PixelPaddingValue", "SS" if form.signed else "US", form.padding)
        image.save_as(folder / f"IM{number:04d}.dcm", enforce_file_format=True)


@dataclass(frozen=True)
class RadiographFormat:
    """How a site stores radiographs.

    Attributes:
        modality: DX or CR.
        bits: number of stored bits.
        inverted: whether images are MONOCHROME1, where the lowest value is white.
    """

    modality: str
    bits: int
    inverted: bool

    def store(self, image: np.ndarray) -> np.ndarray:
        """Return the stored values of `image` (0..1, bright = dense)."""
        values = 1.0 - image if self.inverted else image
        return np.clip(np.rint(values * (2**self.bits - 1)), 0, 2**self.bits - 1).astype(np.uint16)


def write_radiograph(
    path: Path, image: np.ndarray, form: RadiographFormat, *, patient: str, pixel_mm: float, uid_seed: str
) -> None:
    """Write one radiograph.

    Args:
        path: the file.
        image: (rows, columns) in 0..1, bright = dense.
        form: how values are stored.
        patient: PatientID.
        pixel_mm: size of a pixel in mm.
        uid_seed: text that makes the UIDs; the same text gives the same bytes.
    """
    sop_class = {"DX": DigitalXRayImageStorageForPresentation, "CR": ComputedRadiographyImageStorage}[
        form.modality
    ]
    file = _image(sop_class, _uid(uid_seed, "image"), form.store(image), form.bits, signed=False)
    file.PhotometricInterpretation = "MONOCHROME1" if form.inverted else "MONOCHROME2"
    file.Modality, file.PatientID, file.PatientName = form.modality, patient, f"{patient}^SIMULATED"
    file.ImageType = ["DERIVED", "SECONDARY"]
    file.SeriesDescription = "simulated phantom, no patient"
    file.StudyInstanceUID, file.SeriesInstanceUID, file.InstanceNumber = (
        _uid(uid_seed, "study"),
        _uid(uid_seed, "series"),
        1,
    )
    file.BodyPartExamined = "FOREARM"
    file.ImagerPixelSpacing = [f"{pixel_mm:.6f}"] * 2
    if form.modality == "DX":
        file.PresentationLUTShape = "INVERSE" if form.inverted else "IDENTITY"
        file.RescaleSlope, file.RescaleIntercept, file.RescaleType = 1, 0, "US"
    file.save_as(path, enforce_file_format=True)


def _image(sop_class: str, uid: str, plane: np.ndarray, bits: int, signed: bool) -> Dataset:
    """Return a monochrome image without the attributes of its modality, from a (rows, columns) plane.

    The plane is int16 or uint16.
    """
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID, image.file_meta.MediaStorageSOPInstanceUID = sop_class, uid
    image.SOPClassUID, image.SOPInstanceUID = sop_class, uid
    image.Rows, image.Columns = plane.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = (
        16,
        bits,
        bits - 1,
        int(signed),
    )
    image.PixelData = plane.astype(plane.dtype.newbyteorder("<")).tobytes()
    return image


def _uid(seed: str, name: str) -> str:
    return generate_uid(entropy_srcs=[seed, name])
