"""Write the page of tools/measure-prediction: a table per set of studies, the parts of ours, the networks."""

import statistics

from benchmarks.prediction_sides import MIRRORED, MONAI, NNUNET, Run
from benchmarks.rows import figure
from benchmarks.set_names import parse_set
from benchmarks.whole_commands import medians

OURS = "ours"
TARGET = 2.0
TITLE = "# Whole predictions: DICOM studies in, masks out\n"
NOTE = """\
Every run is a command of its own, from its start to its end, and the sides take turns. Peak memory is that of
all processes of a command together. The studies are simulated heads ({side} x {side} pixels, int16,
uncompressed DICOM). Speed against ours: medians of the ratios of the rounds; processor time is what counts
where other programs share the cores, but threads of PyTorch that wait spin, which runs it up. "Start" is the
time until a program has imported its modules and built its network.

* ours: `clamnet-tf predict {model} FOLDER --format nifti --engine {engine}`, organ step, post-processing,
  tables and checks of the headers included.
* MONAI: LoadImaged, EnsureChannelFirstd, Orientationd, ScaleIntensityRanged, Resized to 128 x 128,
  SliceInferer with BasicUNetPlusPlus, Activationsd, Invertd, AsDiscreted, SaveImaged (.nii.gz), under
  torch.inference_mode.
* nnU-Net: dcm2niix, because it reads no DICOM (uncompressed NIfTI), then nnUNetPredictor with a
  PlainConvUNet (2d, patches of 128 x 128, tile step 0.5, one tile per slice), masks as .nii without
  compression. Mirroring is measured in the last round only.

The peers' weights are random, on which time does not depend. They find no organ and do no post-processing.
Their settings were chosen among those below as the fastest on this machine. torch.compile was left out: it
compiled MONAI's network for more than seven minutes on 2 busy cores. All sides write masks on the same grids,
which is checked.
"""
PARTS_NOTE = """\
Measured in runs of their own, by wrapping functions (`prediction_parts.py`); a part's time is without that of
other parts called within it. Shares are of the sum; what runs in several threads at once is added up. In
these runs the network computes while everything else waits; in the others, while the next study is read."""
#: What of a peer's settings the page says.
SAID = ("network", "memory", "batch", "reader", "workers", "resampling", "processes")


def page(runs: dict, parts: dict, *, network: dict, settings: dict, missing: dict, machine: str, rounds: int,
         side: int, model: str, engine: str, note: str) -> str:  # fmt: skip
    """Return the page as Markdown.

    Args:
        runs: set as "20x30" -> side -> runs.
        parts: set -> part of ours -> (clock, processor) seconds.
        network: of ours: gflop, side and versions.
        settings: peer -> its settings, width and gflop of its network included.
        missing: peer -> why it was not measured.
        machine: the machine and its load, in words.
        rounds: how many rounds were measured.
        side: rows and columns of a slice.
        model: zoo entry or run that ours used.
        engine: what computed our network.
        note: what else a reader must know; may be empty.
    """
    sets = " ".join(runs)
    lines = [
        TITLE,
        f"`tools/measure-prediction --sets {sets} --rounds {rounds}`. {machine}.{' ' + note if note else ''}",
        "",
        NOTE.format(side=side, model=model, engine=engine),
    ]
    for text, of_sides in runs.items():
        lines += [*table(text, of_sides, parts[text]), ""]
    lines += [f"Not measured: {peer} ({why})." for peer, why in missing.items()]
    lines += ["## The parts of ours", "", PARTS_NOTE, "", *parts_table(parts), ""]
    lines += ["## The networks", "", *networks(runs, parts, network, settings), ""]
    lines += [*tried(settings), *versions(runs, network)]
    return "\n".join(lines) + "\n"


def table(text: str, of_sides: dict[str, list[Run]], parts: dict) -> list[str]:
    """Return the table of one set of studies, with a line on the target."""
    studies = parse_set(text).studies
    lines = [
        f"## {parse_set(text).name}",
        "",
        "| Side | Studies per minute | Clock | Processor time | Peak memory | Ours is faster by clock (by "
        "processor time) | Of the clock: start, conversion, network |",
        "|---|---|---|---|---|---|---|",
    ]
    verdicts = []
    for side, runs in of_sides.items():
        used = medians([run.used for run in runs])
        if side == OURS:
            speed = "1.00 x (1.00 x)"
            start, network = (parts.get(name, (0.0,))[0] for name in ("start and imports", "network"))
            of_clock = f"{figure(start)} s, none, {figure(network)} s (of a run that measured the parts)"
        else:
            by_clock, by_processor = ratios(of_sides[OURS], runs)
            speed = f"{figure(by_clock)} x ({figure(by_processor)} x)"
            of_clock = of_the_clock(runs)
            if side != MIRRORED:
                reading = "met" if by_clock >= TARGET else "missed"
                verdicts.append(f"{side} {reading} ({figure(by_clock)} x)")
        lines.append(
            f"| {side} | {figure(60 * studies / used.clock)} | {figure(used.clock)} s | "
            f"{figure(used.processor)} s | {used.peak_mb:.0f} MB | {speed} | {of_clock} |"
        )
    if verdicts:
        lines += ["", f"Target, at least {TARGET:g} x by the clock: {'; '.join(verdicts)}."]
    return lines


