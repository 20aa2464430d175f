"""Publish a run or an entry to a repository of the Hugging Face Hub."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf.errors import ZooError
from clamnet_tf.zoo.about import read_about
from clamnet_tf.zoo.entry import Entry, is_entry
from clamnet_tf.zoo.hub_upload import HubTarget, Upload, look_at, upload
from clamnet_tf.zoo.publish import Release, changelog_of, publish, publish_again
from clamnet_tf.zoo.read import read_entry
from clamnet_tf.zoo.resolve import find_entry

_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")


@dataclass(frozen=True)
class NewVersion:
    """Say how a run, or an entry that was evaluated again, becomes a version of an entry.

    Attributes:
        about: YAML file of texts, or None.
        overrides: Texts of the form key=value.
        figures: metrics.json, or None for the run's own.
        kind: "marker" or "organ"; of runs alone.
        version: Version; None: 1.
        changes: Line for the changelog, or None.
        onnx: Whether the entry of a run gets a model.onnx.
    """

    about: str | None = None
    overrides: tuple = ()
    figures: str | None = None
    kind: str = "marker"
    version: int | None = None
    changes: str | None = None
    onnx: bool = False

    def options(self) -> list[str]:
        """Return the options that were given and make no sense for an entry that is uploaded as it is."""
        given = {
            "--about": self.about,
            "--set": self.overrides,
            "--version": self.version,
            "--change": self.changes,
        }
        return [option for option, value in given.items() if value]

    def release(self) -> Release:
        """Return version and changes."""
        return Release(self.version or 1, self.changes)


def publish_to_hub(source, address: str, new: NewVersion, *, public: bool = False) -> tuple[Entry, Upload]:
    """Upload an entry, or the entry that a run becomes, to hf://OWNER/REPOSITORY[/NAME].

    Args:
        source: Folder or name of an entry, which is uploaded as it is; or a run, or with `new.figures` an
            entry that was evaluated again: both become a version above the one that is there, whose texts
            and changelog they take over.
        address: Where it goes; without NAME the entry is the whole repository.
        new: How a run or new figures become a version.
        public: Whether a repository that is made now is public.

    Returns:
        The entry, and what was done.

    Raises:
        ZooError: As `publish`; or the version is not above the one there, an entry fails a check, or the Hub
            cannot be reached or refuses.
        EnvironmentFailure: huggingface_hub is not installed.
    """
    target = HubTarget.at(address)
    folder = Path(source)
    if not folder.exists() and _NAME.fullmatch(str(source)):
        folder = find_entry(str(source), pull=False).folder
    as_it_is = is_entry(folder) and new.figures is None
    if as_it_is and new.options():
        raise ZooError(
            f"{folder}: is an entry, which is uploaded as it is; received {', '.join(new.options())}, which "
            f"belong to a new version. Leave them out, or give new figures with --figures."
        )
    with tempfile.TemporaryDirectory(prefix="clamnet-tf-publish-") as work:
        state = look_at(target, Path(work) / "there" / "entry")
        if not as_it_is:
            folder = _new_version(folder, target, state.entry, new, Path(work) / "there")
        (workplace := Path(work) / "upload").mkdir()
        done = upload(folder, target, state, public=public, workplace=workplace)
        return read_entry(folder), done


def _new_version(source: Path, target: HubTarget, before: Entry | None, new: NewVersion, place: Path) -> Path:
    """Make the version of a run or of new figures in `place`, from the one before, and return its folder."""
    name = target.name or (before.name if before else target.repository.partition("/")[2])
    if not _NAME.fullmatch(name):
        raise ZooError(
            f"{target.label}: expected the name of the entry, since {name} cannot be one (small letters, "
            f"digits, _). Give --to hf://{target.repository}/NAME."
        )
    release = new.release()
    changelog_of(target.label, before, release)  # before anything is computed, and with the address
    if before is not None:
        (place / "entry").rename(place / name)
    texts = read_about(new.about, new.overrides, before)
    if is_entry(source):
        publish_again(source, place / name, texts, release, figures_file=new.figures)
    else:
        publish(
            source,
            place / name,
            texts,
            release,
            kind=new.kind,
            figures_file=new.figures,
            onnx=new.onnx,
        )
    return place / name
