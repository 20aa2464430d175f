"""Measure whole predictions, DICOM studies in and masks out, against MONAI and nnU-Net, round by round."""

import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.mask_grids import difference
from benchmarks.prediction_page import OURS, page
from benchmarks.prediction_sides import (
    MASKS,
    MIRRORED,
    MONAI,
    NNUNET,
    OUR_MASKS,
    PredictionPeers,
    Run,
    environment,
    our_network,
    run_ours,
)
from benchmarks.set_names import parse_set

TRIAL_STUDIES = 2  # of 30 slices, on which the settings of the peers are tried


def run(arguments) -> None:
    """Make the studies, measure all sides and write the page."""
    start = os.getloadavg()[0]
    try:
        counts = {text: parse_set(text, arguments.side).studies for text in arguments.sets}
    except ValueError as error:
        sys.exit(f"Error: --sets, --side: {error}")
    arguments.cache.mkdir(parents=True, exist_ok=True)
    network = our_network(arguments.model)
    peers = None if arguments.no_peers else PredictionPeers()
    if peers:
        trial = made(arguments.cache, f"{TRIAL_STUDIES}x30", arguments.side)
        peers.choose(arguments.cache, network["gflop"], trial, TRIAL_STUDIES, anew=arguments.settings_only)
        for side, why in peers.missing.items():
            print(f"Not measured: {side} ({why})", flush=True)
    if arguments.settings_only:
        return
    folders = {text: made(arguments.cache, text, arguments.side) for text in counts}
    runs = {text: rounds_of(arguments, peers, folders[text], count) for text, count in counts.items()}
    parts = {text: parts_of(arguments, folders[text], count) for text, count in counts.items()}
    text = page(
        runs,
        parts,
        network=network,
        settings=peers.settings if peers else {},
        missing=peers.missing if peers else {},
        machine=machine(start),
        rounds=arguments.rounds,
        side=arguments.side,
        model=arguments.model,
        engine=arguments.engine,
        note=arguments.note,
    )
    arguments.out.write_text(text, encoding="utf-8")
    print(text)
    print(f"Written: {arguments.out}")


def made(cache: Path, text: str, side: int) -> Path:
    """Return the folder of a set of studies, made in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.study_sets", str(cache), text, str(side)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment(), text=True)
    return Path(done.stdout.strip())


def rounds_of(arguments, peers, folder: Path, count: int) -> dict[str, list[Run]]:
    """Return side -> its runs, in the order of the rounds; the sides take turns.

    The mirrored side is measured in the last round only: it takes as long as all others.

    Raises:
        RuntimeError: A side failed, or its masks are on other grids than ours.
    """
    for path in folder.rglob("*.dcm"):  # all sides find the files in the system's cache
        path.read_bytes()
    sides = [OURS, *(side for side in (MONAI, NNUNET, MIRRORED) if peers and side not in peers.missing)]
    found: dict[str, list[Run]] = {side: [] for side in sides}
    grids: dict[str, list] = {}
    for number in range(arguments.rounds):
        for side in sides:
            if side == MIRRORED and number < arguments.rounds - 1:
                continue
            with tempfile.TemporaryDirectory(dir=arguments.cache) as work:
                if side == OURS:
                    one = run_ours(arguments.model, arguments.engine, folder, count, Path(work))
                else:
                    one = peers.run(side, folder, count, Path(work))
                if number == arguments.rounds - 1:
                    grids[side] = grids_of(Path(work) / "out", MASKS.get(side, OUR_MASKS))
            found[side].append(one)
            used = one.used
            print(
                f"{folder.parent.name}, round {number + 1}, {side}: {used.clock:.1f} s, processor "
                f"{used.processor:.1f} s, {used.peak_mb:.0f} MB",
                flush=True,
            )
    for side in sides:
        if differs := difference(grids[OURS], grids[side]):
            raise RuntimeError(f"the masks of {side} are on other grids than ours: {differs}")
    return found


def grids_of(out: Path, pattern: str) -> list:
    """Return the grids of the masks in a folder, read in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.mask_grids", str(out), pattern]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment()).stdout)


def parts_of(arguments, folder: Path, count: int) -> dict:
    """Return what the parts of our prediction take in one run: part -> (clock, processor) seconds."""
    with tempfile.TemporaryDirectory(dir=arguments.cache) as work:
        found = run_ours(arguments.model, arguments.engine, folder, count, Path(work), parts=True).report
    return {name: (found["clock"][name], found["processor"][name]) for name in found["clock"]}


def machine(start: float) -> str:
    """Return what this machine is and how busy it was."""
    processor = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return (
        f"{platform.system()}, {processor}, {os.cpu_count()} cores, no GPU, Python "
        f"{platform.python_version()}. Load of the machine: {start:.1f} at the start, "
        f"{os.getloadavg()[0]:.1f} at the end"
    )
