"""Read entries from a repository of the Hugging Face Hub.

A repository has one entry at its root, or one per folder, with the same files as under zoo/. The library
huggingface_hub downloads (resume, ETag); sizes are checked before the download, sha256 and names after it. A
repository is read at one commit: the one to which the branch or tag pointed when it was listed.
"""

import contextlib
import hashlib
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf.errors import EnvironmentFailure, ZooError
from clamnet_tf.zoo.downloads import progress_bar, registry_folder
from clamnet_tf.zoo.entry import ENTRY_FILE, FILES, OPTIONAL_FILES
from clamnet_tf.zoo.index import LARGEST_FILE
from clamnet_tf.zoo.read import read_entry
from clamnet_tf.zoo.transport import TIMEOUT_SECONDS, check_address, check_online
from clamnet_tf.zoo.unchanged import git_digest, sha256_digest

_ADDRESS = re.compile(r"hf://([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?")
LARGEST_ENTRY = 1_000_000  # bytes of entry.yaml
#: HTTP status -> what it means on the Hub.
_ADVICE = {
    401: " The Hub does not accept the token: set HF_TOKEN to one that is valid, or run: hf auth login.",
    403: " The token has no right to this: it needs write access, and you have to belong to the owner.",
    404: " There is no such repository, or the token may not see it: check the address and HF_TOKEN.",
    409: " It exists already, where the token may not see it: choose another name, or check HF_TOKEN.",
    412: " The repository changed meanwhile: run the command again.",
    429: " The Hub asks to wait: try again later.",
}


@dataclass(frozen=True)
class HubOffer:
    """Describe an entry of a repository at a commit.

    Attributes:
        name: Name of the entry.
        version: Its version.
        root: Its folder in the repository, "" for the repository itself.
        commit: Commit at which it is read.
        sizes: File name -> size in bytes.
        digests: File name -> digest of its content, None where the Hub does not tell.
    """

    name: str
    version: int
    root: str
    commit: str
    sizes: dict
    digests: dict

    @property
    def bytes(self) -> int:
        """Return the size of all files together."""
        return sum(self.sizes.values())


