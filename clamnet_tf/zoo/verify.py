"""Verify that an entry is what it claims to be: files, shapes, thresholds, golden output, card."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf.errors import ClamnetError, ZooError
from clamnet_tf.evaluation.baselines.serialization import read_kept
from clamnet_tf.export.reference import RUNTIME_TOLERANCE
from clamnet_tf.files import open_regular
from clamnet_tf.inference.appearance import AppearanceModel
from clamnet_tf.inference.onnx_predictor import OnnxPredictor
from clamnet_tf.networks.average import head_activation
from clamnet_tf.networks.evidence_maps import is_evidence_maps
from clamnet_tf.networks.onnx_file import MODEL_SHA256, read_onnx
from clamnet_tf.networks.saved import load_network
from clamnet_tf.plain_json import plain_json
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.runs import APPEARANCE_FILE
from clamnet_tf.zoo.card import missing_sections
from clamnet_tf.zoo.card_header import wrong_keys
from clamnet_tf.zoo.classes import class_rows, cuts, trained_eta
from clamnet_tf.zoo.entry import (
    BASELINES_FILE,
    CARD_FILE,
    FILES,
    GOLDEN_FILE,
    LARGEST_WEIGHTS,
    ONNX_FILE,
    Entry,
)
from clamnet_tf.zoo.golden import golden_difference, golden_output, golden_output_of
from clamnet_tf.zoo.read import check_weights, read_entry

LARGEST_JSON = 5_000_000  # bytes, of selection.json and golden.json


@dataclass(frozen=True)
class Check:
    """Hold one check of an entry; `problem` is None when it passed."""

    name: str
    problem: str | None


def verify(folder) -> list[Check]:
    """Run every check of an entry's folder: schema, files, recipe, network, shapes, golden output, card.

    The network is loaded only when its files are right; what cannot be checked for that reason is left out.
    """
    folder, checks = Path(folder), []

    def passed(name, check, *arguments):
        try:
            value = check(*arguments)
        except ClamnetError as error:
            checks.append(Check(name, str(error)))
            return None
        checks.append(Check(name, None))
        return True if value is None else value

    entry = passed("schema", read_entry, folder)
    if entry is None:
        return checks
    if passed("files", _check_files, folder, entry):
        passed("recipe", _check_recipe, folder, entry)
        network = passed("network", load_network, folder / entry.weights.file)
        if network is not None:
            passed("shapes", _check_shapes, entry, network)
            passed("golden output", _check_golden, folder, golden_output(network), "the network")
        if entry.weights.onnx is not None and importlib.util.find_spec("onnxruntime") is not None:
            passed("golden output of model.onnx", _check_onnx, folder, entry)
    passed("card", _check_card, folder, entry)
    return checks


def _check_files(folder: Path, entry: Entry) -> None:
    """Check that all files are there, the folder has the entry's name, and the weights are those declared."""
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise ZooError(f"{folder}: expected {', '.join(FILES)}; missing: {', '.join(missing)}.")
    name = folder.resolve().name
    if name not in (entry.name, f"{entry.name}-{entry.version}"):
        raise ZooError(f"{folder}: expected a folder named {entry.name}, as the entry; found {name}.")
    largest = max(entry.weights.bytes, entry.weights.onnx.bytes if entry.weights.onnx else 0)
    if largest > LARGEST_WEIGHTS:
        raise ZooError(f"{folder}: expected weights of at most {LARGEST_WEIGHTS} bytes; they have {largest}.")
    check_weights(folder, entry)


def _check_recipe(folder: Path, entry: Entry) -> None:
    """Check that entry.yaml agrees with recipe.yaml and selection.json."""
    recipe = load_recipe(folder / "recipe.yaml")
    selection = _json(folder / "selection.json")
    try:
        threshold = cuts(recipe, selection)
        pairs = {
            "modality": (entry.modality, recipe.modality),
            "condition": (entry.condition, recipe.condition),
            "input.side": (entry.input.side, recipe.data.side),
            "input.normalization": (entry.input.normalization, recipe.data.normalization),
            "input.window": (entry.input.window, recipe.data.window),
            "input.organ": (entry.input.organ, recipe.organ),
            "eta": (entry.eta, trained_eta(recipe)),
            "threshold.head": (entry.threshold.head, recipe.inference.head),
            "threshold.value": (entry.threshold.value, threshold["value"]),
            "threshold.raw_value": (entry.threshold.raw_value, threshold["raw_value"]),
            "threshold.rule": (entry.threshold.rule, selection["threshold_rule"]),
            "metrics.seed": (entry.metrics.seed, recipe.training.seed),
            **_class_pairs(entry, class_rows(recipe, selection)),
        }
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ZooError(
            f"{folder / 'selection.json'}: not the selection of a finished run ({type(error).__name__}: "
            f"{error})."
        ) from error
    wrong = [
        f"{key}: entry.yaml has {ours}, the recipe or selection {theirs}"
        for key, (ours, theirs) in pairs.items()
        if ours != theirs
    ]
    if wrong:
        raise ZooError(f"{folder}: {'; '.join(wrong)}.")
    if (folder / BASELINES_FILE).is_file():
        read_kept(
            folder / BASELINES_FILE,
            tuple(section.name for section in entry.markers or ()),
            entry.input.channels,
        )
    if (folder / APPEARANCE_FILE).is_file():
        channels = entry.input.channels - (recipe.data.normal_atlas is not None)
        received = AppearanceModel.load(folder / APPEARANCE_FILE).channels
        if received != channels:
            raise ZooError(
                f"{folder / APPEARANCE_FILE}: expected images of {channels} channel(s); received {received}. "
                f"It is not of this run."
            )


