def sub(path, old, new, n=1):
    path = "clamnet_tf/" + path
    s = open(path).read(); assert s.count(old) == n, (path, old, s.count(old)); open(path, "w").write(s.replace(old, new))
sub("recipe/reader.py", "        items = []\n        for event", "        items: list[Node] = []\n        for event")
sub("recipe/reader.py", "        entries = {}\n        for event", "        entries: dict[str, Node] = {}\n        for event")
sub("recipe/reader.py", "    value: object\n    size", "    value: Any\n    size")
sub("recipe/schema_attribution.py", '''    methods: list[Literal["none", "halfway", "border_contrast", "random_walker", "geodesic"]] = Field(
        default_factory=lambda: ["halfway", "geodesic"],''', '''    methods: list[Outline] = Field(
        default_factory=lambda: ["halfway", "geodesic"],''')
sub("recipe/schema_attribution.py", "class RefinementSection(Section):", 'Outline = Literal["none", "halfway", "border_contrast", "random_walker", "geodesic"]\n\n\nclass RefinementSection(Section):')
sub("recipe/schema_problems.py", "    path, in_section = (), True\n", "    path: tuple[str | int, ...] = ()\n    in_section = True\n")
sub("recipe/validate.py", "    if problems:\n        raise recipe_error(problems)\n    return recipe\n", "    if problems or recipe is None:  # no recipe without a problem\n        raise recipe_error(problems)\n    return recipe\n")
sub("imaging/orientation.py", "    axes = tuple(int(np.flatnonzero(patient == world)[0]) for world in (2, 1, 0))\n    return axes, tuple(bool(directions[world, axis] < 0) for world, axis in zip((2, 1, 0), axes))",
    "    first, second, third = (int(np.flatnonzero(patient == world)[0]) for world in (2, 1, 0))\n    flips = bool(directions[2, first] < 0), bool(directions[1, second] < 0), bool(directions[0, third] < 0)\n    return (first, second, third), flips")
sub("imaging/picture.py", "    stored = _decode(path, file, series) if not damage else None\n    if damage:\n        raise ImageError(_damaged(path, damage[0].rstrip(\".\")))\n",
    "    if damage:\n        raise ImageError(_damaged(path, damage[0].rstrip(\".\")))\n    stored = _decode(path, file, series)\n")
sub("imaging/crop.py", "    union = organ.any(axis=0)\n", "    union: np.ndarray = organ.any(axis=0)\n")
sub("imaging/gdcm_worker.py", "        worker, in_step = _running_worker(), False\n        try:\n", "        worker, in_step = _running_worker(), False\n        assert worker.stdin is not None and worker.stdout is not None  # pipes, see _running_worker\n        try:\n")
sub("imaging/gdcm_worker.py", "        with contextlib.suppress(BrokenPipeError):\n            pipe.close()", "        with contextlib.suppress(BrokenPipeError):\n            if pipe is not None:\n                pipe.close()")
sub("imaging/nifti.py", "    notes = () if coded else (unplaced,)\n", "    notes: tuple[str, ...] = () if coded else (unplaced,)\n")
sub("imaging/lung_air.py", "    middle, width = columns.mean(), max(1, np.ptp(columns))\n", "    middle, width = columns.mean(), max(1, int(np.ptp(columns)))\n")
sub("imaging/dicom_structure_reader.py", "    contours, referenced = {}, set()\n", "    contours: dict[int, list[np.ndarray]] = {}\n    referenced: set[str] = set()\n")
sub("imaging/dicom_tensorflow_io.py", '    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"\n', '    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")\n')
sub("imaging/dicom_geometry.py", "    groups = []  # orientations seen", "    groups: list[list[int]] = []  # orientations seen")
sub("imaging/dicom_geometry.py", "        notes = ()\n    else:\n        ordered", "        notes: tuple[str, ...] = ()\n    else:\n        ordered")
sub("imaging/dicom_geometry.py", "    order = tuple(int(n) for n in order)\n    if spacing is None:\n        return Arrangement(order, None, None, notes, affine)\n    return Arrangement(order, (", "    sequence = tuple(int(n) for n in order)\n    if spacing is None:\n        return Arrangement(sequence, None, None, notes, affine)\n    return Arrangement(sequence, (")
sub("imaging/dicom_voi.py", "        if self.table is None:\n            return apply_window", "        if self.table is None:\n            assert self.center is not None and self.width is not None  # a window, when there is no table\n            return apply_window")
sub("imaging/lungs_ct.py", '''    there = [number for number, air in enumerate(airs) if air is not None]
    if len(airs) < 3 or not there:
        return airs
    volume = np.zeros((len(airs), *airs[there[0]].aerated.shape), bool)
    for number in there:
        volume[number] = airs[number].aerated
''', '''    there = {number: air for number, air in enumerate(airs) if air is not None}
    if len(airs) < 3 or not there:
        return airs
    shape = next(iter(there.values())).aerated.shape
    volume = np.zeros((len(airs), *shape), bool)
    for number, air in there.items():
        volume[number] = air.aerated
''')
sub("imaging/lungs_ct.py", '''    for number in there:
        aerated = kept[labels[number]]
        air = airs[number]
''', '''    for number, air in there.items():
        aerated = kept[labels[number]]
''')
sub("imaging/series_sorting.py", "", "") if 0 else None
sub("imaging/mask_files.py", "        read = read_structures if _sop_class(path) == STRUCTURE_SET else read_segmentation\n        values, notes = read(path, image, classes)\n        return Mask(values, notes)\n", "        reader = read_structures if _sop_class(path) == STRUCTURE_SET else read_segmentation\n        return Mask(*reader(path, image, classes))\n")
sub("imaging/mask_files.py", "    if apart > 0.5 * min(image.spacing_mm):\n", "    if image.spacing_mm is not None and apart > 0.5 * min(image.spacing_mm):\n")
sub("imaging/dicom_segmentation_reader.py", "    notes, label_map = (), str(segmentation.SOPClassUID) == LABEL_MAP\n", "    notes: tuple[str, ...] = ()\n    label_map = str(segmentation.SOPClassUID) == LABEL_MAP\n")
