"""Build a Keras optimizer from the recipe's `training.optimizer`."""

import keras

from clamnet_tf.training.fused_adam import Adam, AdamW

#: recipe name -> class
OPTIMIZERS = {"adam": Adam, "adamw": AdamW, "sgd": keras.optimizers.SGD, "lion": keras.optimizers.Lion}


def build_optimizer(section, *, steps: int, replicas: int = 1) -> keras.optimizers.Optimizer:
    """Return the optimizer with its schedule over `steps` and global gradient clipping.

    Args:
        section: OptimizerSection.
        steps: planned steps.
        replicas: number of replicas; each passes it an equal share of the gradient, see
            `steps.apply_gradients`, so the clipping norm is divided by them too.
    """
    rate = section.learning_rate
    if section.schedule == "cosine":
        decay = max(1, steps - section.warmup_steps)
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=section.learning_rate * (0.01 if section.warmup_steps else 1.0),
            warmup_target=section.learning_rate if section.warmup_steps else None,
            warmup_steps=section.warmup_steps,
            decay_steps=decay,
            alpha=0.01,
        )
    options = {"momentum": 0.9, "nesterov": True} if section.name == "sgd" else {}
    if section.name in ("adamw", "lion", "sgd"):
        options["weight_decay"] = section.weight_decay or None
        if section.name != "sgd":
            options["weight_decay"] = section.weight_decay
    return OPTIMIZERS[section.name](
        learning_rate=rate, global_clipnorm=section.clip_norm / replicas or None, **options
    )
