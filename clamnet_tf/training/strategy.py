"""From the recipe's `training.strategy` to a tf.distribute strategy."""

import tensorflow as tf

from clamnet_tf.errors import EnvironmentFailure


def build_strategy(name: str) -> tf.distribute.Strategy:
    """auto: mirrored with two or more GPUs, else one device; one_device; mirrored: all GPUs, or all logical CPUs.

    Raises:
        EnvironmentFailure: mirrored was asked for where there is one device only.
    """
    gpus, cpus = tf.config.list_logical_devices("GPU"), tf.config.list_logical_devices("CPU")
    if name == "auto":
        name = "mirrored" if len(gpus) > 1 else "one_device"
    if name == "one_device":
        return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")
    devices = [device.name for device in (gpus or cpus)]
    if len(devices) < 2:
        raise EnvironmentFailure(
            f"training.strategy: mirrored needs 2 or more devices; this machine shows {len(devices)}. Use one_device or auto."
        )
    # Reduction on one device: the collectives of a second MirroredStrategy in one process fail, and CPUs gain nothing from them.
    return tf.distribute.MirroredStrategy(devices, cross_device_ops=tf.distribute.ReductionToOneDevice())
