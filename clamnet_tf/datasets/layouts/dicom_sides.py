"""Read from a DICOM header which breast a mammogram shows, in which view and of which examination."""

from pathlib import Path

from clamnet_tf.decoding import decoding
from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.dicom_header import open_dataset, quiet

_SIDES = {"L": "left", "R": "right"}


def read_side(path: Path) -> tuple[str, str, str]:
    """Return (StudyInstanceUID, laterality, view) of one file; a text is empty where the file does not say.

    The laterality is "left" or "right": ImageLaterality (PS3.3 C.8.11.7), else Laterality of the series; B
    (both) counts as not stated. The view is ViewPosition, else the meaning of the code in ViewCodeSequence.

    Raises:
        ImageError: the file is not DICOM, or damaged.
    """
    dataset = open_dataset(path, pixels=False)
    with (
        decoding(
            lambda reason: ImageError(
                f"{path}: its DICOM header cannot be understood: {reason}. Export the image again."
            )
        ),
        quiet(),
    ):
        study = str(dataset.get("StudyInstanceUID") or "").strip()
        side = str(dataset.get("ImageLaterality") or dataset.get("Laterality") or "").strip().upper()
        view = str(dataset.get("ViewPosition") or "").strip()
        for code in [] if view else list(dataset.get("ViewCodeSequence") or [])[:1]:
            view = str(code.get("CodeMeaning") or "").strip()
    return study, _SIDES.get(side, ""), view
