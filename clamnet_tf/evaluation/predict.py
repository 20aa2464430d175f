"""A trained run on images without labels: masks, overlays and a table of what is marked, volume by volume."""

from dataclasses import dataclass, field
from pathlib import Path

import nibabel
import numpy as np

from clamnet_tf.data.inputs import RESULT_COLUMNS, RESULT_TABLE, Inputs
from clamnet_tf.data.manifest import Manifest, listed
from clamnet_tf.data.prepare import prepare
from clamnet_tf.data.prepared_volume import PreparedVolume, prepare_volume
from clamnet_tf.data.volumes import AssembledVolume, Group, assemble, group_cases
from clamnet_tf.errors import DataError, ImageError, UserInputError
from clamnet_tf.evaluation.cases import write_rows
from clamnet_tf.evaluation.evaluate import display_channel
from clamnet_tf.evaluation.pictures import display_gray, overlay, write_png
from clamnet_tf.evaluation.trained import Trained
from clamnet_tf.evaluation.words import percent
from clamnet_tf.files import atomic_path
from clamnet_tf.imaging.crop import CropBox
from clamnet_tf.imaging.readers import read_volume
from clamnet_tf.imaging.volume import Grid, to_stored
from clamnet_tf.metrics.localisation import image_score, marked_fraction

VOLUME_TABLE = "volumes.csv"


@dataclass
class Outcome:
    """slices: rows of marks.csv; volumes: rows of volumes.csv; failures: why inputs were left out; notes: what readers had to assume."""

    slices: list[dict] = field(default_factory=list)
    volumes: list[dict] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def predict_inputs(trained: Trained, recipe, inputs: Inputs, *, out: Path, reporter, cache=None) -> Outcome:
    """Mark every volume of `inputs`; only one is held in memory.

    Below `out`, at the place that `inputs.outputs` names, per slice <name>_overlay.png and <name>_mask.png (0 and 255),
    or <name>_<slice>_... for a file of several slices; for NIfTI one <name>_mask.nii.gz (0 and 1) instead of the mask
    pictures. Masks lie on the grid of the file; overlays of NIfTI show its slices as `imaging.nifti` turns them. Then
    marks.csv, one row per slice, and volumes.csv, also when the work is broken off. cache: keep prepared slices there.

    What cannot be read is told in `failures` and does not stop the rest; the readable slices of its volume are marked.
    DataError, with all reasons, when nothing could be marked.
    """
    outcome, done = Outcome(failures=list(inputs.failures)), 0
    try:
        with reporter.bar("Marking", len(inputs.manifest.cases)) as bar:
            for group in group_cases(inputs.manifest):
                try:
                    _mark_group(trained, recipe, inputs, group, out, cache, outcome)
                except UserInputError as error:
                    outcome.failures.append(str(error))
                done += len(group.cases)
                bar.update(done)
    finally:
        if outcome.slices:
            write_rows(out / RESULT_TABLE, outcome.slices)
        if outcome.volumes:
            write_rows(out / VOLUME_TABLE, outcome.volumes)
    if not outcome.slices:
        raise DataError(f"Nothing could be marked:\n{listed(outcome.failures)}")
    return outcome


def _mark_group(trained, recipe, inputs, group, out, cache, outcome) -> None:
    manifest = inputs.manifest
    group, volumes = _assemble(manifest, group, recipe, outcome)
    for volume in volumes:
        image = manifest.cases[volume.wanted[0][1]].image
        if volume.array.shape[3] != trained.channels:
            raise DataError(
                f"{image}: has {volume.array.shape[3]} channel(s), the model expects {trained.channels}, as in its training images. "
                "Convert it (a gray picture saved as RGB has 3), or use a model trained on such images."
            )
    for volume, prepared in zip(volumes, _prepared(manifest, group, volumes, recipe, cache)):
        _mark_volume(trained, recipe, inputs, volume, prepared, out, outcome)


def _assemble(manifest, group, recipe, outcome):
    """(group, its volumes) without the files that cannot be read; ImageError when none can."""

    def read(some):
        return assemble(manifest, some, channels=recipe.data.channels, dicom_backend=recipe.data.dicom_backend, with_organ=recipe.organ.method == "given")

    try:
        return group, read(group)
    except ImageError:
        if len(group.cases) == 1:
            raise
    readable, failures = [], []
    for case in group.cases:
        try:
            read_volume(manifest.cases[case].image, dicom_backend=recipe.data.dicom_backend)
            readable.append(case)
        except ImageError as error:
            failures.append(str(error))
    outcome.failures += [f"{failure} The rest of its volume is marked without it." if readable else failure for failure in failures]
    return (Group(tuple(readable)), read(Group(tuple(readable)))) if readable else (group, [])


def _prepared(manifest, group, volumes, recipe, cache):
    """One PreparedVolume per volume; kept in `cache` unless None."""
    if cache is None:
        for volume in volumes:
            yield prepare_volume(volume, manifest.cases[volume.wanted[0][1]].image, recipe.data, recipe.organ)
        return
    own = Manifest(manifest.root, tuple(manifest.cases[case] for case in group.cases))
    kept = prepare(own, data=recipe.data, organ=recipe.organ, cache=cache)
    for number in range(len(volumes)):
        rows = np.flatnonzero(kept.table.volume == number)
        box = CropBox(*(int(value) for value in kept.table.box[rows[0]]))
        hashes = tuple(kept.table.pixel_hash[rows].tolist())
        yield PreparedVolume(kept.images[rows], kept.organ[rows], box, tuple(kept.table.area[rows].tolist()), hashes)


