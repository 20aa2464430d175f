"""What the train steps share: class probabilities, the scaling of a loss over replicas, one update."""

import tensorflow as tf
from keras import ops


def log_probabilities(logits: dict) -> dict:
    """Logits per head -> log of the class probabilities; one sigmoid channel is the two-class softmax of (0, z)."""
    two = {head: ops.concatenate([ops.zeros_like(z), z], axis=-1) if z.shape[-1] == 1 else z for head, z in logits.items()}
    return {head: ops.log_softmax(z) for head, z in two.items()}


def scaled_loss(trainer, network, loss):
    """Loss of this replica -> what to differentiate: penalties added, divided by the replicas (their gradients add up)."""
    if network.losses:
        loss = loss + sum(tf.cast(value, tf.float32) for value in network.losses)
    return trainer.optimizer.scale_loss(loss / tf.distribute.get_strategy().num_replicas_in_sync)


def apply_gradients(trainer, tape, scaled):
    """Update the trainer's weights; returns the gradient norm of this replica before clipping."""
    variables = trainer.trainable_variables
    gradients = tape.gradient(scaled, variables)
    trainer.optimizer.apply_gradients(zip(gradients, variables))
    return tf.linalg.global_norm([gradient for gradient in gradients if gradient is not None])
