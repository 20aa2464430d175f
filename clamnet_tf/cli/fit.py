"""`clamnet-tf fit`: learn lesion masks from image-level labels."""

import rich_click as click

from clamnet_tf.cli.label_options import label_options
from clamnet_tf.errors import ClamnetError


@click.command()
@click.argument("recipe_name", metavar="RECIPE")
@click.option("--data", type=click.Path(), help="Folder of labelled images; without it the recipe's built-in cohort is used.")
@label_options
@click.option("--split-file", type=click.Path(), help="CSV patient,split (train, val, test); without it the split is drawn by patient.")
@click.option("--out", type=click.Path(), help="Run folder, or an address that TensorFlow can write to, such as gs://bucket/runs/first.  [default: runs/RECIPE]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one key of the recipe, for example network.depth=3; may be repeated.")
@click.option("--search", type=click.Choice(["eta"]), help="Choose loss.eta first, without masks: short trainings in OUT_search_eta/.")
@click.option("--init", "initial", metavar="MODEL", help="Start from the weights of a zoo entry or a run; what fits of them is said.")
@click.option("--resume", is_flag=True, help="Go on with the unfinished run in --out.")
@click.option("--start-or-resume", is_flag=True, help="Start, or go on with the unfinished run in --out: for jobs that are started again when they fail.")
@click.option("--any-modality", is_flag=True, help="Take images of another modality than the recipe's, or not in Hounsfield units, all the same.  [default: refused]")
@click.option("--keep-identifiers", is_flag=True, help="Keep names of patients in the run folder and in messages.  [default: replaced, as by predict]")
@click.option("--cache", type=click.Path(), help="Folder of prepared slices.  [default: $CLAMNET_TF_CACHE or ~/.cache/clamnet_tf]")
@click.option("--quiet", is_flag=True, help="Print errors only.")
def fit(
    recipe_name, data, labels, split_file, out, overrides, search, initial, resume, start_or_resume, any_modality, keep_identifiers, cache,
    quiet,
):  # fmt: skip
    """Learn to mark lesions from image-level labels alone.

    RECIPE is a shipped recipe (see `clamnet-tf recipe list`) or the path of one's own YAML file. The run folder gets
    the model, the log and, for the held-out patients, figures and a report.

    Example: clamnet-tf fit mri_carcinoma --data studies/ --out runs/first

    With --init mri_carcinoma every network of the run starts from what fits of the zoo's weights, also with another number of
    channels or classes.
    """
    from clamnet_tf.data.hidden import hiding
    from clamnet_tf.machine.cluster import place_in_cluster
    from clamnet_tf.machine.remote_folder import is_remote
    from clamnet_tf.progress import Reporter
    from clamnet_tf.quiet import silence
    from clamnet_tf.recipe.catalogue import load_recipe
    from clamnet_tf.recipe.writer import resolve, to_yaml
    from clamnet_tf.runs import RunFolder

    recipe = resolve(load_recipe(recipe_name, overrides))
    out = out or f"runs/{recipe.name}"
    place, workers = place_in_cluster(recipe.runtime.strategy), None
    choosing = recipe.self_training.teacher == "auto"
    if choosing and search:
        raise click.UsageError("--search eta needs a recipe that names its teacher; received self_training.teacher auto.")
    if choosing and place:
        raise click.UsageError("self_training.teacher auto is chosen in one process: let it choose first, then train with the teacher it names.")
    if search and recipe.markers:
        raise click.UsageError("--search eta chooses one eta; search it for one marker at a time (markers: null) and write it into the list markers.")
    if place and initial:
        raise click.UsageError("--init runs in one process; train on several without it.")
    if place and search:
        raise click.UsageError("--search runs in one process: search first, then train on several with --set loss.eta=VALUE.")
    if place and place[0] > 0:
        return _follow(recipe, place, data=data, labels=labels, split_file=split_file, cache=cache, any_modality=any_modality, keep_identifiers=keep_identifiers)
    remote = _remote(out, search or choosing) if is_remote(out) else None
    folder = remote.local if remote else out
    if start_or_resume:
        if RunFolder(folder).finished.exists():
            click.echo(f"The run in {out} is finished already.")
            return
        resume = RunFolder(folder).recipe.exists()
    begin = _begin(initial, recipe, quiet) if initial else None
    if search or choosing:
        found = _searched(recipe, out, quiet, begin, data=data, labels=labels, split_file=split_file, cache=cache, any_modality=any_modality, keep_identifiers=keep_identifiers)
        recipe = resolve(found)
    run = RunFolder.open_for_training(folder, to_yaml(recipe), resume=resume, shown=out)
    if remote:
        run.keep = remote.store
    reporter = Reporter(quiet=quiet, log=run.log)
    with hiding(lambda: reporter.hide), run.lock():
        try:
            if begin is not None:
                begin(run)
            from clamnet_tf.data.dataset import load_dataset
            from clamnet_tf.data.split import write_split
            from clamnet_tf.zoo.organ_networks import organ_network_of

            if place:
                workers = _join(recipe, place, reporter)
            found = organ_network_of(recipe, reporter)
            manifest, prepared = load_dataset(
                recipe, data=data, labels=labels, split_file=split_file, cache=cache, reporter=reporter, organ_network=found,
                any_modality=any_modality, keep_identifiers=keep_identifiers,
            )  # fmt: skip
            from clamnet_tf.training.normal_reference import with_normal_atlas

            prepared = with_normal_atlas(recipe, prepared, cache)
            if workers:
                workers.wait()  # a cache that all share is filled now
            write_split(manifest, run.split)
            source = {"data": str(data) if data else None, "cohort": None if data else recipe.data.cohort.kind, "prepared": prepared.key}
            run.write_environment(manifest.hide, **source)
            silence()
            from clamnet_tf.evaluation.console import headline
            from clamnet_tf.evaluation.evaluate import evaluate_run
            from clamnet_tf.training.fit import train

            outcome = train(recipe, manifest, prepared, run, reporter, workers)
            if outcome.look is None:
                reporter.line("Stopped on request; the last step is saved. Go on with the same command and --resume.")
                raise click.exceptions.Exit(130)
            reporter.line(f"Trained in {outcome.seconds / 60:.1f} min.")
            figures = evaluate_run(run, recipe, manifest, prepared, split="test", out=run.evaluation, reporter=reporter, workers=workers)
            for line in headline(figures):
                reporter.line(line)
            run.finish()
            run.keep()
            reporter.line(f"Report: {f'{remote.address}/evaluation' if remote else run.evaluation}/report.html")
            if workers:
                workers.wait()
        except ClamnetError as error:
            run.log(f"Error: {reporter.hide(str(error))}")
            raise
        finally:
            run.discard_if_untrained()


