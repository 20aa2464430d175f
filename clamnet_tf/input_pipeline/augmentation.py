"""Draw random views of slices as graph ops, with the warp that relates two views (paper 3.3).

See docs/method.md, section "Pairs". A view is resampled once to a lower resolution (blur, or stretch followed
by resizing back) and once into its own frame (stretch followed by padding, flip, rotation, zoom), both
bilinear. Geometry is stored as 3x3 matrices in pixel coordinates (x, y, 1) that map a position of the VIEW to
a position of the SOURCE slice, so that `warp_between(a, b)` aligns a map of view a with view b. All draws are
stateless: the same seed gives the same view, eagerly and inside tf.data, before and after a resume. The seeds
come from (training.seed, step).
"""

from typing import NamedTuple

import tensorflow as tf


class AugmentationConfig(NamedTuple):
    """The distribution of views, which is the same for both classes.

    The fields are those of the recipe's `pairs.augmentation`; and `images`, how many images of equally many
    channels stand one after the other in the channels of a slice: each keeps its own outside blank.

    Examples:
        >>> AugmentationConfig(flip=False, rotate_degrees=10.0).blur
        (0.9, 1.0)
    """

    blur: tuple = (0.9, 1.0)
    stretch: tuple = (0.8, 1.0)
    restore: str = "random"
    flip: bool = True
    rotate_degrees: float = 0.0
    zoom: tuple = (1.0, 1.0)
    intensity: float = 0.1
    noise: float = 0.0
    channel_loss: float = 0.0
    main_channel: int | None = None
    rand_augment: float = 0.0
    quarter_turns: bool = False
    shift: float = 0.0
    images: int = 1


def _scale(x, y, center):
    """Return (B, 3, 3) matrices p -> (p - center) * (x, y) + center."""
    zero, one = tf.zeros_like(x), tf.ones_like(x)
    return tf.reshape(
        tf.stack([x, zero, center * (1 - x), zero, y, center * (1 - y), zero, zero, one], axis=1), [-1, 3, 3]
    )


def _rotation(angle, center):
    """Return (B, 3, 3) rotations by `angle` (B,), in radians, about the centre."""
    cos, sin, zero, one = tf.cos(angle), tf.sin(angle), tf.zeros_like(angle), tf.ones_like(angle)
    return tf.reshape(
        tf.stack(
            [
                cos,
                -sin,
                center * (1 - cos) + center * sin,
                sin,
                cos,
                center * (1 - cos) - center * sin,
                zero,
                zero,
                one,
            ],
            axis=1,
        ),
        [-1, 3, 3],
    )


def _quarter_turns(count, upside_down, center):
    """Return (B, 3, 3) exact turns by `count` (B,) quarters about the centre.

    Rows are reversed before the turn where `upside_down` (B,) is -1.
    """
    cos = tf.gather(tf.constant([1.0, 0.0, -1.0, 0.0]), count)
    sin = tf.gather(tf.constant([0.0, 1.0, 0.0, -1.0]), count)
    zero, one = tf.zeros_like(cos), tf.ones_like(cos)
    turn = tf.reshape(
        tf.stack(
            [cos, -sin, center * (1 - cos + sin), sin, cos, center * (1 - sin - cos), zero, zero, one], axis=1
        ),
        [-1, 3, 3],
    )
    return turn @ _scale(one, upside_down, center)


def _translation(x, y):
    """Return (B, 3, 3) matrices p -> p + (x, y)."""
    zero, one = tf.zeros_like(x), tf.ones_like(x)
    return tf.reshape(tf.stack([one, zero, x, zero, one, y, zero, zero, one], axis=1), [-1, 3, 3])


def sample(images, matrices):
    """Resample images bilinearly at transformed positions; what lies outside is 0.

    Args:
        images: (B, H, W, C) float32.
        matrices: (B, 3, 3), applied to each output pixel (x, y, 1).

    Returns:
        (B, H, W, C) float32.
    """
    flat = tf.reshape(matrices, [-1, 9])
    flat = flat[:, :8] / flat[:, 8:9]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=flat,
        output_shape=tf.shape(images)[1:3],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )


