"""Run a `fit`, from a recipe to a finished and evaluated run folder: alone, or as one process of a
cluster.
"""

import contextlib
from typing import Literal

from clamnet_tf.datasets.pseudonyms import hiding
from clamnet_tf.datasets.split import write_split
from clamnet_tf.errors import ClamnetError, RunError, UnfitImages
from clamnet_tf.preprocessing.cache import default_cache
from clamnet_tf.progress import Reporter
from clamnet_tf.quiet import silence
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.recipe.writer import resolve, to_yaml
from clamnet_tf.runs import RunFolder
from clamnet_tf.runtime.remote_folder import is_remote, remote_folder
from clamnet_tf.workflows.appearance import write_appearance
from clamnet_tf.workflows.corrections import store_corrections, with_corrections
from clamnet_tf.workflows.dataset import Source, prepare_dataset
from clamnet_tf.workflows.initial_weights import initial_weights
from clamnet_tf.workflows.learning import agreement_of_halves, check_run
from clamnet_tf.workflows.misfit import misfit_lines, pointing_to_init
from clamnet_tf.workflows.search import chosen_recipe
from clamnet_tf.workflows.tracking import tracked

FINISHED, STOPPED, FINISHED_BEFORE = "finished", "stopped", "finished before"


def fit(
    recipe: Recipe,
    source: Source,
    out: str,
    *,
    search: bool = False,
    half_agreement: bool = False,
    initial: str | None = None,
    corrections: str | None = None,
    classifiers: str | None = None,
    resume: Literal["never", "always", "if_begun"] = "never",
    place: tuple[int, int] | None = None,
    quiet: bool = False,
) -> str:
    """Train a recipe, evaluate the held-out patients and write the run folder.

    Args:
        recipe: Resolved recipe.
        source: Where the images are.
        out: Run folder, or an address that TensorFlow can write to.
        search: Choose loss.eta first. A teacher of auto is chosen in any case.
        half_agreement: Train twice more first, on halves of the training patients, to see whether both mark
            the same pixels.
        initial: Model whose weights the run starts from.
        corrections: Folder of corrected masks, which teach; only in one process.
        classifiers: Run whose trained classifiers are taken instead of training equal ones; only in one
            process.
        resume: "never": a new run; "always": continue the unfinished run in `out`; "if_begun": continue if
            there is one.
        place: (index, count) of this process in its cluster, in which it is the first; None: no cluster.
        quiet: Print errors only.

    Returns:
        FINISHED, STOPPED (on request, to be resumed) or FINISHED_BEFORE (with "if_begun").

    Raises:
        ClamnetError: Recipe, data or machine do not allow it, or the training failed; the run's log has the
            message, too.
    """
    with contextlib.ExitStack() as stack:
        remote = None
        if is_remote(out):
            silence()
            remote = stack.enter_context(remote_folder(out, default_cache() / "runs"))
        folder = remote.local if remote else out
        if resume == "if_begun" and RunFolder(folder).finished.exists():
            return FINISHED_BEFORE
        go_on = RunFolder(folder).recipe.exists() if resume == "if_begun" else resume == "always"
        reporter = Reporter(quiet=quiet)
        begin = initial_weights(initial, recipe, reporter) if initial else None
        if search or recipe.self_training.teacher == "auto":
            chosen = chosen_recipe(recipe, source, out, reporter, begin)
            if chosen is None:
                return STOPPED
            recipe = resolve(chosen)
        halves = agreement_of_halves(recipe, source, out, reporter, begin) if half_agreement else None
        if half_agreement and halves is None:
            return STOPPED
        run = RunFolder.open_for_training(folder, to_yaml(recipe), resume=go_on, shown=out)
        if remote:
            run.keep = remote.store
        reporter = Reporter(quiet=quiet, log=run.log)
        report = f"{remote.address if remote else run.path}/evaluation/report.html"
        with hiding(lambda: reporter.hide), run.lock():
            try:
                if begin is not None:
                    begin(run)
                with tracked(recipe, run, reporter) as end_tracking:
                    ended = _train_and_evaluate(
                        recipe, source, run, reporter, place, report, corrections, classifiers, halves
                    )
                    end_tracking(ended)
                return ended
            except UnfitImages as error:
                pointing = pointing_to_init(error, source)
                run.log(f"Error: {reporter.hide(str(pointing))}")
                raise pointing from error
            except ClamnetError as error:
                run.log(f"Error: {reporter.hide(str(error))}")
                raise
            finally:
                run.discard_if_untrained()


