"""clamnet-tf: lesion masks learned from image-level labels, on TensorFlow and Keras.

The names below are the public interface; every other module is private and may change. `import clamnet_tf`
loads neither TensorFlow nor Keras: each name is imported when it is used first.

    Masks       Segmenter
    Networks    load, build, load_recipe, build_network
    Loss        HybridLoss, hybrid_per_pixel
    Pairs       PairPlan, SliceStore, pair_dataset
    Views       AugmentationConfig, draw_view, warp_between
    Metrics     count_overlap, dice, iou, hd95, pointing_game, auroc, average_precision
"""

import importlib

__version__ = "0.1.0"

#: Public name -> the module that defines it.
_PUBLIC = {
    "Segmenter": "clamnet_tf.workflows.segmenter",
    "load": "clamnet_tf.zoo.models",
    "build": "clamnet_tf.zoo.models",
    "load_recipe": "clamnet_tf.recipe.catalogue",
    "build_network": "clamnet_tf.networks.build",
    "HybridLoss": "clamnet_tf.losses.hybrid",
    "hybrid_per_pixel": "clamnet_tf.losses.hybrid",
    "PairPlan": "clamnet_tf.input_pipeline.pair_sampling",
    "SliceStore": "clamnet_tf.input_pipeline.pipeline",
    "pair_dataset": "clamnet_tf.input_pipeline.pipeline",
    "AugmentationConfig": "clamnet_tf.input_pipeline.augmentation",
    "draw_view": "clamnet_tf.input_pipeline.augmentation",
    "warp_between": "clamnet_tf.input_pipeline.augmentation",
    "count_overlap": "clamnet_tf.metrics.overlap",
    "dice": "clamnet_tf.metrics.overlap",
    "iou": "clamnet_tf.metrics.overlap",
    "hd95": "clamnet_tf.metrics.surface",
    "pointing_game": "clamnet_tf.metrics.localisation",
    "auroc": "clamnet_tf.metrics.ranking",
    "average_precision": "clamnet_tf.metrics.ranking",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'clamnet_tf' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__():
    return sorted([*globals(), *_PUBLIC])
