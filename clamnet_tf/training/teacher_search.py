"""Choose the teacher without a mask: a short run per candidate, tested by erasing what it marks.

Marked pixels of abnormal validation slices are replaced by their surroundings. Where they hold the lesion,
classifiers of whole slices that were trained on the labels of the training patients then score the slice less
abnormal. The fall of their logit is compared with the fall when shapes of the same size are erased elsewhere
in the organ, so that marking much gains nothing. The candidate with the largest difference teaches, unless it
marks more of the normal validation slices than `selection.normal_area_limit` while another one does not.
Where no candidate shows a difference, the first network teaches, and the reason says that nothing was shown.
"""

import numpy as np
from scipy import ndimage

from clamnet_tf.files import write_json
from clamnet_tf.inference import attribution
from clamnet_tf.inference.attribution_map import AttributionMap
from clamnet_tf.inference.postprocessing.volume import VolumePostprocessor
from clamnet_tf.inference.predictor import Predictor
from clamnet_tf.networks.evidence_classifier import build_evidence_classifiers
from clamnet_tf.networks.saved import load_network
from clamnet_tf.recipe.classes import UNNAMED
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.runs import RunFolder
from clamnet_tf.training import checkpoints
from clamnet_tf.training.slices import TrainingSlices
from clamnet_tf.training.trial_runs import TrialRuns

SHORT = 0.5  # of the recipe's steps
_SHIFTS = 4  # places where the same shape is erased for comparison
_LEAST_OF_SHAPE = 0.5  # of the shape must lie inside the organ at such a place


def with_teacher(recipe: Recipe, teacher: str, short: bool = False) -> Recipe:
    """Return a copy of the recipe with a teacher; `short` halves the steps of every stage.

    Another teacher than the recipe's own teaches at least one round.
    """
    rounds = recipe.self_training.rounds
    if teacher not in ("first_network", recipe.self_training.teacher):
        rounds = max(1, rounds)
    changed_teacher = {"teacher": teacher, "rounds": rounds}
    section = recipe.attribution if teacher == "attribution" else None
    training = recipe.training
    if short:
        changed_teacher |= {"steps": _halved(recipe.self_training.steps)}
        training = training.model_copy(update={"steps": _halved(training.steps)})
        if section is not None:
            classifier = section.classifier.model_copy(update={"steps": _halved(section.classifier.steps)})
            section = section.model_copy(update={"classifier": classifier})
    changes = {
        "self_training": recipe.self_training.model_copy(update=changed_teacher),
        "attribution": section,
        "training": training,
    }
    return recipe.model_copy(update=changes)


def _halved(steps: int) -> int:
    return max(1, round(SHORT * steps))


def candidates_of(recipe: Recipe) -> list[str]:
    """Return the teachers that the recipe has everything for.

    Attribution comes first, since its classifiers judge.
    """
    return ["attribution", "first_network", *(["normal_atlas"] if recipe.data.normal_atlas else [])]


def search_teacher(recipe: Recipe, trials: TrialRuns) -> Recipe | None:
    """Train a short run per candidate and return the recipe with the chosen teacher.

    Args:
        recipe: a recipe with self_training.teacher auto and a section attribution.
        trials: its folder gets a run folder per candidate and search.json.

    Returns:
        The recipe with the teacher, or None when stopped on request.

    Raises:
        The errors of `TrialRuns.run`.
    """
    runs = {}
    for teacher in candidates_of(recipe):
        trial = with_teacher(recipe, teacher, short=True)
        run = trials.run(teacher, trial, f"teacher {teacher}, {trial.optimizer_steps} steps")
        if run is None:
            return None
        runs[teacher] = run
    slices, shape = TrainingSlices.of(recipe, trials.prepared), trials.prepared.images.shape[1:]
    judge = _judge(runs["attribution"], recipe.attribution, shape, recipe.inference.batch_size)
    rows = [{"teacher": teacher, **judged(judge, run, slices)} for teacher, run in runs.items()]
    chosen, reason = choose_teacher(rows, recipe.selection.normal_area_limit)
    write_json(trials.folder / "search.json", {"teacher": chosen, "reason": reason, "candidates": rows})
    trials.reporter.line(f"Chosen teacher {chosen}: {reason}.")
    return with_teacher(recipe, chosen)


def choose_teacher(rows: list[dict], normal_area_limit: float) -> tuple[str, str]:
    """Return the teacher to take and why, from the rows of `judged` with the teacher's name."""
    quiet = [row for row in rows if row["normal_area"] <= normal_area_limit]
    best = max(quiet or rows, key=lambda row: row["specific_fall"])
    falls = ", ".join(f"{row['teacher']} {row['specific_fall']:.2f}" for row in rows)
    if best["specific_fall"] <= 0:
        why = "erasing what any of them marks lowers the classifiers' score no more than erasing other places"
        return (
            "first_network",
            f"ATTENTION: {why} ({falls}): none is shown to mark the lesion, and the paper's own way is taken",
        )
    loud = [row["teacher"] for row in rows if row not in quiet] if quiet else []
    left_out = f"; left out for marking too much of normal slices: {', '.join(loud)}" if loud else ""
    return (
        best["teacher"],
        f"erasing what it marks lowers the classifiers' score most, compared with other places "
        f"({falls}){left_out}",
    )


