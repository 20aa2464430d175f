"""Mark the studies that arrive by C-STORE, and send the results; `clamnet-tf listen`.

A study is marked when nothing of it has arrived for some time. Its images are kept for some hours, so that a
study to which images are added is marked again as a whole, never a part of it alone. Killed at any point, the
next process goes on: images that were confirmed are on disk, and results that were recorded are not made
again.
"""

import shutil
import threading
import time
from pathlib import Path

from clamnet_tf.datasets.problems import listed
from clamnet_tf.errors import DataError, ServerFailure, UserInputError
from clamnet_tf.pacs.peer import Receiver
from clamnet_tf.pacs.service_metrics import ServiceMetrics
from clamnet_tf.prediction.predict import write_summary
from clamnet_tf.prediction.progress_log import ProgressLog
from clamnet_tf.workflows.study_marking import StudyMarker, is_unsent, send_results

_LOOK_SECONDS, _TABLES_SECONDS, _SEND_AGAIN_SECONDS = 0.5, 60.0, 30.0


class Listening:
    """Run the service.

    Args:
        marker: Marks the files of a study.
        receiver: Receives images into marker.out / progress_log.RECEIVED.
        metrics: Counts what happens.
        reporter: Reporter for one line per study, which names it by its UID.
        destination: Where results go: pacs.archive.Archive or pacs.peer.Peer; None: nowhere.
        quiet_seconds: Seconds without an image after which a study counts as complete.
        keep_hours: Hours for which the images of a marked study are kept.
    """

    def __init__(
        self,
        marker: StudyMarker,
        receiver: Receiver,
        metrics: ServiceMetrics,
        *,
        reporter,
        destination=None,
        quiet_seconds: float = 30.0,
        keep_hours: float = 24.0,
    ):
        self.marker, self.receiver, self.metrics = marker, receiver, metrics
        self.reporter, self.destination = reporter, destination
        self.quiet_seconds, self.keep_seconds = quiet_seconds, keep_hours * 3600
        self._unsent: set[str] = set()
        self._send_at = 0.0

    def run(self, stop: threading.Event, ready) -> None:
        """Work until `stop` is set.

        Args:
            stop: Set from a signal handler.
            ready: Called without arguments once this process holds the output folder, to begin to receive.

        Raises:
            RunError: The output folder is used for something else.
        """
        settings = self.marker.settings("images received by C-STORE")
        with ProgressLog.open(self.marker.out, settings) as progress_log:
            if self.destination:
                self._unsent = {
                    study
                    for study in progress_log.groups
                    if is_unsent(progress_log.content(study) or {}, self.destination)
                }
            tables_at, changed = 0.0, False
            ready()
            try:
                while not stop.is_set():
                    for study in self.receiver.complete(self.quiet_seconds):
                        changed |= self._mark(study, progress_log)
                        self._send(progress_log)
                        if stop.is_set():
                            break
                    self._send(progress_log)
                    if changed and time.monotonic() > tables_at:
                        self._write_tables(progress_log)
                        tables_at, changed = time.monotonic() + _TABLES_SECONDS, False
                    self._remove_old(progress_log)
                    stop.wait(_LOOK_SECONDS)
            finally:
                self._write_tables(progress_log)

    def _mark(self, study: str, progress_log: ProgressLog) -> bool:
        """Mark one study unless it is recorded with the same images; return whether it was marked."""
        folder = self.receiver.folder / study
        instances = sorted(path.stem for path in folder.glob("*.dcm"))
        recorded = progress_log.content(study)
        if recorded is not None and recorded["instances"] == instances:
            return False
        started = time.monotonic()
        try:
            if recorded is not None and (gone := set(recorded["instances"]) - set(instances)):
                raise DataError(
                    f"study {study}: more images arrived after {len(gone)} earlier ones were removed (see "
                    f"--keep-hours). A part of a study is not marked; send the complete study again."
                )
            content = self.marker.mark(study, folder)
        except UserInputError as error:
            self.metrics.failed.inc()
            self.reporter.line(f"Failed: {error}")
            return False
        content |= {"instances": instances, "sent": None}
        progress_log.add(study, content)
        self.metrics.marked.inc()
        self.metrics.seconds.observe(time.monotonic() - started)
        self.reporter.line(f"Marked: study {study}, {len(instances)} images")
        if content["failures"]:
            self.reporter.line(f"Left out of study {study}:\n{listed(content['failures'])}")
        self._unsent.discard(study)  # its earlier state
        if self.destination and is_unsent(content, self.destination):
            self._unsent.add(study)
            self._send_at = 0.0
        return True

    def _send(self, progress_log: ProgressLog) -> None:
        """Send what is not sent; what fails is tried again later."""
        if not self._unsent or time.monotonic() < self._send_at:
            return
        problem = ""
        for study in sorted(self._unsent):
            try:
                send_results(progress_log, self.marker.out, study, self.destination)
            except (ServerFailure, UserInputError) as error:
                problem = str(error)
                if self.metrics.problem != problem:
                    self.reporter.line(f"Not sent: study {study}: {problem}")
                self._send_at = time.monotonic() + _SEND_AGAIN_SECONDS
                if isinstance(error, ServerFailure):
                    break  # any other error is of this study alone, and the rest do not wait for it
            else:
                self._unsent.discard(study)
                self.metrics.sent.inc()
                self.reporter.line(f"Sent: study {study}")
        self.metrics.problem = problem

    def _write_tables(self, progress_log: ProgressLog) -> None:
        if progress_log.groups:
            write_summary(
                progress_log,
                self.marker.out,
                [],
                self.marker.choice,
                self.marker.facts(),
                self.marker.recipe.modality,
            )

    def _remove_old(self, progress_log: ProgressLog) -> None:
        """Remove the images of marked studies after the hours for which they are kept, and never while more
        images of the study arrive.
        """
        kept_seconds = max(self.keep_seconds, self.quiet_seconds)
        for study in list(progress_log.groups):
            folder: Path = self.receiver.folder / study
            if self.receiver.is_waiting(study) or not folder.is_dir():
                continue
            if time.time() - folder.stat().st_mtime > kept_seconds:
                shutil.rmtree(folder, ignore_errors=True)
