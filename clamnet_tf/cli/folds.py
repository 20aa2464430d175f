"""Define `clamnet-tf folds`: cross-validate a recipe."""

import contextlib

import rich_click as click

from clamnet_tf.cli.label_options import label_options
from clamnet_tf.errors import TrainingFailure


def _number_of_folds(context, parameter, value) -> int | None:
    """Parse --k: a number from 2, or the word site (None)."""
    if value.strip().lower() == "site":
        return None
    if not value.strip().isdecimal() or int(value) < 2:
        raise click.BadParameter(
            f"expected a number of at least 2, or site; received {value!r}.", context, parameter
        )
    return int(value)


@click.command()
@click.argument("recipe_name", metavar="RECIPE")
@click.option(
    "--data",
    type=click.Path(),
    help="Folder of labelled images; without it the recipe's built-in cohort is used.",
)
@label_options
@click.option(
    "--k",
    metavar="NUMBER|site",
    default="5",
    show_default=True,
    callback=_number_of_folds,
    help="Number of folds, or site: one fold per site, which leaves one site out at a time.",
)
@click.option(
    "--by",
    type=click.Choice(["patient", "site"]),
    default="patient",
    show_default=True,
    help="patient: stratified by label and spread over the sites; site: no site is divided.",
)
@click.option(
    "--repeat",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Do everything so often, with other folds and another training seed each time.",
)
@click.option("--out", type=click.Path(), help="Folder of the results.  [default: folds/RECIPE]")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override one key of the recipe, for example training.steps=100; may be repeated.",
)
@click.option(
    "--jobs", type=click.IntRange(1), default=1, show_default=True, help="Number of simultaneous trainings."
)
@click.option("--list", "listing", is_flag=True, help="Show the folds and how far each is; run nothing.")
@click.option("--no-model", is_flag=True, help="Do not make the averaged network of all folds.")
@click.option(
    "--cache",
    type=click.Path(),
    help="Folder of prepared slices.  [default: $CLAMNET_TF_CACHE or ~/.cache/clamnet_tf]",
)
@click.option("--quiet", is_flag=True, help="Print errors only.")
def folds(recipe_name, data, labels, k, by, repeat, out, overrides, jobs, listing, no_model, cache, quiet):
    """Cross-validate RECIPE: train one network per fold, each measured on the patients that it did not see.

    The patients are divided into folds by patient, stratified by label and site, always in the same way for
    the same recipe (data.split.seed). Each fold in turn is the test side; validation patients are drawn from
    the others. The folder gets figures over all patients, each measured out of fold, with intervals
    (figures.json, patients.csv), one page (index.html) and, in model/, the networks of the first repeat
    averaged into one, which predict, evaluate, zoo publish and export take like a run.

    Finished folds are reused: stop at any moment, also with kill -9, and start the same command again.

    Two cross-validations of the same data are compared by clamnet-tf compare.

    Example: clamnet-tf folds mri_carcinoma --data studies/ --k 5 --out folds/first
    """
    from clamnet_tf.datasets.pseudonyms import hiding
    from clamnet_tf.preprocessing.dataset import find_cases
    from clamnet_tf.progress import Reporter
    from clamnet_tf.recipe.catalogue import load_recipe
    from clamnet_tf.recipe.unused import unused_settings
    from clamnet_tf.study.folder import StudyFolder
    from clamnet_tf.study.folds.plan import Division, plan_folds, without_split
    from clamnet_tf.study.folds.report import figures_of, headline, write_results
    from clamnet_tf.study.folds.results import read_results
    from clamnet_tf.study.plan import open_source
    from clamnet_tf.study.runner import run_study
    from clamnet_tf.workflows.averaged_model import MODEL, make_averaged_model

    load = lambda more: load_recipe(recipe_name, [*overrides, *more])
    recipe = load([])
    for sentence in unused_settings(recipe, overrides):
        click.echo(f"Note: {sentence}", err=True)
    folder = StudyFolder(out or f"folds/{recipe.name}")
    reporter = Reporter(quiet=quiet, log=folder.log)
    with contextlib.nullcontext() if listing else folder.lock(), hiding(lambda: reporter.hide):
        manifest, had_split = without_split(find_cases(recipe, data, labels, reporter, cache))
        if had_split:
            reporter.line("Note: the data's own split is not used; every patient is held out once.")
        source = open_source(data, labels, None, cache, folder.cache)
        division = Division(k, k is None or by == "site", repeat)
        planned = plan_folds(load, manifest, division, folder, source)
        reporter.line(f"Folds: {division.words()}; {len(planned.members)} trainings")
        if listing:
            for line in _listing(planned, folder):
                click.echo(line)
            return
        try:
            run_study(
                planned.plan,
                folder,
                source,
                reporter,
                jobs=jobs,
                finished=lambda: write_results(planned, folder),
            )
        finally:
            page = write_results(planned, folder)
        for line in headline(figures_of(planned, read_results(planned, folder))):
            reporter.line(line)
        reporter.line(f"Page: {page}")
        states = [(run, folder.state(run)) for run in planned.plan.runs]
        failed = [f"{run.title}: {state.message}" for run, state in states if state.name == "failed"]
        if failed:
            raise TrainingFailure(
                f"{len(failed)} of {len(states)} folds failed; run the same command to try them again:\n  "
                + "\n  ".join(failed)
            )
        unfinished = [run.title for run, state in states if state.name != "done"]
        if unfinished:
            raise TrainingFailure(
                f"not finished: {', '.join(unfinished)}. Run the same command to continue; the averaged "
                f"network is made when all folds are there."
            )
        if not no_model:
            make_averaged_model(planned, folder, manifest, cache, reporter)
            reporter.line(f"Model: {folder.path / MODEL}")


def _listing(planned, folder) -> list[str]:
    """Return one line per training: fold, patients, run and state."""
    lines = []
    for member in planned.members:
        run = member.run
        state = folder.state(run)
        step = f", step {state.step} of {run.steps}" if state.name == "partly" else ""
        lines.append(
            f"{run.title:28}  {len(member.fold.patients):4} patients held out  {run.key}  {state.name}{step}"
        )
    return lines
