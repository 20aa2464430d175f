"""Define `clamnet-tf fit`: learn lesion masks from image-level labels."""

import importlib.util
from pathlib import Path

import rich_click as click

from clamnet_tf.cli.label_options import label_options


@click.command()
@click.argument("recipe_name", metavar="RECIPE")
@click.option(
    "--data",
    type=click.Path(),
    help="Folder of labelled images; without it the recipe's built-in cohort is used.",
)
@label_options
@click.option(
    "--split-file",
    type=click.Path(),
    help="CSV patient,split (train, val, test); without it the split is drawn by patient.",
)
@click.option(
    "--out",
    type=click.Path(),
    help="Run folder, or an address that TensorFlow can write to, such as gs://bucket/runs/first.  "
    "[default: runs/RECIPE]",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override one key of the recipe, for example network.depth=3; may be repeated.",
)
@click.option(
    "--search",
    type=click.Choice(["eta"]),
    help="Choose loss.eta first, without masks: short trainings in OUT_search_eta/.",
)
@click.option(
    "--half-agreement",
    is_flag=True,
    help="Train twice more first, on halves of the training patients, for half the steps, in OUT_halves/, "
    "and say whether both mark the same pixels of new patients.",
)
@click.option(
    "--init",
    "initial",
    metavar="MODEL",
    help="Start from those weights of a zoo entry or a run that fit; the log lists them.",
)
@click.option(
    "--corrections",
    type=click.Path(),
    help="Folder of corrected masks, named as predict wrote them; they teach (supervision: mixed). Goes with "
    "--init.",
)
@click.option(
    "--classifiers",
    metavar="RUN",
    help="Take the trained image classifiers of a run that differs only in what follows them (attribution, "
    "outlines, last network), instead of training equal ones.",
)
@click.option("--resume", is_flag=True, help="Continue the unfinished run in --out.")
@click.option(
    "--start-or-resume",
    is_flag=True,
    help="Start, or continue the unfinished run in --out: for jobs that are restarted when they fail.",
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
    help="Keep names of patients in the run folder and in messages.  [default: replaced, as in predict]",
)
@click.option(
    "--cache",
    type=click.Path(),
    help="Folder of prepared slices.  [default: $CLAMNET_TF_CACHE or ~/.cache/clamnet_tf]",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Prepare about ten slices, draw what the network will see into OUT_dry_run/, estimate memory and "
    "time; train nothing.",
)
@click.option("--quiet", is_flag=True, help="Print errors only.")
def fit(
    recipe_name,
    data,
    labels,
    split_file,
    out,
    overrides,
    search,
    half_agreement,
    initial,
    corrections,
    classifiers,
    resume,
    start_or_resume,
    any_modality,
    keep_identifiers,
    cache,
    dry_run,
    quiet,
):
    """Learn to mark lesions from image-level labels alone.

    RECIPE is a shipped recipe (see `clamnet-tf recipe list`) or the path of your own YAML file. The run
    folder gets the model, the log and, for the held-out patients, metrics and a report.

    Example: clamnet-tf fit mri_carcinoma --data studies/ --out runs/first

    With --init mri_carcinoma every network of the run starts from those weights of the zoo entry that fit,
    even with another number of channels or classes.

    With --init runs/first --corrections FOLDER, masks that predict wrote and a person corrected teach, too;
    the images are those of --data, and patients with a corrected mask are on the side train.

    Images that no recipe is for: `clamnet-tf init DIR` writes one. --dry-run shows what the network will see.
    """
    from clamnet_tf.recipe.catalogue import load_recipe
    from clamnet_tf.recipe.unused import unused_settings
    from clamnet_tf.recipe.writer import resolve
    from clamnet_tf.runtime.cluster import place_in_cluster
    from clamnet_tf.workflows.dataset import Source
    from clamnet_tf.workflows.fit import FINISHED_BEFORE, STOPPED, follow
    from clamnet_tf.workflows.fit import fit as fit_recipe

    recipe = resolve(load_recipe(recipe_name, overrides))
    out = out or f"runs/{recipe.name}"
    began_with = (resume or start_or_resume) and (Path(out) / "corrections").is_dir()
    if corrections and not initial and not began_with:
        raise click.UsageError(
            "--corrections: expected --init RUN, the run whose predictions were corrected; received none."
        )
    if (corrections or began_with) and recipe.training.supervision == "labels":
        recipe = resolve(load_recipe(recipe_name, (*overrides, "training.supervision=mixed")))
    place = place_in_cluster(recipe.runtime.strategy)
    _refuse_together(recipe, out, place, search, initial, half_agreement, classifiers)
    for sentence in unused_settings(recipe, overrides):
        click.echo(f"Note: {sentence}", err=True)
    source = Source(data, labels, split_file, cache, any_modality, keep_identifiers)
    if dry_run:
        if place or search or half_agreement or initial or classifiers or resume or start_or_resume:
            raise click.UsageError(
                "--dry-run trains nothing: it goes without --search, --half-agreement, --init, "
                "--classifiers, --resume, --start-or-resume and without a cluster."
            )
        if recipe.self_training.teacher == "auto":
            raise click.UsageError(
                "--dry-run needs a recipe that names its teacher; received self_training.teacher auto. Name "
                "one with --set self_training.teacher=first_network."
            )
        from clamnet_tf.progress import Reporter
        from clamnet_tf.workflows.dry_run import dry_run as check_without_training

        check_without_training(recipe, source, f"{out.rstrip('/')}_dry_run", Reporter(quiet=quiet))
        return
    if importlib.util.find_spec("tensorflow") is None:  # said before any data is read
        raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")
    if place and place[0] > 0:
        ended = follow(recipe, source, place, lambda line: click.echo(line, err=True))
    else:
        go_on = "if_begun" if start_or_resume else "always" if resume else "never"
        ended = fit_recipe(
            recipe,
            source,
            out,
            search=bool(search),
            half_agreement=half_agreement,
            initial=initial,
            corrections=corrections,
            classifiers=classifiers,
            resume=go_on,
            place=place,
            quiet=quiet,
        )
    if ended == FINISHED_BEFORE:
        click.echo(f"The run in {out} is finished already.")
    if ended == STOPPED:
        raise click.exceptions.Exit(130)


