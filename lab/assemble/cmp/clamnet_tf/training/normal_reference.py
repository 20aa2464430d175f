"""What the recipe's data.normal_atlas adds before training: fitted on the normal training slices, by the labels that training sees."""

from clamnet_tf.data.deviation_channel import fit_atlas, with_deviation
from clamnet_tf.data.prepare import Prepared
from clamnet_tf.training.slices import TrainingSlices


def with_normal_atlas(recipe, prepared: Prepared, cache=None) -> Prepared:
    """`prepared` with the deviation from normal training slices as last channel, or as it is when the recipe asks for none.

    Raises as `fit_atlas`, `with_deviation` and `TrainingSlices`.
    """
    if recipe.data.normal_atlas is None:
        return prepared
    slices = TrainingSlices.of(recipe, prepared)
    atlas = fit_atlas(recipe.data.normal_atlas, prepared, slices.rows, slices.table.label[slices.rows])
    return with_deviation(prepared, atlas, cache)
