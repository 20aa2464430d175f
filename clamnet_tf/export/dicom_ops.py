"""Decode DICOM bytes to modality values inside a graph, with tensorflow-io.

It is for servers that have its operations (TensorFlow up to 2.17). tensorflow-io returns neither stored
values nor Hounsfield units; imaging.dicom_tensorflow_io explains what it returns and how to undo that. The
same is done here with TensorFlow's operations.
"""

import tensorflow as tf

_TAGS = ("BitsStored", "PixelRepresentation", "RescaleSlope", "RescaleIntercept", "PhotometricInterpretation")


def load_operations() -> None:
    """Raise EnvironmentFailure when tensorflow-io does not work here."""
    from clamnet_tf.imaging.dicom_tensorflow_io import check_operations

    check_operations()


def decode_dicom(content):
    """Decode a DICOM file of one frame.

    Signed MONOCHROME1 is off by one stored value: tensorflow-io renders it so (measured), and in a graph
    there is no pydicom to compare with.

    Args:
        content: Bytes of the file, scalar string.

    Returns:
        (values, False): (rows, columns, 1 or 3) float32 like `imaging.dicom_pixels.read_pixels`; False,
        because the values are not 8-bit shades.

    Raises:
        InvalidArgumentError: The file has several frames, or tensorflow-io cannot read it.
    """
    import tensorflow_io

    rendered = tensorflow_io.image.decode_dicom_image(
        content, on_error="strict", scale="preserve", dtype=tf.uint64
    )
    tags = [getattr(tensorflow_io.image.dicom_tags, name) for name in _TAGS]
    bits, signed, slope, intercept, photometric = tf.unstack(
        tensorflow_io.image.decode_dicom_data(content, tags), num=len(_TAGS)
    )
    frames = tf.shape(rendered)[0]
    with tf.control_dependencies(
        [tf.debugging.Assert(frames == 1, ["image_bytes: expected DICOM files of one frame; found", frames])]
    ):
        values = tf.cast(rendered[0], tf.float64)
    inverted = tf.strings.strip(photometric) == "MONOCHROME1"
    gray = _modality(
        values,
        _number(bits, 16.0),
        _number(signed, 0.0),
        _number(slope, 1.0),
        _number(intercept, 0.0),
        inverted,
    )
    return tf.cast(tf.cond(tf.shape(values)[2] == 1, lambda: gray, lambda: values), tf.float32), tf.constant(
        False
    )


def _number(text, missing: float):
    """Return the first value of a tag, float64; `missing` when it is empty."""
    text = tf.strings.regex_replace(tf.strings.strip(text), r"\\.*$", "")
    return tf.strings.to_number(tf.where(text == "", str(missing), text), tf.float64)


def _modality(rendered, bits, signed, slope, intercept, inverted):
    """Convert DCMTK's rendering to modality values, float64, same shape.

    MONOCHROME1 is mirrored so that bright means bright.
    """
    half = 2.0 ** (bits - 1.0)
    ends = (
        tf.where(signed > 0, tf.stack([-half, half - 1.0]), tf.stack([0.0 * half, 2.0 * half - 1.0])) * slope
        + intercept
    )
    lowest, highest = tf.reduce_min(ends), tf.reduce_max(ends)
    scale = 2.0 ** _depth(lowest, highest)
    values = tf.where(inverted, scale - 1.0 - rendered, rendered)
    modality = (values + 0.25) * (
        highest - lowest + 1.0
    ) / scale + lowest  # a quarter: the middle of what floor cut off
    modality = tf.round((modality - intercept) / slope) * slope + intercept
    return tf.where(inverted, lowest + highest - modality, modality)


def _depth(lowest, highest):
    """Compute DCMTK's rangeToBits: magnitude bits of the larger end, and a sign."""
    largest = tf.where(tf.abs(lowest) >= highest, tf.abs(lowest) - 1.0, highest)
    magnitude = tf.where(lowest < 0, largest, highest)
    # bit_length of a whole number: a half above it keeps log2 away from the powers of two
    bits = tf.math.ceil(tf.math.log(tf.floor(magnitude) + 0.5) / tf.math.log(tf.constant(2.0, tf.float64)))
    return tf.where(lowest < 0, bits + 1.0, bits)
