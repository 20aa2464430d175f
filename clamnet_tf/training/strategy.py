"""Build a tf.distribute strategy from the recipe's `runtime.strategy`."""

import tensorflow as tf

from clamnet_tf.errors import DataError, EnvironmentFailure
from clamnet_tf.runtime.cluster import Cluster, meet, named_cluster, patience, place_in_cluster
from clamnet_tf.runtime.slurm import slurm_cluster


def build_strategy(name: str) -> tf.distribute.Strategy:
    """Return the strategy of this process; in a cluster, wait until all processes are there.

    It must be called before TensorFlow has run anything in a cluster.

    Args:
        name: auto: multi_worker when TF_CONFIG names two or more processes, else mirrored with two or more
            GPUs, else one device; one_device; mirrored: all GPUs, or all logical CPUs; multi_worker: all GPUs
            (or the CPU) of every process that TF_CONFIG or SLURM's job step names.

    Raises:
        EnvironmentFailure: mirrored was asked for with one device only, multi_worker without a cluster, or a
            process of the cluster does not come.
    """
    cluster = named_cluster(name)
    if cluster is None and place_in_cluster(name):
        cluster = slurm_cluster()
    if cluster is not None:
        return _multi_worker(cluster)
    gpus, cpus = tf.config.list_logical_devices("GPU"), tf.config.list_logical_devices("CPU")
    if name == "auto":
        name = "mirrored" if len(gpus) > 1 else "one_device"
    if name == "one_device":
        return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")
    devices = [device.name for device in (gpus or cpus)]
    if len(devices) < 2:
        raise EnvironmentFailure(
            f"runtime.strategy: mirrored needs 2 or more devices; this machine shows {len(devices)}. Use "
            f"one_device or auto."
        )
    # Reduction on one device: the collectives of a second MirroredStrategy in one process fail, and CPUs gain
    # nothing from them.
    return tf.distribute.MirroredStrategy(devices, cross_device_ops=tf.distribute.ReductionToOneDevice())


def check_replicas(strategy, batch_sizes: dict[str, int], *, xla: bool) -> None:
    """Refuse batches that the replicas cannot share, and XLA where it cannot compile their exchange.

    Args:
        strategy: the strategy.
        batch_sizes: key of the recipe -> slices per step, which are pairs.
        xla: whether steps are compiled with XLA.

    Raises:
        DataError: a size is not a multiple of twice the replicas, or XLA runs on several replicas on CPUs.
    """
    replicas = strategy.num_replicas_in_sync
    for key, size in batch_sizes.items():
        if size % (2 * replicas):
            expected = f"expected a multiple of {2 * replicas}, pairs on {replicas} replicas"
            raise DataError(f"{key}: {expected}; received {size}.")
    if xla and replicas > 1 and any("CPU" in device for device in strategy.extended.worker_devices):
        why = f"since XLA cannot compile what {replicas} replicas on CPUs exchange"
        raise DataError(f"runtime.xla: expected false, {why}; received true.")


def _multi_worker(cluster: Cluster) -> tf.distribute.Strategy:
    """Return the strategy of a cluster, with RING collectives on CPUs and NCCL on GPUs."""
    meet(cluster, patience())
    gpus = len(tf.config.list_physical_devices("GPU"))
    members = tf.train.ClusterSpec({"worker": list(cluster.addresses)})
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        members, task_type="worker", task_id=cluster.index, num_accelerators={"GPU": gpus}, rpc_layer="grpc"
    )
    kinds = tf.distribute.experimental.CommunicationImplementation
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=kinds.NCCL if gpus else kinds.RING
    )
    return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver, communication_options=options)
