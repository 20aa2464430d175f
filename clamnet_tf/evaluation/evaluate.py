"""A trained run against a set of labelled cases: figures, rows, report."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from clamnet_tf.datasets.pseudonyms import hidden_table
from clamnet_tf.errors import DataError
from clamnet_tf.evaluation.baselines.choose import choose_baselines
from clamnet_tf.evaluation.cases import SliceCase, Walk, write_rows
from clamnet_tf.evaluation.figures import figures
from clamnet_tf.evaluation.gallery import Gallery
from clamnet_tf.evaluation.original_slices import original_slices
from clamnet_tf.evaluation.per_class import add_columns, split_by_class
from clamnet_tf.evaluation.report import write_report
from clamnet_tf.files import make_folder, write_json
from clamnet_tf.inference.trained_model import load_trained_model
from clamnet_tf.preprocessing.crop import CropBox
from clamnet_tf.preprocessing.mask_access import open_masks
from clamnet_tf.recipe.classes import UNNAMED, classes_of, named
from clamnet_tf.recipe.objectives import OBJECTIVES
from clamnet_tf.reporting.overlays import overlay, with_legend, write_png
from clamnet_tf.reporting.wording import consistency, percent
from clamnet_tf.runs import KEPT_FILE, RunFolder
from clamnet_tf.simulation.cohorts import COHORTS


def evaluate_run(run: RunFolder, recipe, manifest, prepared, *, split, out, reporter, workers=None) -> dict:
    """Predict every case of `split` (all when None), compare with the masks, write metrics.json, cases.csv,
    patients.csv, report.html.

    Args:
        run: with model and selection. recipe: of the run. manifest, prepared: of the data to measure.
        out: folder for the results, made when missing. reporter: Reporter.
        workers: training.workers.Workers whose other processes run `assist` now, to share the network's
            passes; None: alone.

    Returns:
        The figures (see evaluation.figures). Without any mask the figures that need none are there, the
        others null.

    Raises:
        DataError: no case on that side.
    """
    out = make_folder(out)
    rows = _rows(prepared, split)
    if not len(rows):
        raise DataError(
            f"There is no case to evaluate{f' on the side {split!r} of the split' if split else ''}. Name "
            f"another --split."
        )
    prepared = replace(prepared, table=hidden_table(prepared.table, manifest))
    trained, selection = load_trained_model(run, recipe), run.read_selection()
    trained.probability.workers = workers
    channels = prepared.images.shape[3] - (prepared.atlas is not None)
    if channels != trained.channels:
        raise DataError(
            f"{manifest.root}: the model of {run.path} takes {trained.channels} channel(s); these images "
            f"have {channels}."
        )
    gallery = Gallery(channel=display_channel(recipe, prepared.images.shape[3]))
    names = named(trained.classes)
    walks = {name: Walk(trained.marking_of(name), None if name else gallery.add) for name in ("", *names)}
    chosen, mask_notes = choose_baselines(run, recipe, prepared, split), {}
    with reporter.bar("Evaluating", len(rows)) as bar:
        for cases in _cases(trained, chosen.methods, manifest, prepared, rows, recipe, bar, mask_notes):
            for name, case in cases.items():
                walks[name].add(case)
    for note, first in mask_notes.items():
        reporter.line(f"Note on masks (first {manifest.hide(first)}): {note}")
    of_classes = {name: walk.evaluation() for name, walk in walks.items()}
    evaluation = of_classes.pop("")
    result = figures(evaluation)
    if of_classes:
        result["markers"] = {name: figures(each) for name, each in of_classes.items()}
        add_columns(evaluation, of_classes)
    result["notes"] = [chosen.note] if chosen.note else []
    result["data"] = {
        "root": manifest.hide(str(manifest.root)),
        "split": split,
        "simulated": manifest.layout == "cohort",
    }
    if mask_notes:
        result["data"]["mask_notes"] = sorted(mask_notes)
    write_json(out / "metrics.json", result)
    if chosen.new:
        write_json(out / KEPT_FILE, chosen.new)
    write_rows(out / "cases.csv", evaluation.slices)
    write_rows(out / "patients.csv", evaluation.patients)
    shown = gallery.choose(evaluation.patients)
    write_pictures(out / "pictures", shown, names)
    write_report(
        out / "report.html",
        title=f"{recipe.name} on "
        f"{'simulated patients' if manifest.layout == 'cohort' else manifest.hide(manifest.root.name)}",
        run=_facts(run, recipe, manifest, split, selection) | {"notes": result["notes"]},
        figures=result,
        patients=evaluation.patients,
        slices=evaluation.slices,
        curves=run.read_metrics(),
        gallery=shown,
    )
    return result


def assist(marker, prepared, split) -> None:
    """What the other workers do while the chief evaluates the same network: their share of its passes."""
    for own in _volumes(prepared, _rows(prepared, split)):
        marker.heads(np.asarray(prepared.images[own], np.float32))


def _rows(prepared, split) -> np.ndarray:
    """Rows of a side of the split, of all when None."""
    table = prepared.table
    return np.flatnonzero(table.split == split) if split else np.arange(len(table))


def _volumes(prepared, rows):
    """The part of `rows` that belongs to each volume, in the order in which volumes appear."""
    volumes = prepared.table.volume[rows]
    for volume in dict.fromkeys(volumes.tolist()):
        yield rows[volumes == volume]


def write_pictures(folder: Path, shown, names=()) -> None:
    """One overlay per patient, of the slice with the largest lesion, best patient first:
    <rank>_dice<score>_<patient>.png.

    names: of the lesion classes that have one, each with a colour of its own.
    """
    make_folder(folder)
    largest = [item for item in shown if not item.normal and "largest" in item.role]
    for rank, item in enumerate(largest, start=1):
        dice = item.dice if item.patient_dice is None else item.patient_dice
        score = "" if dice is None else f"_dice{dice:.2f}"
        patient = "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in item.patient)
        picture = overlay(item.gray, item.marked, item.truth, scale=2)
        write_png(
            folder / f"{rank:02d}{score}_{patient}.png", with_legend(picture, names) if names else picture
        )


def display_channel(recipe, channels: int):
    """The channel shown as the picture: FLAIR of a three-channel MRI (pre-contrast, FLAIR, post-contrast),
    else the first.
    """
    return 1 if recipe.modality == "mri" and channels == 3 else 0


def _cases(trained, baselines, manifest, prepared, rows, recipe, bar, mask_notes):
    """Per row the cases of `split_by_class`; volume by volume, all on the original grid."""
    table, done, marker = prepared.table, 0, trained.probability
    for own in _volumes(prepared, rows):
        images, organs = np.asarray(prepared.images[own], np.float32), np.asarray(prepared.organ[own])
        heads = marker.heads(images)
        combined = trained.volume(marker.combine(heads), images, organs)
        masks = {
            what: {name: method(images, organs) for name, method in methods.items()}
            for what, methods in baselines.items()
        }
        truths = open_masks(
            manifest,
            prepared,
            own,
            purpose="evaluation",
            grid="original",
            classes=len(trained.classes),
            notes=mask_notes,
        )
        pictures = original_slices(manifest, prepared, own, recipe.data)
        for place, row in enumerate(own):
            box = CropBox(*(int(value) for value in table.box[row]))
            spacing = table.spacing[row]
            whole = SliceCase(
                patient=str(table.patient[row]),
                image=manifest.hide(_short(table.image[row], manifest.root)),
                slice_index=pictures[place][1],
                label=None if table.label[row] < 0 else int(table.label[row]),
                organ=box.restore(organs[place], nearest=True) > 0.5,
                probability=None,
                truth=truths[place],
                spacing_mm=tuple(spacing.tolist()) if np.isfinite(spacing).all() else None,
                site=str(table.site[row]) or None,
                picture=pictures[place][0],
            )
            maps, *of_heads = (box.restore_map(one[place], organs[place])[0] for one in (combined, *heads))
            cases = split_by_class(
                whole, maps, dict(zip(marker.head_names, of_heads)), trained, str(table.markers[row])
            )
            yield {
                what: replace(
                    case,
                    baselines={
                        name: box.restore(mask[place].astype(np.uint8), nearest=True) > 0.5
                        for name, mask in masks.get(what, {}).items()
                    },
                )
                for what, case in cases.items()
            }
        done += len(own)
        bar.update(done)


#: Recipe value of self_training.teacher -> what the report says of it.
TEACHERS = {
    "first_network": None,
    "normal_atlas": "an atlas of normal training slices: what is unusual at its place of the organ",
    "attribution": "where classifiers of whole images look, outlined by the images' own intensities",
}


def _short(image: str, root: Path) -> str:
    path = Path(image)
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _facts(run: RunFolder, recipe, manifest, split, selection) -> dict:
    """What the report says about the run."""
    alone = {one.name: one for one in classes_of(recipe)}.get(UNNAMED)
    simulated = manifest.layout == "cohort"
    return {
        "recipe": recipe.name,
        "modality": recipe.modality,
        "condition": recipe.condition,
        "description": recipe.description,
        "data": f"built-in cohort of {COHORTS[recipe.data.cohort.kind].title}"
        if simulated
        else manifest.hide(str(manifest.root)),
        "simulated": simulated,
        "split": split or "all cases",
        "split_patients": run.split_patients(),
        "supervision": recipe.training.supervision,
        "network": _network(recipe),
        "step": selection["step"],
        "steps": recipe.optimizer_steps,
        "seed": recipe.training.seed,
        "seconds": selection.get("seconds"),
        "checkpoint_rule": selection["checkpoint_rule"],
        "eta": alone.eta if recipe.learns_from_pairs and alone else None,
        "prevalence": alone.prevalence if alone else None,
        "environment": run.read_environment(),
        "details": _details(recipe),
    }


def _network(recipe) -> str:
    """The network whose marks are measured, in words."""
    rounds = recipe.self_training.rounds
    last = recipe.self_training.network if rounds else recipe.network
    size = (
        f"{last.depth} levels, filters {'-'.join(map(str, last.filters))}, {recipe.data.side} x "
        f"{recipe.data.side} pixels"
    )
    if not OBJECTIVES[recipe.loss.objective].classifies or rounds:
        return f"{'UNet++' if last.skips == 'nested' else 'U-Net'} of {size}"
    own = recipe.inference.activation_map
    method = {"grad_cam": "Grad-CAM", "layer_cam": "LayerCAM"}[own.method]
    return f"classifier of {size}; {method} at level {last.depth - 1 if own.level is None else own.level}"


def _details(recipe) -> dict:
    """What is done after the network, and what sets a baseline or a control apart from the method, for the
    table "How it was run".
    """
    training = recipe.training
    objective = OBJECTIVES[recipe.loss.objective].label(recipe.loss, recipe.selection.prevalence)
    classes = [
        f"{one.name} (eta {one.eta:g}, expected size {percent(one.prevalence)} of the organ)"
        for one in classes_of(recipe)
        if one.name != UNNAMED
    ]
    return {
        "Markers": ", ".join(classes),
        "Marks of a volume": consistency(recipe.inference),
        "Objective": objective,
        "Taught by": TEACHERS[recipe.self_training.teacher],
        "Training patients used": training.patients,
        "Negative control": "the labels of the training slices were shuffled"
        if training.shuffle_labels
        else None,
    }