def sample_by_gather(images, matrices):
    """Compute the numbers of `sample` from gathers alone, which XLA can compile (it cannot compile the op
    of `sample`).
    """
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    rows, columns = tf.meshgrid(tf.range(height), tf.range(width), indexing="ij")
    grid = tf.cast(tf.stack([columns, rows, tf.ones_like(rows)], axis=-1), tf.float32)
    positions = tf.einsum("bij,yxj->byxi", matrices / matrices[:, 2:, 2:], grid)
    left, top = tf.floor(positions[..., 0]), tf.floor(positions[..., 1])
    result = tf.zeros_like(images)
    for down in (0.0, 1.0):
        for right in (0.0, 1.0):
            x, y = left + right, top + down
            weight = (1.0 - tf.abs(positions[..., 0] - x)) * (1.0 - tf.abs(positions[..., 1] - y))
            inside = (
                (x >= 0) & (x < tf.cast(width, tf.float32)) & (y >= 0) & (y < tf.cast(height, tf.float32))
            )
            column, row = (
                tf.clip_by_value(tf.cast(at, tf.int32), 0, size - 1) for at, size in ((x, width), (y, height))
            )
            flat = tf.reshape(images, [tf.shape(images)[0], height * width, -1])
            values = tf.gather(
                flat, tf.reshape(row * width + column, [tf.shape(images)[0], -1]), axis=1, batch_dims=1
            )
            result += tf.reshape(values, tf.shape(images)) * (weight * tf.cast(inside, tf.float32))[..., None]
    return result


def warp_between(matrix_a, matrix_b):
    """Return (B, 3, 3) matrices that sample a map of view a on the grid of view b.

    Examples:
        >>> same = tf.eye(3)[None]
        >>> bool(tf.reduce_all(warp_between(same, same) == same))
        True
    """
    return tf.linalg.inv(matrix_a) @ matrix_b


def draw_view(images, organ, seed, law: AugmentationConfig, place=None):
    """Draw one random view of each slice.

    Args:
        images: (B, H, W, C) float32, square, normalised intensities.
        organ: (B, H, W) float32 in 0..1.
        seed: int32 (2,), the stateless seed of this batch and view.
        law: the distribution of views.
        place: (first, whole): these slices are the rows from `first` on of a batch of `whole` rows, and get
            the views that they get in that batch. None: they are the whole batch.

    Returns:
        The view (B, H, W, C), its organ (B, H, W) rounded to {0, 1}, and matrices (B, 3, 3) that map
        positions of the view to the source, in pixels.

    Examples:
        >>> images, organ = tf.ones((2, 32, 32, 1)), tf.ones((2, 32, 32))
        >>> view, view_organ, matrices = draw_view(images, organ, tf.constant([0, 1]), AugmentationConfig())
        >>> view.shape.as_list(), view_organ.shape.as_list(), matrices.shape.as_list()
        ([2, 32, 32, 1], [2, 32, 32], [2, 3, 3])
    """
    batch, side = tf.shape(images)[0], tf.shape(images)[1]
    first_row, total = (0, batch) if place is None else place

    def drawn_with(draw_seed, distribution, *columns, **limits):
        """Return random numbers (B, *columns): the rows of this part out of those of the whole batch."""
        return distribution([total, *columns], draw_seed, **limits)[first_row : first_row + batch]

    def drawn(distribution, index, *columns, **limits):
        return drawn_with(seeds[index], distribution, *columns, **limits)

    center = (tf.cast(side, tf.float32) - 1.0) / 2.0
    seeds = tf.random.split(seed, 10)

    def uniform(index, low, high, *columns):
        return drawn(tf.random.stateless_uniform, index, *columns, minval=low, maxval=high)

    resolution = uniform(0, *law.blur)
    stretch = uniform(1, *law.stretch, 2)
    pads = {"pad": tf.ones([batch]), "resize": tf.zeros([batch])}.get(law.restore)
    if pads is None:
        pads = tf.cast(uniform(2, 0.0, 1.0) < 0.5, tf.float32)
    pads = pads[:, None]
    remaining = resolution[:, None] * (stretch * (1 - pads) + pads)  # resolution left, per axis
    frame = stretch * pads + (1 - pads)  # size left in the frame, per axis
    zoom = uniform(3, *law.zoom)
    mirrored = tf.where(uniform(4, 0.0, 1.0) < (0.5 if law.flip else 0.0), -1.0, 1.0)
    geometry = _scale(mirrored / (frame[:, 0] * zoom), 1.0 / (frame[:, 1] * zoom), center)
    if law.rotate_degrees:
        limit = law.rotate_degrees * 3.141592653589793 / 180.0
        geometry = _rotation(uniform(5, -limit, limit), center) @ geometry
    geometry = _turned_and_shifted(geometry, seed, law, drawn_with, center, tf.cast(side, tf.float32))

    lower = _scale(remaining[:, 0], remaining[:, 1], center)
    coarse = sample(images, tf.linalg.inv(lower))
    view = sample(coarse, lower @ geometry)
    view_organ = tf.round(sample(organ[..., None], geometry)[..., 0])
    return _intensities(view, drawn, uniform, law), view_organ, geometry


