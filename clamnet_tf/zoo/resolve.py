"""A model's name or path -> its folder, wherever a command takes MODEL."""

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
    """The folder of a model that can be loaded: RunFolder's recipe, selection and model are there, an entry's
    weights are what it declares.

    Args:
        spec: a run folder, the folder of a zoo entry, or a zoo entry's name: looked up in the packaged zoo,
            in the folders of $CLAMNET_TF_ZOO, among pulled entries and in the registries of
            $CLAMNET_TF_REGISTRY, from which it is pulled.
        reporter: Reporter, told of a download.

    Raises:
        ZooError: no such name (nearest names, and where was looked), or an entry that is wrong. RunError: an
            unfinished run.
    """
    text = os.fspath(spec)
    if _is_path(text):
        return _open_entry(Path(text)) if is_entry(text) else RunFolder.open_finished(text)
    return _open_entry(find_entry(text, reporter=reporter).folder)


def find_entry(name: str, *, pull: bool = True, reporter=None) -> Found:
    """The entry of that name; ZooError as in `open_model`. Without `pull` registries are not asked."""
    entries = local_entries()
    named = [found for found in entries if folder_name(found) == name]
    first = [found for found in named if found.source != "pulled"]
    if first:
        return first[0]
    if len(named) > 1:
        places = ", ".join(str(found.folder) for found in named)
        raise ZooError(f"{name}: was pulled from several registries: {places}. Name one of these folders.")
    if named:
        return named[0]
    unknown = _unknown(name, {folder_name(found) for found in entries})
    from clamnet_tf.zoo.remote import NotOffered, configured_registries, pull_first

    registries = configured_registries() if pull else []
    if not registries:
        raise ZooError(unknown)
    try:
        return Found("pulled", pull_first(registries, name, reporter))
    except NotOffered as error:
        raise ZooError(f"{unknown}\n{error}") from error


def entry_at(spec, *, pull: bool = False) -> Found:
    """The entry of a folder or of a name, for commands that take entries only."""
    text = os.fspath(spec)
    return (
        Found("folder", Path(text))
        if is_entry(text) or not _NAME.fullmatch(text)
        else find_entry(text, pull=pull)
    )


def _is_path(text: str) -> bool:
    """A path rather than a name; a folder in the way that is no model does not hide a zoo entry of its
    name.
    """
    return not _NAME.fullmatch(text) or is_entry(text) or (Path(text) / "recipe.yaml").exists()


def _open_entry(folder: Path) -> RunFolder:
    entry = Found("folder", folder).read()
    weights = check_weights(folder, entry)
    check_contract(weights, side=entry.input.side, channels=entry.input.channels, heads=entry.output.heads)
    return RunFolder.open_finished(folder)


def _unknown(name: str, known: set) -> str:
    near = nearest(name, known)
    own = [f"{FOLDERS_VARIABLE} ({folder})" for folder in own_folders()]
    places = [f"the packaged zoo ({packaged_folder()})", *own, f"pulled entries ({pulled_folder()})"]
    advice = f"nearest name {near}" if near else f"known names: {', '.join(sorted(known)) or 'none'}"
    return (
        f"{ascii(name)[1:-1]}: expected a run folder or the name of a zoo entry, received neither; "
        f"{advice}. Looked in {'; '.join(places)}."
    )
