"""Examine clamnet-tf itself, Python, and the packages that its metadata requires."""

import importlib.metadata
import platform
import re
import sys
from pathlib import Path

from packaging.requirements import Requirement

from clamnet_tf import __version__
from clamnet_tf.diagnostics.finding import Finding

DISTRIBUTION = "clamnet-tf"
PYTHONS = ((3, 10), (3, 13))  # oldest and newest
# Other distributions that provide the same modules.
STAND_INS = {"tensorflow": ("tensorflow-cpu", "tensorflow-macos")}
EXTRAS = {
    "train": "training, evaluation and export, with TensorFlow",
    "predict": "prediction by ONNX Runtime, without TensorFlow",
    "dicom": "compressed DICOM, DICOM-SEG",
    "pacs": "archives over DICOMweb, images sent to clamnet-tf",
    "itk": "NRRD and MetaImage volumes, rigid registration of sequences",
    "hub": "zoo entries from and to the Hugging Face Hub",
    "mlflow": "parameters, metrics and models sent to MLflow",
    "export": "files for TensorFlow Serving, LiteRT and ONNX",
    "serving": "asking a model server over gRPC",
    "beam": "preparing slices by Apache Beam",
    "tfio": "DICOM read by tensorflow-io, on TensorFlow 2.17",
    "test": "the test suite",
    "dev": "ruff, mypy and pre-commit, for changing clamnet-tf",
    "docs": "building the documentation",
}
# Extras that need older versions: tfio of TensorFlow, beam of protobuf and pillow.
OWN_ENVIRONMENT = {"tfio": "in a new environment: ", "beam": "in a new environment: "}


def examine_program() -> list[Finding]:
    """Return findings on clamnet-tf, Python and the system."""
    oldest, newest = PYTHONS
    fits = oldest <= sys.version_info[:2] <= newest
    advice = "" if fits else f"Use Python {oldest[0]}.{oldest[1]} to {newest[0]}.{newest[1]}."
    return [
        Finding("Program", "clamnet-tf", "ok", f"{__version__} in {Path(__file__).parents[1]}"),
        Finding(
            "Program",
            "Python",
            "ok" if fits else "broken",
            f"{platform.python_version()}, {sys.executable}",
            advice,
        ),
        Finding("Program", "system", "ok", platform.platform(terse=True)),
    ]


def examine_packages() -> list[Finding]:
    """Return one finding for every required package, with its version."""
    wanted = requirements()
    if wanted is None:
        advice = "In its repository: python -m pip install -e ."
        return [Finding("Packages", DISTRIBUTION, "broken", "not installed, only found as a folder", advice)]
    return [_examine(requirement, "Packages", "broken") for requirement in wanted[""]]


def examine_extras() -> list[Finding]:
    """Return one finding per extra, with the command that installs a missing one."""
    wanted = requirements() or {}
    findings = []
    for extra, purpose in EXTRAS.items():
        parts = [_examine(requirement, "Extras", "missing") for requirement in wanted.get(extra, [])]
        lacking = [
            part.name if part.value == "not installed" else f"{part.name} {part.value}"
            for part in parts
            if part.state != "ok"
        ]
        value = f"{purpose}; lacks {', '.join(lacking)}" if lacking else purpose
        findings.append(
            Finding(
                "Extras",
                f"[{extra}]",
                "missing" if lacking else "ok",
                value,
                install_extra(extra) if lacking else "",
            )
        )
    return findings


def install_extra(extra: str) -> str:
    """Return the command that installs an extra."""
    return f"{OWN_ENVIRONMENT.get(extra, '')}python -m pip install '{DISTRIBUTION}[{extra}]'"


def requirements() -> dict[str, list[Requirement]] | None:
    """Return the installed package's requirements per extra ("" = always), None when it is not installed."""
    try:
        texts = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    by_extra: dict[str, list[Requirement]] = {"": []}
    for text in texts:
        requirement = Requirement(text)
        extra = re.search(r"""extra\s*==\s*["']([^"']+)["']""", str(requirement.marker or ""))
        by_extra.setdefault(extra.group(1) if extra else "", []).append(requirement)
    return by_extra


def installed_version(name: str) -> tuple[str, str] | None:
    """Return (distribution, version) of the most specific distribution that provides `name`, or None."""
    for candidate in (*STAND_INS.get(name, ()), name):
        try:
            return candidate, importlib.metadata.version(candidate)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _examine(requirement: Requirement, section: str, otherwise: str) -> Finding:
    installed = installed_version(requirement.name)
    advice = f"python -m pip install '{requirement.name}{requirement.specifier}'"
    if installed is None:
        return Finding(section, requirement.name, otherwise, "not installed", advice)
    name, version = installed
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding(section, name, otherwise, f"{version}, not {requirement.specifier}", advice)
    return Finding(section, name, "ok", version)
