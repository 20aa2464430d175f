"""Find the organ with a trained network: `organ.method: network` of a recipe.

`organ.network` of the recipe names a run or a zoo entry.
"""

import dataclasses
import hashlib
import threading
from pathlib import Path

import numpy as np

from clamnet_tf.errors import DataError, RunError
from clamnet_tf.inference.engine import TENSORFLOW
from clamnet_tf.inference.trained_model import load_trained_model
from clamnet_tf.preprocessing.assembled_volume import AssembledVolume
from clamnet_tf.preprocessing.prepared_volume import prepare_volume

_SMALLEST = 0.02  # of the image; less is no organ


class OrganNetwork:
    """Find the organ of a volume with a trained network, on the volume's own grid.

    Args:
        run: RunFolder or zoo entry of the organ network.
        recipe: recipe of that network.
        engine: "tensorflow" or "onnxruntime", which computes it, see inference.engine.

    Attributes:
        engine: name of the engine that computes it.
        key: sha256 of weights, recipe, selection and, other than TensorFlow, engine (which rounds
            differently); part of the key of prepared slices.

    Raises:
        RunError: the network cannot serve as organ network.
    """

    def __init__(self, run, recipe, *, engine: str = TENSORFLOW):
        if recipe.organ.method == "network":
            raise RunError(
                f"{run.recipe}: an organ network that needs an organ network itself cannot serve as one."
            )
        if recipe.data.normal_atlas is not None:
            raise RunError(
                f"{run.recipe}: a network with data.normal_atlas marks what is unusual in an organ; it "
                f"cannot serve as organ network."
            )
        if recipe.data.contralateral:
            raise RunError(
                f"{run.recipe}: a network with data.contralateral compares breasts whose organ is known; it "
                f"cannot serve as organ network."
            )
        if recipe.classes:
            raise RunError(
                f"{run.recipe}: expected a network that marks one organ; this one has "
                f"{len(recipe.classes)} lesion classes."
            )
        self.trained = load_trained_model(run, recipe, engine=engine)
        self.recipe, self.name = recipe, recipe.name
        digest = hashlib.sha256()
        for path in (run.model, run.recipe, run.selection):
            digest.update(Path(path).read_bytes())
        if engine != TENSORFLOW:
            digest.update(engine.encode())
        self.engine, self.key = engine, digest.hexdigest()
        self._one_at_a_time = threading.Lock()

    def __call__(self, volume: AssembledVolume) -> np.ndarray:
        """Return the organ, bool (slices, rows, columns); all False in a slice where it is less than 2 % of
        the image.

        A gray picture saved as RGB is taken as gray.

        Raises:
            DataError: the volume has another number of channels than the network takes.
        """
        array = volume.array
        if self.trained.channels == 1 and array.shape[3] == 3 and (array == array[..., :1]).all():
            array = array[..., :1]
        if array.shape[3] != self.trained.channels:
            raise DataError(
                f"organ.network {self.name}: takes {self.trained.channels} channel(s), these images have "
                f"{array.shape[3]}; choose data.channels."
            )
        all_slices = dataclasses.replace(
            volume,
            array=array,
            wanted=tuple((index, 0, index, 0.5) for index in range(len(array))),
            organ=None,
        )
        ready = prepare_volume(all_slices, Path("organ"), self.recipe.data, self.recipe.organ)
        with self._one_at_a_time:
            maps = self.trained.volume(self.trained.probability(ready.images), ready.images, ready.organ)
        result = np.zeros(array.shape[:3], bool)
        for index, probability in enumerate(maps):
            mask = self.trained.marking.mask(*ready.box.restore_map(probability, ready.organ[index])) > 0
            if mask.mean() >= _SMALLEST:
                result[index] = mask
        return result
