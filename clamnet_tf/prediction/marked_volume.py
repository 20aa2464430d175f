"""One volume with what was marked in it, on the grid of its files: what every writer of masks starts from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clamnet_tf.data.prepared_volume import PreparedVolume
from clamnet_tf.data.volumes import AssembledVolume
from clamnet_tf.imaging.volume import Grid, SliceReference
from clamnet_tf.metrics.localisation import image_score, marked_fraction
from clamnet_tf.prediction.planes import Plane, along_normal, planes_of


@dataclass(frozen=True)
class MarkedSlice:
    """case: index in the manifest; inside: slice in its file, from 0, in the order of the volume; stem: where its results
    go, below the output folder, without suffix; position_mm: along the normal of the volume; presence: score 0..1;
    of_markers: marked pixels and presence of each of several markers."""

    case: int
    inside: int
    input: str
    stem: Path
    reference: SliceReference
    plane: Plane | None
    position_mm: float | None
    presence: float
    marked_px: int
    organ_px: int
    marked_fraction: float | None
    area_mm2: float | None
    of_markers: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, eq=False)
class MarkedVolume:
    """array: (S, H, W, C) float32, values of the files; mask, organ: (S, H, W) uint8 and bool; probability: (S, H, W)
    float32 0..1, 0 outside of the organ, None unless asked for. All on the files' own grid. Of several markers the mask holds their
    numbers, from 1, and the probability is (S, H, W, M), shifted so that every marker's cut is 0.5.

    files: per grid (grid, stem of its results, index of its first slice); stem: where results of the whole volume go
    channel: the one to show; spacing_mm: slices, rows, columns; markers: names, when there are several
    """

    name: str
    stem: Path
    array: np.ndarray
    mask: np.ndarray
    organ: np.ndarray
    probability: np.ndarray | None
    slices: tuple[MarkedSlice, ...]
    files: tuple[tuple[Grid, Path, int], ...]
    spacing_mm: tuple[float, float, float] | None
    channel: int
    notes: tuple[str, ...]
    markers: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """dicom, nifti, picture or npy."""
        return self.files[0][0].kind

    @property
    def planes(self) -> tuple[Plane | None, ...]:
        return tuple(one.plane for one in self.slices)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, in the order of slices."""
        return tuple(dict.fromkeys(one.reference.path for one in self.slices))


def mark_volume(trained, volume: AssembledVolume, prepared: PreparedVolume, *, names, name, stem, channel, keep_probability: bool) -> MarkedVolume:
    """The network's answer, put back on the files' grid and thresholded.

    trained: see evaluation.trained.Trained. names: case index -> (input as it is called in tables, stem of its results).
    """
    shape = (*volume.array.shape[:3], *([len(trained.markers)] if trained.markers else []))
    probability = np.zeros(shape, np.float32) if keep_probability else None
    mask, organs = np.zeros(volume.array.shape[:3], np.uint8), np.zeros(volume.array.shape[:3], bool)
    planes = planes_of(volume)
    positions, slices = along_normal(planes), []
    pixel_mm2 = volume.spacing_mm and volume.spacing_mm[1] * volume.spacing_mm[2]
    maps = trained.volume(trained.probability(prepared.images), prepared.images, prepared.organ)
    for place, one in enumerate(maps):
        number, case, inside, _ = volume.wanted[place]
        one, organ = prepared.box.restore_map(one, prepared.organ[place])
        marked = trained.marking.mask(one, organ)
        mask[number], organs[number] = marked, organ
        if keep_probability:
            probability[number] = one
        grid = volume.grids[number] if len(volume.grids) > 1 else volume.grids[0]
        count, power = int(np.count_nonzero(marked)), trained.marking.pooling_power
        slices.append(
            MarkedSlice(
                case=case,
                inside=inside,
                input=names[case][0],
                stem=names[case][1] if len(grid.references) == 1 else names[case][1].with_name(f"{names[case][1].name}_{inside}"),
                reference=grid.references[inside],
                plane=planes[number],
                position_mm=positions[number],
                presence=image_score(one.max(axis=-1) if trained.markers else one, organ, power),
                marked_px=count,
                organ_px=int(organ.sum()),
                marked_fraction=marked_fraction(marked, organ),
                area_mm2=None if pixel_mm2 is None else count * pixel_mm2,
                of_markers=tuple((int((marked == k + 1).sum()), image_score(one[..., k], organ, power)) for k in range(len(trained.markers))),
            )
        )
    if len(volume.grids) == 1:
        files = ((volume.grids[0], names[volume.wanted[0][1]][1], 0),)
    else:
        files = tuple((volume.grids[number], names[case][1], number) for number, case, *_ in volume.wanted)
    notes = tuple(dict.fromkeys(note for notes in (volume.notes, *(grid.notes for grid in volume.grids)) for note in notes))
    return MarkedVolume(name, stem, volume.array, mask, organs, probability, tuple(slices), files, volume.spacing_mm, channel, notes, trained.markers)
