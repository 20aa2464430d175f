import re,subprocess
W='/work/main/'
def rd(p): return open(W+p).read()
def wr(p,s): open(W+p,'w').write(s)
C=re.compile(r'<<<<<<< [^\n]*\n(.*?)=======\n(.*?)>>>>>>> [^\n]*\n',re.S)
def parts(p): return C.findall(rd(p))
def res(p,*news):
    n0=len(parts(p)); assert n0==len(news),(p,n0,len(news))
    it=iter(news)
    def f(m):
        n=next(it)
        return {'o':m[1],'t':m[2],'b':m[1]+m[2]}.get(n,n)
    wr(p,C.sub(f,rd(p)))
def sub(p,*pairs):
    s=rd(p)
    for a,b in pairs:
        assert a in s,(p,a[:80]); s=s.replace(a,b)
    wr(p,s)
# dicom_tree
p='clamnet_tf/data/folders/dicom_tree.py'
sub(p,('''from clamnet_tf.data.folders.dicom_headers import Header, has_dicom_magic, read_headers
from clamnet_tf.data.folders.dicom_series import sort_headers
from clamnet_tf.data.folders.label_table import LabelTable, find_table
from clamnet_tf.data.folders.listing import DICOM, Listing, suffix
''',''),('from clamnet_tf.data.folders.dicom_headers import Header, read_headers\n','from clamnet_tf.data.folders.dicom_headers import Header, read_headers\nfrom clamnet_tf.data.folders.dicom_series import sort_headers\n'),
('from clamnet_tf.imaging.readers import SUFFIXES, suffix_of\n','from clamnet_tf.imaging.image_grids import stored_plane\nfrom clamnet_tf.imaging.readers import SUFFIXES, suffix_of\n'),
('''        elif uid not in known:
            reader.problem(
                line,
                f"{column}: no DICOM file below the folder has"
                f" {uid!r}{nearest_name(uid, filter(None, known))}",
            )
        elif uid in chosen and table.labels[chosen[uid][0]] != table.labels[line]:
            reader.problem(line, f"{column}: {uid!r} is labelled {cells['label']!r} here and differently in line {chosen[uid][0]}")
        chosen.setdefault(uid, (line, cells))
''','''        elif uid not in uids:
            near = nearest_name(uid, filter(None, uids))
            reader.problem(line, f"{column}: no DICOM file below the folder has {uid!r}{near}")
        elif key not in known:
            reader.problem(line, f"{column}: no DICOM file below the folder has {what}")
        elif numbered and level == "series" and known[key] > 1:
            reader.problem(line, f"slice: {known[key]} images of {uid!r} have InstanceNumber {number}; label by SOPInstanceUID")
        elif key in chosen and table.labels[chosen[key][0]] != table.labels[line]:
            first = chosen[key][0]
            reader.problem(line, f"{column}: {what} is labelled {cells['label']!r} here and differently in line {first}")
        chosen.setdefault(key, (line, cells))
'''))
# labelled_files
p='clamnet_tf/data/folders/labelled_files.py'
res(p,'o','o')
sub(p,('    """The Manifest of volumes with a label table, or None. A slice column counts from 0."""','    """The Manifest of volumes with a label table, or None. A slice column holds k of img[:, :, k], from 0, as stored."""'),('(optional patient, slice from 0, mask)','(optional patient, slice: k of img[:, :, k], mask)'))
# inputs
p='clamnet_tf/data/inputs.py'
pp=parts(p)
res(p,'''from clamnet_tf.data.folders.dicom_headers import Header, read_header
from clamnet_tf.data.folders.dicom_series import SortedHeaders, sort_headers
from clamnet_tf.data.folders.listing import PICTURES, list_folder, natural_key, stem_of
from clamnet_tf.data.folders.other_files import other_files
''','''    notes = {hide(volume): tuple(map(hide, lines)) for volume, lines in builder.notes.items()}
    return Inputs(
        manifest,
        volumes,
        names,
        result_names(cases, root, found.identifiers.hide_name),
        failures,
        found.identifiers,
        notes,
    )
''','t')
sub(p,('lines.append(f"{folder}: DICOM {called}, {len(volume.headers)} file{\'s\' * (not alone)}, {how}")','lines.append(\n                f"{self.called(folder)}: DICOM {called}, {len(volume.headers)} file{\'s\' * (not alone)}, {how}"\n            )'))
# layouts
p='clamnet_tf/data/layouts.py'
res(p,'o')
sub(p,('with a table of labels per StudyInstanceUID, SeriesInstanceUID or"\n        " SOPInstanceUID"','with a table of labels per StudyInstanceUID, SeriesInstanceUID (also"\n        " with InstanceNumber) or SOPInstanceUID"'),('(patient, slice from 0, mask ...), BIDS"','(patient, slice: k of img[:, :, k], mask ...), BIDS"'))
# manifest
p='clamnet_tf/data/manifest.py'
res(p,'_UID = re.compile(r"[0-9]+(\\.[0-9]+){3,}")\n')
# mask_orientation
wr('clamnet_tf/data/mask_orientation.py','''"""Masks turned as their image is: those with a place in the patient turn by it, pictures and arrays as
the image's own grid does."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from clamnet_tf.data.stacking import stored_affine, turn_of
from clamnet_tf.errors import DataError
from clamnet_tf.imaging.mask_files import Mask, needs_image, read_mask
from clamnet_tf.imaging.orientation import IDENTITY, reorient, restore
from clamnet_tf.imaging.readers import kind_of, read_volume
from clamnet_tf.imaging.volume import Volume

_WITHOUT_PLACE = ("png", "jpeg", "tiff", "npy")


def read_mask_of(
    mask: Path, image: Path, open_image: Callable[[Path], Volume] = read_volume, classes: int = 1
) -> Mask:
    """Read a mask, (slices, rows, columns), turned like the volume of `image`.

    Args:
        mask, image: their files; a mask without a place in the patient holds its values in the order of
            the image's file.
        open_image: gives the image's volume; called for masks that are placed on their image, and for those
            without a place of images that do have one.
        classes: how many lesion classes are told apart.

    Raises:
        DataError: the mask does not have the shape of the image as stored, so that it cannot be turned
            with it. ImageError: as `imaging.mask_files.read_mask`.
    """
    if needs_image(mask):
        return _placed(mask, open_image(image), classes)
    read = read_mask(mask, classes)
    values = read.values
    if _kind(mask) not in _WITHOUT_PLACE or _kind(image) in _WITHOUT_PLACE:
        return read
    volume = open_image(image)
    grid = volume.grid
    if (grid.axes, grid.flips) == IDENTITY:
        return read
    if grid.kind == "nifti":
        stored = (*grid.shape, *[1] * (3 - len(grid.shape)))
        if len(values) == 1 or stored not in (values.shape, volume.array.shape[:3]):
            return read  # a slice, or a volume in the order of read_volume
        if stored != volume.array.shape[:3]:
            return replace(read, values=np.ascontiguousarray(reorient(values, grid.axes, grid.flips)))
    elif len(values) == 1 and not grid.axes[0]:
        return replace(read, values=np.ascontiguousarray(reorient(values, grid.axes, grid.flips)))
    raise DataError(
        f"{mask}: a mask of shape {values.shape} without a place in the patient, for {image}, whose slices "
        f"are turned to axial ones; there is no "
        "telling how it lies. Save the mask as NIfTI with the affine of the image."
    )


def _placed(mask: Path, volume: Volume, classes: int) -> Mask:
    """A segmentation or structure set, placed on the slices as the image's files hold them, then turned like the image."""
    axes, flips = turn_of(volume)
    if (axes, flips) == IDENTITY:
        return read_mask(mask, classes, image=volume)
    stack = np.ascontiguousarray(restore(volume.array, axes, flips))
    affine = stored_affine(volume)
    spacing = volume.spacing_mm if affine is None else tuple(float(side) for side in np.linalg.norm(affine[:3, :3], axis=0))
    grid = replace(volume.grid, axes=IDENTITY[0], flips=IDENTITY[1])
    stored = replace(volume, array=stack, affine=affine, spacing_mm=spacing, grid=grid, excluded=None)
    read = read_mask(mask, classes, image=stored)
    return replace(read, values=np.ascontiguousarray(reorient(read.values, axes, flips)))


def _kind(path: Path) -> str | None:
    return "dicom" if path.is_dir() else kind_of(path)
''')
# sealed
p='clamnet_tf/data/sealed.py'
res(p,'''            key = (case.mask, case.image)
            if last[0] != key:
                read = read_mask_of(case.mask, case.image, classes=markers)
                last = (key, read.values > 0 if markers == 1 else read.values)
                for note in read.notes if notes is not None else ():
                    notes.setdefault(note, str(case.mask))
            if len(last[1]) == 1 and case.slice_index is None and of_case[table.case[row]] > 1:
                raise DataError(
                    f"{case.mask}: a mask of one slice, which does not fit the {of_case[table.case[row]]} axial slices of {case.image} or its series. "
                    "Give the masks as one NIfTI file with the affine of the image."
                )
''','')
sub(p,('from clamnet_tf.imaging.mask_files import Mask, needs_image, read_mask\nfrom clamnet_tf.imaging.readers import read_volume\n',''))
# shards
res('clamnet_tf/data/shards.py','b')
# survey
p='clamnet_tf/data/survey.py'
res(p,'o','o','o','')
sub(p,('from clamnet_tf.imaging.orientation import plane_name\n',''),('from clamnet_tf.data.slice_numbers import volume_slice\n',''))
# volumes
p='clamnet_tf/data/volumes.py'
pp=parts(p)
res(p,'from clamnet_tf.imaging.orientation import IDENTITY\n','','''    affines: per grid, 4x4, (slice, row, column, 1) of the stack -> mm, LPS; None = unknown. The stack: slices of DICOM as their
        files hold them, in the order of position; of all other files `array` itself
    axes, flips: how `array` was taken from the stack, see `imaging.orientation.reorient`
    cases: per grid, index of its case
    excluded: bool (S, H, W) like `array`, where no patient is shown (see `imaging.volume.Volume`), None = nowhere
    notes: what was accepted or changed to read it, beside the notes of the grids
''','''    axes: tuple[int, int, int] = IDENTITY[0]
    flips: tuple[bool, bool, bool] = IDENTITY[1]
    cases: tuple[int, ...] = (0,)
    excluded: np.ndarray | None = None
''','''        organ, of_mask = _organ(manifest.cases[indices[0]], volume) if with_organ else (None, ())
        notes += of_mask
        wanted = _wanted(path, volume, manifest, indices)
        if len(array) == 1:
            single.append(Single(path, indices[0], array, organ, volume, notes))
        else:
            geometry = (volume.spacing_mm, organ, (volume.grid,), (stored_affine(volume),), *turn_of(volume))
            volumes.append(AssembledVolume(array, wanted, *geometry, (indices[0],), volume.excluded, notes))
    if single:
        stack = stack_files(manifest, single)
        volumes.append(
            AssembledVolume(
                stack.array,
                stack.wanted,
                stack.spacing_mm,
                stack.organ,
                stack.grids,
                stack.affines,
                stack.axes,
                stack.flips,
                stack.cases,
                stack.excluded,
                stack.notes,
            )
        )
    return [_checked(manifest, volume, expected) for volume in volumes]


def _checked(manifest: Manifest, volume: AssembledVolume, expected: ExpectedImages) -> AssembledVolume:
    path = manifest.cases[volume.wanted[0][1]].image
    notes = check_hounsfield(path, volume.array, expected, all(grid.eight_bits for grid in volume.grids))
    return replace(volume, notes=(*volume.notes, *notes)) if notes else volume
''','''def _organ(case: Case, volume: Volume) -> tuple[np.ndarray, tuple[str, ...]]:
    """(bool (slices, rows, columns), notes on how the mask was read)."""
''','''    mask = read_mask_of(case.organ, case.image, lambda path: volume)
    if mask.values.shape != volume.array.shape[:3]:
        raise DataError(
            f"{case.organ}: organ mask of shape {mask.values.shape}, its image {case.image} has {volume.array.shape[:3]} (slices, rows, columns)."
        )
    return mask.values > 0, tuple(f"organ mask: {note}" for note in mask.notes)
''','')
# stacking: excluded and notes of single files
p='clamnet_tf/data/stacking.py'
sub(p,('''    organ: np.ndarray | None
    volume: Volume


@dataclass(frozen=True)
class Stack:''','''    organ: np.ndarray | None
    volume: Volume
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stack:'''),('''    cases: tuple[int, ...]
    notes: tuple[str, ...] = ()
''','''    cases: tuple[int, ...]
    excluded: np.ndarray | None = None
    notes: tuple[str, ...] = ()
'''),('''        tuple(one.case for one in single),
        notes,
    )
''','''        tuple(one.case for one in single),
        _excluded(single, axes, flips),
        tuple(dict.fromkeys([*(note for one in single for note in one.notes), *notes])),
    )


def _excluded(single, axes, flips) -> np.ndarray | None:
    """Where no patient is shown, like the turned array; None when no file says so."""
    if all(one.volume.excluded is None for one in single):
        return None
    parts = []
    for one in single:
        hidden = np.zeros(one.array.shape[:3], bool) if one.volume.excluded is None else one.volume.excluded
        parts.append(restore(hidden, *turn_of(one.volume)))
    return np.ascontiguousarray(reorient(np.concatenate(parts), axes, flips))
'''))
