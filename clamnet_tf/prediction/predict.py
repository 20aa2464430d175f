"""Mark unlabelled images with a trained network, volume by volume: masks, tables and pages.

An interrupted prediction can be resumed.
"""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from clamnet_tf import __version__
from clamnet_tf.datasets.manifest import Case
from clamnet_tf.datasets.problems import listed
from clamnet_tf.datasets.unlabelled_inputs import RESULT_TABLE, Inputs
from clamnet_tf.errors import DataError, EnvironmentFailure, UserInputError
from clamnet_tf.inference.asymmetry import is_compared
from clamnet_tf.prediction.mark_groups import DEFAULT_CHOICE, Choice, GroupMarker, StartedGroup
from clamnet_tf.prediction.output_paths import volume_output_names
from clamnet_tf.prediction.progress_log import ProgressLog
from clamnet_tf.prediction.report import INDEX, write_index
from clamnet_tf.prediction.tables import VOLUME_TABLE, WORKLIST, add_asymmetry, rank, write_table
from clamnet_tf.preprocessing.volumes import Group, group_cases
from clamnet_tf.runtime.process_group import AGAIN, ProcessGroup
from clamnet_tf.threads import one_ahead


@dataclass
class PredictionSummary:
    """Summarise a prediction.

    Attributes:
        slices: Number of slices.
        marked_slices: Number of slices with marks.
        volumes: Rows of volumes.csv.
        failures: Why inputs were left out.
        notes: What readers of the files had to assume.
        resumed: Number of groups of files that an earlier call had finished.
    """

    slices: int = 0
    marked_slices: int = 0
    volumes: list[dict] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    resumed: int = 0


def predict_inputs(
    trained,
    recipe,
    inputs: Inputs,
    *,
    out,
    reporter,
    model: dict[str, str],
    choice: Choice = DEFAULT_CHOICE,
    cache=None,
    organ_network=None,
    process_group: ProcessGroup = ProcessGroup(),
) -> PredictionSummary:
    """Mark every volume of the inputs, holding at most two in memory: the next one is read and prepared
    while the network computes.

    Below `out`, at the place that `inputs.outputs` gives, the function writes the files of
    `formats.write_masks` and a page per volume; then marks.csv (one row per slice), volumes.csv, with
    choice.rank worklist.csv, and report.html over all volumes, also when the work is interrupted. A folder
    that the same call began is continued: finished volumes are skipped, failed ones are tried again.

    Args:
        trained: inference.trained_model.Trained.
        recipe: Recipe of the model.
        inputs: What to mark.
        out: Output folder.
        reporter: Reporter for progress.
        model: Identifies the model; its entry "model" is the sha256 of the network.
        choice: What is written.
        cache: Folder that keeps prepared slices; None: none.
        organ_network: Finds the organ, for recipes with organ.method network.
        process_group: The processes that share the volumes, all with the same arguments and with `out` on
            storage that all of them see. The chief alone writes the files over all volumes; the summary of
            the others is empty.

    Returns:
        The summary. What cannot be read is reported in `failures` and does not stop the rest; the readable
        slices of its volume are marked.

    Raises:
        DataError: Nothing could be marked; the message has all reasons.
        RunError: The folder is used for something else.
        EnvironmentFailure: Another process of the group has ended early.
    """
    groups = group_cases(inputs.manifest)
    group_marker = GroupMarker(
        trained, recipe, inputs, Path(out), model, choice, cache, organ_network, alone=len(groups) == 1
    )
    own_groups = range(process_group.index, len(groups), process_group.count)
    failures, gone = [], []  # failures: (index of the group, why); gone: names of workers
    with process_group.in_turn(
        ProgressLog.open(
            out,
            _settings(model, inputs, groups, choice) | engines_of(trained, organ_network),
            process_group.index,
        )
    ) as progress_log:
        resumed = set(progress_log.groups)
        try:
            done, total = (
                sum(len(groups[group_index].cases) for group_index in numbers)
                for numbers in (resumed & {*own_groups}, own_groups)
            )
            stems = list(volume_output_names(inputs, groups))
            left = [index for index in own_groups if index not in resumed]
            with reporter.bar("Marking", total, done) as bar, ThreadPoolExecutor(max_workers=1) as pool:
                ahead = pool if len(left) > 1 else None  # beside a single one there is nothing to do
                for group_index, group in one_ahead(
                    (index, _started(group_marker, groups[index], stems[index], ahead)) for index in left
                ):
                    try:
                        if isinstance(group, UserInputError):
                            raise group
                        progress_log.add(group_index, group_marker.finish(group))
                    except UserInputError as error:
                        failures.append((group_index, inputs.hide(str(error))))
                    del group  # before another one is read
                    done += len(groups[group_index].cases)
                    bar.update(done)
            if process_group.index:
                process_group.report(failures)
                return PredictionSummary()
            for index, reported in process_group.reports().items():
                failures += [tuple(failure) for failure in reported or []]
                gone += [f"worker {index}"] if reported is None else []
            progress_log.read()
        finally:
            if not process_group.index:
                outcome = write_summary(
                    progress_log,
                    Path(out),
                    [*inputs.failures, *(text for _, text in sorted(failures))],
                    choice,
                    group_marker.facts(),
                    recipe.modality,
                    inputs.manifest.cases if is_compared(recipe) else None,
                )
        outcome.resumed = len(resumed)
    if gone:
        raise EnvironmentFailure(
            f"{', '.join(gone)}: ended before all volumes were marked; the tables list those that are. "
            f"{AGAIN}"
        )
    if not outcome.slices:
        raise DataError(f"Nothing could be marked:\n{listed(outcome.failures)}")
    return outcome


