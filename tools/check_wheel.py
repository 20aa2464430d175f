"""Use an installed clamnet-tf without its repository: list, train two steps, predict, evaluate.

    python -I tools/check_wheel.py ZOO RECIPES    called by tools/test-wheel; the wheel must hold all of both

Each check prints a line; the first one that fails ends the program. Every command runs in an empty folder.
"""

import csv
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

TINY = """
    data.cohort.patients=8 data.cohort.slices=6 data.cohort.side=64 data.side=32 organ.rim=0.0
    network.depth=2 network.filters=[4,6] network.kernels=[3,3] training.batch_size=4 training.steps=2
    training.evaluate_every=2 training.checkpoint_every=2 self_training.rounds=0
""".split()
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.I)
PICTURES = """
import numpy as np
from PIL import Image
rng = np.random.default_rng(0)
for folder, shape in (("colour", (96, 80, 3)), ("grey", (96, 80))):
    for number in range(2):
        Image.fromarray(rng.integers(0, 255, shape, dtype=np.uint8)).save(f"{folder}/Müller_{number}.png")
"""


def main(zoo: Path, recipes: Path) -> None:
    entries = sorted(path.parent.name for path in zoo.glob("*/entry.yaml"))
    names = sorted(path.stem for path in recipes.glob("*.yaml") if not path.stem.startswith("study_"))
    program = Path(sys.executable).parent / "clamnet-tf"
    with tempfile.TemporaryDirectory(prefix="clamnet-wheel-") as text:
        folder = Path(text)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment["CLAMNET_TF_CACHE"] = str(folder / "cache")

        def run(*command) -> str:
            done = subprocess.run(
                [*map(str, command)], cwd=folder, env=environment, capture_output=True, encoding="utf-8"
            )
            if done.returncode:
                sys.exit(f"FAILED with code {done.returncode}: {command}\n{done.stdout}\n{done.stderr}")
            return done.stdout

        where = run(sys.executable, "-c", "import clamnet_tf; print(clamnet_tf.__file__)")
        check("installed below the environment", Path(where.strip()).is_relative_to(sys.prefix))
        listed = run(program, "zoo", "list")
        check(f"zoo list names {len(entries)} entries", entries and all(name in listed for name in entries))
        listed = run(program, "recipe", "list")
        check(f"recipe list names {len(names)} recipes", names and all(name in listed for name in names))
        said = run(program, "fit", "mri_carcinoma", "--out", "run", *(f"--set={each}" for each in TINY))
        check("fit, two steps on the built-in cohort", (folder / "run" / "FINISHED").is_file() and said)
        check("report.html", (folder / "run" / "evaluation" / "report.html").stat().st_size > 20_000)
        for name in ("colour", "grey"):
            (folder / name).mkdir()
        run(sys.executable, "-X", "utf8", "-c", PICTURES)
        for model, images, out in (("run", "colour", "marked"), ("xray_carcinoma", "grey", "marked_by_zoo")):
            run(program, "predict", model, images, "--out", out, "--format", "png,nifti,report")
            with open(folder / out / "marks.csv", encoding="utf-8", newline="") as stream:
                rows = list(csv.DictReader(stream))
            masks = list((folder / out).rglob("*_mask.png"))
            check(f"predict with {model}: two masks and their table", len(rows) == len(masks) == 2)
        run(program, "zoo", "verify", "mri_carcinoma")
        check("zoo verify: the network gives the outputs that its entry says", True)
        bad = [
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if set('<>:"|?*\\') & set(path.name) or path.name[-1] in ". " or RESERVED.match(path.name)
        ]
        check(f"every file has a name that Windows allows {bad or ''}", not bad)


def check(what: str, holds) -> None:
    if not holds:
        sys.exit(f"FAILED: {what}")
    print(f"ok: {what}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*(Path(text).resolve() for text in sys.argv[1:]))
