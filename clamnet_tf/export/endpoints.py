"""Build the graph of an export: a tf.Module with one function per signature."""

import tensorflow as tf

from clamnet_tf.export.dicom_ops import decode_dicom
from clamnet_tf.export.prepare_ops import ORGANS, choose_channels, decode, organ_of_pictures, prepare, window
from clamnet_tf.serving.signatures import (
    BOX,
    DEFAULT,
    ENCODED,
    ENCODED_DICOM,
    IDENTITY,
    IMAGE_BYTES,
    IMAGES,
    MASK,
    PREPARED,
    PRESENCE,
    PROBABILITY,
)


class Endpoints(tf.Module):
    """Provide the signatures of a Source as tf.functions for any batch size.

    `functions` is what tf.saved_model.save takes.

    Args:
        source: export.source.Source.
        dicom: Add the signature ENCODED_DICOM, whose operations only tensorflow-io has.
    """

    def __init__(self, source, dicom: bool = False):
        super().__init__(name=source.name)
        self.source = source
        # TensorFlow's own variables: of tracked Keras objects a copy is saved that TensorFlow Serving's
        # loader leaves uninitialised (measured)
        self.weights = [variable.value for variable in source.network.variables]
        self.slices = tf.TensorSpec(
            [None, source.side, source.side, source.channels], tf.float32, name=IMAGES
        )
        self.files = tf.TensorSpec([None], tf.string, name=IMAGE_BYTES)
        self.functions = {
            DEFAULT: self._function(self.from_slices, self.slices),
            PREPARED: self._function(self.from_prepared, self.slices),
        }
        if why_not_encoded(source) is None:
            self.functions[ENCODED] = self._function(self.from_pictures, self.files)
            if dicom:
                self.functions[ENCODED_DICOM] = self._function(self.from_dicom, self.files)

    def _function(self, method, spec):
        """Return a method as tf.function with one input."""
        return tf.function(method, input_signature=[spec], autograph=False)

    def probability(self, images):
        """Compute probabilities (B, side, side, classes) float32 of prepared slices (B, side, side, C).

        The result equals that of inference.predictor.Predictor.
        """
        predictor = self.source.predictor
        heads = predictor.both_views(images)
        if predictor.head == "mean":
            return tf.reduce_mean(heads, axis=0)
        return heads[predictor.head_names.index(f"head_{predictor.head}")]

    def from_prepared(self, images):
        """Return probability and identity of prepared slices; clamnet-tf's own client calls this."""
        identity = tf.fill(tf.shape(images)[:1], self.source.identity.text)
        return {PROBABILITY: self.source.written(self.probability(images)), IDENTITY: identity}

    def from_slices(self, images):
        """Mark slices on the network's grid; a fixed window is applied here."""
        if has_fixed_window(self.source.data):
            images = window(images, self.source.data.window.center, self.source.data.window.width)
        return self._marked(images, tf.reduce_any(images != 0, axis=-1))

    def from_pictures(self, image_bytes):
        """Mark PNG and JPEG files."""
        return self._from_files(image_bytes, decode)

    def from_dicom(self, image_bytes):
        """Mark DICOM files."""
        return self._from_files(image_bytes, decode_dicom)

    def _from_files(self, image_bytes, decoder):
        """Mark whole pictures: organ, crop, normalisation and resizing happen here, picture by picture."""
        prepared = tf.map_fn(
            lambda content: self._one_file(content, decoder),
            image_bytes,
            fn_output_signature={
                "images": tf.TensorSpec(self.slices.shape[1:], tf.float32),
                "organ": tf.TensorSpec(self.slices.shape[1:3], tf.bool),
                "box": tf.TensorSpec([3], tf.int32),
            },
        )
        return {**self._marked(prepared["images"], prepared["organ"]), BOX: prepared["box"]}

    def _one_file(self, content, decoder):
        """Decode and prepare one file."""
        source = self.source
        image, eight_bits = decoder(content)
        image = choose_channels(image, source.data.channels, source.channels)
        return prepare(
            image, eight_bits, data=source.data, organ=organ_of_pictures(source.organ), side=source.side
        )

    def _marked(self, images, organ):
        """Return probability, mask and presence score of prepared slices."""
        maps = self.probability(images)
        score = presence(tf.reduce_max(maps, axis=-1), organ, self.source.pooling_power)
        mask = label_map(maps, organ, self.source.thresholds)
        return {PROBABILITY: self.source.written(maps), MASK: mask, PRESENCE: score}


def label_map(maps, organ, thresholds):
    """Give each pixel the class that is furthest above its threshold, in log-odds, where a class reaches it.

    Args:
        maps: (B, H, W, classes) float32 in 0..1.
        organ: (B, H, W) bool.
        thresholds: One threshold per class, 0..1.

    Returns:
        (B, H, W) uint8: 0, or the number of the class from 1.
    """
    cuts = tf.constant(thresholds, maps.dtype)
    marked = tf.logical_and(tf.reduce_any(maps >= cuts, axis=-1), organ)
    class_number = 1 + tf.argmax(_log_odds(maps) - _log_odds(cuts), axis=-1, output_type=tf.int32)
    return tf.cast(tf.where(marked, class_number, 0), tf.uint8)


def _log_odds(probability):
    """Compute log-odds like `inference.postprocessing.one_class.log_odds`."""
    clipped = tf.clip_by_value(probability, 1e-6, 1 - 1e-6)
    return tf.math.log(clipped) - tf.math.log1p(-clipped)


def presence(probability, organ, power: float):
    """Compute the presence score (B,) float32: the generalised mean over the organ; 0 without an organ.

    It equals `metrics.localisation.image_score`.

    Args:
        probability: (B, H, W) float in 0..1.
        organ: (B, H, W) bool.
        power: Power of the mean.
    """
    inside = tf.cast(organ, tf.float64)
    pixels = tf.reduce_sum(inside, axis=[1, 2])
    total = tf.reduce_sum(inside * tf.cast(probability, tf.float64) ** power, axis=[1, 2])
    return tf.cast((total / tf.maximum(pixels, 1.0)) ** (1.0 / power), tf.float32)


def has_fixed_window(data) -> bool:
    """Return whether normalisation is only a fixed window, so that it can be part of the graph."""
    return data.normalization == "window" and data.normal_atlas is None


def why_not_encoded(source) -> str | None:
    """Say why whole pictures cannot be taken; None when they can."""
    if source.data.normal_atlas is not None:
        return "the deviation from normal slices (data.normal_atlas) is not computed in a graph"
    if source.data.contralateral:
        return "a single picture does not show the other breast (data.contralateral)"
    if organ_of_pictures(source.organ).method not in ORGANS:
        return f"organ.method {source.organ.method} cannot be computed from one picture in a graph"
    if source.data.channels is None and source.channels not in (1, 3):
        return f"the network takes {source.channels} channels, PNG and JPEG files have 1 or 3"
    return None
