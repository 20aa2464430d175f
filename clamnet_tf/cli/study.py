"""Define `clamnet-tf study`: compare many ways of making masks on the same patients."""

import rich_click as click

from clamnet_tf.cli.label_options import label_options
from clamnet_tf.errors import TrainingFailure, UserInputError


@click.command()
@click.argument("study_file", metavar="STUDY")
@click.option(
    "--data",
    type=click.Path(),
    help="Folder of labelled images; without it the built-in cohort of the base recipe.",
)
@label_options
@click.option(
    "--split-file",
    type=click.Path(),
    help="CSV patient,split (train, val, test); without it each recipe draws its split.",
)
@click.option("--out", type=click.Path(), help="Folder of the study.  [default: studies/STUDY]")
@click.option("--only", metavar="NAME,...", help="Run only these arms; finished arms stay in the tables.")
@click.option(
    "--jobs", type=click.IntRange(1), default=1, show_default=True, help="Number of simultaneous trainings."
)
@click.option(
    "--list", "listing", is_flag=True, help="Show how far each arm is, and what is left; run nothing."
)
@click.option("--report-only", is_flag=True, help="Write tables and page from what is finished; run nothing.")
@click.option(
    "--cache",
    type=click.Path(),
    help="Folder of prepared slices.  [default: $CLAMNET_TF_CACHE or ~/.cache/clamnet_tf]",
)
@click.option("--quiet", is_flag=True, help="Print errors only.")
def study(study_file, data, labels, split_file, out, only, jobs, listing, report_only, cache, quiet):
    """Train and compare the arms of STUDY, a YAML file, over several seeds; write one page and tables.

    The tables are two CSV files and one in Markdown. Finished runs are reused: stop at any moment, also with
    kill -9, and start the same command again.

    Example: clamnet-tf study recipes/study_mri.yaml --data studies/ --split-file split.csv --out
    studies/first
    """
    from clamnet_tf.files import write_text
    from clamnet_tf.progress import Reporter
    from clamnet_tf.study.folder import StudyFolder
    from clamnet_tf.study.listing import listing_lines
    from clamnet_tf.study.plan import open_source, plan
    from clamnet_tf.study.read import find_study, load_study
    from clamnet_tf.study.report import write_results
    from clamnet_tf.study.runner import run_study

    path = find_study(study_file)
    study_spec = load_study(path)
    chosen = _chosen(only, study_spec)
    folder = StudyFolder(out or f"studies/{study_spec.name}")
    source = open_source(data, labels, split_file, cache, folder.cache)
    planned = plan(study_spec, path.resolve().parent, source)
    if listing:
        for line in listing_lines(planned, folder, jobs):
            click.echo(line)
        return
    with folder.lock():
        reporter = Reporter(quiet=quiet, log=folder.log)
        write_text(folder.path / "study.yaml", path.read_text(encoding="utf-8"))
        problems = {trial.arm.name: trial.problem for trial in planned.trials if trial.problem}
        for name, problem in problems.items():
            reporter.line(f"{name} is not valid and is skipped:\n{problem}")
        try:
            if not report_only:
                run_study(
                    planned,
                    folder,
                    source,
                    reporter,
                    only=chosen,
                    jobs=jobs,
                    finished=lambda: write_results(planned, folder),
                )
        finally:
            page = write_results(planned, folder)
        reporter.line(f"Page: {page}")
        failed = [run.title for run in planned.runs if folder.state(run).name == "failed"] + list(problems)
        if failed and not report_only:
            raise TrainingFailure(
                f"{len(failed)} of the runs failed ({', '.join(failed)}); the page says why. Run the same "
                f"command to try them again."
            )


def _chosen(only, study_spec):
    """Return the names of the arms in --only; None for all. Raises UserInputError for unknown names."""
    if only is None:
        return None
    names = [name.strip() for name in only.split(",") if name.strip()]
    known = [arm.name for arm in study_spec.arms()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise UserInputError(
            f"--only {only}: expected names of arms ({', '.join(known)}); received "
            f"{', '.join(unknown) or 'none'}."
        )
    return names
