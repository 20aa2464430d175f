"""Derive the UIDs of a DICOM segmentation, its report and its pictures from what it was made of.

An archive knows an object by its SOP Instance UID. When a result is made and sent a second time, it has the
same UIDs, and the archive keeps one object. Other images, another model, another threshold, recipe or version
of the program give other UIDs.
"""

import hashlib
import json
import uuid
from dataclasses import astuple

from clamnet_tf import __version__
from clamnet_tf.prediction.marked_volume import MarkedVolume

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "clamnet-tf DICOM segmentation")


class StableUids:
    """Name the parts of one segmentation object, and the objects that go with it.

    The order and the file names of the images, the date and the machine do not enter.
    """

    def __init__(self, volume: MarkedVolume, segmentation: str, algorithm):
        """Digest what the object is made of.

        Args:
            volume: Marked volume, read from DICOM.
            segmentation: "binary", "labelmap", "fractional" or "uncertainty".
            algorithm: dicom_seg.Algorithm.
        """
        images = sorted(
            [marked_slice.reference.sop_instance_uid or "", marked_slice.reference.frame]
            for marked_slice in volume.slices
        )
        content = json.dumps([__version__, segmentation, astuple(algorithm), images])
        self._model = algorithm.model_sha256
        self._digest = hashlib.sha256(content.encode()).hexdigest()

    def of_model(self) -> str:
        """Return the UID of the model as the device that observed, the same for all its results."""
        return f"2.25.{uuid.uuid5(_NAMESPACE, f'model {self._model}').int}"

    def of(self, part: str) -> str:
        """Return the UID of a part ("series", "instance", "tracking 1", "report"): 2.25. and a name-based
        UUID as a decimal number (PS3.5 B.2), unique without a registered root.
        """
        return f"2.25.{uuid.uuid5(_NAMESPACE, f'{part} {self._digest}').int}"
