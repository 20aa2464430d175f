"""Limit what DICOM results keep of their source's header to required attributes and references.

highdicom copies the modules Patient, Patient Study, General Study and those of clinical trials completely:
comments, allergies, occupation, names of physicians. The standard requires of them (type 1 and 2) only what
is in KEPT.
"""

from pydicom.dataset import Dataset
from pydicom.tag import Tag

#: PS3.3 C.7.1.1 (Patient) and C.7.2.1 (General Study), types 1 and 2.
KEPT = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
#: Of any object, or of the equipment that made the segmentation: not about the patient, even where the source
#: has the same.
_OF_THE_OBJECT = (
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "SeriesInstanceUID",
    "SeriesDescription",
    "Manufacturer",
    "ManufacturerModelName",
    "InstanceCreationDate",
    "InstanceCreationTime",
    "ContentDate",
    "ContentTime",
    "SeriesDate",
    "SeriesTime",
    "ImageType",
    "ReferencedSeriesSequence",
    "ReferencedStudySequence",
    "SourceImageSequence",
    "TimezoneOffsetFromUTC",
)
_OF_REPORTS = 0x0040, 0xA000  # group and first element of what a structured report says
_OF_PATIENT_AND_VISIT = (0x0008, 0x0010, 0x0012, 0x0032, 0x0038, 0x0040)


def keep_required(segmentation: Dataset, source: Dataset) -> None:
    """Remove from a segmentation what it repeats of its source beyond KEPT and references.

    What the segmentation says of itself stays. The function checks the groups of identification, patient,
    trial, request, visit and procedure, and private groups; geometry, pixels and segments are not in these.
    """
    if (
        "ContributingEquipmentSequence" in segmentation
    ):  # type 3: names the scanner's institution and serial number
        del segmentation.ContributingEquipmentSequence
    for tag in list(segmentation.keys()):
        tag = Tag(tag)
        if tag.is_private:
            del segmentation[tag]
            continue
        if tag.group not in _OF_PATIENT_AND_VISIT or segmentation[tag].keyword in (*KEPT, *_OF_THE_OBJECT):
            continue
        if tag.group == _OF_REPORTS[0] and tag.element >= _OF_REPORTS[1] and tag not in source:
            continue
        if tag.group != 0x0008 or (tag in source and segmentation[tag].value == source[tag].value):
            del segmentation[tag]
