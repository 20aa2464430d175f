"""Read entry.yaml into an Entry, or raise one ZooError with every problem of the file; and write it."""

import functools
import hashlib
from pathlib import Path

from pydantic import ValidationError

from clamnet_tf.errors import ZooError
from clamnet_tf.recipe.foreign import is_foreign, without_quotes
from clamnet_tf.recipe.json_schema import schema_of
from clamnet_tf.recipe.problems import Problem, in_order
from clamnet_tf.recipe.reader import read_file, read_text
from clamnet_tf.recipe.schema_problems import place, schema_problems
from clamnet_tf.recipe.writer import yaml_text
from clamnet_tf.zoo.entry import ENTRY_FILE, ONNX_FILE, Entry
from clamnet_tf.zoo.entry_rules import entry_rules


def read_entry(folder) -> Entry:
    """Return the checked entry.yaml of a folder.

    Raises:
        ZooError: The message has every problem of the file, with line, dotted path and nearest key.
    """
    path = Path(folder) / ENTRY_FILE
    if not path.is_file():
        raise ZooError(f"{folder}: expected the folder of a zoo entry; it has no {ENTRY_FILE}.")
    root, problems = read_file(path)
    problems = without_quotes(root, problems, Entry.model_fields, "a zoo entry", str(path))
    if is_foreign(root, Entry.model_fields):
        raise ZooError(in_order(problems))
    return _entry(root, problems)


def entry_of(data: dict, source: str) -> Entry:
    """Return the checked entry of plain values; `source` is their name in a ZooError."""
    return _entry(*read_text(yaml_text(data), source))


def _entry(root, problems) -> Entry:
    """Return the checked entry of a tree of nodes. Raises ZooError with all problems."""
    if root is None:
        raise ZooError(in_order(problems))
    entry = check(root, problems, Entry)
    wrong = [
        Problem(place(root, path), path, expected, received)
        for path, expected, received in entry_rules(entry)
    ]
    if wrong:
        raise ZooError(in_order(wrong))
    return entry


def check(root, problems, model):
    """Return the `model` that a tree of nodes holds.

    Raises:
        ZooError: There are `problems`, or the schema has objections; the message has all of them.
    """
    problems, checked = list(problems), None
    try:
        checked = model.model_validate(root.plain())
    except ValidationError as error:
        problems += schema_problems(_schema(model), root, error, set(root.unreadable()))[0]
    if problems:
        raise ZooError(in_order(problems))
    return checked


@functools.cache
def _schema(model) -> dict:
    """Return the JSON schema of a model."""
    return schema_of(model, model.__name__)


def entry_text(entry: Entry) -> str:
    """Return entry.yaml as text; reading it back gives the same entry."""
    head = (
        f"# Zoo entry {entry.name}, written by clamnet-tf zoo publish. Raise the version with every change.\n"
    )
    return head + yaml_text(entry.model_dump(mode="json"))


def check_weights(folder, entry: Entry) -> Path:
    """Return the path of the entry's weights. Raises ZooError unless they, and its model.onnx if it has one,
    have the declared size and sha256.
    """
    path = Path(folder) / entry.weights.file
    if not path.is_file():
        raise ZooError(f"{path}: missing. The entry is incomplete; download it again.")
    _check_digest(path, entry.weights)
    onnx = Path(folder) / ONNX_FILE
    if onnx.is_file() != (entry.weights.onnx is not None):
        raise ZooError(
            f"{onnx}: {'found, but not declared in' if onnx.is_file() else 'missing, but declared in'} "
            f"{ENTRY_FILE}. Download the entry again, or make the file with clamnet-tf zoo onnx {folder}."
        )
    if entry.weights.onnx is not None:
        _check_digest(onnx, entry.weights.onnx)
    return path


def _check_digest(path: Path, declared) -> None:
    """Raise ZooError unless a file has the size and sha256 of its section."""
    if path.stat().st_size != declared.bytes:
        raise ZooError(
            f"{path}: expected {declared.bytes} bytes, as {ENTRY_FILE} declares; found "
            f"{path.stat().st_size}. The file was changed or cut; download the entry again."
        )
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    if actual != declared.sha256:
        raise ZooError(
            f"{path}: expected sha256 {declared.sha256}, as {ENTRY_FILE} declares; found {actual}. The "
            f"file was changed; download the entry again."
        )


def onnx_section(path: Path) -> dict:
    """Return section weights.onnx of an entry for a file."""
    content = path.read_bytes()
    return {"file": ONNX_FILE, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