def _refuse_together(recipe, out, place, search, initial, halves, classifiers):
    """Raise UsageError when options cannot be used together, or not with this recipe."""
    from clamnet_tf.runtime.remote_folder import is_remote

    choosing = recipe.self_training.teacher == "auto"
    conflicts = {
        "--search eta needs a recipe that names its teacher; received self_training.teacher auto.": choosing
        and search,
        "self_training.teacher auto is chosen in one process: run that first, then train with the teacher "
        "that it chose.": (choosing and place),
        "--search eta chooses loss.eta; every lesion class has its own eta. Write eta: null for the classes "
        "that should use loss.eta.": (
            search and recipe.classes and all(lesion_class.eta is not None for lesion_class in recipe.classes)
        ),
        "--search eta trains on image labels alone; received training.supervision mixed.": search
        and recipe.training.supervision == "mixed",
        "--search eta chooses the weight of pairs; this recipe trains no network on pairs of labelled slices "
        f"(self_training.teacher {recipe.self_training.teacher}, loss.objective {recipe.loss.objective}, "
        f"training.supervision {recipe.training.supervision}). Train without --search.": search
        and not choosing
        and recipe.training.supervision != "mixed"
        and not recipe.learns_from_pairs,
        "--init runs in one process; train on several without it.": place and initial,
        "--init starts the networks that mark; the result of this recipe is the attribution of its "
        "classifiers (self_training.rounds 0). Train without --init.": initial
        and recipe.self_training.teacher == "attribution"
        and not recipe.self_training.rounds,
        "--classifiers runs in one process; train on several without it.": place and classifiers,
        "--classifiers needs a recipe whose teacher is an attribution; received self_training.teacher "
        f"{recipe.self_training.teacher}.": classifiers and recipe.self_training.teacher != "attribution",
        "--search runs in one process: search first, then train on several with --set loss.eta=VALUE.": place
        and search,
        "A search stores its short trainings beside the run: search with --out FOLDER, then train with what "
        "it chose, by --set.": ((search or choosing) and is_remote(out)),
        "--half-agreement trains in one process and stores its short trainings beside the run: use it in one "
        "process, with a local --out.": halves and (place or is_remote(out)),
    }
    for message, applies in conflicts.items():
        if applies:
            raise click.UsageError(message)
