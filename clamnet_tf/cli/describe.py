"""Define `clamnet-tf describe`: a recipe's network in numbers and as a picture."""

import rich_click as click


@click.command()
@click.argument("recipe", metavar="RECIPE")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override one key, for example network.up=bilinear; may be repeated.",
)
@click.option("--side", type=int, help="Side of the images in pixels.  [default: data.side of the recipe]")
@click.option(
    "--channels",
    type=int,
    help="Channels of the images.  [default: as many as data.channels names, else as many as the recipe's "
    "cohort has, or 1]",
)
@click.option(
    "--draw",
    "picture",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Draw the grid into FILE, .svg or .png.",
)
def describe(recipe, overrides, side, channels, picture):
    """Print the network of RECIPE (a shipped name or a path): maps, kernels, receptive fields, parameters,
    GFLOP.

    Example: clamnet-tf describe mri_carcinoma --draw network.svg
    """
    from clamnet_tf.networks.describe import classifier_cost
    from clamnet_tf.networks.describe import describe as describe_network
    from clamnet_tf.recipe.catalogue import load_recipe
    from clamnet_tf.recipe.objectives import OBJECTIVES
    from clamnet_tf.simulation.cohorts import COHORTS

    loaded = load_recipe(recipe, overrides)
    side = loaded.data.side if side is None else side
    if channels is None:
        channels = (
            len(loaded.data.channels)
            if loaded.data.channels
            else (COHORTS[loaded.data.cohort.kind].channels if loaded.data.cohort else 1)
        )
    taught = loaded.self_training
    if loaded.attribution is not None and taught.teacher == "attribution" and not taught.rounds:
        _describe_classifiers(loaded.attribution.classifier, side, channels, picture)
        return
    if loaded.network.pretrained is not None:
        _describe_pretrained(loaded.network, side, channels, picture)
        return
    description = describe_network(loaded.network, side=side, channels=channels)
    if picture:
        from clamnet_tf.networks.drawing import draw

        draw(description, picture)
    click.echo(description.table())
    if OBJECTIVES[loaded.loss.objective].classifies:
        cost = classifier_cost(loaded.network, side=side, channels=channels)
        click.echo(
            f"\nloss.objective {loaded.loss.objective} trains a classifier on the encoder "
            f"X[0,0]..X[{loaded.network.depth - 1},0] alone: {cost.parameters:,} parameters, "
            f"{cost.gflop:.3f} GFLOP."
        )
    if picture:
        click.echo(f"\nPicture: {picture}")


def _describe_classifiers(section, side, channels, picture):
    """Print what the classifiers have whose attribution is the result; they have no grid to draw."""
    from clamnet_tf.networks.evidence_classifier import build_evidence_classifiers, classifiers_of
    from clamnet_tf.reporting.wording import count

    if picture:
        raise click.UsageError("--draw draws a grid; the classifiers have none. Leave --draw out.")
    network = build_evidence_classifiers(section, side=side, channels=channels)
    one = classifiers_of(network)[0]
    height, width = one.output["evidence"].shape[1:]
    kind = "EfficientNet-Lite0 with ImageNet weights" if section.backbone != "residual" else "residual blocks"
    click.echo(
        f"{count(section.networks, 'image classifier')} of {kind}, whose attribution is the result "
        f"(self_training.rounds 0); input {side} x {side} x {channels}, evidence map of {height} x {width} "
        f"places, {one.count_params():,} parameters each."
    )


def _describe_pretrained(section, side, channels, picture):
    """Print what an encoder with ImageNet weights has; it has no grid to draw."""
    from clamnet_tf.networks.build import build_network

    if picture:
        raise click.UsageError("--draw draws a grid; network.pretrained has none. Leave --draw out.")
    network, own = build_network(section, side=side, channels=channels), section.pretrained
    places = network.get_layer("evidence").output.shape[1]
    click.echo(
        f"{network.name}: the first {own.blocks} of 16 blocks of EfficientNet-Lite0 with ImageNet weights, "
        f"{own.frozen_blocks} of them frozen; input {side} x {side} x {channels}, evidence map of {places} x "
        f"{places} places, {network.count_params():,} parameters."
    )
