"""Mark whole studies from an archive, one at a time, and send the results.

    fetch a study -> mark it -> record it -> send its results -> record that they were sent

The record is the progress log of `predict`, with the StudyInstanceUID for the number of a group. Killed at
any point, the same command goes on there: a study that is not recorded is fetched and marked again, one that
is recorded but not sent is sent again. Its objects have the same UIDs, so the archive keeps one of each.
"""

import contextlib
import hashlib
import shutil
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from clamnet_tf import __version__
from clamnet_tf.datasets.expected_images import MODALITIES, UNSAID
from clamnet_tf.datasets.problems import listed
from clamnet_tf.datasets.unlabelled_inputs import find_inputs
from clamnet_tf.errors import DataError, UserInputError
from clamnet_tf.imaging.dicom_header import OWN_SERIES
from clamnet_tf.pacs.address import StudySearch
from clamnet_tf.pacs.archive import Archive, ArchivedSeries
from clamnet_tf.prediction.mark_groups import Choice, GroupMarker
from clamnet_tf.prediction.model_facts import algorithm_of, facts_of
from clamnet_tf.prediction.output_paths import volume_output_names
from clamnet_tf.prediction.predict import PredictionSummary, engines_of, write_summary
from clamnet_tf.prediction.progress_log import FETCHED, ProgressLog
from clamnet_tf.preprocessing.volumes import group_cases
from clamnet_tf.recipe.sequences import Sequences

_SENT_ENDS = ("_seg.dcm", "_sr.dcm", "_sc.dcm")
RESULT_MODALITIES = ("SEG", "SR", "PR", "KO", "RTSTRUCT", "RTPLAN", "RTDOSE", "REG", "DOC", "AU", "ECG")


@dataclass(frozen=True)
class StudyMarker:
    """Mark the files of one study after another.

    Attributes:
        trained: inference.trained_model.Trained.
        recipe: Recipe of the model.
        out: Output folder.
        model: fingerprint.fingerprint of the run.
        choice: What is written.
        cache: Folder that keeps prepared slices; None: none.
        organ_network: Finds the organ, for recipes with organ.method network.
        sequences: Which series of a study are the channels of an image, see zoo.sequences; None: each series
            holds all channels.
    """

    trained: Any
    recipe: Any
    out: Path
    model: dict[str, str]
    choice: Choice
    cache: Any = None
    organ_network: Any = None
    sequences: Sequences | None = None

    def modalities(self) -> tuple[str, ...]:
        """Return the modalities of series that the model can mark; () when it may try all."""
        return () if self.choice.any_modality else (*MODALITIES[self.recipe.modality], *filter(None, UNSAID))

    def facts(self) -> dict[str, str]:
        """Return what the page says about how it was made."""
        algorithm = algorithm_of(self.trained, self.recipe, self.model)
        return facts_of(self.trained, self.recipe, algorithm, self.choice.about)

    def settings(self, source: str) -> dict:
        """Return what must be equal for a folder to be continued.

        Args:
            source: Where the studies come from. Its digest is kept, since a search may name a patient.
        """
        return {
            "version": __version__,
            **self.model,
            "inputs": f"studies, sha256 {hashlib.sha256(source.encode()).hexdigest()}",
            "formats": list(self.choice.formats) or "default",
            "segmentation": self.choice.segmentation,
            "keep_identifiers": self.choice.keep_identifiers,
            "any_modality": self.choice.any_modality,
            **{name: True for name in ("rank", "uncertainty") if getattr(self.choice, name)},
            **engines_of(self.trained, self.organ_network),
        }

    def mark(self, study: str, folder: Path) -> dict:
        """Mark the files of a study and return what the progress log keeps; its results are in out/<study>.

        Results of an earlier state of the study are removed first.

        Args:
            study: StudyInstanceUID.
            folder: Folder with the files of the study.

        Raises:
            UserInputError: Nothing could be marked.
        """
        shutil.rmtree(self.out / study, ignore_errors=True)
        with contextlib.ExitStack() as unless_complete:
            # A part of the results, without a record, would be taken for other files.
            unless_complete.callback(shutil.rmtree, self.out / study, ignore_errors=True)
            record = self._mark(study, folder)
            unless_complete.pop_all()
        return record

    def _mark(self, study: str, folder: Path) -> dict:
        """Mark the files of a study into an empty folder."""
        inputs = find_inputs(
            [folder],
            stacks=self.recipe.modality != "xray",
            keep_identifiers=self.choice.keep_identifiers,
            sequences=self.sequences,
        )
        inputs = replace(
            inputs,
            names=tuple(f"{study}/{name}" for name in inputs.names),
            outputs=tuple(study / output for output in inputs.outputs),
        )
        groups = group_cases(inputs.manifest)
        marker = GroupMarker(
            self.trained,
            self.recipe,
            inputs,
            self.out,
            self.model,
            self.choice,
            self.cache,
            self.organ_network,
            alone=False,
        )
        content: dict[str, list] = {"slices": [], "volumes": [], "failures": [*inputs.failures], "notes": []}
        for group, stem in zip(groups, volume_output_names(inputs, groups)):
            try:
                for key, rows in marker.mark(group, stem).items():
                    content[key] += rows
            except UserInputError as error:
                content["failures"].append(inputs.hide(str(error)))
        if not content["volumes"]:
            raise DataError(f"study {study}: nothing could be marked:\n{listed(content['failures'])}")
        return content