@dataclass(frozen=True)
class HubRegistry:
    """Represent a repository of models on the Hub.

    Attributes:
        repository: OWNER/REPOSITORY.
        revision: Branch, tag or commit; None: the main branch.
        timeout_seconds: Seconds without data before a connection is given up.
    """

    repository: str
    revision: str | None
    timeout_seconds: float

    @classmethod
    def at(cls, text: str, timeout_seconds: float = TIMEOUT_SECONDS) -> "HubRegistry":
        """Return the registry at hf://OWNER/REPOSITORY[@REVISION].

        Raises:
            ZooError: The address has another form.
            EnvironmentFailure: huggingface_hub is not installed.
        """
        match = _ADDRESS.fullmatch(text)
        if not match or ".." in text:
            raise ZooError(f"{text!r}: expected hf://OWNER/REPOSITORY or hf://OWNER/REPOSITORY@REVISION.")
        hub_library()
        return cls(match[1], match[2], timeout_seconds)

    @property
    def label(self) -> str:
        """Return its name for messages."""
        return f"hf://{self.repository}" + (f"@{self.revision}" if self.revision else "")

    @property
    def folder(self) -> Path:
        """Return the folder of its entries and unfinished downloads."""
        return registry_folder(self.label, f"hub_{self.repository}")

    def listing(self) -> list[HubOffer]:
        """Return the entries of the repository. Raises ZooError when it cannot be read or an entry.yaml in it
        is wrong.
        """
        check_online(self.label)
        library = hub_library()
        with self._plain_errors():
            info = library.HfApi(endpoint=hub_endpoint()).model_info(
                self.repository, revision=self.revision, files_metadata=True, timeout=self.timeout_seconds
            )
        listed = {item.rfilename: item for item in info.siblings or []}
        roots = [
            path.removesuffix(ENTRY_FILE)
            for path in listed
            if path == ENTRY_FILE or re.fullmatch(rf"[a-z][a-z0-9_]*/{ENTRY_FILE}", path)
        ]
        return [self._offer(root, info.sha, listed) for root in sorted(roots)]

    def _offer(self, root: str, commit: str, listed: dict) -> HubOffer:
        """Check the sizes of an entry's files, read its entry.yaml, and return the offer."""
        files = {name: listed[root + name] for name in FILES + OPTIONAL_FILES if root + name in listed}
        file_sizes = {name: files[name].size if name in files else None for name in FILES}
        missing = [name for name, size in file_sizes.items() if not size]
        if missing:
            raise ZooError(
                f"{self.label}: the entry {root or 'at the root'}: expected {', '.join(FILES)}; missing or "
                f"empty: {', '.join(missing)}."
            )
        file_sizes |= {
            name: files[name].size for name in OPTIONAL_FILES if name in files and files[name].size
        }
        if file_sizes[ENTRY_FILE] > LARGEST_ENTRY or max(file_sizes.values()) > LARGEST_FILE:
            raise ZooError(
                f"{self.label}: the entry {root or 'at the root'}: expected files of at most {LARGEST_FILE} "
                f"bytes; one is larger."
            )
        with tempfile.TemporaryDirectory() as folder:
            path = self._get(root, ENTRY_FILE, commit, Path(folder))
            entry, content = read_entry(path.parent), path.read_bytes()
        told = {ENTRY_FILE: hashlib.sha256(content).hexdigest(), "model.keras": entry.weights.sha256}
        digests = {name: sha256_digest(value) for name, value in told.items()}  # a mirror may list no digests
        digests = {name: _digest(files[name]) or digests.get(name) for name in file_sizes}
        return HubOffer(entry.name, entry.version, root, commit, file_sizes, digests)

    def fetch(self, offer: HubOffer, folder: Path, reporter) -> None:
        """Download the files of an offer into `folder`."""
        done, downloads = 0, self._downloads(offer.root, offer.commit)
        with progress_bar(reporter, offer) as bar:
            for name, size in offer.sizes.items():
                path = self._get(offer.root, name, offer.commit, downloads)
                if path.stat().st_size != size:
                    raise ZooError(
                        f"{self.label}: {offer.root}{name}: expected {size} bytes, as the repository lists; "
                        f"received {path.stat().st_size}."
                    )
                shutil.copyfile(path, folder / name)
                done += size
                bar.update(done // 1000)
        shutil.rmtree(downloads)
        with contextlib.suppress(OSError):  # unless other entries are being downloaded
            (self.folder / "hub" / offer.commit).rmdir()

    def _downloads(self, root: str, commit: str) -> Path:
        """Return the folder of the unfinished download of one entry at a commit."""
        return self.folder / "hub" / commit / (root.rstrip("/") or "entry")

    def _get(self, root: str, name: str, commit: str, folder: Path) -> Path:
        """Download one file of an entry at a commit into `folder` and return its path."""
        with self._plain_errors():
            return Path(
                hub_library().hf_hub_download(
                    self.repository,
                    root + name,
                    revision=commit,
                    local_dir=folder,
                    etag_timeout=self.timeout_seconds,
                    endpoint=hub_endpoint(),
                )
            )

    def _plain_errors(self):
        """Return a context that turns the library's errors into ZooError."""
        return PlainErrors(self.label, "cannot be downloaded")


def _digest(listed) -> str | None:
    """Return the digest of a file that the Hub lists: large files have a sha256, small ones a git blob."""
    if listed.lfs:
        return sha256_digest(listed.lfs.sha256)
    return git_digest(listed.blob_id) if listed.blob_id else None


class PlainErrors:
    """Turn the errors of huggingface_hub into ZooError.

    Args:
        label: Address, with which the message begins.
        failure: What does not work, as "cannot be downloaded".
    """

    def __init__(self, label: str, failure: str):
        self.label, self.failure = label, failure

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        errors = hub_library().errors
        http_error = next(
            base for base in errors.HfHubHTTPError.__mro__ if base.__name__ == "HTTPError"
        )  # of its HTTP library, which changes
        named = (http_error, errors.EntryNotFoundError, OSError, RuntimeError, ValueError)
        if isinstance(
            error, named
        ):  # RuntimeError: one file of an upload; ValueError: a wrong name or header
            cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
            reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
            advice = _ADVICE.get(getattr(getattr(cause, "response", None), "status_code", None), "")
            raise ZooError(f"{self.label}: {self.failure}: {reason}{advice}") from error
        return False


def hub_endpoint() -> str:
    """Return $HF_ENDPOINT or the Hub itself, checked like every address."""
    return check_address(hub_library().constants.ENDPOINT)


def hub_library():
    """Return the module huggingface_hub. Raises EnvironmentFailure when it is not installed."""
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