def ratios(ours: list[Run], theirs: list[Run]) -> tuple[float, float]:
    """Return the medians, over the rounds, of their clock and processor seconds in ours.

    A side with fewer runs than rounds was measured in the last ones.
    """
    pairs = list(zip(ours[-len(theirs) :], theirs))
    return (
        statistics.median(their.used.clock / our.used.clock for our, their in pairs),
        statistics.median(their.used.processor / our.used.processor for our, their in pairs),
    )


def of_the_clock(runs: list[Run]) -> str:
    """Return a peer's seconds until it was ready, for the conversion and in the network."""
    start, network = (statistics.median(run.report[name] for run in runs) for name in ("start", "network"))
    conversions = [run.conversion.clock for run in runs if run.conversion]
    conversion = f"{figure(statistics.median(conversions))} s" if conversions else "none"
    return f"{figure(start)} s, {conversion}, {figure(network)} s"


def parts_table(parts: dict) -> list[str]:
    """Return what each part of our prediction takes, the largest first, a column per set."""
    names = {name: None for of_set in parts.values() for name in of_set}
    total = {name: sum(of_set.get(name, (0.0, 0.0))[0] for of_set in parts.values()) for name in names}
    lines = [
        "| Part | " + " | ".join(f"{text}: clock (processor time), share" for text in parts) + " |",
        "|---|" + "---|" * len(parts),
    ]
    for name in sorted(names, key=total.__getitem__, reverse=True):
        cells = []
        for of_set in parts.values():
            clock, processor = of_set.get(name, (0.0, 0.0))
            share = clock / sum(each[0] for each in of_set.values())
            cells.append(f"{figure(clock)} s ({figure(processor)} s), {share:.0%}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def networks(runs: dict, parts: dict, network: dict, settings: dict) -> list[str]:
    """Return operations per slice, and time per slice in the first set, of each network."""
    text = next(iter(runs))
    slices = parse_set(text).studies * parse_set(text).slices
    ours = parts[text].get("network", (0.0,))[0] / slices
    lines = [
        f"Operations of the convolutions, counted in the networks that ran; clock in the set {text}.",
        "",
        "| Side | GFLOP per pass of a slice | Passes per slice | Clock per slice | Settings |",
        "|---|---|---|---|---|",
        f"| ours | {network['gflop']:.2f} | 1.00 | {1000 * ours:.1f} ms | {network['side']} x "
        f"{network['side']} pixels |",
    ]
    for side, its_runs in runs[text].items():
        if side == OURS:
            continue
        chosen = settings[MONAI if side == MONAI else NNUNET]
        passes = its_runs[-1].report["slices"] / slices
        clock = statistics.median(run.report["network"] for run in its_runs) / slices
        words = ", ".join(f"{name} {chosen[name]}" for name in SAID if name in chosen).removeprefix(
            "network "
        )
        lines.append(f"| {side} | {chosen['gflop']:.2f} | {passes:.2f} | {1000 * clock:.1f} ms | {words} |")
    return lines


def tried(settings: dict) -> list[str]:
    """Return which settings of the peers were tried, with seconds."""
    lines = []
    for peer, chosen in settings.items():
        whole = ", ".join(f"{name} {figure(seconds)} s" for name, seconds in chosen["tried"].items())
        names = " and ".join(
            name for name in SAID if name in chosen and name not in ("network", "memory", "batch")
        )
        lines.append(
            f"Tried for {peer.partition(',')[0]} at a load of {chosen['load']:.1f}, {names}: {whole}."
        )
        if "milliseconds" in chosen:
            passes = ", ".join(f"{name} {figure(each)} ms" for name, each in chosen["milliseconds"].items())
            lines.append(f"Its network, memory format and slices per pass: {passes} per slice.")
        lines.append("")
    return lines


def versions(runs: dict, network: dict) -> list[str]:
    """Return the versions of all that was measured, in a line."""
    found = dict(network["versions"])
    for of_sides in runs.values():
        for side_runs in of_sides.values():
            found |= side_runs[-1].report.get("versions", {})
    return ["Versions: " + ", ".join(f"{name} {version}" for name, version in found.items()) + "."]
