"""Add the recipe's data.normal_atlas before training, fitted on the normal training slices by their
labels.
"""

from clamnet_tf.preprocessing.atlas_channel import fit_atlas, with_atlas_channel
from clamnet_tf.preprocessing.cache import Prepared
from clamnet_tf.training.slices import TrainingSlices


def with_normal_atlas(recipe, prepared: Prepared, cache=None) -> Prepared:
    """Return `prepared` with the deviation from normal training slices as last channel.

    It is returned unchanged when the recipe asks for no atlas.

    Raises:
        The errors of `fit_atlas`, `with_atlas_channel` and `TrainingSlices`.
    """
    if recipe.data.normal_atlas is None:
        return prepared
    slices = TrainingSlices.of(recipe, prepared)
    atlas = fit_atlas(recipe.data.normal_atlas, prepared, slices.rows, slices.table.label[slices.rows])
    return with_atlas_channel(prepared, atlas, cache)
