"""Compute convolutions with TensorFlow's numbers and gradients, faster for training on a CPU.

A convolution of a concatenation is the sum of the convolutions of its parts, so the concatenation, which
training would keep in memory for the gradient, is never made. The weight gradient of a transposed convolution
is one matrix product.
"""

import tensorflow as tf


def convolution(parts: list, kernel, stride: int):
    """Convolve parts as if they were joined along their channels, padded with zeros (SAME).

    Args:
        parts: list of (batch, height, width, channels).
        kernel: (rows, columns, channels of all parts, filters).
        stride: 1 or 2.
    """
    kernels = tf.split(kernel, [part.shape[-1] for part in parts], axis=2) if len(parts) > 1 else [kernel]
    result = tf.nn.conv2d(parts[0], kernels[0], stride, "SAME")
    for part, part_kernel in zip(parts[1:], kernels[1:]):
        result += tf.nn.conv2d(part, part_kernel, stride, "SAME")
    return result


def doubling(x, kernel):
    """Apply a 2 x 2 transposed convolution of stride 2.

    oneDNN takes two to three times as long for the kernel's gradient as the matrix product here.

    Args:
        x: (batch, height, width, channels).
        kernel: (2, 2, filters, channels).

    Returns:
        (batch, 2 height, 2 width, filters).
    """
    filters, channels = kernel.shape[2:]

    @tf.custom_gradient
    def double(x, kernel):
        def gradient(upstream):
            squares = tf.reshape(tf.nn.space_to_depth(upstream, 2), [-1, 4 * filters])
            of_kernel = tf.matmul(squares, tf.reshape(x, [-1, channels]), transpose_a=True)
            return tf.nn.conv2d(upstream, kernel, 2, "SAME"), tf.reshape(of_kernel, [2, 2, filters, channels])

        return transposed(x, kernel), gradient

    return double(x, kernel)


def transposed(x, kernel):
    """Apply a 2 x 2 transposed convolution without a custom gradient, which an exported graph does not
    need.
    """
    batch, height, width = tf.unstack(tf.shape(x)[:3])
    y = tf.nn.conv2d_transpose(x, kernel, [batch, 2 * height, 2 * width, kernel.shape[2]], 2, "SAME")
    return tf.ensure_shape(y, [x.shape[0], *(size and 2 * size for size in x.shape[1:3]), kernel.shape[2]])
