"""Go on with the project's own Python when this one lacks what the tools need.

A tool imports this module before any package: called in a fresh shell, where `.venv` is not active, it starts
itself again with `.venv/bin/python`. A Python that has TensorFlow, active or not, is left alone.
"""

import importlib.util
import os
import sys
from pathlib import Path

_PYTHON = Path(__file__).resolve().parent.parent / ".venv" / "bin" / "python"
_NEEDED = ("tensorflow", "keras", "numpy")

if any(importlib.util.find_spec(name) is None for name in _NEEDED):
    if not _PYTHON.is_file() or Path(sys.prefix) == _PYTHON.parent.parent:
        sys.exit(
            f"Error: {Path(sys.argv[0]).name} needs the project's environment, and "
            f"{_PYTHON.parent.parent} does not hold it. Run tools/quickstart or tools/test, which make it."
        )
    os.execv(_PYTHON, [str(_PYTHON), *sys.argv])
