"""Compute convolutions with TensorFlow's numbers and gradients, faster for training on a CPU.

A convolution of a concatenation is the sum of the convolutions of its parts, so the concatenation, which
training would keep in memory for the gradient, is never made. The weight gradient of a transposed convolution
is one matrix product. Processors with AMX multiply many times as many numbers of bfloat16 as of float32: with
that format the factors of a convolution and its result are rounded to 8 bits of mantissa, while oneDNN adds
the products up in float32.
"""

import tensorflow as tf


def convolution(parts: list, kernel, stride: int, kind: str | None = None):
    """Convolve parts as if they were joined along their channels, padded with zeros (SAME).

    Args:
        parts: list of (batch, height, width, channels).
        kernel: (rows, columns, channels of all parts, filters).
        stride: 1 or 2.
        kind: number format of factors and results, such as "bfloat16"; None: that of the parts, which what is
            returned has in any case.
    """
    kernels = tf.split(kernel, [part.shape[-1] for part in parts], axis=2) if len(parts) > 1 else [kernel]
    result = _convolved(parts[0], kernels[0], stride, kind)
    for part, part_kernel in zip(parts[1:], kernels[1:]):
        result += _convolved(part, part_kernel, stride, kind)
    return result


def _convolved(x, kernel, stride: int, kind: str | None):
    kind = kind or x.dtype
    return tf.cast(tf.nn.conv2d(tf.cast(x, kind), tf.cast(kernel, kind), stride, "SAME"), x.dtype)


def doubling(x, kernel, kind: str | None = None):
    """Apply a 2 x 2 transposed convolution of stride 2.

    oneDNN takes two to three times as long for the kernel's gradient as the matrix product here.

    Args:
        x: (batch, height, width, channels).
        kernel: (2, 2, filters, channels).
        kind: number format of factors and results, as in `convolution`.

    Returns:
        (batch, 2 height, 2 width, filters).
    """
    filters, channels = kernel.shape[2:]

    @tf.custom_gradient
    def double(x, kernel):
        own, within = x.dtype, kind or x.dtype

        def gradient(upstream):
            upstream = tf.cast(upstream, within)
            squares = tf.reshape(tf.nn.space_to_depth(upstream, 2), [-1, 4 * filters])
            of_kernel = tf.matmul(squares, tf.reshape(tf.cast(x, within), [-1, channels]), transpose_a=True)
            of_x = tf.nn.conv2d(upstream, tf.cast(kernel, within), 2, "SAME")
            return tf.cast(of_x, own), tf.cast(tf.reshape(of_kernel, [2, 2, filters, channels]), own)

        return tf.cast(transposed(tf.cast(x, within), tf.cast(kernel, within)), own), gradient

    return double(x, kernel)


def transposed(x, kernel):
    """Apply a 2 x 2 transposed convolution without a custom gradient, which an exported graph does not
    need.
    """
    batch, height, width = tf.unstack(tf.shape(x)[:3])
    y = tf.nn.conv2d_transpose(x, kernel, [batch, 2 * height, 2 * width, kernel.shape[2]], 2, "SAME")
    return tf.ensure_shape(y, [x.shape[0], *(size and 2 * size for size in x.shape[1:3]), kernel.shape[2]])
