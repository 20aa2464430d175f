"""Entries in a repository of the Hugging Face Hub: one at its root, or one per folder, with the same files as
under zoo/.

The library huggingface_hub does the downloading (resume, ETag); sizes are checked before, sha256 and names
after it. A repository is read at one commit, which is what the branch or tag meant when it was listed.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf.errors import EnvironmentFailure, ZooError
from clamnet_tf.zoo.downloads import progress_bar, registry_folder
from clamnet_tf.zoo.entry import ENTRY_FILE, FILES, OPTIONAL_FILES
from clamnet_tf.zoo.index import LARGEST_FILE
from clamnet_tf.zoo.read import read_entry
from clamnet_tf.zoo.transport import TIMEOUT_SECONDS, check_address, check_online

_ADDRESS = re.compile(r"hf://([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?")
LARGEST_ENTRY = 1_000_000  # bytes of entry.yaml


@dataclass(frozen=True)
class HubOffer:
    """An entry of a repository at a commit. root: its folder in the repository, "" for the repository
    itself.
    """

    name: str
    version: int
    root: str
    commit: str
    sizes: dict

    @property
    def bytes(self) -> int:
        """Of all files together."""
        return sum(self.sizes.values())


@dataclass(frozen=True)
class HubRegistry:
    """A repository of models on the Hub. revision: branch, tag or commit; None: the main branch."""

    repository: str
    revision: str | None
    timeout_seconds: float

    @classmethod
    def at(cls, text: str, timeout_seconds: float = TIMEOUT_SECONDS) -> "HubRegistry":
        """From hf://OWNER/REPOSITORY[@REVISION]. ZooError: another form. EnvironmentFailure: huggingface_hub
        is not installed.
        """
        found = _ADDRESS.fullmatch(text)
        if not found or ".." in text:
            raise ZooError(f"{text!r}: expected hf://OWNER/REPOSITORY or hf://OWNER/REPOSITORY@REVISION.")
        _library()
        return cls(found[1], found[2], timeout_seconds)

    @property
    def label(self) -> str:
        """How messages name it."""
        return f"hf://{self.repository}" + (f"@{self.revision}" if self.revision else "")

    @property
    def folder(self) -> Path:
        """Where its entries and unfinished downloads are kept."""
        return registry_folder(self.label, f"hub_{self.repository}")

    def listing(self) -> list[HubOffer]:
        """The entries of the repository. ZooError: it cannot be had, or an entry.yaml in it is wrong."""
        check_online(self.label)
        library = _library()
        with self._plain_errors():
            info = library.HfApi(endpoint=_endpoint()).model_info(
                self.repository, revision=self.revision, files_metadata=True, timeout=self.timeout_seconds
            )
        sizes = {item.rfilename: item.size for item in info.siblings or []}
        roots = [
            path.removesuffix(ENTRY_FILE)
            for path in sizes
            if path == ENTRY_FILE or re.fullmatch(rf"[a-z][a-z0-9_]*/{ENTRY_FILE}", path)
        ]
        return [self._offer(root, info.sha, sizes) for root in sorted(roots)]

    def _offer(self, root: str, commit: str, sizes: dict) -> HubOffer:
        own = {name: sizes.get(root + name) for name in FILES}
        missing = [name for name, size in own.items() if not size]
        if missing:
            raise ZooError(
                f"{self.label}: the entry {root or 'at the root'}: expected {', '.join(FILES)}; missing or "
                f"empty: {', '.join(missing)}."
            )
        own |= {name: sizes[root + name] for name in OPTIONAL_FILES if sizes.get(root + name)}
        if own[ENTRY_FILE] > LARGEST_ENTRY or max(own.values()) > LARGEST_FILE:
            raise ZooError(
                f"{self.label}: the entry {root or 'at the root'}: expected files of at most {LARGEST_FILE} "
                f"bytes; one is larger."
            )
        entry = read_entry(self._get(root + ENTRY_FILE, commit).parent)
        return HubOffer(entry.name, entry.version, root, commit, own)

    def fetch(self, offer: HubOffer, folder: Path, reporter) -> None:
        """Download the files of an offer into `folder`."""
        done = 0
        with progress_bar(reporter, offer) as bar:
            for name, size in offer.sizes.items():
                path = self._get(offer.root + name, offer.commit)
                if path.stat().st_size != size:
                    raise ZooError(
                        f"{self.label}: {offer.root}{name}: expected {size} bytes, as the repository lists; "
                        f"received "
                        f"{path.stat().st_size}."
                    )
                shutil.copyfile(path, folder / name)
                done += size
                bar.update(done // 1000)
        shutil.rmtree(self.folder / "hub" / offer.commit)

    def _get(self, path: str, commit: str) -> Path:
        with self._plain_errors():
            return Path(
                _library().hf_hub_download(
                    self.repository,
                    path,
                    revision=commit,
                    local_dir=self.folder / "hub" / commit,
                    etag_timeout=self.timeout_seconds,
                    endpoint=_endpoint(),
                )
            )

    def _plain_errors(self):
        return _PlainErrors(self.label)


class _PlainErrors:
    """Turns what the library raises into a ZooError."""

    def __init__(self, label: str):
        self.label = label

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        errors = _library().errors
        http_error = next(
            base for base in errors.HfHubHTTPError.__mro__ if base.__name__ == "HTTPError"
        )  # of its HTTP library, which changes
        if isinstance(error, (http_error, errors.EntryNotFoundError, errors.HFValidationError, OSError)):
            raise ZooError(
                f"{self.label}: cannot be downloaded: "
                f"{(str(error).strip().splitlines() or [type(error).__name__])[0]}"
            ) from error
        return False


def _endpoint() -> str:
    """$HF_ENDPOINT or the Hub itself, under the rules of every address."""
    return check_address(_library().constants.ENDPOINT)


def _library():
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError as error:
        raise EnvironmentFailure(
            "hf:// needs the package huggingface_hub; install it with: pip install 'clamnet-tf[hub]'."
        ) from error
    huggingface_hub.utils.disable_progress_bars()  # ours is shown
    return huggingface_hub
