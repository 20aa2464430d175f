"""Functions of tables: named by where they stand, imported when they are called for the first time.

A table of formats, blocks or objectives is read by light modules, and by those that its functions import
themselves; naming a function instead of importing it keeps both possible. tests/architecture follows the
names as it follows imports.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Deferred:
    """A callable that is imported at its first call. place: "package.module:name"."""

    place: str

    @property
    def function(self) -> Callable:
        """The function itself."""
        module, name = self.place.split(":")
        return getattr(importlib.import_module(module), name)

    def __call__(self, *args, **named):
        return self.function(*args, **named)