def follow(recipe: Recipe, source: Source, place: tuple[int, int], say) -> str:
    """Do the work of `fit` in a process that is not the first of its cluster, without a run folder.

    Args:
        recipe: Resolved recipe.
        source: Where the images are, as in the first process.
        place: (index, count) of this process.
        say: Called with each line for the reader.

    Returns:
        FINISHED or STOPPED.

    Raises:
        ClamnetError: As in `fit`.
    """
    reporter = Reporter(quiet=True, log=lambda line: say(f"worker {place[0]}: {line}"))
    workers = _meet(recipe, place, reporter)
    workers.wait()  # until the chief has prepared the slices: a shared cache is filled then
    manifest, prepared = prepare_dataset(recipe, source, reporter)
    from clamnet_tf.evaluation.evaluate import assist
    from clamnet_tf.training.fit import train

    outcome = train(recipe, manifest, prepared, None, reporter, workers)
    if outcome.look is None:
        return STOPPED
    assist(outcome.marker, prepared, "test")
    workers.wait()
    return FINISHED


def _train_and_evaluate(
    recipe: Recipe,
    source: Source,
    run: RunFolder,
    reporter: Reporter,
    place,
    report: str,
    corrections: str | None,
    classifiers: str | None,
    halves: dict | None,
) -> str:
    """Train and evaluate in a locked run folder; return FINISHED or STOPPED.

    Args:
        recipe, source, run, reporter, place: As in `fit`.
        report: Address of the page.
        corrections: Folder of corrected masks, or None.
        classifiers: Run whose classifiers are taken, or None.
        halves: Agreement of two halves, if it was asked for.
    """
    workers = _meet(recipe, place, reporter) if place else None
    manifest, prepared = prepare_dataset(recipe, source, reporter)
    for line in misfit_lines(recipe, prepared, source):
        reporter.line(line)
    if workers:
        workers.wait()  # a shared cache is filled now
    write_split(manifest, run.split)
    cohort = recipe.data.cohort.kind if recipe.data.cohort and not source.data else None
    data = str(source.data) if source.data else None
    run.write_environment(manifest.hide, data=data, cohort=cohort, prepared=prepared.key)
    silence()
    from clamnet_tf.evaluation.console import headline
    from clamnet_tf.evaluation.evaluate import evaluate_run
    from clamnet_tf.reporting.image_words import in_words_of
    from clamnet_tf.training.fit import train
    from clamnet_tf.training.precision import precision_note

    if note := precision_note(recipe.runtime.mixed_precision):
        reporter.line(note)
    teaching = manifest
    if corrections is not None:
        if not run.corrections.exists() and not run.is_untrained():
            raise RunError(
                f"{run.path}: the run was started without --corrections. Resume it without them, or choose "
                "another --out."
            )
        store_corrections(corrections, run.corrections, manifest, recipe, reporter)
    if run.corrections.exists():
        teaching = with_corrections(manifest, run.corrections)
    donor = RunFolder(classifiers) if classifiers else None
    outcome = train(recipe, teaching, prepared, run, reporter, workers, donor)
    if outcome.look is None:
        reporter.line(
            "Stopped on request; the last step is saved. Continue with the same command and --resume."
        )
        return STOPPED
    write_appearance(run, recipe, manifest, reporter)
    reporter.line(f"Trained in {outcome.seconds / 60:.1f} min.")
    scored = check_run(run, recipe, prepared, halves, workers)
    where = {
        "split": "test",
        "out": run.evaluation,
        "reporter": reporter,
        "workers": workers,
        "scored": scored,
    }
    for line in headline(evaluate_run(run, recipe, manifest, prepared, **where)):
        reporter.line(in_words_of(recipe.modality, line))
    run.finish()
    run.keep()
    reporter.line(f"Report: {report}")
    if workers:
        workers.wait()
    return FINISHED


def _meet(recipe: Recipe, place, reporter: Reporter):
    """Return the Workers of the cluster when all have started. It must run before anything else uses
    TensorFlow.
    """
    silence()
    from clamnet_tf.training.strategy import build_strategy
    from clamnet_tf.training.workers import Workers

    reporter.line(f"Waiting for the {place[1]} workers of the cluster.")
    workers = Workers(build_strategy(recipe.runtime.strategy))
    reporter.line("  All workers have started.")
    return workers
