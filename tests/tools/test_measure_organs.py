"""tools/measure-organs as a process, on pictures whose organ and lesions are known."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TOOL = Path(__file__).resolve().parents[2] / "tools" / "measure-organs"


@pytest.fixture
def folder(tmp_path):
    """Two discs, their lesions wholly and half inside; a blank picture."""
    rows, columns = np.mgrid[:96, :96]
    disc = np.hypot(rows - 48, columns - 48) < 30
    lines = ["image,patient,label,mask,organ"]
    for name, left in (("whole", 40), ("half", 73)):
        Image.fromarray((disc * 180).astype(np.uint8)).save(tmp_path / f"{name}.png")
        Image.fromarray((disc * 255).astype(np.uint8)).save(tmp_path / f"{name}_organ.png")
        lesion = np.zeros((96, 96), np.uint8)
        lesion[44:52, left : left + 10] = 255
        Image.fromarray(lesion).save(tmp_path / f"{name}_mask.png")
        lines.append(f"{name}.png,{name},1,{name}_mask.png,{name}_organ.png")
    Image.fromarray(np.zeros((96, 96), np.uint8)).save(tmp_path / "blank.png")
    lines.append("blank.png,blank,0,,\n")
    (tmp_path / "manifest.csv").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def run(*arguments):
    return subprocess.run([sys.executable, str(TOOL), *map(str, arguments)], capture_output=True, text=True)


def test_rows_and_summary(folder):
    done = run(folder / "manifest.csv", "foreground", folder / "out.csv")
    assert done.returncode == 0, done.stderr
    with open(folder / "out.csv", encoding="utf-8", newline="") as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    assert rows["whole.png"]["inside"] == "1.0" and rows["whole.png"]["lesion_pixels"] == "80"
    assert float(rows["half.png"]["inside"]) == pytest.approx(0.5, abs=0.15)
    assert float(rows["half.png"]["dice"]) > 0.95 and rows["blank.png"]["dice"] == ""
    assert rows["blank.png"]["empty"] == "1" and rows["blank.png"]["inside"] == ""
    assert "images: 3" in done.stdout and "empty: 1" in done.stdout and "failures: 2" in done.stdout


def test_a_site_that_is_not_there_and_a_broken_manifest_are_named(folder):
    done = run(folder / "manifest.csv", "foreground", folder / "out.csv", "--site", "nowhere")
    assert done.returncode == 2 and "--site nowhere: no image" in done.stderr
    (folder / "manifest.csv").write_text("image,patient,label\nlost.png,p,1\n", encoding="utf-8")
    done = run(folder / "manifest.csv", "foreground", folder / "out.csv")
    assert done.returncode == 2 and "measure-organs:" in done.stderr and "lost.png" in done.stderr
