exec(open('/tmp/lab/geo2.py').read().split("# dicom_tree")[0])
p='clamnet_tf/evaluation/evaluate.py'; print(parts(p))
res(p,'''        truths = open_masks(manifest, prepared, own, purpose="evaluation", grid="original", markers=max(1, len(trained.markers)), notes=mask_notes)
        pictures = original_slices(manifest, prepared, own, recipe.data)
''')
res('clamnet_tf/imaging/nifti.py','b','UNPLACED = "neither sform nor qform: orientation and spacing are not known, axes taken as stored"\n','''    notes = () if coded else (unplaced,)
    if turned is not None and axes[0] != 2:
        notes = check_turned(path, tuple(spatial[axis] for axis in axes), turned, "coronal" if axes[1] == 2 else "sagittal")
''')
p='clamnet_tf/imaging/picture.py'
res(p,'''    treated as in `read_picture`. The tag Orientation is applied, as EXIF's is: the grid is that of the page as viewers
    show it. Compressions beyond tifffile's own (LZW, JPEG, CCITT, PackBits) are left to Pillow.
    stored: leave white-is-zero and palettes as they are, and name them in `Grid.photometric`: for masks.
''','''    stored = stored if banded else stored[..., np.newaxis]
    if not (as_stored and page.photometric in (_PALETTE, _WHITE_IS_ZERO)):
        stored = _colours(path, stored, page)
    stored = upright(stored, _orientation(path, series))
    return stored, ((slices,) if stacked else ()) + stored.shape[1:3]
''')
res('clamnet_tf/prediction/marked_volume.py','t')
p='clamnet_tf/prediction/tables.py'
res(p,'from clamnet_tf.prediction.planes import thicknesses\nfrom clamnet_tf.texts import HANDLER\n')
res('tests/data/test_cohorts.py','''        mask = read_mask(case.mask).values
        heights = sorted(other.position for other in manifest.cases if other.image == case.image) if len(mask) > 1 else [case.position]
        assert case.label == int(mask[heights.index(case.position)].any())
''')
res('tests/data/test_head_ct.py','''        np.testing.assert_array_equal(read_mask(own[0].mask, 2).values, scan.mask)
        for number, case in enumerate(sorted(own, key=lambda case: case.position)):
            assert volume_slice(case.image, volume, case.slice_index) == number
            values = set(scan.mask[number].ravel().tolist()) - {0}
''')
p='clamnet_tf/imaging/dicom_header.py'
res(p,'''from clamnet_tf.imaging.acquisition import differences_of, functional_group, image_type_of, number, refuse_tiles_and_films
from clamnet_tf.imaging.companions import is_gzipped, unpacked

LARGEST_UNPACKED = 2**29  # bytes of a DICOM file that is stored in gzip
''','''    modality: str = ""  # Modality (0008,0060)
    photometric: str = ""  # PhotometricInterpretation
    image_type: tuple[str, ...] = ()
    differences: dict[str, str | float] = field(default_factory=dict)  # what may tell volumes of one series apart, see acquisition.py
''','b')
p='clamnet_tf/imaging/dicom.py'
pp=parts(p); print(len(pp))
res(p,'b','''    Brought to axial slices as `orientation.to_axial` says; a single sagittal or coronal slice stays as it is stored. See
    `dicom_pixels.read_pixels` for values and channels, `dicom_geometry.arrange` for order and affine; presentation: give the
    values that the file says to show, see `presentation.present`.
''','''    if len(frames) > 1 and frames[0].position is not None:
        _the_only_volume(sort_series(frames, lambda frame: None), path)
    values, stored = read_pixels(dataset, path, backend=backend, stored_too=True)
    shown = present(dataset, values, stored, path) if presentation else Presented(values)
    return _assemble(frames, shown, (path,), path)


def read_dicom_folder(folder: Path, *, series: str | None = None, backend: str = "pydicom", presentation: bool = False) -> Volume:
    """The one DICOM series in a folder (and its subfolders), or the one named by its SeriesInstanceUID.

    series: SeriesInstanceUID; of a series that holds several volumes followed by a space and the words that the message says.
    """
''','''    files = found[uid] if series is not None else next(iter(found.values()))
    return read_dicom_files(files, folder, part=part, backend=backend, presentation=presentation)


def read_dicom_files(
    files: Iterable[Path], where: Path, *, part: str = "", backend: str = "pydicom", presentation: bool = False
) -> Volume:
    """The files of one series, in any order, as one volume; `where` is named in messages about several files.

    Images that belong to no volume are set aside, true copies counted once, and both are named in the notes of the grid.
    part: which of several volumes of the series, in the words of the message that lists them.
    """
''','''    for path in dict.fromkeys(frame.path for frame in headers):
        dataset = open_dataset(path, pixels=True)
        pixels, stored = read_pixels(dataset, path, backend=backend, stored_too=True)
        shown = present(dataset, pixels, stored, path) if presentation else Presented(pixels)
        pixels, notes = shown.values, (*notes, *shown.notes)
''',
pp[5][1].replace('''        values[start : start + len(pixels)] = pixels
        start += len(pixels)
    return _assemble(headers, values, None, where, notes)
''','''        values[start : start + len(pixels)] = pixels
        if shown.excluded is not None:
            excluded = np.zeros(values.shape[:3], bool) if excluded is None else excluded
            excluded[start : start + len(pixels)] = shown.excluded
        start += len(pixels)
    return _assemble(headers, Presented(values, excluded, tuple(dict.fromkeys(notes))), None, where)
'''),
'''def _assemble(frames, shown: Presented, sources, where) -> Volume:
    """Sort frames into a stack and turn the stack to axial slices. sources: of one file; None of a folder."""
    notes = tuple(dict.fromkeys(shown.notes))
''','''        excluded = None if excluded is None else excluded[list(arrangement.order)]
''',
pp[8][1].replace('''        notes=(*arrangement.notes, *notes),
    )
    sources = sources if in_one_file else tuple(f.path for f in ordered)
    return Volume(finite_float32(where, turned), spacing, affine, sources, grid)
''','''        notes=(*arrangement.notes, *notes),
        modality=ordered[0].modality,
        photometric=ordered[0].photometric,
    )
    sources = sources if in_one_file else tuple(f.path for f in ordered)
    excluded = None if excluded is None else np.ascontiguousarray(reorient(excluded, axes, flips))
    return Volume(finite_float32(where, turned), spacing, affine, sources, grid, excluded)
'''))
sub(p,('    values, excluded, notes = None, None, ()\n','    values, excluded = None, None\n'))