def _started(group_marker: GroupMarker, group: Group, stem, pool) -> StartedGroup | UserInputError:
    """Return a group that the network has begun with, or why it cannot."""
    try:
        return group_marker.start(group, stem, pool)
    except UserInputError as error:
        return error


def write_summary(
    progress_log: ProgressLog,
    out: Path,
    failures: list[str],
    choice: Choice,
    facts: dict[str, str],
    modality: str,
    mammograms: Sequence[Case] | None = None,
) -> PredictionSummary:
    """Write the tables and the page over all finished volumes; rows are copied from file to file.

    Args:
        progress_log: Record of what is finished.
        out: Output folder.
        failures: Why inputs were left out.
        choice: What is written.
        facts: What the page says about how it was made, see model_facts.facts_of.
        modality: Modality of the recipe.
        mammograms: Cases whose scores are compared with those of the other breast; None: they are not.
    """
    outcome = PredictionSummary(failures=failures)
    breasts = []
    for content in progress_log.finished():
        outcome.volumes += content["volumes"]
        breasts += content.get("breasts", [])
        outcome.failures += content["failures"]
        outcome.notes += content["notes"]
    outcome.slices = sum(row["slices"] for row in outcome.volumes)
    outcome.marked_slices = sum(row["marked_slices"] for row in outcome.volumes)
    write_table(out / RESULT_TABLE, (row for content in progress_log.finished() for row in content["slices"]))
    if mammograms is not None and len(breasts) == len(outcome.volumes):
        add_asymmetry(outcome.volumes, breasts, mammograms)
    if choice.rank:
        write_table(out / WORKLIST, rank(outcome.volumes))
    write_table(out / VOLUME_TABLE, outcome.volumes)
    if any(row["report"] not in (None, INDEX) for row in outcome.volumes):
        write_index(
            out / INDEX,
            outcome.volumes,
            outcome.failures,
            facts,
            warnings=choice.warnings,
            modality=modality,
        )
    return outcome


def _settings(model: dict[str, str], inputs: Inputs, groups: list[Group], choice: Choice) -> dict:
    """Return what must be equal for a folder to be continued.

    Of the inputs it holds a digest of paths and sizes, no names.
    """
    cases = inputs.manifest.cases
    files = [[str(case.image), case.image.stat().st_size if case.image.is_file() else 0] for case in cases]
    if sequences := {case.sequences: None for case in cases if case.sequences is not None}:
        files += [[json.dumps(group.row(), sort_keys=True), 0] for group in sequences]
    digest = hashlib.sha256(
        json.dumps(
            [files, [group.cases for group in groups], [str(output) for output in inputs.outputs]]
        ).encode()
    )
    return {
        "version": __version__,
        **model,
        "inputs": f"{len(files)} files in {len(groups)} groups, sha256 {digest.hexdigest()}",
        "formats": list(choice.formats) or "default",
        "segmentation": choice.segmentation,
        "keep_identifiers": choice.keep_identifiers,
        "any_modality": choice.any_modality,
        **{name: True for name in ("rank", "uncertainty") if getattr(choice, name)},
    }


def engines_of(trained, organ_network) -> dict[str, str]:
    """Return what computes the networks: engines round differently, so one folder is of one engine."""
    engines = {"engine": trained.probability.engine}
    return engines | ({"organ_engine": organ_network.engine} if organ_network else {})
