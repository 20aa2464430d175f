"""Read from a DICOM header how an image was acquired, and recognise tiled pictures and films.

The acquisition distinguishes the volumes that share a series. PS3.3 sections: MR image C.8.3, enhanced MR
C.8.13, CT image C.8.2, multi-frame functional groups C.7.6.16.
"""

import math

import pydicom
from pydicom.dataset import Dataset

from clamnet_tf.errors import ImageError

PROJECTIONS = ("CR", "DX", "DR", "RG", "MG", "IO", "PX", "XR")  # modalities of views, never of slices
_PROJECTION_OBJECTS = (
    "1.2.840.10008.5.1.4.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.2",
    "1.2.840.10008.5.1.4.1.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.1.3",
    "1.2.840.10008.5.1.4.1.1.1.3.1",
)
_FILMS = {  # objects whose frames follow one another in time
    "1.2.840.10008.5.1.4.1.1.3": "ultrasound",
    "1.2.840.10008.5.1.4.1.1.3.1": "ultrasound",
    "1.2.840.10008.5.1.4.1.1.12.1": "angiography",
    "1.2.840.10008.5.1.4.1.1.12.2": "fluoroscopy",
    "1.2.840.10008.5.1.4.1.1.77.1.1.1": "endoscopy video",
    "1.2.840.10008.5.1.4.1.1.77.1.2.1": "microscopy video",
    "1.2.840.10008.5.1.4.1.1.77.1.4.1": "photography video",
}

# Name of the difference: keyword, or (functional group, keyword), or (group, creator, element) of vendors.
DIFFERENCES = {
    "acquisition": ("AcquisitionNumber",),
    "echo": ("EchoNumbers",),
    "echo time": ("EchoTime", ("MREchoSequence", "EffectiveEchoTime")),
    "b-value": (
        ("MRDiffusionSequence", "DiffusionBValue"),
        "DiffusionBValue",
        (0x0019, "SIEMENS MR HEADER", 0x0C),
        (0x0043, "GEMS_PARM_01", 0x39),
        (0x2001, "Philips Imaging DD 001", 0x03),
    ),
    "temporal position": ("TemporalPositionIdentifier", ("FrameContentSequence", "TemporalPositionIndex")),
    "stack": (("FrameContentSequence", "StackID"),),
    "trigger time": ("TriggerTime", ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime")),
    "inversion time": ("InversionTime",),
    "flip angle": ("FlipAngle",),
    "image type": ("ImageType",),
    "complex part": (("MRImageFrameTypeSequence", "ComplexImageComponent"), "ComplexImageComponent"),
    "kernel": ("ConvolutionKernel",),
    "contrast": ("ContrastBolusAgent",),
    "energy": ("KVP",),
    "series number": ("SeriesNumber",),
    "series description": ("SeriesDescription",),
    "acquisition time": (
        "AcquisitionDateTime",
        "AcquisitionTime",
        ("FrameContentSequence", "FrameAcquisitionDateTime"),
    ),
    "content time": ("ContentTime",),
}
UNITS = {
    "echo time": " ms",
    "b-value": " s/mm2",
    "trigger time": " ms",
    "inversion time": " ms",
    "flip angle": " degrees",
    "energy": " kV",
}


def is_projection(modality: str, sop_class: str) -> bool:
    """Return whether images of this modality or SOP class are views (X-ray pictures), which never form a
    volume.
    """
    return modality in PROJECTIONS or sop_class in _PROJECTION_OBJECTS


def differences_of(dataset: Dataset, index: int) -> dict[str, str | float]:
    """Return {name of DIFFERENCES: number or text} of frame `index`, without the fields that it does not
    state.
    """
    differences = {}
    for name, fields in DIFFERENCES.items():
        for field in fields:
            value = _value(dataset, index, field)
            if value is not None:
                differences[name] = value
                break
    return differences


def image_type_of(dataset: Dataset) -> tuple[str, ...]:
    """Return the values of ImageType in capitals, () without one."""
    value = dataset.get("ImageType") or ()
    return tuple(str(item).upper() for item in ([value] if isinstance(value, str) else value))


def functional_group(dataset: Dataset, index: int, sequence: str) -> Dataset | None:
    """Return the first item of a functional group of frame `index`, or None (PS3.3 C.7.6.16).

    The frame's own group comes before the shared one.
    """
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    shared = dataset.get("SharedFunctionalGroupsSequence")
    for groups in ([per_frame[index]] if per_frame else [], [shared[0]] if shared else []):
        for group in groups:
            items = group.get(sequence)
            if items:
                return items[0]
    return None


def number(value) -> float | None:
    """Return a DICOM number (DS, IS, FD, US) as float, None when absent; raise ValueError for several or
    text.
    """
    if value is None or value == "":
        return None
    if isinstance(value, (list, tuple, pydicom.multival.MultiValue)):
        raise ValueError(f"one number expected, found {len(value)}: {list(value)[:4]}")
    return float(value)


def refuse_tiles_and_films(dataset: Dataset, path, frames: int) -> None:
    """Refuse pictures that show a volume as tiles (Siemens mosaics), and frames that follow one another in
    time.

    Raises:
        ImageError: says what the file is and how it becomes a volume.
    """
    tiles = _value(dataset, 0, (0x0019, "SIEMENS MR HEADER", 0x0A))
    if "MOSAIC" in image_type_of(dataset) or (isinstance(tiles, float) and tiles > 1):
        how_many = f"{tiles:.0f} slices" if isinstance(tiles, float) else "the slices of a volume"
        raise ImageError(
            f"{path}: a Siemens mosaic: one picture that shows {how_many} side by side. Convert it with "
            "`dcm2niix` (which separates the slices), and give the NIfTI file."
        )
    kind = str(dataset.get("SOPClassUID") or "")
    timed = dataset.get("FrameTime") or dataset.get("FrameTimeVector") or dataset.get("CineRate")
    placed = (
        dataset.get("PerFrameFunctionalGroupsSequence") is not None
        or dataset.get("SharedFunctionalGroupsSequence") is not None
    )
    if frames > 1 and (kind in _FILMS or (timed and not placed)):
        raise ImageError(
            f"{path}: a film of {frames} frames "
            f"({_FILMS.get(kind, 'frames with a time, none with a position')}), one moment each, not the "
            "slices of a volume. Save the frames that are to be marked as pictures of their own."
        )


def _value(dataset, index, field):
    """Return a number as float and text as text, None when the field is absent or empty."""
    if isinstance(field, tuple) and isinstance(field[0], int):
        value = _vendor_value(dataset, *field)
    elif isinstance(field, tuple):
        group = functional_group(dataset, index, field[0])
        value = None if group is None else group.get(field[1])
    else:
        value = dataset.get(field)
    if isinstance(value, (pydicom.multival.MultiValue, list, tuple)):
        value = "\\".join(map(str, value))
    if value is None or value == "" or isinstance(value, (bytes, Dataset)):
        return None
    try:
        as_number = float(value)
    except (ValueError, TypeError):
        return str(value).strip()
    return as_number if math.isfinite(as_number) else None


def _vendor_value(dataset, group, creator, element):
    """Return the value of a private element, None without it."""
    try:
        value = dataset.private_block(group, creator)[element].value
    except KeyError:
        return None
    if creator.startswith("GEMS") and value is not None:  # b, or b + 1e9, then three unrelated numbers
        b_value = str(value if isinstance(value, (str, bytes)) else value[0]).split("\\")[0]
        return float(b_value) % 1e9 if b_value.replace(".", "", 1).isdigit() else None
    return value.decode("ascii", "ignore") if isinstance(value, bytes) else value
