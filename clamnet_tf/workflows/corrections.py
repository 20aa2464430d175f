"""Take corrected masks into a run (`fit --corrections`): read them, check their geometry, and store them."""

import dataclasses
import hashlib
from pathlib import Path

import nibabel
import numpy as np

from clamnet_tf import spreadsheet
from clamnet_tf.datasets.layouts.dicom_headers import read_header
from clamnet_tf.datasets.manifest import Case, Manifest
from clamnet_tf.datasets.stacking import turn_of
from clamnet_tf.datasets.unlabelled_inputs import Inputs, find_inputs
from clamnet_tf.errors import DataError
from clamnet_tf.files import atomic_path, make_folder, write_text
from clamnet_tf.imaging.dicom_segmentation_reader import source_instances
from clamnet_tf.imaging.mask_files import Mask, read_mask
from clamnet_tf.imaging.mask_values import IGNORED
from clamnet_tf.imaging.orientation import reorient, restore
from clamnet_tf.imaging.readers import kind_of, read_volume
from clamnet_tf.imaging.volume import Volume, to_stored
from clamnet_tf.prediction.nifti_masks import affine_of_series
from clamnet_tf.preprocessing.mask_meaning import MeaningsOf255
from clamnet_tf.preprocessing.mask_orientation import read_mask_of
from clamnet_tf.preprocessing.volumes import assemble, group_cases
from clamnet_tf.progress import Reporter
from clamnet_tf.recipe.classes import class_names
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.workflows.correction_files import Correction, find_corrections

TABLE = "corrections.csv"
_OFF_GRID_MM = 0.1
_SHOWN = 5


def store_corrections(
    folder: str | Path, store: Path, manifest: Manifest, recipe: Recipe, reporter: Reporter
) -> None:
    """Read corrected masks and keep them in the run folder, so that it can be resumed without them.

    Args:
        folder: corrected masks, see `correction_files.find_corrections`.
        store: folder of the run for them; nothing is done when it is there already.
        manifest: the cases of the run, with their split.
        recipe: recipe of the run.
        reporter: receives a line on what was found.

    Raises:
        DataError: a file belongs to no image, two belong to one, a mask does not lie on the grid of its
            image, or belongs to a patient who is measured.
        ImageError: a mask cannot be read.
    """
    if store.exists():
        reporter.line("Corrections: the masks that the run began with are kept.")
        return
    root = manifest.root
    images = dict.fromkeys(case.image for case in manifest.cases)
    inputs = find_inputs(images, stacks=recipe.modality != "xray")
    corrections = find_corrections(Path(folder), inputs, group_cases(inputs.manifest))
    reader = _Reader(inputs, manifest, len(class_names(recipe)), recipe.data.dicom_backend)
    for correction in corrections:
        reader.add(correction)
    masks = reader.masks()
    _check_sides(manifest, masks)
    files = make_folder(store.with_name(f"{store.name}.unfinished"))
    rows = [("image", "correction", "mask")]
    for image, values in masks.items():
        name = f"{_key(image, root)}.npy"
        with atomic_path(files / name) as temporary, open(temporary, "wb") as stream:
            np.save(stream, values)
        sources = sorted({path.relative_to(folder).as_posix() for path in reader.sources[image]})
        rows.append((manifest.hide(_relative(image, root)), manifest.hide(", ".join(sources)), name))
    write_text(files / TABLE, "".join(map(spreadsheet.line, rows)))
    files.rename(store)
    count = len({case.patient for case in manifest.cases if case.image in masks})
    reporter.line(
        f"Corrections: {len(corrections)} files of {folder} belong to {len(masks)} images of {count} "
        f"patient{'s' * (count != 1)}; no other mask teaches."
    )


