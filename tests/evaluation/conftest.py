"""A small made-up test set: discs as lesions, noisy maps, one missing prediction; and its whole report."""

import numpy as np
import pytest

from clamnet_tf.evaluation.cases import SliceCase
from clamnet_tf.evaluation.figures import compute_metrics
from clamnet_tf.evaluation.gallery import Gallery
from clamnet_tf.evaluation.report import write_report
from clamnet_tf.evaluation.walk import evaluate_slices
from clamnet_tf.inference.thresholding import ThresholdRule

SHAPE = (48, 56)
ROWS, COLUMNS = np.mgrid[: SHAPE[0], : SHAPE[1]]


def disc(row, column, radius):
    """(H, W) bool."""
    return (ROWS - row) ** 2 + (COLUMNS - column) ** 2 <= radius**2


@pytest.fixture(scope="session")
def build_cases():
    """The function that makes the test set, for tests that want another one."""
    return make_cases


def make_cases(patients=5, slices=6, seed=0, missing=(("patient 1", 2),)):
    """A list of SliceCase: lesions in slices 2 to 4, better maps for later patients, two heads, two
    baselines.
    """
    rng = np.random.default_rng(seed)
    organ, cases = disc(24, 28, 21), []
    for patient in range(patients):
        for index in range(slices):
            truth = (
                disc(18 + patient, 20 + 2 * index, 3 + patient % 3)
                if 2 <= index <= 4
                else np.zeros(SHAPE, bool)
            )
            signal = (0.25 + 0.13 * patient) * truth
            heads = {
                f"head_{number}": np.clip(signal + rng.beta(2, 9, SHAPE) * width, 0, 1)
                for number, width in ((1, 1.4), (2, 0.9))
            }
            gone = (f"patient {patient}", index) in missing
            cases.append(
                SliceCase(
                    patient=f"patient {patient}",
                    image=f"images/p{patient}_{index}.png",
                    slice_index=0,
                    label=int(truth.any()),
                    organ=organ,
                    probability=None if gone else sum(heads.values()) / 2,
                    truth=truth,
                    heads=dict.fromkeys(heads) if gone else heads,
                    baselines={
                        "whole_organ": organ,
                        "otsu_channel0_bright": organ & (rng.random(SHAPE) < 0.4),
                    },
                    site="A" if patient % 2 else "B",
                    picture=(organ * (60 + 50 * rng.random(SHAPE)) + 60 * truth)[..., None]
                    * np.array([0.5, 1.0, 0.7]),
                )
            )
    return cases


CURVES = [
    {"kind": "train", "step": step, "loss": 2 / step, "hybrid": 1.5 / step, "slices_per_second": 30.0}
    for step in range(1, 101)
] + [
    {
        "kind": "look",
        "step": step,
        "auroc": 0.5 + step / 250,
        "normal_area": 1 / step,
        "abnormal_area": 0.05,
        "threshold": 0.4,
    }
    for step in (25, 50, 75, 100)
]
RUN = {
    "recipe": "mri_carcinoma",
    "modality": "mri",
    "condition": "carcinoma",
    "data": "built-in cohort of simulated brain MRI",
    "simulated": True,
    "supervision": "labels",
    "step": 75,
    "steps": 100,
    "checkpoint_rule": "marked area on normals at most 0.010",
    "environment": {
        "packages": {"keras": "3.15.1"},
        "started": "2025-11-23T10:00:00",
        "command": ["clamnet-tf", "fit"],
        "git": None,
    },
}


@pytest.fixture(scope="session")
def described():
    """(what is known of the run, its training curves)."""
    return RUN, CURVES


@pytest.fixture(scope="session")
def evaluated():
    """(evaluation, figures, gallery items) of the made-up test set."""
    gallery = Gallery()
    evaluation = evaluate_slices(
        make_cases(), ThresholdRule(0.4, "prevalence 6 % on abnormal training slices"), collect=gallery.add
    )
    return evaluation, compute_metrics(evaluation, samples=300), gallery.choose(evaluation.patients)


@pytest.fixture(scope="session")
def report(evaluated, tmp_path_factory):
    """Path of the whole report."""
    evaluation, found, items = evaluated
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(
        path,
        title="A made-up test set",
        run=RUN,
        metrics=found,
        patients=evaluation.patients,
        slices=evaluation.slices,
        curves=CURVES,
        gallery=items,
    )
    return path