def _mark_volume(trained, recipe, inputs, volume: AssembledVolume, prepared: PreparedVolume, out, outcome) -> None:
    files = len(volume.grids)
    first = volume.wanted[0][1]
    name = inputs.volumes[first] if files > 1 else _short(inputs, first)
    channel = display_channel(recipe, volume.array.shape[3])
    pixel_mm2 = volume.spacing_mm and volume.spacing_mm[1] * volume.spacing_mm[2]
    rows, masks = [], np.zeros(volume.array.shape[:3], np.uint8)
    maps = trained.volume(trained.probability(prepared.images), prepared.images, prepared.organ)
    for place, probability in enumerate(maps):
        number, case, inside, _ = volume.wanted[place]
        grid = volume.grids[number] if files > 1 else volume.grids[0]
        organ = prepared.box.restore(prepared.organ[place], nearest=True) > 0.5
        probability = np.where(organ, np.clip(prepared.box.restore(probability), 0, 1), 0).astype(np.float32)
        mask = trained.marking.mask(probability, organ)
        masks[number] = mask
        target = out / inputs.outputs[case]
        stem = target.name if len(grid.references) == 1 else f"{target.name}_{inside}"
        mask_path = target.with_name(f"{target.name}_mask.nii.gz" if grid.kind == "nifti" else f"{stem}_mask.png")
        overlay_path = target.with_name(f"{stem}_overlay.png")
        if grid.kind != "nifti":
            write_png(mask_path, mask)
        write_png(overlay_path, overlay(display_gray(volume.array[number], channel, organ), mask))
        marked = int(mask.sum())
        values = (_short(inputs, case), inside, name, image_score(probability, organ, trained.marking.pooling_power))
        rows.append(
            dict(zip(RESULT_COLUMNS, values))
            | {"marked_px": marked, "organ_px": int(organ.sum()), "marked_fraction": marked_fraction(mask, organ)}
            | {"area_mm2": None if pixel_mm2 is None else marked * pixel_mm2, "frame": grid.references[inside].frame}
            | {"mask": mask_path.relative_to(out).as_posix(), "overlay": overlay_path.relative_to(out).as_posix()}
        )
        outcome.slices.append(rows[-1])
    _write_nifti_masks(volume, masks, inputs, out)
    outcome.volumes.append(_volume_row(name, volume, rows))
    outcome.notes += [f"{name}: {note}" for note in dict.fromkeys(note for grid in volume.grids for note in grid.notes)]


def _write_nifti_masks(volume: AssembledVolume, masks: np.ndarray, inputs: Inputs, out: Path) -> None:
    """Per NIfTI file of the volume, its slices of `masks` (S, H, W) uint8 on the file's own axes, shape and affine."""
    if len(volume.grids) == 1:
        files = [(volume.grids[0], volume.wanted[0][1], masks)]
    else:
        files = [(volume.grids[number], case, masks[number : number + 1]) for number, case, *_ in volume.wanted]
    for grid, case, values in files:
        if grid.kind == "nifti":
            target = out / inputs.outputs[case]
            with atomic_path(target.with_name(f"{target.name}_mask.nii.gz")) as temporary:
                nibabel.save(_nifti_mask(grid, values), temporary)


def _nifti_mask(grid: Grid, values: np.ndarray):
    """(slices, rows, columns) uint8 -> a NIfTI image of the kind, axes, shape and affine of the file that `grid` describes."""
    header = grid.nifti_header.copy()
    header.set_data_dtype(np.uint8)
    header.set_slope_inter(1, 0)
    header.set_intent("label")
    header["cal_min"], header["cal_max"] = 0, 1  # the window of the image would show a mask as black
    header["descrip"] = b"clamnet-tf: 1 = marked"
    kind = nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else nibabel.Nifti1Image
    return kind(np.ascontiguousarray(to_stored(values, grid).reshape(grid.shape)), grid.nifti_affine, header)


def _volume_row(name: str, volume: AssembledVolume, rows: list[dict]) -> dict:
    marked, organ = sum(row["marked_px"] for row in rows), sum(row["organ_px"] for row in rows)
    placed = len(volume.grids) == 1 or all(grid.references[0].position is not None for grid in volume.grids)
    known = volume.spacing_mm is not None and len(rows) > 1 and placed  # the thickness of one slice alone may be a guess
    return {
        "volume": name,
        "slices": len(rows),
        "marked_slices": sum(row["marked_px"] > 0 for row in rows),
        "marked_px": marked,
        "marked_fraction": marked / organ if organ else None,
        "area_mm2": rows[0]["area_mm2"] if len(rows) == 1 else None,
        "marked_ml": marked * float(np.prod(volume.spacing_mm)) / 1000 if known else None,
    }


def _short(inputs: Inputs, case: int) -> str:
    image, root = inputs.manifest.cases[case].image, inputs.manifest.root
    return image.relative_to(root).as_posix() if image.is_relative_to(root) else str(image)


def totals(outcome: Outcome, shown: int = 20) -> list[str]:
    """One line per volume: how much is marked, in ml where the grid is known, in mm2 for a single slice, else in pixels."""
    lines = []
    for row in outcome.volumes[:shown]:
        if row["marked_ml"] is not None:
            size = f"{row['marked_ml']:.2f} ml"
        elif row["area_mm2"] is not None:
            size = f"{row['area_mm2']:.1f} mm2"
        else:
            size = f"{row['marked_px']} pixels (no spacing known, hence no {'ml' if row['slices'] > 1 else 'mm2'})"
        where = f" in {row['marked_slices']} of {row['slices']} slices" if row["slices"] > 1 else ""
        share = f", {percent(row['marked_fraction'])} of the organ" if row["marked_fraction"] is not None else "; no organ found"
        lines.append(f"  {row['volume']}: {size}{where}{share}")
    if len(outcome.volumes) > shown:
        lines.append(f"  ... and {len(outcome.volumes) - shown} more, see {VOLUME_TABLE}")
    return lines
