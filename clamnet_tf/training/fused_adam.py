"""Run Adam and AdamW of Keras with TensorFlow's fused update: one operation per variable instead of about
forty.

The arithmetic is Keras' (Kingma and Ba 2015, the form before section 2.1, with the corrections in the rate);
only rounding differs. A step is traced and started sooner, and passes over weights and moments once.
Variables and their names are Keras', so checkpoints are too.
"""

import keras
import tensorflow as tf


class _Fused:
    """Replace `update_step`, the method that Keras' custom optimizers define.

    It reads the moments that Keras' Adam keeps (private names, tested).
    """

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable with a dense gradient of its shape and type; amsgrad is not supported."""
        index, kind = self._get_variable_index(variable), variable.dtype
        step = tf.cast(self.iterations, kind) + 1
        beta_1, beta_2 = tf.constant(self.beta_1, kind), tf.constant(self.beta_2, kind)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=tf.pow(beta_1, step),
            beta2_power=tf.pow(beta_2, step),
            lr=tf.cast(learning_rate, kind),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.constant(self.epsilon, kind),
            grad=tf.cast(gradient, kind),
        )


def _handle(variable):
    """Return the resource of a variable of Keras or TensorFlow.

    Within an update it is that of the replica's device.
    """
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle


class Adam(_Fused, keras.optimizers.Adam):
    """keras.optimizers.Adam with the fused update."""


class AdamW(_Fused, keras.optimizers.AdamW):
    """keras.optimizers.AdamW with the fused update; its decay is Keras' own."""
