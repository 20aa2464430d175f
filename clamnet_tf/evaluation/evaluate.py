"""Evaluate a trained run on labelled cases: metrics, rows, pictures and report."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from clamnet_tf.datasets.pseudonyms import hidden_table
from clamnet_tf.errors import DataError
from clamnet_tf.evaluation.baselines.choose import choose_baselines
from clamnet_tf.evaluation.cases import SliceCase, write_rows
from clamnet_tf.evaluation.figures import compute_metrics
from clamnet_tf.evaluation.gallery import Gallery
from clamnet_tf.evaluation.mask_use import mask_uses, patients_of_uses, without_ignored
from clamnet_tf.evaluation.original_slices import original_slices
from clamnet_tf.evaluation.per_class import add_columns, by_study, split_by_class
from clamnet_tf.evaluation.report import write_report
from clamnet_tf.evaluation.run_facts import label_levels, run_facts
from clamnet_tf.evaluation.score_figures import asymmetry_metrics
from clamnet_tf.evaluation.validation_scores import validation_rows, validation_scores, volumes_of
from clamnet_tf.evaluation.walk import Walk
from clamnet_tf.files import make_folder, write_json
from clamnet_tf.inference.asymmetry import compare, facing, is_compared
from clamnet_tf.inference.trained_model import load_trained_model
from clamnet_tf.preprocessing.crop import CropBox
from clamnet_tf.preprocessing.mask_access import DATA_SET, open_masks
from clamnet_tf.preprocessing.mask_meaning import MeaningsOf255
from clamnet_tf.preprocessing.mask_table import MEASURED, TAUGHT, counts, write_uses
from clamnet_tf.recipe.classes import named
from clamnet_tf.reporting import wording
from clamnet_tf.reporting.overlays import display_channel, overlay, with_legend, write_png
from clamnet_tf.runs import KEPT_FILE, RunFolder
from clamnet_tf.threads import in_threads


def evaluate_run(
    run: RunFolder,
    recipe,
    manifest,
    prepared,
    *,
    split,
    out,
    reporter,
    workers=None,
    scored=None,
    notes: Sequence[str] = (),
) -> dict:
    """Predict every case of a split, compare with the masks, and write metrics.json, the CSV files and
    report.html.

    Args:
        run: RunFolder with a model and a selection.
        recipe: Recipe of the run.
        manifest: Manifest of the data to evaluate.
        prepared: Prepared slices of the same data.
        split: Name of the split to evaluate; None: all cases.
        out: Folder for the results; made when missing.
        reporter: Reporter for progress.
        workers: training.workers.Workers whose other processes run `assist` at the same time and share the
            forward passes; None: this process alone.
        scored: ScoredSlices of the validation slices, if they were predicted before; None: they are predicted
            here.
        notes: Sentences on the images, which go first among the notes of the results.

    Returns:
        The dict of metrics (see evaluation.figures). Without any mask, metrics that need masks are null.

    Raises:
        DataError: There is no case in that split, the images have another number of channels than the
            model, or the masks of a patient among them taught the run.
    """
    out = make_folder(out)
    rows = _rows(prepared, split)
    uses = mask_uses(run, manifest, prepared, rows)
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
    validation = validation_scores(trained, prepared, split, scored)
    chosen, mask_notes = choose_baselines(run, recipe, prepared, split), {}
    with reporter.bar("Evaluating", len(rows)) as bar:
        for cases in _cases(trained, chosen.methods, manifest, prepared, rows, recipe, bar, mask_notes):
            for name, case in cases.items():
                walks[name].add(case)
    for note, image in mask_notes.items():
        reporter.line(f"Note on masks (first {manifest.hide(image)}): {note}")
    class_evaluations = {name: walk.evaluation() for name, walk in walks.items()}
    evaluation = class_evaluations.pop("")
    result = compute_metrics(evaluation, validation=validation)
    if is_compared(recipe):
        _compare_breasts(evaluation, manifest, prepared, rows)
        result["asymmetry"] = asymmetry_metrics(evaluation)
        if result["asymmetry"]["auroc"]["mean"] is None:
            result["reasons"]["asymmetry"] = "needs abnormal and normal images with one of the other breast"
    if class_evaluations:
        result["markers"] = {
            name: compute_metrics(class_evaluation) for name, class_evaluation in class_evaluations.items()
        }
        add_columns(evaluation, class_evaluations)
    result["labels"] = {
        "taught": label_levels(selection, recipe),
        "evaluated": wording.levels(
            {
                "slice": int((~prepared.table.by_study[rows]).sum()),
                "study": int(prepared.table.by_study[rows].sum()),
            }
        ),
    }
    if (learning := run.read_learning()) is not None:
        result["learning"] = learning
    result["notes"] = [*notes, *([chosen.note] if chosen.note else [])]
    result["data"] = {
        "root": manifest.hide(str(manifest.root)),
        "name": manifest.hide(manifest.name),
        "split": split,
        "simulated": manifest.layout == "cohort",
    }
    result["masks"] = {use: counts(uses, use) for use in (TAUGHT, MEASURED)}
    if mask_notes:
        result["data"]["mask_notes"] = sorted(mask_notes)
    write_json(out / "metrics.json", result)
    if chosen.new:
        write_json(out / KEPT_FILE, chosen.new)
    write_uses(out / "masks.csv", uses)
    write_rows(out / "cases.csv", evaluation.slices)
    write_rows(out / "patients.csv", evaluation.patients)
    gallery_items = gallery.choose(evaluation.patients)
    write_pictures(out / "pictures", gallery_items, names)
    write_report(
        out / "report.html",
        title=f"{recipe.name} on "
        f"{'simulated patients' if manifest.layout == 'cohort' else manifest.hide(manifest.name)}",
        run=run_facts(run, recipe, manifest, split, selection)
        | {"notes": result["notes"], "mask_uses": patients_of_uses(uses)},
        metrics=result,
        patients=evaluation.patients,
        slices=evaluation.slices,
        curves=run.read_metrics(),
        gallery=gallery_items,
    )
    return result


def _compare_breasts(evaluation, manifest, prepared, rows) -> None:
    """Add the columns asymmetry and not_compared to the rows of an evaluation of mammograms."""
    order = np.concatenate(list(volumes_of(prepared, rows)))
    cases = [manifest.cases[case] for case in prepared.table.case[order]]
    scores = [row["score"] if row["organ_px"] else None for row in evaluation.slices]
    values, _, reasons = compare(cases, scores, [facing(prepared.organ[row]) for row in order])
    for row, value, reason in zip(evaluation.slices, values, reasons, strict=True):
        row |= {"asymmetry": value, "not_compared": reason or None}


def assist(predictor, prepared, split) -> None:
    """Run this worker's share of the forward passes while the chief evaluates the same network."""
    for rows in (validation_rows(prepared, split), _rows(prepared, split)):
        for volume_rows in volumes_of(prepared, rows):
            predictor.heads(np.asarray(prepared.images[volume_rows], np.float32))


