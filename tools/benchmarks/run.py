"""Run the bench from start to end.

Groups are measured in order, and the files are written after each, so that a stopped run leaves what it has.
"""

import dataclasses
import json
import os
import time

from benchmarks import accelerators, beside, inference, inputs, processes, scaling, training
from benchmarks.peers import Peers
from benchmarks.rows import table
from benchmarks.subjects import FULL, QUICK

from clamnet_tf.environment import environment
from clamnet_tf.files import make_folder, write_json, write_text

GROUPS = ("training", "input", "inference", "processes", "peers")


def run(arguments) -> None:
    """Measure all groups and write the results."""
    size = _size(arguments)
    folder = make_folder(arguments.out)
    with Peers(arguments.peers, size) as peers:
        measure = {
            "training": lambda: training.rows(size),
            "input": lambda: inputs.rows(size),
            "inference": lambda: inference.rows(size),
            "processes": lambda: processes.rows(size),
            "peers": lambda: beside.rows(size, peers),
        }
        for group in GROUPS:
            if (arguments.only and group not in arguments.only) or (group == "peers" and not arguments.peers):
                continue
            began, load = time.perf_counter(), os.getloadavg()[0]
            found = measure[group]()
            for row in found:
                row.by = arguments.by
            seconds = time.perf_counter() - began
            facts = {
                "seconds": round(seconds),
                "load": [round(load, 1), round(os.getloadavg()[0], 1)],
                "by": arguments.by,
                "note": arguments.note,
                "peers": peers.versions if group == "peers" else {},
            }
            write(folder, group, [row.stored() for row in found], facts, size)
            print(f"{group}: {len(found)} rows in {seconds:.0f} s", flush=True)


def write(folder, group: str, rows: list, facts: dict, size) -> None:
    """Replace the rows of `group` in measured.json, and write the table from that file."""
    path = folder / "measured.json"
    stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if stored.get("size") != size.name:
        stored = {"size": size.name, "groups": {}}
    known = environment()
    stored["machine"] = {
        "machine": known["machine"],
        "processors": known["processors"],
        "packages": {name: known["packages"].get(name) for name in ("tensorflow", "keras")},
    }
    stored["groups"][group] = {"rows": rows, **facts}
    stored["groups"] = {name: stored["groups"][name] for name in GROUPS if name in stored["groups"]}
    write_json(path, stored)
    write_text(
        folder / "MEASURED.md",
        document(
            stored,
            (folder / "profile.md").read_text(encoding="utf-8") if (folder / "profile.md").exists() else "",
        ),
    )


def document(stored: dict, profile: str = "") -> str:
    """Return MEASURED.md from the content of measured.json; `profile` says why targets were missed."""
    groups = stored["groups"]
    rows = [row for group in groups.values() for row in group["rows"]]
    machine, readings = stored["machine"], [row["reading"] for row in rows]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    lines = [
        "# Speed, measured",
        "",
        f"Written by `tools/bench` from `measured.json`. {machine['machine']}, {machine['processors']} "
        f"cores, no GPU; {packages}. {sizes(stored['size'])} "
        f"Interleaved rounds in one run, medians. Of {len([reading for reading in readings if reading])} "
        f"targets {readings.count('met')} are met and {readings.count('missed')} missed.",
        "",
        *(f"- {_circumstances(name, group)}" for name, group in groups.items()),
        "",
        "Clock and processor time (all threads) both stand here; in brackets behind milliseconds stands "
        "processor time. A ratio above 1 is in our favour,",
        "or in favour of what is named first, unless its target says `at most`.",
        "",
        *table(rows),
    ]
    return "\n".join(lines) + (f"\n{profile}" if profile else "")


def sizes(name: str) -> str:
    size = {"full": FULL, "quick": QUICK}[name]
    words = (
        f"UNet++ of {len(size.filters)} levels, {size.filters[0]} to {size.filters[-1]} filters, "
        f"{size.side} x {size.side} x 1, {size.gflop():.1f} GFLOP forward."
    )
    return words if name == "full" else f"{words} This was `--quick`: it says nothing about speed."


def _circumstances(name: str, group: dict) -> str:
    load = "{} before and {} after".format(*group["load"])
    judged = "the clock" if group["by"] == "clock" else "processor time, where both stand"
    peers = (
        f"; peers: {', '.join(f'{name} {version}' for name, version in group['peers'].items())}"
        if group["peers"]
        else ""
    )
    return (
        f"{name}: {group['seconds']} s, load of the machine {load}; targets held against {judged}{peers}. "
        f"{group['note']}"
    ).rstrip()


def run_scaling(arguments) -> None:
    scaling.run(_size(arguments), make_folder(arguments.out))


def run_accelerators(arguments) -> None:
    make_folder(arguments.out)
    accelerators.run(arguments, _size(arguments))


def _size(arguments):
    size = QUICK if arguments.quick else FULL
    return dataclasses.replace(size, rounds=arguments.rounds) if arguments.rounds else size
