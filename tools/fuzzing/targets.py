"""Do with a file of each kind what the product does: the calls that a user's command would make.

Errors are passed on unchanged.
"""

import contextlib
import os
import shutil
import socket
import threading
from pathlib import Path

import numpy as np

CLEAN, REFUSED, FAILED = "clean", "refused", "failed"
#: Loads TensorFlow: in a process of its own.
HEAVY = ("keras",)


def image(path: Path) -> None:
    """Read a file like `predict`: what it is, whose it is, its pixels; and read it as a mask."""
    from clamnet_tf.datasets.unlabelled_inputs import find_inputs
    from clamnet_tf.errors import ClamnetError
    from clamnet_tf.imaging.mask_files import read_mask
    from clamnet_tf.imaging.readers import read_volume

    found = find_inputs([path])
    volume = read_volume(path)
    assert volume.array.dtype == np.float32 and volume.array.ndim == 4 and np.isfinite(volume.array).all()
    assert volume.to_original(volume.array[..., 0]).shape == volume.grid.shape
    turned = volume.grid.kind == "dicom" and volume.grid.axes[0] != 0  # then one reference per stored slice
    assert turned or len(volume.grid.references) == len(volume.array)
    assert found.outputs
    with contextlib.suppress(ClamnetError):  # an image need not be a mask
        read_mask(path)


def recipe(path: Path) -> None:
    from clamnet_tf.recipe.catalogue import load_recipe
    from clamnet_tf.recipe.writer import recipe_hash, to_yaml

    read = load_recipe(path)
    recipe_hash(read), to_yaml(read)


def study(path: Path) -> None:
    from clamnet_tf.study.read import load_study

    load_study(path)


def entry(path: Path) -> None:
    from clamnet_tf.zoo.read import read_entry

    folder = _folder(path)
    shutil.copy(path, folder / "entry.yaml")
    read_entry(folder)


def selection(path: Path) -> None:
    """Read a selection like inference.trained_model, which loads TensorFlow: of one class, or of several."""
    from clamnet_tf.errors import RunError
    from clamnet_tf.inference.postprocessing.volume import VolumePostprocessor
    from clamnet_tf.recipe.classes import UNNAMED
    from clamnet_tf.runs import RunFolder

    folder = _folder(path)
    shutil.copy(path, folder / "selection.json")
    read = RunFolder(folder).read_selection()
    reasons = []
    for several in (False, True):
        try:
            rows = list(read["markings"].values())
            (
                [VolumePostprocessor.from_row(row, tuple(row) if several else (UNNAMED,)) for row in rows],
                int(read["step"]),
            )
            return
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            reasons.append(repr(error))
    raise RunError(f"not a selection: {reasons}")


def index(path: Path) -> None:
    from clamnet_tf.zoo.index import read_index

    read_index(path.read_bytes(), "index.json")


def manifest(path: Path) -> None:
    from clamnet_tf.datasets.layouts.recognition import recognize

    recognize(_with_images(path, "manifest.csv"))


def labels(path: Path) -> None:
    from clamnet_tf.datasets.layouts.recognition import recognize

    recognize(_with_images(path, "labels.csv"))


def split(path: Path) -> None:
    from clamnet_tf.datasets.split import read_split

    read_split(path, [f"p{number}" for number in range(6)])


def keras(path: Path) -> None:
    from clamnet_tf.networks.saved import load_network

    load_network(path)


def answer(path: Path) -> None:
    """Read a model server's answer, sent unchanged by a real socket."""
    from clamnet_tf.serving.address import parse_address
    from clamnet_tf.serving.identity import Identity
    from clamnet_tf.serving.rest_model import RestModel
    from clamnet_tf.serving.served_probability import ServedProbability

    with _Server(path.read_bytes()) as server:
        model = RestModel(
            parse_address(f"http://127.0.0.1:{server.port}/v1/models/m"), timeout=(2.0, 2.0), waits=()
        )
        found = ServedProbability(model, Identity("0" * 64, "1" * 64, "mean"), side=8)(
            np.zeros((2, 8, 8, 1), np.float32)
        )
    assert found.shape == (2, 8, 8, 1) and 0 <= found.min() <= found.max() <= 1


def registry(path: Path) -> None:
    from clamnet_tf.zoo import transport
    from clamnet_tf.zoo.remote import HttpsRegistry

    transport.ATTEMPTS = 1
    os.environ["CLAMNET_TF_CACHE"] = str(path.parent / "cache")
    with _Server(path.read_bytes()) as server:
        HttpsRegistry(f"http://127.0.0.1:{server.port}/index.json", 1.0).listing()


TARGETS = {
    **dict.fromkeys(("dicom", "nifti", "png", "jpeg", "tiff", "npy"), image),
    "recipe": recipe,
    "study": study,
    "entry": entry,
    "selection": selection,
    "index": index,
    "manifest": manifest,
    "labels": labels,
    "split": split,
    "keras": keras,
    "answer": answer,
    "registry": registry,
}


def _folder(path: Path) -> Path:
    folder = path.parent / "folder"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _with_images(path: Path, name: str) -> Path:
    folder = _folder(path)
    for number in range(6):
        (folder / f"a{number}.png").write_bytes(b"")
    shutil.copy(path, folder / name)
    return folder


class _Server:
    """Send the same bytes to everyone who connects."""

    def __init__(self, content: bytes):
        self.content, self.socket = content, socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        with contextlib.suppress(OSError):
            self.socket.shutdown(
                socket.SHUT_RDWR
            )  # wakes `accept`; closing alone would leave the thread waiting for ever
        self.socket.close()
        self.thread.join(5)

    def _serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            try:
                with connection:
                    connection.settimeout(2)
                    head = b""
                    while b"\r\n\r\n" not in head and (piece := connection.recv(65536)):
                        head += piece
                    connection.sendall(self.content)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        pass
            except OSError:
                continue
