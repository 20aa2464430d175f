"""Upload an entry to a repository of the Hugging Face Hub.

All files of an entry reach the repository in one commit on top of the state that was looked at, so that a
reader finds the version before or the whole new one. The library huggingface_hub sends them; its token is
that of HF_TOKEN or of its login.
"""

import contextlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf.errors import ZooError
from clamnet_tf.files import write_text
from clamnet_tf.zoo.card_header import with_header
from clamnet_tf.zoo.entry import CARD_FILE, ENTRY_FILE, FILES, OPTIONAL_FILES, Entry
from clamnet_tf.zoo.hub import HubRegistry, PlainErrors, hub_endpoint, hub_library
from clamnet_tf.zoo.read import read_entry
from clamnet_tf.zoo.transport import OFFLINE_VARIABLE, is_offline
from clamnet_tf.zoo.verify import verify

_TARGET = re.compile(r"hf://([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:/([a-z][a-z0-9_]*))?")
_OF_THE_HUB = (".gitattributes", ".gitignore")  # which the Hub makes by itself
_CHANGED_MEANWHILE = 412


@dataclass(frozen=True)
class HubTarget:
    """Say where on the Hub an entry is uploaded.

    Attributes:
        repository: OWNER/REPOSITORY.
        name: Folder in the repository, which is the entry's name; None: its root.
    """

    repository: str
    name: str | None

    @classmethod
    def at(cls, text: str) -> "HubTarget":
        """Return the target at hf://OWNER/REPOSITORY[/NAME].

        Raises:
            ZooError: The address has another form.
            EnvironmentFailure: huggingface_hub is not installed.
        """
        match = _TARGET.fullmatch(text)
        if not match or ".." in text:
            raise ZooError(
                f"{text!r}: expected hf://OWNER/REPOSITORY or hf://OWNER/REPOSITORY/NAME, NAME being that of "
                f"the entry (small letters, digits, _)."
            )
        hub_library()
        return cls(match[1], match[2])

    @property
    def label(self) -> str:
        """Return its address."""
        return f"hf://{self.repository}" + (f"/{self.name}" if self.name else "")

    @property
    def root(self) -> str:
        """Return the folder of the entry in the repository, with a slash at the end; "" for its root."""
        return f"{self.name}/" if self.name else ""


@dataclass(frozen=True)
class HubState:
    """Describe what a repository holds before an upload.

    Attributes:
        commit: Commit that was looked at; None: there is no such repository, or the token may not see it.
        private: Whether only its owner sees it.
        files: Paths of its files.
        entry: Entry that is at the target, or None.
    """

    commit: str | None
    private: bool
    files: frozenset
    entry: Entry | None


@dataclass(frozen=True)
class Upload:
    """Say what was done.

    Attributes:
        created: Whether the repository is new.
        private: Whether only its owner sees it.
        commit: Commit with the entry.
        url: Page of that commit.
    """

    created: bool
    private: bool
    commit: str
    url: str


def look_at(target: HubTarget, folder: Path) -> HubState:
    """Ask the Hub what is at the target, and download the entry that is there into `folder`.

    Raises:
        ZooError: Nothing may be sent or no token is set; the Hub cannot be asked; or files that are no entry
            are at the target.
    """
    _check_may_send(target)
    library = hub_library()
    with PlainErrors(target.label, "cannot be read"):
        try:
            info = library.HfApi(endpoint=hub_endpoint()).model_info(target.repository, files_metadata=True)
        except library.errors.RepositoryNotFoundError:
            return HubState(None, False, frozenset(), None)
    files = frozenset(item.rfilename for item in info.siblings or [])
    state = HubState(info.sha, bool(info.private), files, None)
    if target.root + ENTRY_FILE not in files:
        _check_free(target, files)
        return state
    registry = HubRegistry.at(f"hf://{target.repository}@{info.sha}")
    (offer,) = (offer for offer in registry.listing() if offer.root == target.root)
    folder.mkdir(parents=True)
    registry.fetch(offer, folder, None)
    with contextlib.suppress(OSError):  # its folder of downloads, unless entries were pulled at this commit
        (registry.folder / "hub").rmdir()
        registry.folder.rmdir()
    return HubState(info.sha, state.private, files, read_entry(folder))


