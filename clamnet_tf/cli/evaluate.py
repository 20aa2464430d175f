"""Define `clamnet-tf evaluate`: measure a trained run against reference masks."""

import rich_click as click

from clamnet_tf.cli.label_options import label_options
from clamnet_tf.errors import UserInputError


@click.command()
@click.argument("model", metavar="MODEL", type=click.Path())
@click.option(
    "--data",
    type=click.Path(),
    help="Folder of labelled images; without it the built-in cohort of the run's recipe.",
)
@label_options
@click.option(
    "--split-file",
    type=click.Path(),
    help="CSV patient,split; needed only for --split on data without a split.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    help="Evaluate only this part of the split.  [default: all cases]",
)
@click.option(
    "--out", type=click.Path(), required=True, help="Folder for metrics.json, cases.csv and report.html."
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override one key of the recipe's section inference, for example inference.head=2; may be repeated.",
)
@click.option(
    "--any-modality",
    is_flag=True,
    help="Accept images of another modality than the recipe's, or not in Hounsfield units.  [default: "
    "refused]",
)
@click.option(
    "--keep-identifiers",
    is_flag=True,
    help="Keep names of patients in tables, pages, pictures and messages.  [default: replaced, as in "
    "predict]",
)
@click.option(
    "--cache",
    type=click.Path(),
    help="Folder of prepared slices.  [default: $CLAMNET_TF_CACHE or ~/.cache/clamnet_tf]",
)
@click.option("--quiet", is_flag=True, help="Print errors only.")
def evaluate(
    model, data, labels, split_file, split, out, overrides, any_modality, keep_identifiers, cache, quiet
):
    """Evaluate MODEL (a run folder, or a zoo entry's name or folder) on images whose masks are known.

    Example: clamnet-tf evaluate runs/first --data studies/ --split test --split-file runs/first/split.csv
    --out evaluation/
    """
    from clamnet_tf.progress import Reporter
    from clamnet_tf.recipe.catalogue import load_recipe
    from clamnet_tf.runs import check_output
    from clamnet_tf.workflows.dataset import Source
    from clamnet_tf.workflows.evaluation import evaluate as evaluate_model
    from clamnet_tf.zoo.resolve import open_model

    run = open_model(model)
    recipe = load_recipe(str(run.recipe), _of_inference(overrides))
    source = Source(data, labels, split_file, cache, any_modality, keep_identifiers)
    evaluate_model(run, recipe, source, split=split, out=check_output(out), reporter=Reporter(quiet=quiet))


def _of_inference(overrides):
    """Return the overrides if they change only what needs no training; raise UserInputError otherwise.

    The threshold of a single head is in the run's selection.
    """
    for override in overrides:
        key, _, value = override.partition("=")
        if not key.strip().startswith("inference."):
            raise UserInputError(
                f"--set {override}: expected a key of the section inference; all others need a new training. "
                f"Use clamnet-tf fit."
            )
        if key.strip() == "inference.head" and value.strip() == "mean":
            raise UserInputError(
                f"--set {override}: a run stores the thresholds of its single heads, not another one for "
                f"their mean. Give a head, or train again."
            )
    return overrides
