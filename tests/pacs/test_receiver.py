"""The receiver of C-STORE: what it keeps, and what it refuses and tells, with real associations."""

import socket

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

pynetdicom = pytest.importorskip("pynetdicom", reason="pynetdicom is not installed")

from clamnet_tf.pacs.peer import Receiver  # noqa: E402


@pytest.fixture
def receive(tmp_path):
    """A receiver that listens, what it told, and store(dataset) -> status of C-STORE."""
    receiver, told = Receiver(tmp_path / "received", "CLAMNET"), []
    receiver.on_refusal = told.append
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    receiver.start("127.0.0.1", port)

    def store(dataset):
        entity = pynetdicom.AE(ae_title="CT1")
        entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        association = entity.associate("127.0.0.1", port, ae_title="CLAMNET")
        try:
            return association.send_c_store(dataset).Status
        finally:
            association.release()

    yield receiver, told, store
    receiver.stop()


def image(**elements):
    dataset = Dataset()
    dataset.file_meta = pynetdicom.dsutils.create_file_meta(
        sop_class_uid=CTImageStorage,
        sop_instance_uid=generate_uid(),
        transfer_syntax=ExplicitVRLittleEndian,
    )
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_an_image_is_kept_and_one_without_a_study_is_refused_and_told(receive):
    receiver, told, store = receive
    kept = image(StudyInstanceUID=generate_uid())
    assert store(kept) == 0 and not told
    path = receiver.folder / kept.StudyInstanceUID / f"{kept.SOPInstanceUID}.dcm"
    assert path.is_file() and receiver.waiting() == 1
    assert store(image()) == 0xC000
    assert told == ["an image from CT1 that cannot be decoded (AttributeError)"]
    assert store(image(StudyInstanceUID="../../x")) == 0xC000
    assert "expected UIDs of study and image, received '../../x'" in told[1]
    assert receiver.waiting() == 1 and len(list(receiver.folder.rglob("*.dcm"))) == 1


def test_an_image_that_cannot_be_written_is_refused_and_told(receive):
    receiver, told, store = receive
    study = generate_uid()
    receiver.folder.mkdir(parents=True, exist_ok=True)
    (receiver.folder / study).write_text("in the way")
    assert store(image(StudyInstanceUID=study)) == 0xA700
    assert told and told[0].startswith(f"an image of study {study} that cannot be stored")
    assert receiver.waiting() == 0
