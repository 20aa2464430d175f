"""Examine processor, memory, disk, and the browser that the tests use to check the report."""

import os
import platform
import re
import shutil
import tempfile
from pathlib import Path

from clamnet_tf.diagnostics.finding import Finding

GIGABYTE = 1e9
ENOUGH_MEMORY = 6e9  # bytes that the quickstart may take
ENOUGH_DISK = 2e9  # bytes for prepared slices and a run with its checkpoints
VECTOR_FLAGS = (
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_bf16",
    "asimd",
    "sve",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def examine_hardware() -> list[Finding]:
    """Return findings on processor and memory."""
    model, flags = processor()
    vectors = " ".join(flag for flag in VECTOR_FLAGS if flag in flags) or "unknown on this system"
    findings = [
        Finding("Hardware", "processor", "ok", f"{os.cpu_count()} x {model}"),
        Finding("Hardware", "vector units", "ok", vectors),
    ]
    total, free = memory()
    if total is None:
        return [*findings, Finding("Hardware", "memory", "ok", "unknown on this system")]
    enough = free >= ENOUGH_MEMORY
    advice = (
        ""
        if enough
        else "Training may take 6 GB: close programs, or lower data.side and training.batch_size."
    )
    value = f"{free / GIGABYTE:.1f} GB free of {total / GIGABYTE:.1f} GB"
    return [*findings, Finding("Hardware", "memory", "ok" if enough else "missing", value, advice)]


def processor() -> tuple[str, set[str]]:
    """Return the processor's model and its instruction flags (Linux: /proc/cpuinfo; elsewhere no flags)."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine(), set()
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.M)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.M)
    return model.group(1) if model else platform.machine(), set(flags.group(1).split()) if flags else set()


def memory() -> tuple[int | None, int | None]:
    """Return total and free bytes within the limit of a control group, None where they are unknown."""
    try:
        table = dict(
            re.findall(r"^(\w+):\s+(\d+) kB$", Path("/proc/meminfo").read_text(encoding="utf-8"), re.M)
        )
    except OSError:
        return None, None
    total, free = int(table["MemTotal"]) * 1024, int(table["MemAvailable"]) * 1024
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = (
            int((group / name).read_text(encoding="utf-8")) for name in ("memory.max", "memory.current")
        )
    except (OSError, ValueError):  # no control group, or its limit is "max"
        return total, free
    return min(total, limit), min(free, max(limit - used, 0))


def examine_disk(cache: Path) -> list[Finding]:
    """Return findings on free space and write access in the working folder and in the cache folder."""
    return [_folder("here", Path.cwd()), _folder("cache", Path(cache))]


def _folder(name: str, path: Path) -> Finding:
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    value = f"{free / GIGABYTE:.1f} GB free in {path}"
    elsewhere = (
        "Set CLAMNET_TF_CACHE to another folder."
        if name == "cache"
        else "Work in another folder, or name one with --out."
    )
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        return Finding(
            "Disk", name, "broken" if name == "cache" else "missing", f"{path}: {error.strerror}", elsewhere
        )
    if free < ENOUGH_DISK:
        return Finding("Disk", name, "missing", value, f"A run may take 2 GB. {elsewhere}")
    return Finding("Disk", name, "ok", value)


def examine_browser() -> list[Finding]:
    """Return a finding on the browser and driver with which the test suite checks a report.

    Nothing else needs them.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if browser and driver:
        return [Finding("Extras", "browser", "ok", f"report check: {browser}, {driver}")]
    lacking = " and ".join(
        name for name, path in (("chromium", browser), ("chromedriver", driver)) if not path
    )
    return [
        Finding(
            "Extras",
            "browser",
            "missing",
            f"report check in the tests; lacks {lacking}",
            "apt-get install chromium chromium-driver",
        )
    ]
