"""clamnet-tf: lesion masks learned from image-level labels, on TensorFlow and Keras.

The public surface is small and lazy: `import clamnet_tf` loads neither TensorFlow nor Keras.

    load("mri_carcinoma")         a trained network of the zoo as a keras.Model   (clamnet_tf.zoo.models)
    build(recipe)                 a recipe's network, untrained                   (clamnet_tf.zoo.models)
    load_recipe(path_or_name)     a checked Recipe                               (clamnet_tf.recipe.catalogue)
    build_network(section, ...)   the UNet++ grid as a keras.Model                (clamnet_tf.networks.build)
"""

import importlib

__version__ = "0.1.0"

_PUBLIC = {
    "load_recipe": "clamnet_tf.recipe.catalogue",
    "build_network": "clamnet_tf.networks.build",
    "load": "clamnet_tf.zoo.models",
    "build": "clamnet_tf.zoo.models",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'clamnet_tf' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__():
    return sorted([*globals(), *_PUBLIC])