def _rows(prepared, split) -> np.ndarray:
    """Return the row indices of one side of the split, or of all slices when `split` is None."""
    table = prepared.table
    return np.flatnonzero(table.split == split) if split else np.arange(len(table))


def write_pictures(folder: Path, items, names=()) -> None:
    """Write one overlay per patient, of the slice with the largest lesion, as
    <rank>_dice<score>_<patient>.png.

    Args:
        folder: Folder for the pictures; made when missing.
        items: Gallery items, best patient first.
        names: Names of the lesion classes; each gets its own colour and a legend. Empty for a class without a
            name.
    """
    make_folder(folder)
    largest = [item for item in items if not item.normal and "largest" in item.role]
    for rank, item in enumerate(largest, start=1):
        dice = item.dice if item.patient_dice is None else item.patient_dice
        score = "" if dice is None else f"_dice{dice:.2f}"
        patient = "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in item.patient)
        picture = overlay(item.gray, item.marked, item.truth, scale=2)
        write_png(
            folder / f"{rank:02d}{score}_{patient}.png", with_legend(picture, names) if names else picture
        )


def _cases(trained, baselines, manifest, prepared, rows, recipe, bar, mask_notes):
    """Yield the cases of `split_by_class` for each row, volume by volume, on the original grid."""
    table, done, predictor = prepared.table, 0, trained.probability
    meanings = MeaningsOf255(DATA_SET)
    for volume_rows in volumes_of(prepared, rows):
        images, organs = (
            np.asarray(prepared.images[volume_rows], np.float32),
            np.asarray(prepared.organ[volume_rows]),
        )
        heads = predictor.heads(images)
        combined = trained.volume(predictor.combine(heads), images, organs)
        masks = {
            what: dict(
                zip(methods, in_threads(lambda method: method(images, organs), methods.values()), strict=True)
            )
            for what, methods in baselines.items()
        }
        truths = open_masks(
            manifest,
            prepared,
            volume_rows,
            purpose="evaluation",
            grid="original",
            classes=len(trained.classes),
            notes=mask_notes,
            meanings=meanings,
        )
        pictures = original_slices(manifest, prepared, volume_rows, recipe.data)
        for index, row in enumerate(volume_rows):
            known, truth = without_ignored(truths[index])
            box = CropBox(*(int(value) for value in table.box[row]))
            spacing = table.spacing[row]
            slice_case = SliceCase(
                patient=str(table.patient[row]),
                image=manifest.hide(_short(table.image[row], manifest.root)),
                slice_index=pictures[index][1],
                label=None if table.label[row] < 0 else int(table.label[row]),
                organ=known & box.restore_mask(organs[index]),
                probability=None,
                truth=truth,
                spacing_mm=tuple(spacing.tolist()) if np.isfinite(spacing).all() else None,
                site=str(table.site[row]) or None,
                volume=int(table.volume[row]),
                follows=_follows(manifest, table, volume_rows, index),
                picture=pictures[index][0],
            )
            maps, *of_heads = (
                box.restore_map(probability_map[index], organs[index])[0] * known[..., None]
                for probability_map in (combined, *heads)
            )
            cases = split_by_class(
                slice_case, maps, dict(zip(predictor.head_names, of_heads)), trained, str(table.markers[row])
            )
            if table.by_study[row]:
                cases = {what: by_study(case) for what, case in cases.items()}
            yield {
                what: replace(
                    case,
                    baselines={
                        name: known & box.restore_mask(mask[index])
                        for name, mask in masks.get(what, {}).items()
                    },
                )
                for what, case in cases.items()
            }
        done += len(volume_rows)
        bar.update(done)


def _follows(manifest, table, volume_rows, index: int) -> bool:
    """Return whether slice `index` of `volume_rows` lies directly on the slice before it; slices of one file
    do not where the list leaves out one between them.
    """
    if index == 0:
        return False
    pair = volume_rows[index - 1 : index + 1]
    before, after = (manifest.cases[int(case)].image for case in table.case[pair])
    return before != after or abs(int(np.diff(table.slice_index[pair])[0])) == 1


def _short(image: str, root: Path) -> str:
    """Return the path of an image relative to the root of its data where possible."""
    path = Path(image)
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
