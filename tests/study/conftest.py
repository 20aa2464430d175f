"""Made-up study folders: files as `fit` and `evaluate` leave them, with known Dice per patient; no
training.
"""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from clamnet_tf.study.folder import StudyFolder
from clamnet_tf.study.plan import open_source, plan
from clamnet_tf.study.read import load_study

STUDY = """\
name: made_up
title: A made-up study
about: Which of these is better?
recipe: mri_carcinoma
seeds: [0, 1]
reference: twins
ceiling: supervised
floor: whole_organ
groups:
  - kind: main
    title: From image labels
    arms:
      - {name: twins, title: "Twins: both of them"}
      - {name: no_twin, title: No twin, set: {twin.kind: none, loss.consistency.weight: 0.0}}
      - {name: short, title: Short, set: {training.steps: 20}}
      - {name: whole_organ, title: Whole organ, kind: simple, baseline: whole_organ}
  - kind: ceilings
    title: From outlines
    arms:
      - name: supervised
        title: Supervised
        kind: supervised
        set:
          training.supervision: masks
          self_training.rounds: 0
          training.steps: 180
          selection.threshold: 0.5
  - kind: ablations
    title: One thing at a time
    arms:
      - {name: head_1, title: Head 1, set: {inference.head: 1}}
      - {name: wrong, title: Wrong, set: {loss.etaa: 0.5}}
  - kind: controls
    title: Controls
    arms:
      - {name: shuffled, title: Shuffled labels, kind: control, set: {loss.eta: 0.11}}
"""
PATIENTS = tuple(f"patient_{number}" for number in range(8))
LEVELS = {"twins": 0.6, "no_twin": 0.58, "short": 0.3, "supervised": 0.8, "head_1": 0.5, "shuffled": 0.06}
"""Mean Dice of each arm."""


@pytest.fixture
def write_study(tmp_path):
    """Write a study file; return its path."""

    def write(text=STUDY):
        path = tmp_path / "made_up.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def study_text():
    """The text of STUDY."""
    return STUDY


@pytest.fixture
def planned(write_study, tmp_path):
    """(plan, folder) of STUDY with nothing run."""
    return make_plan(write_study(), tmp_path / "out")


def make_plan(path, out):
    folder = StudyFolder(out)
    return plan(load_study(path), path.parent, open_source(None, None, None, None, folder.cache)), folder


def made_up_dice(arm, seed, rng):
    """Per patient: level of the arm + what the patient adds + noise."""
    own = np.linspace(-0.15, 0.15, len(PATIENTS)) * (LEVELS[arm] > 0.1)
    return np.clip(LEVELS[arm] + own + rng.normal(0, 0.02, len(PATIENTS)), 0.01, 0.99)


def fill(planned, folder, arms=tuple(LEVELS), seeds=(0, 1), dice=made_up_dice):
    """Write finished runs and evaluations of these arms and seeds; returns {(arm, seed): Dice per
    patient}.
    """
    rng, written = np.random.default_rng(0), {}
    for trial in planned.trials:
        if trial.run is None or trial.arm.name not in arms or trial.seed not in seeds:
            continue
        scores = written[trial.arm.name, trial.seed] = dice(trial.arm.name, trial.seed, rng)
        run = folder.run(trial.run)
        run.path.mkdir(parents=True, exist_ok=True)
        run.recipe.write_text(trial.run.recipe_text)
        run.finished.write_text("now\n")
        run.environment.write_text(json.dumps({"git": {"commit": "0123456789abcdef", "changed": False}}))
        rows = [
            {"kind": "train", "step": step, "slices_per_second": 10.0}
            for step in range(10, trial.run.steps + 1, 10)
        ]
        run.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
        write_evaluation(folder.evaluation(trial, "test"), scores)
    return written


def write_evaluation(folder, scores):
    """metrics.json, patients.csv, report.html and one overlay per patient."""
    (folder / "pictures").mkdir(parents=True)
    figures = {
        "definitions": 2,
        "dice_volume": {"mean": float(np.mean(scores))},
        "dice_slice": {"mean": float(np.mean(scores)) - 0.05, "low": 0.1, "high": 0.9, "slices": 40},
        "hd95_px": 20.0,
        "auroc_slice": 0.9,
        "pointing_game": 0.8,
        "pointing_near": 0.85,
        "normal_area": 0.01,
        "specificity_patient": 0.75,
        "hd95_convention": "the usual one",
        "oracle": {"threshold": 0.4, "dice_volume": {"mean": float(np.mean(scores)) + 0.03}},
        "baselines": {
            "whole_organ": {
                "dice_volume": {"mean": 0.06},
                "dice_slice": {"mean": 0.1},
                "normal_area": 1.0,
                "specificity_patient": 0.0,
            },
            "otsu_channel0_bright": {"dice_volume": {"mean": 0.2}, "dice_slice": {"mean": 0.3}},
        },
        "data": {"root": "/data/made_up", "split": "test", "simulated": False},
    }
    (folder / "metrics.json").write_text(json.dumps(figures))
    with open(folder / "patients.csv", "w", newline="") as stream:
        writer = csv.writer(stream)
        names = (
            "dice",
            "hd95_px",
            "hd95_mm",
            "dice_whole_organ",
            "dice_slice",
            "dice_slice_whole_organ",
            "marked_share",
            "marked_share_whole_organ",
        )
        writer.writerow(["patient", "site", "slices", "slices_positive", *names])
        for number, (patient, score) in enumerate(zip(PATIENTS, scores)):
            organ = 0.04 + 0.005 * number
            writer.writerow(
                [
                    patient,
                    "A",
                    20,
                    8,
                    f"{score:.6g}",
                    20.0,
                    "",
                    f"{organ:.6g}",
                    f"{score / 2:.6g}",
                    f"{organ / 2:.6g}",
                    "",
                    "",
                ]
            )
            picture = np.full((40, 50, 3), int(255 * score), np.uint8)
            Image.fromarray(picture).save(
                folder / "pictures" / f"{number + 1:02d}_dice{score:.2f}_{patient}.png"
            )
        for number in range(2):  # without a lesion: no Dice, whatever was marked
            writer.writerow([f"normal_{number}", "A", 20, 0, *[""] * 6, number * 0.25, 1])
    (folder / "report.html").write_text("<p>report</p>")


@pytest.fixture
def make_study():
    """make_plan(path, out) -> (plan, folder)."""
    return make_plan


@pytest.fixture
def fill_study():
    """fill(plan, folder, arms, seeds, dice) -> {(arm, seed): Dice per patient}."""
    return fill