def _class_pairs(entry: Entry, wanted: list[dict]) -> dict:
    """Return what the entry repeats about named classes, paired with the run's values.

    Where the names differ, only they are returned.
    """
    sections = entry.markers or []
    names = [
        ", ".join(class_names) or "none"
        for class_names in ([section.name for section in sections], [row["name"] for row in wanted])
    ]
    pairs = {"markers": tuple(names)}
    for section, row in zip(sections, wanted) if names[0] == names[1] else ():
        pairs[f"markers.{section.name}.eta"] = (section.eta, row["eta"])
        pairs |= {
            f"markers.{section.name}.threshold.{key}": (
                getattr(section.threshold, key),
                row["threshold"][key],
            )
            for key in ("value", "raw_value")
        }
    return pairs


def _check_shapes(entry: Entry, network) -> None:
    """Check that the network's input and output have the declared shapes."""
    side, given, made = entry.input.side, entry.input, entry.output
    expected = (None, side, side, given.channels)
    if tuple(network.inputs[0].shape) != expected:
        raise ZooError(
            f"input: entry.yaml says {expected}, the network takes {tuple(network.inputs[0].shape)}."
        )
    if sorted(network.output) != sorted(made.heads):
        raise ZooError(
            f"output.heads: entry.yaml says {', '.join(made.heads)}, the network gives "
            f"{', '.join(sorted(network.output))}."
        )
    if is_evidence_maps(network) != (made.activation == "linear"):
        raise ZooError(
            f"output: entry.yaml says {made.activation}, the network gives "
            f"{'evidence maps, which are linear' if is_evidence_maps(network) else 'probabilities'}."
        )
    for head, tensor in network.output.items() if made.activation != "linear" else ():
        expected = (None, side, side, 1 if made.activation == "sigmoid" else len(made.classes))
        actual = tuple(tensor.shape), head_activation(network, head)
        if actual != (expected, made.activation):
            raise ZooError(
                f"output: entry.yaml says {made.activation} of {expected}, {head} of the network gives "
                f"{actual[1]} of {actual[0]}."
            )


def _check_onnx(folder: Path, entry: Entry) -> None:
    """Check that model.onnx was made from these weights and gives the stored output for the golden input."""
    path = folder / ONNX_FILE
    made_from = read_onnx(path).metadata.get(MODEL_SHA256)
    if made_from != entry.weights.sha256:
        raise ZooError(
            f"{path}: was made from weights of sha256 {made_from}, not from {entry.weights.file} beside it. "
            f"Make it again: clamnet-tf zoo onnx {folder}."
        )
    actual = golden_output_of(OnnxPredictor(path))
    _check_golden(folder, actual, "ONNX Runtime with model.onnx", least=RUNTIME_TOLERANCE)


def _check_golden(folder: Path, actual: dict, what: str, *, least: float = 0.0) -> None:
    """Check that `what` gives the stored output for the golden input; `least` raises a smaller tolerance."""
    stored = _json(folder / GOLDEN_FILE)
    try:
        difference, tolerance = golden_difference(stored, actual), max(least, float(stored["tolerance"]))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ZooError(
            f"{folder / GOLDEN_FILE}: not a golden output ({type(error).__name__}: {error})."
        ) from error
    if not difference <= tolerance:
        raise ZooError(
            f"{folder / GOLDEN_FILE}: {what} gives other numbers for the golden input: largest "
            f"difference {difference:.2g}, allowed {tolerance:g}."
        )


def _check_card(folder: Path, entry: Entry) -> None:
    """Check that the card says what entry.yaml says."""
    path = folder / CARD_FILE
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    missing = missing_sections(entry, text)
    if missing:
        raise ZooError(
            f"{path}: these sections are missing or do not say what entry.yaml says: {', '.join(missing)}. "
            f"clamnet-tf zoo publish writes them."
        )
    wrong = wrong_keys(text, entry)
    if wrong:
        raise ZooError(
            f"{path}: these keys of the header do not say what entry.yaml says: {', '.join(wrong)}. Write it "
            f"anew: clamnet-tf zoo card {folder}."
        )


def _json(path: Path):
    """Read a JSON file of limited size. Raises ZooError when it cannot be read."""
    try:
        with open_regular(path) as stream:
            content = stream.read(LARGEST_JSON + 1)
    except OSError as error:
        raise ZooError(f"{path}: cannot be read: {error.strerror}.") from error
    if len(content) > LARGEST_JSON:
        raise ZooError(f"{path}: expected at most {LARGEST_JSON:,} bytes; it is larger.")
    return plain_json(content, lambda reason: ZooError(f"{path}: cannot be read as JSON ({reason})."))
