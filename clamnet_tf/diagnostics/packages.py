"""clamnet-tf itself, Python, and the packages that its metadata asks for."""

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
# Other distributions of the same files.
STAND_INS = {"tensorflow": ("tensorflow-cpu", "tensorflow-macos")}
EXTRAS = {
    "dicom": "compressed DICOM, DICOM-SEG",
    "itk": "NRRD and MetaImage volumes",
    "hub": "zoo entries from the Hugging Face Hub",
    "export": "files for TensorFlow Serving, LiteRT and ONNX",
    "serving": "asking a model server over gRPC",
    "beam": "preparing slices by Apache Beam",
    "tfio": "DICOM read by tensorflow-io, on TensorFlow 2.17",
    "test": "the test suite",
}
# Extras that go with older versions alone: of TensorFlow, of protobuf and pillow.
OWN_ENVIRONMENT = {"tfio": "in a new environment: ", "beam": "in a new environment: "}


def examine_program() -> list[Finding]:
    """clamnet-tf, Python and the system."""
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
    """Every package that clamnet-tf cannot do without, with its version."""
    wanted = requirements()
    if wanted is None:
        advice = "In its repository: python -m pip install -e ."
        return [Finding("Packages", DISTRIBUTION, "broken", "not installed, only found as a folder", advice)]
    return [_examine(requirement, "Packages", "broken") for requirement in wanted[""]]


def examine_extras() -> list[Finding]:
    """The optional parts, with how to install those that are missing."""
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
    """The command that installs an extra."""
    return f"{OWN_ENVIRONMENT.get(extra, '')}python -m pip install '{DISTRIBUTION}[{extra}]'"


def requirements() -> dict[str, list[Requirement]] | None:
    """The installed package's requirements per extra ("" = always); None when it is not installed."""
    try:
        texts = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found: dict[str, list[Requirement]] = {"": []}
    for text in texts:
        requirement = Requirement(text)
        extra = re.search(r"""extra\s*==\s*["']([^"']+)["']""", str(requirement.marker or ""))
        found.setdefault(extra.group(1) if extra else "", []).append(requirement)
    return found


def installed_version(name: str) -> tuple[str, str] | None:
    """(distribution, version) of a distribution that provides `name`'s files, the most special one; None
    without any.
    """
    for candidate in (*STAND_INS.get(name, ()), name):
        try:
            return candidate, importlib.metadata.version(candidate)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _examine(requirement: Requirement, section: str, otherwise: str) -> Finding:
    found = installed_version(requirement.name)
    advice = f"python -m pip install '{requirement.name}{requirement.specifier}'"
    if found is None:
        return Finding(section, requirement.name, otherwise, "not installed", advice)
    name, version = found
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding(section, name, otherwise, f"{version}, not {requirement.specifier}", advice)
    return Finding(section, name, "ok", version)
