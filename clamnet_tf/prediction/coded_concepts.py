"""What a DICOM segmentation says in codes: what was segmented, and in which part of the body (SNOMED CT, PS3.16)."""

LESION_CATEGORY = ("49755003", "SCT", "Morphologically Abnormal Structure")  # CID 7150
LESION_TYPE = ("52988006", "SCT", "Lesion")  # CID 7159
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
    "LUNG": ("39607008", "SCT", "Lung"),
    "NECK": ("45048000", "SCT", "Neck"),
    "PANCREAS": ("15776009", "SCT", "Pancreas"),
    "PELVIS": _PELVIS,
    "PROSTATE": ("41216001", "SCT", "Prostate"),
    "THORAX": _CHEST,
}
OF_CONDITIONS = {"pneumonia": _CHEST}  # a recipe's condition, where it names the place; a carcinoma may be anywhere


def region(body_part: str, condition: str) -> tuple[str, str, str] | None:
    """(value, scheme, meaning): what the image says of itself, else what the recipe's condition implies; None when neither is known."""
    found = REGIONS.get("".join(sign for sign in str(body_part).upper() if sign.isalpha()))
    return found or OF_CONDITIONS.get(condition.lower())
