"""The organ network that a recipe names (`organ.network`), ready to find organs; for every command that
prepares slices.
"""


def organ_network_of(recipe, reporter=None):
    """OrganNetwork of `organ.network`, or None when organ.method is another; loads TensorFlow only where it
    is needed.

    ZooError, RunError: there is no such model, or it is damaged.
    """
    if recipe.organ.method != "network":
        return None
    from clamnet_tf.quiet import silence
    from clamnet_tf.recipe.catalogue import load_recipe
    from clamnet_tf.zoo.resolve import open_model

    silence()
    from clamnet_tf.inference.organ_network import OrganNetwork

    run = open_model(recipe.organ.network, reporter)
    return OrganNetwork(run, load_recipe(str(run.recipe)))
