"""Define the codes of DICOM segmentations and reports: what was segmented, in which body region, by which
procedure (SNOMED CT and LOINC, as in PS3.16).
"""

_LUNG = ("39607008", "SCT", "Lung")
_ABNORMAL = ("49755003", "SCT", "Morphologically Abnormal Structure")  # CID 7150
_ANATOMICAL = ("91723000", "SCT", "Anatomical Structure")  # CID 7150
#: What is marked: label, category (CID 7150) and type (CID 7159, 4028).
LESION = ("Lesion", _ABNORMAL, ("52988006", "SCT", "Lesion"))
_TYPES = {  # condition of a recipe that marks lesions -> type, CID 7159 and, for trauma, SNOMED CT beside it
    "carcinoma": ("108369006", "SCT", "Neoplasm"),
    "haemorrhage": ("50960005", "SCT", "Hemorrhage"),
    "nodule": ("27925004", "SCT", "Nodule"),
    "pneumonia": ("409774005", "SCT", "Inflammation"),
    "trauma": ("19130008", "SCT", "Traumatic abnormality"),
}
_PROCEDURES = {  # Modality -> CID 100
    "CT": ("25045-6", "LN", "CT unspecified body region"),
    "MR": ("25056-3", "LN", "MRI unspecified body region"),
    **dict.fromkeys(("CR", "DX", "RG"), ("43468-8", "LN", "XR unspecified body region")),
}
_PROCEDURE = ("363679005", "SCT", "Imaging procedure")
ORGANS = {"lungs": ("Lungs", _ANATOMICAL, _LUNG)}  # condition of a recipe that finds an organ
_BRAIN = ("12738006", "SCT", "Brain")
_CHEST = ("816094009", "SCT", "Chest")
_BREAST = ("76752008", "SCT", "Breast")
_ABDOMEN = ("818981001", "SCT", "Abdomen")
_PELVIS = ("816092008", "SCT", "Pelvis")
REGIONS = {  # BodyPartExamined (PS3.16 annex L) -> code
    "ABDOMEN": _ABDOMEN,
    "ABDOMENPELVIS": ("818982008", "SCT", "Abdomen and Pelvis"),
    "BRAIN": _BRAIN,
    "BREAST": _BREAST,
    "CHEST": _CHEST,
    "HEAD": ("69536005", "SCT", "Head"),
    "HEART": ("80891009", "SCT", "Heart"),
    "KIDNEY": ("64033007", "SCT", "Kidney"),
    "LIVER": ("10200004", "SCT", "Liver"),
    "LUNG": _LUNG,
    "NECK": ("45048000", "SCT", "Neck"),
    "PANCREAS": ("15776009", "SCT", "Pancreas"),
    "PELVIS": _PELVIS,
    "PROSTATE": ("41216001", "SCT", "Prostate"),
    "THORAX": _CHEST,
}
OF_CONDITIONS = {
    "pneumonia": _CHEST,
    "lungs": _CHEST,
    "haemorrhage": ("69536005", "SCT", "Head"),
}  # a recipe's condition, where it names the place; a carcinoma may be anywhere


def finding(condition: str) -> tuple[str, tuple, tuple]:
    """Return (label, category, type) of the segment that a recipe of this condition marks: a lesion or an
    organ.
    """
    label, category, kind = LESION
    return ORGANS.get(condition.lower(), (label, category, _TYPES.get(condition.lower(), kind)))


def procedure(modality: str) -> tuple[str, str, str]:
    """Return (value, scheme, meaning) of the procedure that makes images of a Modality (0008,0060)."""
    return _PROCEDURES.get(modality.upper(), _PROCEDURE)


def region(body_part: str, condition: str) -> tuple[str, str, str] | None:
    """Return (value, scheme, meaning) of the body region, or None when it is not known.

    Args:
        body_part: BodyPartExamined of the image, which comes first.
        condition: Condition of the recipe, which may imply a region.
    """
    code = REGIONS.get("".join(sign for sign in str(body_part).upper() if sign.isalpha()))
    return code or OF_CONDITIONS.get(condition.lower())
