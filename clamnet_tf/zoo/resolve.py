"""Resolve a model's name or path to its folder, wherever a command takes MODEL."""

import os
import re
from pathlib import Path

from clamnet_tf.errors import ZooError
from clamnet_tf.networks.declared import check_contract
from clamnet_tf.recipe.suggest import nearest
from clamnet_tf.runs import RunFolder
from clamnet_tf.zoo.catalogue import (
    FOLDERS_VARIABLE,
    Found,
    folder_name,
    local_entries,
    own_folders,
    packaged_folder,
    pulled_folder,
)
from clamnet_tf.zoo.entry import is_entry
from clamnet_tf.zoo.read import check_weights

_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")


def open_model(spec, reporter=None) -> RunFolder:
    """Return the folder of a model that can be loaded.

    The folder has a recipe, a selection and a model; an entry's weights are those that it declares.

    Args:
        spec: A run folder, the folder of a zoo entry, or the name of one. A name is looked up in the packaged
            zoo, in the folders of $CLAMNET_TF_ZOO, among pulled entries, and in the registries of
            $CLAMNET_TF_REGISTRY, from which it is pulled. Or hf://OWNER/REPOSITORY[/NAME][@REVISION], an
            entry of the Hugging Face Hub.
        reporter: Reporter, told about a download.

    Raises:
        ZooError: There is no such name (the message has the nearest name and the places that were searched),
            or the entry is wrong.
        RunError: The run is not finished.
    """
    text = os.fspath(spec)
    if text.startswith("hf://"):
        from clamnet_tf.zoo.remote import pull_address

        return _open_entry(pull_address(text, reporter))
    if _is_path(text):
        return _open_entry(Path(text)) if is_entry(text) else RunFolder.open_finished(text)
    return _open_entry(find_entry(text, reporter=reporter).folder)


def find_entry(name: str, *, pull: bool = True, reporter=None) -> Found:
    """Return the entry of that name. Without `pull`, registries are not asked. Raises ZooError as in
    `open_model`.
    """
    entries = local_entries()
    same_name = [entry for entry in entries if folder_name(entry) == name]
    own_entries = [entry for entry in same_name if entry.source != "pulled"]
    if own_entries:
        return own_entries[0]
    if len(same_name) > 1:
        folders = ", ".join(str(entry.folder) for entry in same_name)
        raise ZooError(f"{name}: was pulled from several registries: {folders}. Give one of these folders.")
    if same_name:
        return same_name[0]
    unknown = _unknown(name, {folder_name(entry) for entry in entries})
    from clamnet_tf.zoo.remote import NotOffered, configured_registries, pull_first

    registries = configured_registries() if pull else []
    if not registries:
        raise ZooError(unknown)
    try:
        return Found("pulled", pull_first(registries, name, reporter))
    except NotOffered as error:
        raise ZooError(f"{unknown}\n{error}") from error


def entry_at(spec, *, pull: bool = False) -> Found:
    """Return the entry of a folder or name, for commands that take entries only."""
    text = os.fspath(spec)
    return (
        Found("folder", Path(text))
        if is_entry(text) or not _NAME.fullmatch(text)
        else find_entry(text, pull=pull)
    )


def _is_path(text: str) -> bool:
    """Return whether a text is a path rather than a name.

    A folder that is no model does not hide a zoo entry of the same name.
    """
    return not _NAME.fullmatch(text) or is_entry(text) or (Path(text) / "recipe.yaml").exists()


def _open_entry(folder: Path) -> RunFolder:
    """Check an entry's weights and their contract, and return its folder."""
    entry = Found("folder", folder).read()
    weights = check_weights(folder, entry)
    check_contract(weights, side=entry.input.side, channels=entry.input.channels, heads=entry.output.heads)
    return RunFolder.open_finished(folder)


def _unknown(name: str, known: set) -> str:
    """Return the message for a name that is not found."""
    nearest_name = nearest(name, known)
    user_folders = [f"{FOLDERS_VARIABLE} ({folder})" for folder in own_folders()]
    searched = [
        f"the packaged zoo ({packaged_folder()})",
        *user_folders,
        f"pulled entries ({pulled_folder()})",
    ]
    advice = (
        f"nearest name {nearest_name}"
        if nearest_name
        else f"known names: {', '.join(sorted(known)) or 'none'}"
    )
    return (
        f"{ascii(name)[1:-1]}: expected a run folder or the name of a zoo entry, received neither; "
        f"{advice}. Looked in {'; '.join(searched)}."
    )