def check_newer(target: HubTarget, state: HubState, entry: Entry) -> None:
    """Raise ZooError unless an entry may replace what is at the target."""
    if target.name not in (None, entry.name):
        raise ZooError(
            f"{target.label}: expected the folder to be named as the entry, {entry.name}; received "
            f"{target.name}. Give --to hf://{target.repository}/{entry.name}."
        )
    there = state.entry
    if there is None:
        return
    if there.name != entry.name:
        raise ZooError(
            f"{target.label}: holds the entry {there.name}; received {entry.name}, which would replace it. "
            f"Give --to hf://{target.repository}/{entry.name}, or another repository."
        )
    if entry.version <= there.version:
        raise ZooError(
            f"{target.label}: has version {there.version} already; expected a higher one, received "
            f"{entry.version}. Publish the next version first: clamnet-tf zoo publish ... --version "
            f"{there.version + 1}."
        )


def upload(folder, target: HubTarget, state: HubState, *, public: bool, workplace: Path) -> Upload:
    """Send the entry of a folder, which must pass every check of `verify`, in one commit.

    Args:
        folder: Folder of the entry.
        target: Where it goes.
        state: What `look_at` found there; a repository that has changed since is refused.
        public: Whether a repository that is made now is public; one that exists stays as it is.
        workplace: Empty folder for a copy; its card gets the header for the Hub if it has none.

    Raises:
        ZooError: A check fails, the version is not above the one there, or the Hub refuses.
    """
    entry = read_entry(folder)
    check_newer(target, state, entry)
    copy = workplace / entry.name
    shutil.copytree(folder, copy)
    card = (copy / CARD_FILE).read_text(encoding="utf-8") if (copy / CARD_FILE).is_file() else ""
    if card:
        write_text(copy / CARD_FILE, with_header(card, entry))
    problems = [f"{check.name}: {check.problem}" for check in verify(copy) if check.problem]
    if problems:
        raise ZooError(
            f"{folder}: not uploaded, since clamnet-tf zoo verify refuses it:\n" + "\n".join(problems)
        )
    library, names = hub_library(), [*FILES, *OPTIONAL_FILES]
    operations = [
        library.CommitOperationAdd(target.root + name, copy / name)
        for name in names
        if (copy / name).is_file()
    ]
    operations += [
        library.CommitOperationDelete(target.root + name)
        for name in OPTIONAL_FILES
        if target.root + name in state.files and not (copy / name).is_file()
    ]
    interface = library.HfApi(endpoint=hub_endpoint(), library_name="clamnet-tf")
    with PlainErrors(target.label, "cannot be uploaded"):
        if state.commit is None:
            interface.create_repo(target.repository, private=not public)
        commit = interface.create_commit(
            target.repository,
            operations,
            commit_message=f"{entry.name} version {entry.version}: {entry.changelog[0].changes}"[:200],
            parent_commit=state.commit,
        )
    created = state.commit is None
    return Upload(created, not public if created else state.private, commit.oid, str(commit.commit_url))


def _check_may_send(target: HubTarget) -> None:
    """Raise ZooError when the network is forbidden or there is no token."""
    if is_offline():
        raise ZooError(f"{target.label}: {OFFLINE_VARIABLE} is set, so nothing is uploaded. Unset it.")
    if hub_library().get_token() is None:
        raise ZooError(
            f"{target.label}: uploading needs a token with the right to write; found none. Make one on the "
            f"Hub (Settings, Access Tokens), then set HF_TOKEN or run: hf auth login."
        )


def _check_free(target: HubTarget, files: frozenset) -> None:
    """Raise ZooError when files that are no entry are where the entry would be."""
    others = sorted(
        name
        for name in (path.removeprefix(target.root) for path in files if path.startswith(target.root))
        if "/" not in name and name not in _OF_THE_HUB
    )
    if others:
        raise ZooError(
            f"{target.label}: expected a place without files or with a zoo entry; found "
            f"{', '.join(others[:5])}. Give a folder of its own, hf://{target.repository}/NAME, or another "
            f"repository."
        )
