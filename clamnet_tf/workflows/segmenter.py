"""Segment images from Python with a trained model: the code of `clamnet-tf predict`, without files."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from clamnet_tf.datasets.expected_images import as_expected, check_hounsfield, expected_images
from clamnet_tf.datasets.problems import listed
from clamnet_tf.datasets.unlabelled_inputs import Inputs, find_inputs
from clamnet_tf.errors import DataError, UserInputError
from clamnet_tf.imaging.npy import volume_of_array
from clamnet_tf.imaging.volume import SMALLEST_SIDE
from clamnet_tf.inference.engine import AUTO, TENSORFLOW, choose_engine
from clamnet_tf.inference.trained_model import load_trained_model
from clamnet_tf.prediction.fingerprint import fingerprint
from clamnet_tf.prediction.image_checks import (
    compared_with_training,
    doubtful_unit,
    require_channels,
    unlike_training,
)
from clamnet_tf.prediction.mark_groups import Choice, GroupMarker
from clamnet_tf.prediction.marked_volume import mark_volume
from clamnet_tf.prediction.model_facts import algorithm_of
from clamnet_tf.prediction.output_paths import volume_output_names
from clamnet_tf.prediction.segmentation import Segmentation
from clamnet_tf.preprocessing.assembled_volume import AssembledVolume
from clamnet_tf.preprocessing.atlas_channel import volume_with_atlas_channel
from clamnet_tf.preprocessing.organ_region import without_organ
from clamnet_tf.preprocessing.prepared_volume import PreparedVolume, prepare_volume
from clamnet_tf.preprocessing.volumes import choose_channels, group_cases
from clamnet_tf.progress import Reporter
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.reporting.overlays import display_channel
from clamnet_tf.workflows.model_notes import model_notes
from clamnet_tf.zoo.organ_networks import organ_network_of
from clamnet_tf.zoo.resolve import open_model
from clamnet_tf.zoo.sequences import sequences_of_model

ARRAY = Path("array")  # stands for the file of an array in messages


class Segmenter:
    """Mark lesions in images with a trained model.

    Masks are those of `clamnet-tf predict`, bit by bit: the same readers, checks, organ step, network and
    threshold.

    Attributes:
        recipe: Recipe of the model.
        engine: What computes the network: "tensorflow" or "onnxruntime".
        channels: Number of channels of an image.
        side: Height and width of a prepared slice in pixels.
        warnings: Sentences on the model that its user must know, such as that it is not shown to have learned
            anything; they are among the notes of every result too.

    Examples:
        >>> model = Segmenter.from_preset("xray_carcinoma")
        >>> result = model.predict(np.zeros((64, 48), np.uint8))
        >>> result.mask.shape, int(result.mask.sum()), result.volume_ml
        ((1, 64, 48), 0, None)
    """

    def __init__(self, run, *, engine: str = AUTO, any_modality: bool = False):
        """Load the model of a folder; see `from_preset`."""
        self.recipe = load_recipe(str(run.recipe))
        chosen = choose_engine(engine, run)
        if chosen.name == TENSORFLOW:
            from clamnet_tf.quiet import silence

            silence()
        self.engine = chosen.name
        self._trained = load_trained_model(run, self.recipe, engine=chosen.name)
        self._organ_network = organ_network_of(self.recipe, Reporter(quiet=True), engine=engine)
        self._sequences = sequences_of_model(run.path, self.recipe)
        self._model = fingerprint(run)
        self.warnings = model_notes(run).warnings
        self._choice = Choice(keep_identifiers=True, any_modality=any_modality, keep_probability=True)
        self.channels, self.side = self._trained.channels, self.recipe.data.side

    @classmethod
    def from_preset(cls, preset, *, engine: str = AUTO, any_modality: bool = False) -> "Segmenter":
        """Load a trained model.

        Args:
            preset: Name of a zoo entry ("mri_carcinoma"), the folder of an entry or of a finished run, or an
                entry of the Hugging Face Hub: `hf://OWNER/REPOSITORY[/NAME][@REVISION]` (extra `hub`).
            engine: "tensorflow", "onnxruntime", or "auto": ONNX Runtime where it is installed and the model
                has a model.onnx, else TensorFlow.
            any_modality: Accept images of another modality than the model's, or not in its units, with a note
                in the result.

        Raises:
            ZooError, RunError: There is no such model, or it is damaged.
            EnvironmentFailure: The engine is not installed.
        """
        return cls(open_model(preset), engine=engine, any_modality=any_modality)

    def predict(self, images, *, spacing=None) -> "Segmentation | list[Segmentation]":
        """Mark the lesions of one image or volume, or of several.

        Args:
            images: One of these, or a list of them:
                a path: an image file, or a folder (a DICOM series, the series of one study);
                an array: (rows, columns), (slices, rows, columns) or (slices, rows, columns, channels);
                three axes of which the last is shorter than 8 are (rows, columns, channels). Slices are
                axial, from the feet to the head, rows run from front to back, columns from the patient's
                right to the left, and values are those of the files (Hounsfield units for CT).
            spacing: For arrays: distance between slices, rows and columns in mm (or rows and columns, for a
                single slice). Without it sizes are not known.

        Returns:
            One Segmentation, or for a list one per image or volume in it, in its order (a folder in a list
            may hold several).

        Raises:
            DataError, ImageError: An image cannot be read or does not fit the model; or a single path holds
                several volumes, which need a list. No result is returned when one of a list fails.
        """
        if isinstance(images, list | tuple):
            return [found for image in images for found in self._all_of(image, spacing)]
        found = list(self._all_of(images, spacing))
        if len(found) != 1:
            names = listed([each.name for each in found])
            raise DataError(
                f"{images}: expected one image or volume; received {len(found)}:\n{names}\nGive a list, "
                f"[{str(images)!r}], to have them all."
            )
        return found[0]

    def preprocess(self, images, *, spacing=None) -> np.ndarray:
        """Return the slices that the network sees of one image or volume.

        Args:
            images: As for `predict`, one image or volume.
            spacing: As for `predict`.

        Returns:
            (slices, side, side, channels of the network) float16: the region of the organ, normalised and
            resized. A model with an atlas of normal slices has one channel more than its images.

        Raises:
            DataError, ImageError: As for `predict`.
        """
        if isinstance(images, np.ndarray):
            return self._prepared_array(images, spacing)[1].images
        _no_spacing(images, spacing)
        inputs = self._inputs(images)
        marker, groups = self._group_marker(inputs), group_cases(inputs.manifest)
        prepared = [each for group in groups for each in marker.prepared(group)]
        if len(prepared) != 1:
            raise DataError(f"{images}: expected one image or volume; received {len(prepared)}.")
        return prepared[0].images

    def preprocess_map(self, *, spacing=None) -> Callable:
        """Return `preprocess` as a function for tf.data.Dataset.map.

        It takes a tensor with the axes of an array of `predict`, of any shape and numeric type, and returns
        (slices, side, side, channels of the network) float16. Needs TensorFlow.

        Examples:
            >>> dataset = tf.data.Dataset.from_generator(...)  # doctest: +SKIP
            >>> dataset.map(model.preprocess_map(), num_parallel_calls=2)  # doctest: +SKIP
        """
        import tensorflow as tf

        channels = self.channels + (self._trained.atlas is not None)

        def prepare(image):
            prepared = tf.numpy_function(
                lambda array: self.preprocess(array, spacing=spacing), [image], tf.float16, stateful=False
            )
            prepared.set_shape((None, self.side, self.side, channels))
            return prepared

        return prepare

    def _all_of(self, image, spacing) -> Iterator[Segmentation]:
        """Yield the result of an array, or of every volume of a path."""
        if isinstance(image, np.ndarray):
            yield self._predict_array(image, spacing)
            return
        _no_spacing(image, spacing)
        inputs = self._inputs(image)
        marker, groups = self._group_marker(inputs), group_cases(inputs.manifest)
        failures: list[str] = []
        for group, stem in zip(groups, volume_output_names(inputs, groups)):
            started = marker.start(group, stem)
            failures += started.failures
            for marked in marker.marked(started):
                yield Segmentation(marked, marker.algorithm, self.warnings)
        if failures:
            raise DataError(f"{image}: some files could not be read:\n{listed(failures)}")

    def _inputs(self, path) -> Inputs:
        """Return the cases of a path; DataError when a part of it cannot be used."""
        if not isinstance(path, str | Path):
            raise UserInputError(
                f"images: expected a path, a NumPy array or a list of them; received {type(path).__name__}."
            )
        inputs = find_inputs(
            [path], stacks=self.recipe.modality != "xray", keep_identifiers=True, sequences=self._sequences
        )
        if inputs.failures:
            raise DataError(f"{path}: some files cannot be used:\n{listed(list(inputs.failures))}")
        return inputs

    def _group_marker(self, inputs: Inputs) -> GroupMarker:
        return GroupMarker(
            self._trained,
            self.recipe,
            inputs,
            Path(),
            self._model,
            self._choice,
            None,
            self._organ_network,
            alone=False,
        )

    def _prepared_array(
        self, array: np.ndarray, spacing
    ) -> tuple[AssembledVolume, PreparedVolume, tuple[str, ...]]:
        """Return an array as a volume, prepared for the network, and notes on it."""
        if self.recipe.organ.method == "given":
            raise DataError(
                "array: the recipe's organ.method is given, so every image needs an organ mask; give a "
                "manifest CSV with a column organ instead of an array."
            )
        if np.ma.is_masked(array):
            raise DataError(
                "array: expected values everywhere; received a masked array, whose mask would be lost. Fill "
                "it first, with .filled(VALUE)."
            )
        if array.dtype.kind not in "buif":
            raise DataError(f"array: expected integers, floats or booleans; received {array.dtype}.")
        expected = expected_images(self.recipe, self.channels, any_modality=self._choice.any_modality)
        volume, notes = as_expected(
            ARRAY, volume_of_array(array, ARRAY, _spacing_of(array, spacing)), expected
        )
        values = choose_channels(ARRAY, volume.array, self.recipe.data.channels)
        require_channels(ARRAY, values, self.channels)
        notes += check_hounsfield(ARRAY, values, expected, eight_bits=False)
        last = max(len(values) - 1, 1)
        wanted = tuple((index, 0, index, index / last) for index in range(len(values)))
        assembled = AssembledVolume(values, wanted, volume.spacing_mm, None, (volume.grid,), (None,))
        prepared = prepare_volume(assembled, ARRAY, self.recipe.data, self.recipe.organ, self._organ_network)
        notes += doubtful_unit(assembled, self.recipe)
        notes += without_organ(self.recipe.organ.method, prepared.fallback)
        return assembled, volume_with_atlas_channel(prepared, self._trained.atlas), notes

    def _predict_array(self, array: np.ndarray, spacing) -> Segmentation:
        """Return the result of one array."""
        volume, prepared, notes = self._prepared_array(array, spacing)
        found = compared_with_training(volume, self._trained.appearance)
        marked = mark_volume(
            self._trained,
            volume,
            prepared,
            names={0: (ARRAY.name, ARRAY)},
            name=ARRAY.name,
            stem=ARRAY,
            channel=display_channel(self.recipe, volume.array.shape[3]),
            keep_probability=True,
        )
        return Segmentation(
            replace(
                marked,
                notes=(*marked.notes, *unlike_training(found), *notes),
                training_distance=None if found is None else found.distance,
            ),
            algorithm_of(self._trained, self.recipe, self._model),
            self.warnings,
        )


def _no_spacing(image, spacing) -> None:
    """Refuse a spacing for a path, whose file says its own."""
    if spacing is not None:
        raise UserInputError(f"spacing: is for arrays; {image} is a path, and its file holds the spacing.")


def _spacing_of(array: np.ndarray, spacing) -> tuple[float, float, float] | None:
    """Return the spacing of an array as (slices, rows, columns) in mm."""
    if spacing is None:
        return None
    numbers = tuple(float(number) for number in spacing)
    single = array.ndim == 2 or (array.ndim == 3 and array.shape[-1] < SMALLEST_SIDE)
    if single and len(numbers) == 2:
        numbers = (1.0, *numbers)  # the thickness of a single slice has no meaning
    if len(numbers) != 3 or not all(0 < number < float("inf") for number in numbers):
        raise UserInputError(
            "spacing: expected the distances between slices, rows and columns in mm (rows and columns for a "
            f"single slice), all above 0; received {spacing!r}."
        )
    return numbers[0], numbers[1], numbers[2]
