"""Provide what all formats share: results are new, are reported, and nothing is left behind after a
failure.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf.errors import EnvironmentFailure, UserInputError


@dataclass(frozen=True)
class Exported:
    """Describe what was exported.

    Attributes:
        path: File or folder.
        differences: Signature -> largest difference from local prediction.
        notes: Lines for the user.
    """

    path: Path
    differences: dict
    notes: tuple = ()


@contextlib.contextmanager
def leaves_nothing_behind(folder: Path):
    """Remove the folders that the block created and left empty: `folder` and those above it."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    finally:
        for path in made:
            with contextlib.suppress(OSError):  # not empty: the result is there
                path.rmdir()


def require_runtime(module: str, distribution: str) -> None:
    """Raise EnvironmentFailure when `module` cannot be imported."""
    try:
        __import__(module)
    except ImportError as error:
        raise EnvironmentFailure(
            f"{distribution} cannot be loaded ({error}). Install it: pip install 'clamnet-tf[export]'."
        ) from error


def must_be_new(*paths: Path) -> None:
    """Raise UserInputError when one of the files exists already."""
    for path in paths:
        if path.exists():
            raise UserInputError(f"{path}: exists already. Remove it, or choose another --out.")
