"""Run the commands on simulated data of several sizes, and compute how their time and memory grow."""

import csv
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np

from clamnet_tf.files import atomic_path, write_json, write_text

ROOT = Path(__file__).resolve().parents[2]
SLICES, SIDE = 50, 64
LARGEST_EXPONENT = 1.15
COLUMNS = ("command", "slices", "seconds", "processor_s", "memory_mb")
RECIPE = f"""
name: growth
modality: mri
condition: carcinoma
data: {{side: 32, cohort: null, normalization: none}}
organ: {{method: none, margin: 0.0}}
network: {{depth: 2, filters: [4, 4], kernels: [3, 3]}}
training: {{steps: 4, batch_size: 2, evaluate_every: 4}}
self_training: {{rounds: 0}}
selection: {{prevalence: 0.02}}
# {SLICES} slices of {SIDE} x {SIDE} pixels a volume
"""
FIRST_STEP = "Training"


def run(arguments) -> None:
    """Measure the commands at every size, and write growth.csv, growth.json and growth.png.

    With `arguments.until`, no command after that one is measured, and those keep their rows in growth.csv;
    the page of studies keeps its figures unless it is measured.
    """
    rows, kept, pages = [], [], None
    if arguments.until:
        kept, pages = earlier(arguments.out)
    with tempfile.TemporaryDirectory() as home:
        for size in [SLICES * 8, *sorted(arguments.sizes)]:
            for name, figures in measure(Path(home) / str(size), size):
                rows.append({"command": name, "slices": size, **figures})
                print(json.dumps(rows[-1]), flush=True)
                if arguments.until and name == arguments.until:
                    break
        if arguments.pages:
            pages = open_page(Path(home) / "page", arguments.pages)
            print(json.dumps(pages), flush=True)
    measured = {row["command"] for row in rows}
    rows += [row for row in kept if row["command"] not in measured]
    result = {
        "exponents": exponents(rows),
        "page": pages,
        "load": [round(each, 1) for each in os.getloadavg()],
        "processors": os.cpu_count(),
        "date": time.strftime("%Y-%m-%d"),
        "note": arguments.note,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    with (
        atomic_path(arguments.out / "growth.csv") as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    write_json(arguments.out / "growth.json", result)
    plot(rows, arguments.out / "growth.png")
    print(json.dumps(result, indent=2))


def earlier(folder: Path) -> tuple[list[dict], dict | None]:
    """Return the rows of growth.csv and the page's figures of growth.json in `folder`; end without them."""
    if not all((folder / name).exists() for name in ("growth.csv", "growth.json")):
        sys.exit(
            f"Error: --until: expected growth.csv and growth.json of an earlier run in {folder}, since "
            "the other commands keep their figures; found none. Measure all commands first."
        )
    with open(folder / "growth.csv", newline="", encoding="utf-8") as stream:
        rows = [
            {"command": row.pop("command"), **{key: float(value) for key, value in row.items()}}
            for row in csv.DictReader(stream)
        ]
    for row in rows:
        row |= {key: int(row[key]) for key in ("slices", "memory_mb")}
    return rows, json.loads((folder / "growth.json").read_text(encoding="utf-8"))["page"]


def measure(home: Path, size: int):
    """Yield each command and its seconds, processor seconds and most memory, for `size` slices."""
    write_data(home / "data", size)
    write_text(home / "recipe.yaml", RECIPE)
    recipe, table = str(home / "recipe.yaml"), str(home / "data" / "manifest.csv")
    cache, run_folder = ("--cache", str(home / "cache")), str(home / "run")
    yield "data prepare", command("data", "prepare", recipe, "--data", table, *cache)
    fit = ("fit", recipe, "--data", table, "--out", run_folder, *cache)
    yield "fit", command(*fit, until=FIRST_STEP)
    yield (
        "predict",
        command("predict", run_folder, str(home / "data" / "images"), "--out", str(home / "marked")),
    )
    yield (
        "evaluate",
        command("evaluate", run_folder, "--data", table, "--out", str(home / "evaluation"), *cache),
    )


def write_data(folder: Path, size: int) -> None:
    """Write volumes of SLICES slices, every second one with a lesion in its middle third, and a manifest."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    rows, affine = ["image,mask,label,patient,slice,split"], np.diag([1.0, 1.0, 3.0, 1.0])
    volumes = math.ceil(size / SLICES)
    for number in range(volumes):
        rng = np.random.default_rng(number)
        values = rng.normal(100, 10, (SIDE, SIDE, SLICES))
        mask = np.zeros(values.shape, np.uint8)
        if number % 2:
            row, column = rng.integers(8, SIDE - 20, 2)
            mask[row : row + 12, column : column + 12, SLICES // 3 : 2 * SLICES // 3] = 1
            values += 80 * mask
        name = f"{number:06d}.nii"
        nibabel.save(nibabel.Nifti1Image(values.astype(np.int16), affine), folder / "images" / name)
        nibabel.save(nibabel.Nifti1Image(mask, affine), folder / "masks" / name)
        split = ("train", "train", "val", "test")[number // 2 % 4]
        for index in range(SLICES):
            label = int(mask[..., index].any())
            rows.append(f"images/{name},masks/{name},{label},{number:06d},{index},{split}")
    write_text(folder / "manifest.csv", "\n".join(rows) + "\n")


def command(*words: str, until: str | None = None) -> dict:
    """Run a command of clamnet-tf to its end; with `until`, the seconds end at the first such line.

    Raises:
        RuntimeError: The command failed, or printed no such line.
    """
    began, lines, reached = time.perf_counter(), [], None
    process = subprocess.Popen(
        [sys.executable, "-m", "clamnet_tf", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    for line in process.stdout:
        lines.append(line)
        if until and reached is None and line.startswith(until):
            reached = time.perf_counter() - began
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or (until and reached is None):
        raise RuntimeError(f"clamnet-tf {' '.join(words)}: exit {process.returncode}\n{''.join(lines[-20:])}")
    return {
        "seconds": round(reached or time.perf_counter() - began, 2),
        "processor_s": round(usage.ru_utime + usage.ru_stime, 2),
        "memory_mb": round(usage.ru_maxrss / 1024),
    }


def exponents(rows: list[dict]) -> dict:
    """Return command -> exponents of time and memory between the two largest sizes, and the verdict.

    The verdict rests on processor time and memory; the clock also tells of what else ran.

    What the smallest size takes is taken off, the start of the program with it, and so are its slices. Where
    the rest is too small to be told from noise (less than twice the start), the exponent is None, and growth
    is no question.
    """
    found = {}
    for name in dict.fromkeys(row["command"] for row in rows):
        first, *_, before, last = sorted(
            (row for row in rows if row["command"] == name), key=lambda row: row["slices"]
        )
        entry = {}
        for column in COLUMNS[2:]:
            small, large = (row[column] - first[column] for row in (before, last))
            told = small > 0 and last[column] > 2 * first[column]
            more = [row["slices"] - first["slices"] for row in (before, last)]
            ratio = math.log(more[1] / more[0])
            entry[column] = round(math.log(large / small) / ratio, 2) if told and large > 0 else None
        entry["straight"] = all(
            entry[column] is None or entry[column] <= LARGEST_EXPONENT for column in COLUMNS[3:]
        )
        found[name] = entry
    return found


def plot(rows: list[dict], path: Path) -> None:
    """Plot processor time and memory against slices, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(9, 3.6), constrained_layout=True)
    for panel, column, words in (
        (panels[0], "processor_s", "processor time, s"),
        (panels[1], "memory_mb", "most memory, MB"),
    ):
        for name in dict.fromkeys(row["command"] for row in rows):
            points = sorted((row["slices"], row[column]) for row in rows if row["command"] == name)
            panel.loglog(*zip(*points), marker="o", markersize=4, label=name)
        panel.set(xlabel="slices", title=words)
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    pyplot.close(figure)


def open_page(folder: Path, studies: int) -> dict:
    """Return how long a headless browser takes until the page over `studies` volumes is loaded.

    Raises:
        RuntimeError: There is no Chromium with its driver, or no selenium.
    """
    import shutil

    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError as error:
        raise RuntimeError("--pages needs selenium, Chromium and chromedriver.") from error
    from clamnet_tf.prediction.report import write_index

    folder.mkdir()
    row = {
        "marked_px": 120,
        "marked_slices": 7,
        "slices": 30,
        "presence_score": 0.93,
        "marked_ml": 3.2,
        "area_mm2": None,
        "ml_note": None,
        "marked_fraction": 0.01,
    }
    volumes = [
        row | {"volume": f"study {number}", "report": f"{number}_report.html"} for number in range(studies)
    ]
    write_index(folder / "report.html", volumes, [], {"Recipe": "growth"})
    driver, program = shutil.which("chromedriver"), shutil.which("chromium")
    if not driver or not program:
        raise RuntimeError("--pages needs Chromium and chromedriver (Debian: chromium chromium-driver).")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for option in ("headless", "no-sandbox", "disable-gpu", f"user-data-dir={folder / 'profile'}"):
        options.add_argument(f"--{option}")
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        began = time.perf_counter()
        browser.get((folder / "report.html").as_uri())
        shown = browser.execute_script("return document.querySelectorAll('tbody tr').length")
        seconds = time.perf_counter() - began
    finally:
        browser.quit()
    return {
        "studies": studies,
        "rows_shown": shown,
        "seconds": round(seconds, 2),
        "bytes": (folder / "report.html").stat().st_size,
    }
