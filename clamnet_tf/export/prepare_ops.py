"""Turn the bytes of pictures into prepared slices inside a served graph, like `prepare_volume` for one slice.

Each picture is a volume of its own: its organ is found in it alone, and its statistics are those of this one
slice.
"""

import tensorflow as tf

from clamnet_tf.export.organ_ops import (
    crop,
    crop_box,
    foreground,
    percentile,
    resize,
    resize_nearest,
    without_rim,
)
from clamnet_tf.imaging.windows import SHADES, ZSCORE_LIMIT
from clamnet_tf.preprocessing.organs.brain import FALLBACK_RIM
from clamnet_tf.preprocessing.prepared_volume import _LARGEST_FLOAT16
from clamnet_tf.recipe.schema_data import OrganSection

#: organ.method -> the organ of `encoded`, in words; other methods cannot run in a graph.
ORGANS = {
    "foreground": "the head or body, found in the picture itself as "
    "clamnet_tf.preprocessing.organs.foreground does, without its rim",
    "none": "the whole picture",
}


def decode(content):
    """Decode a PNG or JPEG file.

    8 bits give 0..255, 16-bit gray 0..65535. EXIF orientation is not applied.

    Args:
        content: Bytes of the file, scalar string.

    Returns:
        (values (rows, columns, channels) float32 as stored, whether they have 8 bits).

    Raises:
        InvalidArgumentError: The file is neither PNG nor JPEG.
    """
    is_png = tf.strings.substr(content, 0, 4) == b"\x89PNG"
    is_jpeg = tf.strings.substr(content, 0, 3) == b"\xff\xd8\xff"
    with tf.control_dependencies(
        [tf.debugging.Assert(is_png | is_jpeg, ["image_bytes: expected the bytes of a PNG or JPEG file"])]
    ):
        content = tf.identity(content)

    deep = is_png & (
        tf.strings.substr(tf.strings.join([content, "\0" * 25]), 24, 1) == b"\x10"
    )  # bits per sample, PNG specification 11.2.1

    def png():
        return tf.cond(
            deep,
            lambda: tf.cast(tf.cast(tf.io.decode_png(content, dtype=tf.uint16), tf.int32), tf.float32),
            lambda: tf.cast(tf.io.decode_png(content), tf.float32),
        )

    return tf.cond(
        is_png, png, lambda: tf.cast(tf.io.decode_jpeg(content, dct_method="INTEGER_ACCURATE"), tf.float32)
    ), tf.logical_not(deep)


def choose_channels(image, chosen, channels: int):
    """Select the channels of an image.

    Args:
        image: (rows, columns, any number of channels).
        chosen: data.channels of the recipe.
        channels: Number of channels of the network.

    Raises:
        InvalidArgumentError: The image has another number of channels.
    """
    channel_count = tf.shape(image)[2]
    enough = channel_count == channels if chosen is None else channel_count > max(chosen)
    message = [
        "a picture has another number of channels than the model expects; found, expected:",
        channel_count,
        channels if chosen is None else max(chosen) + 1,
    ]
    with tf.control_dependencies([tf.debugging.Assert(enough, message)]):
        image = tf.identity(image) if chosen is None else tf.gather(image, list(chosen), axis=2)
    return tf.ensure_shape(image, [None, None, channels])


def window(values, center: float, width: float):
    """Apply a window like `imaging.windows.apply_window`, with DICOM's default function."""
    if width > 1:
        center, width = center - 0.5, width - 1.0
    return tf.clip_by_value((values - center) * (1.0 / width) + 0.5, 0.0, 1.0)


def organ_of_pictures(organ: OrganSection) -> OrganSection:
    """Return the section by which the organ of a single picture is found in a graph.

    It is the section itself; for brain, cranium and network it is their fallback in
    `preprocessing.organ_region`, the foreground without its rim.
    """
    if organ.method in ("brain", "cranium", "network"):
        return organ.model_copy(update={"method": "foreground", "network": None, "rim": FALLBACK_RIM})
    return organ


def prepare(image, eight_bits, *, data, organ, side: int) -> dict:
    """Prepare one picture.

    Args:
        image: (rows, columns, channels) float32, in the unit of its file.
        eight_bits: Whether its values have 8 bits.
        data: `data` section of the recipe.
        organ: Section by which the organ is found.
        side: Side of a prepared slice, in pixels.

    Returns:
        {"images": (side, side, channels) float32, normalised as `data` says, 0 outside the organ unless its
        surroundings are kept, rounded to float16 like local prediction; "organ": (side, side) bool; "box":
        [top, left, size] int32 on the picture's own grid}.
    """
    varies = tf.reduce_any(tf.reduce_max(image, axis=[0, 1]) != tf.reduce_min(image, axis=[0, 1]))
    region = (
        without_rim(foreground(image), organ.rim)
        if organ.method == "foreground"
        else tf.ones(tf.shape(image)[:2], tf.bool)
    )
    region = tf.logical_and(region, varies)
    box = crop_box(region, organ.margin)
    values = normalise(image, eight_bits, region, data)
    if organ.surroundings == "blank":
        values *= tf.cast(region, tf.float32)[..., None]
    with tf.control_dependencies(
        [
            tf.debugging.Assert(
                tf.reduce_max(tf.abs(values)) <= _LARGEST_FLOAT16, ["values too large after normalisation"]
            )
        ]
    ):
        square = crop(values, box)
    images = tf.cast(tf.cast(resize(square, [side, side]), tf.float16), tf.float32)
    inside = resize_nearest(crop(tf.cast(region, tf.uint8)[..., None], box), side)[..., 0] > 0
    return {
        "images": tf.ensure_shape(images, [side, side, image.shape[-1]]),
        "organ": tf.ensure_shape(inside, [side, side]),
        "box": box,
    }


def normalise(image, eight_bits, region, data):
    """Normalise one slice like `imaging.windows.normalize`, with the window of
    `imaging.windows.window_of`.
    """
    values = image
    if data.window is not None:
        values = tf.cond(
            eight_bits,
            lambda: window(image, *SHADES),
            lambda: window(image, data.window.center, data.window.width),
        )
    if data.normalization in ("window", "none"):
        return values
    scale = {"zscore": _zscore, "percentile": _percentile}[data.normalization]
    anywhere = tf.reduce_any(region)
    inside = tf.logical_or(region, tf.logical_not(anywhere))
    return tf.stack(
        [
            scale(channel_values, tf.boolean_mask(channel_values, inside))
            for channel_values in tf.unstack(values, axis=-1)
        ],
        axis=-1,
    )


def _zscore(values, inside):
    """Subtract the mean inside the organ, divide by the deviation, and clip."""
    inside = tf.cast(inside, tf.float64)
    mean, deviation = tf.reduce_mean(inside), tf.math.reduce_std(inside)
    constant = tf.logical_not(deviation > 1e-6 * tf.maximum(tf.abs(mean), 1e-30))
    scaled = (values - tf.cast(mean, tf.float32)) / tf.cast(
        tf.where(constant, tf.ones_like(deviation), deviation), tf.float32
    )
    return tf.where(constant, tf.zeros_like(values), tf.clip_by_value(scaled, -ZSCORE_LIMIT, ZSCORE_LIMIT))


def _percentile(values, inside):
    """Map the 1st to 99th percentile inside the organ to 0..1."""
    low, high = percentile(inside, 1.0), percentile(inside, 99.0)
    width = tf.where(high > low, high - low, 1.0)
    return tf.where(high > low, tf.clip_by_value((values - low) / width, 0.0, 1.0), tf.zeros_like(values))
