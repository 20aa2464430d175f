"""Convolutions with the same numbers and gradients as TensorFlow's, for training on a CPU.

A convolution of a concatenation is the sum of the convolutions of its parts: the concatenation itself, which
training would keep for the gradient, is never made. The weight gradient of a transposed convolution is one
matrix product.
"""

import tensorflow as tf


def convolution(parts: list, kernel, stride: int):
    """Convolution, zeros around (SAME), of parts (batch, height, width, channels) as if they were joined
    along their channels.

    kernel: (rows, columns, channels of all parts, filters).
    """
    kernels = tf.split(kernel, [part.shape[-1] for part in parts], axis=2) if len(parts) > 1 else [kernel]
    result = tf.nn.conv2d(parts[0], kernels[0], stride, "SAME")
    for part, own in zip(parts[1:], kernels[1:]):
        result += tf.nn.conv2d(part, own, stride, "SAME")
    return result


def doubling(x, kernel):
    """2 x 2 transposed convolution of stride 2: (batch, height, width, channels) -> (batch, 2 height, 2
    width, filters).

    kernel: (2, 2, filters, channels). oneDNN takes two to three times as long for the kernel's gradient as
    the matrix product here.
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
    """The same without a gradient of its own, which an exported graph can do without."""
    batch, height, width = tf.unstack(tf.shape(x)[:3])
    y = tf.nn.conv2d_transpose(x, kernel, [batch, 2 * height, 2 * width, kernel.shape[2]], 2, "SAME")
    return tf.ensure_shape(y, [x.shape[0], *(size and 2 * size for size in x.shape[1:3]), kernel.shape[2]])
