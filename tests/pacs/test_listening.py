"""The service of `listen` without a network: what is sent, what waits, what is removed."""

import os
import time
from types import SimpleNamespace

import pytest

from clamnet_tf.errors import DataError, ServerFailure, UserInputError
from clamnet_tf.pacs.peer import Receiver, parse_peer
from clamnet_tf.prediction.progress_log import ProgressLog
from clamnet_tf.workflows.listening import Listening


class Destination:
    """Takes every result but those of refused studies, and nothing while it is away."""

    address = SimpleNamespace(text="dicom://PACS@pacs:104")

    def __init__(self, *refused, away=False):
        self.refused, self.away, self.taken = refused, away, []

    def store(self, path):
        if self.away:
            raise ServerFailure("the archive is away")
        if path.parent.name in self.refused:
            raise DataError(f"the archive refuses the result of {path.parent.name}")
        self.taken.append(path.parent.name)


@pytest.fixture
def serve(tmp_path):
    """serve(destination) -> (service, progress log with the studies 1.1, 1.2, 1.3, lines that were told)."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def make(destination, **options):
            out, told = tmp_path / "out", []
            metrics = SimpleNamespace(sent=SimpleNamespace(inc=lambda: None), problem="")
            reporter = SimpleNamespace(line=told.append)
            receiver = Receiver(tmp_path / "received", "CLAMNET")
            marker = SimpleNamespace(out=out)
            service = Listening(
                marker, receiver, metrics, reporter=reporter, destination=destination, **options
            )
            log = stack.enter_context(ProgressLog.open(out, {"version": "1", "engine": "tensorflow"}))
            for study in ("1.1", "1.2", "1.3"):
                (out / study).mkdir()
                (out / study / "a_seg.dcm").touch()
                volumes = [{"dicom_seg": f"{study}/a_seg.dcm"}]
                log.add(study, {"volumes": volumes, "failures": [], "instances": ["9"], "sent": None})
            service._unsent = {"1.1", "1.2", "1.3"}
            return service, log, told

        yield make


def test_a_refused_result_does_not_hold_the_others_back(serve):
    destination = Destination("1.1")
    service, log, told = serve(destination)
    service._send(log)
    assert destination.taken == ["1.2", "1.3"] and service._unsent == {"1.1"}
    assert told[0] == "Not sent: study 1.1: the archive refuses the result of 1.1"
    assert service.metrics.problem == "the archive refuses the result of 1.1", "for /health"
    assert log.content("1.2")["sent"] and not log.content("1.1")["sent"]


def test_an_archive_that_is_away_is_asked_once_and_later_gets_all(serve):
    destination = Destination(away=True)
    service, log, told = serve(destination)
    service._send(log)
    assert len(told) == 1 and service._unsent == {"1.1", "1.2", "1.3"}
    destination.away, service._send_at = False, 0.0
    service._send(log)
    assert destination.taken == ["1.1", "1.2", "1.3"] and not service._unsent and not service.metrics.problem


def test_images_are_not_removed_while_more_arrive(serve):
    service, log, _ = serve(None, keep_hours=0.0, quiet_seconds=1.0)
    for study in ("1.1", "1.2"):
        folder = service.receiver.folder / study
        folder.mkdir(parents=True)
        os.utime(folder, (time.time() - 60, time.time() - 60))
    service.receiver._arrived["1.1"] = time.monotonic()
    service._remove_old(log)
    assert [path.name for path in service.receiver.folder.iterdir()] == ["1.1"]


@pytest.mark.parametrize("title", [" ", "A\\B", "A" * 17, "A/B"])
def test_what_is_no_ae_title_is_refused(title):
    with pytest.raises(UserInputError):
        parse_peer(f"dicom://{title}@pacs:104")