def predict_studies(
    marker: StudyMarker,
    archive: Archive,
    search: StudySearch,
    *,
    reporter,
    destination: Archive | None = None,
) -> PredictionSummary:
    """Mark the studies of an archive that match a search, holding one study on disk and one volume in memory.

    Below marker.out are a folder <StudyInstanceUID> per study, then the tables and the page over all. A
    folder that the same call began is continued: studies that are recorded with the same images are skipped;
    a study to which images were added is marked again as a whole.

    Args:
        marker: Marks the files of a study.
        archive: Where the studies are.
        search: Which studies are wanted.
        reporter: Reporter for progress.
        destination: Where the results are stored; None: nowhere.

    Returns:
        The summary. A study that cannot be marked is reported in `failures` and does not stop the rest.

    Raises:
        DataError: No study matches, or nothing could be marked.
        RunError: The folder is used for something else.
        ServerFailure: An archive cannot be reached or refuses; what is recorded stays.
    """
    studies = archive.studies(search)
    if not studies:
        raise DataError(f"{archive.address.text}: no study matches the search.")
    reporter.line(f"Studies: {len(studies)} in {archive.address.text}")
    failures = [
        f"study {study}: the search names it, and the archive has no such study that fits the whole search."
        for study in search.studies
        if study not in studies
    ]
    resumed, seen = 0, set[str]()
    source = f"{archive.address.url} {astuple(search)}"
    with ProgressLog.open(marker.out, marker.settings(source)) as progress_log:
        try:
            with reporter.bar("Marking", len(studies)) as bar:
                for index, study in enumerate(studies):
                    try:
                        series = _wanted_series(marker, archive, search, study)
                        seen |= {each.series for each in series}
                        resumed += _one_study(marker, archive, series, study, progress_log)
                        if destination:
                            send_results(progress_log, marker.out, study, destination)
                    except UserInputError as error:
                        failures.append(str(error))
                    bar.update(index + 1)
            failures += [
                f"series {series}: the search names it, and no study of the search has it with images of a "
                f"Modality that is wanted."
                for series in search.series
                if series not in seen
            ]
        finally:
            outcome = write_summary(
                progress_log, marker.out, failures, marker.choice, marker.facts(), marker.recipe.modality
            )
    outcome.resumed = resumed
    if not outcome.slices:
        raise DataError(f"Nothing could be marked:\n{listed(outcome.failures)}")
    return outcome


def _wanted_series(marker, archive, search, study: str) -> list[ArchivedSeries]:
    """Return the series of a study that are to be marked. Raises DataError when it has none."""
    series = [
        each
        for each in archive.series(study, search, marker.modalities())
        if each.modality not in RESULT_MODALITIES
        and not each.description.startswith(OWN_SERIES)
        and each.instances
    ]
    if not series:
        expected = ", ".join(search.modalities or marker.modalities()) or "images"
        raise DataError(f"study {study}: has no series that is wanted (expected {expected}).")
    return series


def _one_study(marker, archive, series: list[ArchivedSeries], study: str, progress_log: ProgressLog) -> bool:
    """Fetch, mark and record a study. Returns whether it was recorded with the same images already."""
    instances = sorted(instance for each in series for instance in each.instances)
    recorded = progress_log.content(study)
    if recorded is not None and recorded["instances"] == instances:
        return True
    with fetch_folder(marker.out) as folder:
        for each in series:
            archive.fetch(each, folder / each.series)
        progress_log.add(study, {**marker.mark(study, folder), "instances": instances, "sent": None})
    return False


@contextlib.contextmanager
def fetch_folder(out: Path):
    """Yield an empty folder for the images of one study, which is removed at the end."""
    folder = out / FETCHED
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def is_unsent(content: dict, destination) -> bool:
    """Return whether a recorded study has a segmentation that the destination has not confirmed."""
    volumes = content.get("volumes", ())
    return content.get("sent") != destination.address.text and any(row["dicom_seg"] for row in volumes)


def send_results(progress_log: ProgressLog, out: Path, study: str, destination) -> int:
    """Send the DICOM results of a recorded study unless that is recorded too; return how many were sent.

    Segmentations go first, since reports refer to them.

    Args:
        progress_log: Record of what is finished.
        out: Output folder.
        study: StudyInstanceUID.
        destination: Archive, or another object with `address.text` and `store(path)`.

    Raises:
        DataError: The study has no segmentation, or the destination does not take this object.
        ServerFailure: The destination cannot be reached or refuses.
    """
    content = progress_log.content(study)
    if content is None or content["sent"] == destination.address.text:
        return 0
    files = [path for end in _SENT_ENDS for path in sorted((out / study).rglob(f"*{end}"))]
    if not files or not files[0].name.endswith(_SENT_ENDS[0]):
        reasons = content["failures"] or [f"there is none below {out / study}; choose another --out."]
        raise DataError(f"study {study}: has no DICOM segmentation to send:\n{listed(reasons)}")
    for path in files:
        destination.store(path)
    progress_log.add(study, {**content, "sent": destination.address.text})
    return len(files)
