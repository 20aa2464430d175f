"""Load the organ network that a recipe names (`organ.network`), for every command that prepares slices."""


def organ_network_of(recipe, reporter=None, *, engine: str = "tensorflow"):
    """Return the OrganNetwork of `organ.network`, or None when organ.method is another.

    TensorFlow is loaded only when it is needed.

    Args:
        recipe: Recipe that names the organ network.
        reporter: Reporter, told about a download, and about an engine that was not asked for by name.
        engine: "auto", "tensorflow" or "onnxruntime", see inference.engine.choose_engine.

    Raises:
        ZooError, RunError: There is no such model, or it is damaged.
        EnvironmentFailure: The engine is not installed.
    """
    if recipe.organ.method != "network":
        return None
    from clamnet_tf.inference.engine import AUTO, TENSORFLOW, choose_engine
    from clamnet_tf.recipe.catalogue import load_recipe
    from clamnet_tf.zoo.resolve import open_model

    run = open_model(recipe.organ.network, reporter)
    choice = choose_engine(engine, run)
    if reporter and engine == AUTO:
        reporter.line(f"Engine of organ.network {recipe.organ.network}: {choice.name} ({choice.reason})")
    if choice.name == TENSORFLOW:
        from clamnet_tf.quiet import silence

        silence()
    from clamnet_tf.inference.organ_network import OrganNetwork

    return OrganNetwork(run, load_recipe(str(run.recipe)), engine=choice.name)
