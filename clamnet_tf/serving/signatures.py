"""Define the names by which an exported model is called: signatures, inputs and outputs. They never
change.
"""

#: Float slices in; for a recipe with a fixed window in the unit of the files, else as `PREPARED`.
DEFAULT = "serving_default"
#: Float slices in, exactly as `clamnet-tf` prepares them; gives probability and identity. The client's.
PREPARED = "prepared"
#: Whole pictures in, as the bytes of PNG or JPEG files.
ENCODED = "encoded"
#: Whole pictures in, as the bytes of DICOM files; only with tensorflow-io.
ENCODED_DICOM = "encoded_dicom"

IMAGES = "images"
#: TensorFlow Serving's REST interface takes base64 for names that end in _bytes.
IMAGE_BYTES = "image_bytes"

PROBABILITY, MASK, PRESENCE, BOX, IDENTITY = "probability", "mask", "presence", "box", "identity"


def map_shape(side: int, classes: int) -> tuple[int, ...]:
    """Return the shape of `PROBABILITY` of one slice: (side, side) for one lesion class, else (side, side,
    classes).
    """
    return (side, side) if classes == 1 else (side, side, classes)


#: Below the version's folder.
CONTRACT, RECIPE, RECIPE_SHA256 = "assets/contract.json", "assets/recipe.yaml", "assets/recipe.sha256"