def judged(judge: AttributionMap, run: RunFolder, slices: TrainingSlices) -> dict:
    """Compare what a finished run marks on validation slices with the judge's scores.

    Args:
        judge: the classifiers that score slices.
        run: the finished run.
        slices: the slices of training and validation.

    Returns:
        specific_fall: mean fall of the logit when the marked pixels are erased, minus that of the same shapes
            elsewhere.
        fall, fall_elsewhere: both of them.
        marked_area, normal_area: mean marked share of the organ in abnormal and normal slices, in 0..1.
    """
    images, organ, shown = slices.validation()
    images, organ, abnormal = np.asarray(images, np.float32), np.asarray(organ, bool), shown.any(axis=1)
    rows = slices.validation_rows
    marks = _marks(run, images, organ, slices.table.volume[rows])
    areas = marks.sum(axis=(1, 2)) / np.maximum(organ.sum(axis=(1, 2)), 1)
    images, organ, marked = images[abnormal], organ[abnormal], marks[abnormal]
    full_score = log_odds(judge.probability(images))
    fall = full_score - log_odds(judge.probability(_erased(images, marked)))
    total, count = np.zeros_like(fall), np.zeros(len(fall))
    for index in range(_SHIFTS):
        moved = np.stack([_moved(mask, inside, index) for mask, inside in zip(marked, organ)])
        fits = moved.sum(axis=(1, 2)) >= _LEAST_OF_SHAPE * marked.sum(axis=(1, 2))
        total += np.where(fits, full_score - log_odds(judge.probability(_erased(images, moved))), 0)
        count += fits
    # Shapes too large to lie elsewhere say nothing.
    elsewhere = np.where(count > 0, total / np.maximum(count, 1), fall)
    return {
        "specific_fall": round(float(np.mean(fall - elsewhere)), 4),
        "fall": round(float(fall.mean()), 4),
        "fall_elsewhere": round(float(elsewhere.mean()), 4),
        "marked_area": round(float(areas[abnormal].mean()), 4),
        "normal_area": round(float(areas[~abnormal].mean()) if (~abnormal).any() else 0.0, 4),
    }


def log_odds(probability: np.ndarray) -> np.ndarray:
    """Return the logit of probabilities, kept within 12 on both sides."""
    clipped = np.clip(probability.astype(np.float64), 6e-6, 1 - 6e-6)
    return np.log(clipped) - np.log1p(-clipped)


def _judge(run: RunFolder, section, shape: tuple, batch_size: int) -> AttributionMap:
    """Return the classifiers of the attribution run.

    Args:
        run: the attribution run.
        section: recipe section `attribution`.
        shape: (H, W, C) of a slice.
        batch_size: slices per pass.
    """
    network = build_evidence_classifiers(section.classifier, side=shape[0], channels=shape[2])
    checkpoints.load_weights(sorted((run.checkpoints / "classifiers").glob("candidate-*.npz"))[-1], network)
    return AttributionMap(network, section, batch_size=batch_size)


def _marks(run: RunFolder, images, organ, volumes) -> np.ndarray:
    """Return what the run's network marks at its own cut, volume by volume, (N, H, W) bool."""
    network = load_network(run.model)
    postprocessor = VolumePostprocessor.from_row(run.read_selection()["markings"]["mean"], (UNNAMED,))
    probability, result = Predictor(network)(images), np.zeros(organ.shape, bool)
    for volume in np.unique(volumes):
        rows = np.flatnonzero(volumes == volume)
        maps = postprocessor(probability[rows], images[rows], organ[rows])
        result[rows] = (maps >= postprocessor.threshold).any(axis=-1) & organ[rows]
    return result


def _erased(images, marks) -> np.ndarray:
    """Return the images (n, H, W, C) with the marked pixels (n, H, W) bool replaced by their surroundings.

    A pixel around them is replaced too.
    """
    hidden = np.stack([ndimage.binary_dilation(mask) if mask.any() else mask for mask in marks])[..., None]
    return np.where(hidden, attribution.surroundings(images).numpy(), images)


def _moved(marks, organ, index: int) -> np.ndarray:
    """Move the marked pixels of one slice within the organ's box, by a quarter of it for each `index`.

    What leaves the organ is lost.
    """
    rows, columns = np.flatnonzero(organ.any(axis=1)), np.flatnonzero(organ.any(axis=0))
    if not len(rows) or not marks.any():
        return marks
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    down, right = ((1, 1), (1, -1), (2, 0), (0, 2))[index % 4]
    moved = np.zeros_like(marks)
    moved[box] = np.roll(marks[box], (down * height // 4, right * width // 4), axis=(0, 1))
    return moved & organ & ~marks