def with_corrections(manifest: Manifest, store: Path) -> Manifest:
    """Return the manifest with the masks that `store_corrections` kept, and without any other mask.

    Raises:
        DataError: none of the stored masks belongs to an image of the manifest.
    """
    cases = []
    for case in manifest.cases:
        path = store / f"{_key(case.image, manifest.root)}.npy"
        found = path if path.is_file() else None
        cases.append(dataclasses.replace(case, mask=found, mask_in_order=found is not None))
    if not any(case.mask for case in cases):
        raise DataError(
            f"{store}: none of the corrected masks that the run began with belongs to an image of "
            f"{manifest.root}. Resume it with the same --data."
        )
    return dataclasses.replace(manifest, cases=tuple(cases))


class _Reader:
    """Read corrections into label maps of whole images.

    Attributes:
        sources: image of the manifest -> files that its label map was made of.
    """

    def __init__(self, inputs: Inputs, manifest: Manifest, classes: int, dicom_backend: str):
        self.inputs, self.manifest = inputs, manifest
        self.classes, self.dicom_backend = classes, dicom_backend
        self.sources: dict[Path, list[Path]] = {}
        self._images = {case.image: case for case in manifest.cases}
        self._stacks: dict[Path, np.ndarray] = {}  # (S, H, W) in the order of the file, 255 where not given
        self._given: dict[tuple[Path, int], Path] = {}  # slice of a file -> its correction
        self._placed: dict[Path, np.ndarray] = {}  # (S, H, W) in the order of read_volume
        self._meanings = MeaningsOf255("patient")
        self._by_instance: dict[str, set[Path]] | None = None

    def add(self, correction: Correction) -> None:
        """Read one file."""
        if correction.is_segmentation:
            self._add_segmentation(correction.path)
        elif correction.group is not None:
            self._add_series(correction.path, group_cases(self.inputs.manifest)[correction.group])
        else:
            assert correction.case is not None
            self._add_file(correction, self.inputs.manifest.cases[correction.case].image)

    def masks(self) -> dict[Path, np.ndarray]:
        """Return image of the manifest -> uint8 (slices, rows, columns) in the order of its volume."""
        result = dict(self._placed)
        for image in self._images:
            volume = None
            if image in self._stacks:
                volume, stack = read_volume(image), self._stacks[image]
            elif image.is_dir() and any(path.is_relative_to(image) for path in self._stacks):
                volume = read_volume(image)
                stack = self._of_folder(volume, image)
            if volume is not None:
                if image in result:
                    raise DataError(f"{image}: has corrections as DICOM segmentation and in another format.")
                result[image] = np.ascontiguousarray(reorient(stack, *turn_of(volume)))
        return result

    def _of_folder(self, volume: Volume, image: Path) -> np.ndarray:
        """Return the stack of a folder of DICOM, from those of its files."""
        stack = np.full(_stored_shape(volume), IGNORED, np.uint8)
        for index, reference in enumerate(volume.grid.references):
            if reference.path in self._stacks:
                stack[index] = self._stacks[reference.path][reference.frame]
        for path in self._stacks:
            if path.is_relative_to(image):
                self.sources.setdefault(image, []).extend(self.sources.get(path, ()))
        return stack

    def _add_file(self, correction: Correction, image: Path) -> None:
        """Read a mask of one file, or of one of its slices."""
        path, volume = correction.path, read_volume(image)
        shape = _stored_shape(volume)
        if kind_of(path) == "nifti" and kind_of(image) == "nifti":
            mask = read_mask_of(path, image, classes=self.classes, ignored=True)
        elif kind_of(path) == "nifti":
            group = next(group for group in group_cases(self.inputs.manifest) if self._is_of(group, image))
            self._add_series(path, group)
            return
        else:
            mask = read_mask(path, self.classes, ignored=True)
        if mask.values.shape[1:] != shape[1:]:
            raise DataError(
                f"{path}: a mask of {mask.values.shape[1]} rows and {mask.values.shape[2]} columns for "
                f"{image}, whose slices have {shape[1]} rows and {shape[2]} columns. Save it on the grid of "
                "the image."
            )
        self._note_meaning(path, image, mask)
        if correction.number is None and len(mask.values) != shape[0]:
            raise DataError(
                f"{path}: a mask of {len(mask.values)} slice(s) for {image}, which has {shape[0]}. Name a "
                "mask of one slice <name>_<slice>_mask.png, as predict does."
            )
        if correction.number is None:
            for index, plane in enumerate(mask.values):
                self._put(path, image, shape, index, plane)
            return
        numbers = [
            index if reference.number is None else reference.number
            for index, reference in enumerate(volume.grid.references)
        ]
        if correction.number not in numbers or len(numbers) == 1:
            raise DataError(f"{path}: {image} has no slice {correction.number}, of which this is the mask.")
        self._put(path, image, shape, numbers.index(correction.number), mask.values[0])

    def _is_of(self, group, image: Path) -> bool:
        return any(self.inputs.manifest.cases[case].image == image for case in group.cases)

    def _add_series(self, path: Path, group) -> None:
        """Read a NIfTI mask of the files of one series."""
        volumes = assemble(
            self.inputs.manifest, group, channels=None, dicom_backend=self.dicom_backend, with_organ=False
        )
        if len(volumes) > 1:
            raise DataError(f"{path}: its name is that of {len(volumes)} volumes; correct PNG masks instead.")
        [volume] = volumes
        mask = read_mask(path, self.classes, ignored=True)
        stack_shape = restore(volume.array[..., 0], volume.axes, volume.flips).shape
        values = _in_order(path, _raw(path, mask), affine_of_series(volume), stack_shape)
        single = len(volume.grids) == 1
        for index, plane in enumerate(values):
            grid = volume.grids[0 if single else index]
            case = volume.cases[0 if single else index]
            image = self.inputs.manifest.cases[case].image
            if not index:
                self._note_meaning(path, image, mask)
            shape = stack_shape if single else (len(grid.references), *stack_shape[1:])
            self._put(path, image, shape, index if single else 0, plane)

    def _add_segmentation(self, path: Path) -> None:
        """Read a DICOM segmentation onto every image that it names."""
        instances = source_instances(path)
        images = set().union(*(self._instances().get(uid, set()) for uid in instances))
        if not images:
            raise DataError(
                f"{path}: was drawn on {len(instances)} DICOM image(s), none of which is in "
                f"{self.manifest.root}. Give the images that predict marked as --data."
            )
        for image in sorted(images):
            if image in self._placed:
                raise DataError(f"{path}: {image} has two corrected segmentations; keep one.")
            self._placed[image] = read_mask_of(path, image, classes=self.classes).values
            self.sources.setdefault(image, []).append(path)

    def _instances(self) -> dict[str, set[Path]]:
        """Return SOPInstanceUID -> images of the manifest that hold it."""
        if self._by_instance is None:
            self._by_instance = {}
            for image in self._images:
                files = [path for path in image.rglob("*") if path.is_file()] if image.is_dir() else [image]
                for file in files:
                    if kind_of(file) == "dicom":
                        self._by_instance.setdefault(read_header(file).instance, set()).add(image)
        return self._by_instance

    def _note_meaning(self, path: Path, image: Path, mask: Mask) -> None:
        case = self._images.get(image) or self._of_parent(image)
        self._meanings.add(case.patient if case else str(image.parent), path, mask)

    def _of_parent(self, image: Path) -> Case | None:
        """Return the case whose image is the folder that holds this file."""
        parents = (self._images.get(parent) for parent in image.parents)
        return next((case for case in parents if case is not None), None)

    def _put(self, path: Path, image: Path, shape, index: int, plane: np.ndarray) -> None:
        """Keep the label map of one slice of a file."""
        if (image, index) in self._given:
            raise DataError(
                f"{path}: slice {index} of {image} is corrected by {self._given[image, index]}, too; keep "
                "one."
            )
        if image not in self._images and self._of_parent(image) is None:
            raise DataError(
                f"{path}: belongs to {image}, which is no image of the run (without a label, or left out). "
                "Give it a label in the data, or take the mask away."
            )
        self._given[image, index] = path
        stack = self._stacks.setdefault(image, np.full(shape, IGNORED, np.uint8))
        stack[index] = plane
        self.sources.setdefault(image, []).append(path)


