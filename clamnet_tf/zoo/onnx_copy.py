"""Give a zoo entry or a run its model.onnx, with which `predict` needs no TensorFlow."""

import shutil
from pathlib import Path

from clamnet_tf.errors import ZooError
from clamnet_tf.export.heads_onnx import write_heads_onnx
from clamnet_tf.files import write_text
from clamnet_tf.networks.classifier import has_heads
from clamnet_tf.networks.saved import load_network
from clamnet_tf.runs import RunFolder
from clamnet_tf.zoo.card import card_sections
from clamnet_tf.zoo.card_header import with_header
from clamnet_tf.zoo.entry import CARD_FILE, ENTRY_FILE, ONNX_FILE, Entry, is_entry
from clamnet_tf.zoo.publish import Release, changelog_of, put_in_place, with_onnx, workshop
from clamnet_tf.zoo.read import entry_of, entry_text, read_entry

CHANGES = "model.onnx added, with which predict runs without TensorFlow; the network is the same."


def add_onnx(folder) -> float:
    """Write model.onnx beside model.keras of a run or of a zoo entry, whose version is raised.

    Returns:
        The largest difference of a probability from TensorFlow's, see export.heads_onnx.write_heads_onnx.

    Raises:
        EnvironmentFailure: onnx or onnxruntime is not installed.
        ExportFailure: The file gives other numbers than the network.
        RunError: There is no finished run.
        ZooError: The network is a classifier or the file too large, or the entry fails a check with it.
    """
    folder = Path(folder).resolve()
    if not is_entry(folder):
        run = RunFolder.open_finished(folder)
        return write_heads_onnx(_heads_of(run.model), run.model, run.onnx)
    entry, network = read_entry(folder), _heads_of(folder / "model.keras")
    with workshop(folder) as copy:
        shutil.copytree(folder, copy)
        difference = write_heads_onnx(network, copy / "model.keras", copy / ONNX_FILE)
        write_text(copy / ENTRY_FILE, entry_text(_raised(folder, entry, copy)))
        _renew_card(copy / CARD_FILE, entry, read_entry(copy))
        put_in_place(copy, folder)
    return difference


def _raised(folder: Path, entry: Entry, copy: Path) -> Entry:
    """Return the entry with the new file declared; the version stays when the file is the one declared."""
    declared = with_onnx(entry, copy, folder)
    if declared == entry:
        return entry
    release = Release(entry.version + 1, CHANGES)
    changed = {"version": release.version, "changelog": changelog_of(folder, entry, release)}
    return entry_of(declared.model_dump(mode="json") | changed, str(folder / ENTRY_FILE))


def _renew_card(path: Path, before: Entry, after: Entry) -> None:
    """Write the header and the sections of a card anew; what else it contains stays."""
    text, old = path.read_text(encoding="utf-8"), card_sections(before)
    for title, body in card_sections(after).items():
        text = text.replace(f"## {title}\n\n{old[title]}\n", f"## {title}\n\n{body}\n")
    write_text(path, with_header(text, after))


def _heads_of(model: Path):
    """Return the network of a model.keras. Raises ZooError when it is a classifier, which has no heads."""
    network = load_network(model)
    if not has_heads(network):
        raise ZooError(
            f"{model}: expected a network that marks lesions; received one that classifies slices, whose "
            f"activation maps or attribution only TensorFlow computes."
        )
    return network
