"""Read the modality and the body region of images from words: DICOM headers, and names of folders."""

import re

from clamnet_tf.datasets.expected_images import MODALITIES

REGIONS = ("head", "chest", "abdomen", "breast", "bone", "other")
#: Region -> words of DICOM's BodyPartExamined (PS3.16 annex L), of descriptions and of folder names.
WORDS_OF_REGIONS = {
    "head": "head brain skull cranium neuro glioma stroke haemorrhage hemorrhage ich flair",
    "chest": "chest thorax lung lungs pulmonary pneumonia covid covid19 tuberculosis cxr rib ribs heart",
    "abdomen": "abdomen liver kidney pelvis abdomenpelvis pancreas spleen bladder prostate",
    "breast": "breast mammogram mammograms mammography mammo mias",
    "bone": (
        "bone extremity hand wrist forearm elbow humerus shoulder finger foot ankle knee leg lowleg upleg "
        "femur tibia hip clavicle arm uparm lowarm toe fracture fractures"
    ),
}
#: Modality -> words of folder names.
WORDS_OF_MODALITIES = {
    "ct": "ct cts lidc",
    "mri": "mri mr mris flair t1 t2",
    "xray": "xray xrays cxr radiograph radiographs mammogram mammograms mammography dx cr frac fracture mias",
}
_REGION_OF = {word: region for region, words in WORDS_OF_REGIONS.items() for word in words.split()}
_MODALITY_OF = {word: modality for modality, words in WORDS_OF_MODALITIES.items() for word in words.split()}
_RECIPE_MODALITY = {code: modality for modality, codes in MODALITIES.items() for code in codes}


def modality_of_code(code: str) -> str | None:
    """Return ct, mri or xray for a DICOM Modality (0008,0060), None for any other."""
    return _RECIPE_MODALITY.get(code.strip().upper())


def region_in_words(text: str) -> str | None:
    """Return the only region that a text names, None where it names none or several."""
    return _only(_REGION_OF, text)


def modality_in_words(text: str) -> str | None:
    """Return the only modality that a text names, None where it names none or several."""
    return _only(_MODALITY_OF, text)


def _only(meanings: dict[str, str], text: str) -> str | None:
    words = re.findall(r"[a-z]+[0-9]*", re.sub(r"x[-_ ]?ray", "xray", text.lower()))
    found = {meanings[word] for word in words if word in meanings}
    return found.pop() if len(found) == 1 else None
