"""Load the organ network that a recipe names (`organ.network`), for every command that prepares slices."""


def organ_network_of(recipe, reporter=None):
    """Return the OrganNetwork of `organ.network`, or None when organ.method is another.

    TensorFlow is loaded only when it is needed.

    Raises:
        ZooError, RunError: There is no such model, or it is damaged.
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
