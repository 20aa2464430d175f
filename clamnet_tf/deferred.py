"""Functions that a table names as text and that are imported when they are called for the first time.

A table of formats, blocks or objectives is read by light modules and also by the modules that its functions
import. Naming a function instead of importing it avoids both heavy imports and import circles.
tests/architecture follows these names in the same way as imports.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Deferred:
    """A callable that is imported when it is called for the first time.

    Attributes:
        target: where the function is defined, as "package.module:name".
    """

    target: str

    @property
    def function(self) -> Callable:
        """Import the module and return the function."""
        module, name = self.target.split(":")
        return getattr(importlib.import_module(module), name)

    def __call__(self, *args, **named):
        return self.function(*args, **named)
