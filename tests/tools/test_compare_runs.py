"""tools/compare-runs as a process, on hand-made patients.csv."""

import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).resolve().parents[2] / "tools" / "compare-runs"


def folder(path, rows):
    path.mkdir(parents=True)
    (path / "patients.csv").write_text("patient,dice,dice_otsu\n" + "".join(f"{','.join(map(str, row))}\n" for row in rows))
    return path


def run(*arguments):
    return subprocess.run([sys.executable, TOOL, *map(str, arguments)], capture_output=True, text=True)


def test_folds_are_put_together_and_paired(tmp_path):
    ours = [folder(tmp_path / "a0", [("p1", 0.9, 0.4), ("p3", 0.7, 0.2)]), folder(tmp_path / "a1" / "evaluation", [("p2", 0.8, 0.0), ("p4", "", 0.1)]).parent]
    theirs = folder(tmp_path / "b", [("p1", 0.8, 0), ("p2", 0.7, 0), ("p3", 0.6, 0)])
    table = tmp_path / "folds.csv"
    done = run(f"ours={ours[0]},{ours[1]}", f"theirs={theirs}", "--baseline", "otsu", "--table", table)
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    assert first.startswith("ours: Dice 0.800 (") and first.endswith("3 patients")  # p4 has no outline
    assert "theirs: Dice 0.700" in second and "first less this +0.100 (+0.100 to +0.100), ratio 1.14" in second
    assert "otsu: Dice 0.200" in third and "+0.600" in third
    assert table.read_text().splitlines() == ["patient,fold,ours,theirs,otsu", "p1,0,0.9,0.8,0.4", "p2,1,0.8,0.7,0", "p3,0,0.7,0.6,0.2"]


def test_what_cannot_be_compared_is_said(tmp_path):
    ours, theirs = folder(tmp_path / "a", [("p1", 0.9, 0)]), folder(tmp_path / "b", [("p2", 0.8, 0)])
    assert "theirs: expected the same 1 patients as the first name; 2 differ, first p1" in run(f"ours={ours}", f"theirs={theirs}").stderr
    assert "patient p1 is in another folder of the same name" in run(f"ours={ours},{ours}").stderr
    assert "expected a run folder or an evaluation" in run(f"ours={tmp_path / 'none'}").stderr
    assert "--baseline atlas: expected one of otsu" in run(f"ours={ours}", "--baseline", "atlas").stderr