def _turned_and_shifted(geometry, seed, law: AugmentationConfig, drawn_with, center, side):
    """Return `geometry` after random quarter turns and shifts.

    Their draws have seeds of their own, so that the other draws do not change.
    """
    if law.quarter_turns:
        draw = drawn_with(tf.random.fold_in(seed, 20), tf.random.stateless_uniform, 2)
        upside_down = tf.where(draw[:, 1] < 0.5, -1.0, 1.0)
        geometry = (
            _quarter_turns(tf.minimum(tf.cast(4.0 * draw[:, 0], tf.int32), 3), upside_down, center) @ geometry
        )
    if law.shift:
        limit = law.shift * side
        draw = drawn_with(
            tf.random.fold_in(seed, 21), tf.random.stateless_uniform, 2, minval=-limit, maxval=limit
        )
        draw = tf.round(draw)  # whole pixels need no interpolation
        geometry = _translation(draw[:, 0], draw[:, 1]) @ geometry
    return geometry


def _channel_order(draw, channels, law: AugmentationConfig):
    """Return which channel stands at each position, (B, channels) int32.

    Missing sequences are filled with another one, as archives do. Without a main channel, one channel is
    replaced by another one, with probability channel_loss. With one, it replaces a single other channel (half
    of channel_loss) or all others (the other half).

    Args:
        draw: (B, 3) random numbers in 0..1.
        channels: number of channels.
        law: the distribution of views.
    """
    order = tf.range(channels)[None, :]
    if law.main_channel is None:
        lost = tf.cast(draw[:, 1] * channels, tf.int32)
        source = (lost + 1 + tf.cast(draw[:, 2] * (channels - 1), tf.int32)) % channels
        lost = tf.where(draw[:, 0] < law.channel_loss, lost, source)  # a channel replaced by itself is kept
        return tf.where(order == lost[:, None], source[:, None], order)
    other = (law.main_channel + 1 + tf.cast(draw[:, 1] * (channels - 1), tf.int32)) % channels
    replaced = (order == other[:, None]) | (draw[:, :1] < law.channel_loss / 2)
    return tf.where(replaced & (draw[:, :1] < law.channel_loss), law.main_channel, order)


def _intensities(view, drawn, uniform, law: AugmentationConfig):
    """Change contrast, brightness and noise per channel, and lose a channel.

    Pixels outside the slice (exactly 0) stay 0.
    """
    channels = view.shape[-1]
    parts = tf.split(view, law.images, axis=-1)
    shown = [tf.reduce_any(part != 0, axis=-1, keepdims=True) for part in parts]
    visible = tf.cast(shown[0], tf.float32)
    if law.images > 1:
        visible = tf.cast(tf.repeat(tf.concat(shown, axis=-1), channels // law.images, axis=-1), tf.float32)
    if law.channel_loss and channels > 1:
        view = tf.gather(view, _channel_order(uniform(9, 0.0, 1.0, 3), channels, law), axis=-1, batch_dims=1)
    if law.intensity:
        contrast = tf.exp(uniform(6, -law.intensity, law.intensity, channels))
        brightness = uniform(7, -law.intensity, law.intensity, channels)
        view = view * contrast[:, None, None, :] + brightness[:, None, None, :]
    if law.noise:
        view += law.noise * drawn(tf.random.stateless_normal, 8, *tf.unstack(tf.shape(view)[1:]))
    return view * visible
