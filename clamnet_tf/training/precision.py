"""Set the number format in which a training computes (recipe key runtime.mixed_precision)."""

import keras

from clamnet_tf.diagnostics.hardware import processor
from clamnet_tf.networks.fast_form import set_training_kind


def set_precision(mixed: bool | str) -> None:
    """Set the precision of the networks that this process builds from now on, and of their training.

    With bfloat16, factors and results of the convolutions of training steps, their gradients included, are
    rounded to 8 bits of mantissa. Norms, losses, weights and all that is computed without training (scores of
    checkpoints, marks that teach, thresholds) are float32.

    Args:
        mixed: False: float32; True: Keras' policy mixed_float16; "bfloat16": as above.
    """
    keras.mixed_precision.set_global_policy("mixed_float16" if mixed is True else "float32")
    set_training_kind("bfloat16" if mixed == "bfloat16" else "float32")


def precision_note(mixed: bool | str, flags: set[str] | None = None) -> str | None:
    """Return what a reader should know about the precision on this processor, or None.

    Args:
        mixed: runtime.mixed_precision.
        flags: instruction flags of the processor; None: those of this machine, if no GPU is there.
    """
    if flags is None:
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            return None
        flags = processor()[1]
    has_units = "amx_bf16" in flags
    if mixed is False and has_units:
        return (
            "Note: this processor has bfloat16 units (AMX): --set runtime.mixed_precision=bfloat16 trains "
            "faster, to the same Dice where it was measured (docs/explanation/speed.md)."
        )
    if mixed == "bfloat16" and flags and not has_units:
        return (
            "Note: runtime.mixed_precision bfloat16 is for processors with AMX; this one has none, and "
            "trains slower with it than with false."
        )
    return None
