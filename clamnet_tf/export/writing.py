"""What all formats share: a file or folder is new, is told of, and nothing is left behind when it turns out
wrong.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf.errors import EnvironmentFailure, UserInputError


@dataclass(frozen=True)
class Exported:
    """path: file or folder; differences: largest, per signature, from local prediction; notes: lines for the
    user.
    """

    path: Path
    differences: dict
    notes: tuple = ()


@contextlib.contextmanager
def leaves_nothing_behind(folder: Path):
    """Remove the folders that the block made and left empty, as a failed one does: `folder` and those above
    it.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        yield
    finally:
        for each in made:
            with contextlib.suppress(OSError):  # not empty: what was to be written is there
                each.rmdir()


def require_runtime(module: str, distribution: str) -> None:
    """EnvironmentFailure when `module` cannot be imported."""
    try:
        __import__(module)
    except ImportError as error:
        raise EnvironmentFailure(
            f"{distribution} cannot be loaded ({error}). Install it: pip install 'clamnet-tf[export]'."
        ) from error


def must_be_new(*paths: Path) -> None:
    """UserInputError when one of the files is there already."""
    for path in paths:
        if path.exists():
            raise UserInputError(f"{path}: is there already. Remove it, or choose another --out.")
