"""Describe what a run was made with: versions of packages, machine, and state of the code."""

import contextlib
import datetime
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "clamnet-tf",
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "keras-cv",
    "numpy",
    "pydicom",
    "nibabel",
    "scipy",
    "scikit-image",
    "scikit-learn",
    "pydantic",
)


def environment() -> dict:
    """Return package versions, Python, machine, cores, git commit of the code and the command line."""
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "packages": versions,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "git": git_state(Path(__file__).resolve().parent),
        "command": sys.argv,
        "started": datetime.datetime.now().isoformat(timespec="seconds"),
    }


def git_state(folder: Path):
    """Return the commit and whether the working tree is changed, or None outside a checkout."""
    try:
        commit = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=True,
        ).stdout.strip()
        status = subprocess.run(
            ["git", "-C", str(folder), "status", "--porcelain"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit, "changed": bool(status.strip())}
