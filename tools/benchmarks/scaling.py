"""Measure how cost grows with side, depth, filters and batch, each setting in a process of its own.

Cost is seconds and memory of a training step and of inference.
"""

import csv
import json
import subprocess
import sys

from benchmarks.processes import environment
from benchmarks.subjects import Size

from clamnet_tf.files import atomic_path

#: Around one middle setting: side, depth, filters of the first level, batch.
MIDDLE = {"side": 256, "depth": 4, "filters": 16, "batch": 2}
VARIED = {
    "side": (128, 192, 256, 384, 512),
    "depth": (3, 4, 5),
    "filters": (8, 16, 32),
    "batch": (1, 2, 4, 8),
}
QUICK_MIDDLE = {"side": 32, "depth": 3, "filters": 4, "batch": 2}
QUICK_VARIED = {"side": (32, 64), "depth": (3,), "filters": (4,), "batch": (2,)}
COLUMNS = (
    "varied",
    "side",
    "depth",
    "filters",
    "batch",
    "gflop_forward",
    "training_s",
    "training_processor_s",
    "inference_s",
    "inference_processor_s",
    "peak_gb",
)


def size_of(setting: dict) -> Size:
    return Size(
        side=setting["side"],
        filters=tuple(setting["filters"] * 2**level for level in range(setting["depth"])),
        batches=(setting["batch"],),
    )


def run(size, folder) -> None:
    """Write scaling.csv and scaling.png into `folder`."""
    middle, varied = (MIDDLE, VARIED) if size.name == "full" else (QUICK_MIDDLE, QUICK_VARIED)
    taken, rows = {}, []
    for name, values in varied.items():
        for value in values:
            setting = {**middle, name: value}
            key = json.dumps(setting)
            if key not in taken:
                command = [sys.executable, "-m", "benchmarks.scaled", key, str(size.rounds)]
                taken[key] = json.loads(
                    subprocess.run(
                        command, check=True, env=environment(), capture_output=True, text=True
                    ).stdout
                )
                print(setting, taken[key], flush=True)
            gflop = setting["batch"] * size_of(setting).gflop()
            rows.append({"varied": name, **setting, "gflop_forward": round(gflop, 4), **taken[key]})
    with (
        atomic_path(folder / "scaling.csv") as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    plot(rows, middle, folder / "scaling.png")
    print(sentence(rows, middle))


def ratios(rows: list, middle: dict, column: str) -> list:
    """Return (row, ratio of the time to that of the same work at the middle setting's speed).

    1 is what the FLOPs predict.
    """
    [base, *_] = [row for row in rows if all(row[name] == value for name, value in middle.items())]
    return [
        (row, (row[column] / base[column]) / (row["gflop_forward"] / base["gflop_forward"])) for row in rows
    ]


def sentence(rows: list, middle: dict) -> str:
    """Describe the worst settings in words."""
    parts = []
    for column, words in (("training_processor_s", "training"), ("inference_processor_s", "inference")):
        row, worst = max(ratios(rows, middle, column), key=lambda each: each[1])
        setting = ", ".join(f"{name} {row[name]}" for name in middle)
        parts.append(
            f"{words} at worst {worst:.2f} of what the FLOPs predict from the middle setting ({setting})"
        )
    return f"By processor time, {'; '.join(parts)}."


def plot(rows: list, middle: dict, path) -> None:
    """Plot processor seconds per step and memory against GFLOP, both axes logarithmic.

    The prediction goes through the middle setting.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    figure, panels = pyplot.subplots(1, 3, figsize=(11, 3.6), constrained_layout=True)
    wanted = (
        ("training_processor_s", "training step, processor s"),
        ("inference_processor_s", "inference, processor s"),
        ("peak_gb", "peak memory of training, GB"),
    )
    [base, *_] = [row for row in rows if all(row[name] == value for name, value in middle.items())]
    work = sorted(row["gflop_forward"] for row in rows)
    for panel, (column, words) in zip(panels, wanted):
        for name in dict.fromkeys(row["varied"] for row in rows):
            points = sorted((row["gflop_forward"], row[column]) for row in rows if row["varied"] == name)
            panel.loglog(*zip(*points), marker="o", markersize=4, label=name)
        if column != "peak_gb":
            panel.loglog(
                (work[0], work[-1]),
                [base[column] * each / base["gflop_forward"] for each in (work[0], work[-1])],
                "k:",
                label="as the FLOPs",
            )
        panel.set(xlabel="GFLOP of the batch's forward pass", title=words)
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_locator(ticker.LogLocator(base=10, subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(ticker.NullFormatter())
        panel.grid(True, which="both", alpha=0.2)
    panels[0].legend(fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=80)
    pyplot.close(figure)