def _stored_shape(volume: Volume) -> tuple[int, ...]:
    """Return (slices, rows, columns) of the slices as the files hold them."""
    return restore(volume.array[..., 0], *turn_of(volume)).shape


def _raw(path: Path, mask: Mask) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the label map of a NIfTI file as stored, (x, y, z), and its affine, None without a place."""
    grid = read_volume(path).grid
    assert grid.nifti_header is not None  # a NIfTI file has one
    stored = to_stored(mask.values, grid).reshape(*grid.shape, *[1] * (3 - len(grid.shape)))
    placed = grid.nifti_header["sform_code"] > 0 or grid.nifti_header["qform_code"] > 0
    return stored, grid.nifti_affine if placed else None


def _in_order(path: Path, raw, expected: np.ndarray | None, shape) -> np.ndarray:
    """Return the label map of a series as its slices lie, (slices, rows, columns).

    Args:
        path: the file.
        raw: label map (x, y, z) and affine (4, 4) to mm, RAS, or None, of the file.
        expected: affine that `predict` writes for the series, None where it has no place in the patient.
        shape: (slices, rows, columns) of the series.

    Raises:
        DataError: the mask lies on another grid.
    """
    values, affine = raw
    if expected is not None and affine is not None:
        turn = nibabel.orientations.ornt_transform(
            nibabel.orientations.io_orientation(affine), nibabel.orientations.io_orientation(expected)
        )
        affine = affine @ nibabel.orientations.inv_ornt_aff(turn, values.shape)
        values = nibabel.orientations.apply_orientation(values, turn)
    if values.shape != tuple(shape[::-1]):
        raise DataError(
            f"{path}: a mask of {values.shape[::-1]} slices, rows, columns for a series of {tuple(shape)}. "
            "Save it on the grid of the series."
        )
    if expected is not None:
        if affine is None:
            raise DataError(
                f"{path}: has no place in the patient (sform_code and qform_code are 0), but its series has "
                "one. Save it with the affine that predict wrote."
            )
        corners = np.array(np.meshgrid(*[(0, side - 1) for side in values.shape], (1,))).reshape(4, -1)
        apart = float(np.linalg.norm(((affine - expected) @ corners)[:3], axis=0).max())
        if apart > _OFF_GRID_MM:
            raise DataError(
                f"{path}: lies up to {apart:.1f} mm away from its series. Save it on the grid of the series."
            )
    return np.ascontiguousarray(values.transpose(2, 1, 0))


def _check_sides(manifest: Manifest, masks) -> None:
    """Refuse corrections of patients who are not on the training side, whose masks measure."""
    wrong = {
        case.patient: case.split for case in manifest.cases if case.image in masks and case.split != "train"
    }
    if wrong:
        names = [f"{manifest.hide(str(name))} ({side})" for name, side in list(wrong.items())[:_SHOWN]]
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise DataError(
            f"--corrections: {len(wrong)} corrected patient(s) are not on the training side: "
            f"{', '.join(names)}{more}. A mask may teach or measure, not both: give these patients the side "
            "train with --split-file, or take their masks away."
        )


def _key(image: Path, root: Path) -> str:
    """Return the name under which the mask of an image is stored, which does not show the patient's."""
    return hashlib.sha256(_relative(image, root).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _relative(image: Path, root: Path) -> str:
    return image.relative_to(root).as_posix() if image.is_relative_to(root) else str(image)