def _remote(out, search):
    """The RemoteFolder of the address `out`, held until this command ends; the copy that is written lies in the default cache."""
    from clamnet_tf.data.prepare import default_cache
    from clamnet_tf.machine.remote_folder import remote_folder
    from clamnet_tf.quiet import silence

    if search:
        raise click.UsageError("A search keeps its short trainings beside the run: search into a folder, then train with what it chose, by --set.")
    silence()
    return click.get_current_context().with_resource(remote_folder(out, default_cache() / "runs"))


def _begin(initial, recipe, quiet):
    """A function that gives a run folder the weights of the model `initial`; says how they were trained otherwise."""
    import hashlib

    from clamnet_tf.progress import Reporter
    from clamnet_tf.recipe.catalogue import load_recipe
    from clamnet_tf.zoo.resolve import open_model

    reporter = Reporter(quiet=quiet)
    model = open_model(initial, reporter)
    theirs = load_recipe(str(model.recipe))
    pairs = [("modality", theirs.modality, recipe.modality), ("organ.method", theirs.organ.method, recipe.organ.method)]
    told_apart = [", ".join(one.name for one in each.markers or ()) or "null" for each in (theirs, recipe)]
    pairs.append(("markers", *told_apart))
    pairs += [(f"data.{key}", getattr(theirs.data, key), getattr(recipe.data, key)) for key in ("normalization", "side")]
    for key, before, now in pairs:
        if before != now:
            reporter.line(f"Note: the weights of {initial} were trained with {key} {before}; this recipe has {now}.")
    origin = {"from": initial, "folder": str(model.path), "recipe": theirs.name, "sha256": hashlib.sha256(model.model.read_bytes()).hexdigest()}
    return lambda run: run.begin_with(model.model, origin)


def _join(recipe, place, reporter):
    """The Workers of the cluster, when all are there; before anything else runs on TensorFlow."""
    from clamnet_tf.quiet import silence

    silence()
    from clamnet_tf.training.strategy import build_strategy
    from clamnet_tf.training.workers import Workers

    reporter.line(f"Waiting for the {place[1]} workers of the cluster.")
    workers = Workers(build_strategy(recipe.runtime.strategy))
    reporter.line("  All are there.")
    return workers


def _follow(recipe, place, **source):
    """What a process that is not the chief does: the same training, without a run folder; what it says goes to stderr."""
    from clamnet_tf.data.dataset import load_dataset
    from clamnet_tf.progress import Reporter
    from clamnet_tf.zoo.organ_networks import organ_network_of

    reporter = Reporter(quiet=True, log=lambda line: click.echo(f"worker {place[0]}: {line}", err=True))
    workers = _join(recipe, place, reporter)
    workers.wait()  # until the chief has prepared the slices: a cache that all share is filled then
    manifest, prepared = load_dataset(recipe, reporter=reporter, organ_network=organ_network_of(recipe, reporter), **source)
    from clamnet_tf.evaluation.evaluate import assist
    from clamnet_tf.training.fit import train
    from clamnet_tf.training.normal_reference import with_normal_atlas

    prepared = with_normal_atlas(recipe, prepared, source["cache"])
    outcome = train(recipe, manifest, prepared, None, reporter, workers)
    if outcome.look is None:
        raise click.exceptions.Exit(130)
    assist(outcome.marker, prepared, "test")
    workers.wait()


def _searched(recipe, out, quiet, begin, **source):
    """The recipe with the teacher or the eta that a mask-free search chose; the short trainings stay beside `out`."""
    from pathlib import Path

    from clamnet_tf.data.dataset import load_dataset
    from clamnet_tf.progress import Reporter
    from clamnet_tf.quiet import silence
    from clamnet_tf.zoo.organ_networks import organ_network_of

    reporter = Reporter(quiet=quiet)
    manifest, prepared = load_dataset(recipe, reporter=reporter, organ_network=organ_network_of(recipe, reporter), **source)
    silence()
    from clamnet_tf.training.eta_search import search_eta
    from clamnet_tf.training.normal_reference import with_normal_atlas
    from clamnet_tf.training.teacher_search import search_teacher

    prepared = with_normal_atlas(recipe, prepared, source["cache"])
    if recipe.self_training.teacher == "auto":
        found = search_teacher(recipe, manifest, prepared, Path(f"{out}_search_teacher"), reporter)
    else:
        found = search_eta(recipe, manifest, prepared, Path(f"{out}_search_eta"), reporter, begin=begin)
    if found is None:
        reporter.line("Stopped on request; the same command goes on with the search.")
        raise click.exceptions.Exit(130)
    return found
