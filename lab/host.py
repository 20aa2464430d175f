exec(open('/tmp/lab/geo2.py').read().split("# dicom_tree")[0])
import subprocess
def P(p,i,side): return parts(p)[i][0 if side=='o' else 1]
# cli/evaluate
p='clamnet_tf/cli/evaluate.py'
res(p,'''@click.option("--any-modality", is_flag=True, help="Take images of another modality than the recipe's, or not in Hounsfield units, all the same.  [default: refused]")
@click.option("--keep-identifiers", is_flag=True, help="Keep names of patients in tables, pages, pictures and messages.  [default: replaced, as by predict]")
@click.option("--cache", type=click.Path(), help="Folder of prepared slices.  [default: $CLAMNET_TF_CACHE or ~/.cache/clamnet_tf]")
@click.option("--quiet", is_flag=True, help="Print errors only.")
def evaluate(model, data, labels, split_file, split, out, overrides, any_modality, keep_identifiers, cache, quiet):
''','''    with hiding(lambda: reporter.hide):
        drawn = recipe.data.split if data is None else None
        lacking = split not in (None, "train") and not (run.path / KEPT_FILE).exists()  # simple methods are fitted to the training side then
        found = find_cases(recipe, data, labels, reporter, cache, keep_identifiers=keep_identifiers)
        manifest = choose_cases(found, run, split, split_file, drawn=drawn, with_train=lacking)
        if data is None and split is None:
            reporter.line("Measured are all patients of the built-in cohort, also those it was trained on: figures to be shown need --split test.")
        silence()
        from clamnet_tf.evaluation.console import headline
        from clamnet_tf.evaluation.evaluate import evaluate_run
        from clamnet_tf.evaluation.trained import load_trained

        channels, organ_network = load_trained(run, recipe).channels, organ_network_of(recipe, reporter)
        prepared = prepare_with_progress(recipe, manifest, cache, reporter, organ_network, channels=channels, any_modality=any_modality)
        atlas = atlas_of(run, recipe)
        if atlas:
            prepared = with_deviation(prepared, atlas, cache)
''')
# cli/fit
p='clamnet_tf/cli/fit.py'
K='data=data, labels=labels, split_file=split_file, cache=cache, any_modality=any_modality, keep_identifiers=keep_identifiers'
res(p,'''@click.option("--any-modality", is_flag=True, help="Take images of another modality than the recipe's, or not in Hounsfield units, all the same.  [default: refused]")
@click.option("--keep-identifiers", is_flag=True, help="Keep names of patients in the run folder and in messages.  [default: replaced, as by predict]")
@click.option("--cache", type=click.Path(), help="Folder of prepared slices.  [default: $CLAMNET_TF_CACHE or ~/.cache/clamnet_tf]")
@click.option("--quiet", is_flag=True, help="Print errors only.")
def fit(
    recipe_name, data, labels, split_file, out, overrides, search, initial, resume, start_or_resume, any_modality, keep_identifiers, cache,
    quiet,
):  # fmt: skip
''',f'''        return _follow(recipe, place, {K})
    remote = _remote(out, search or choosing) if is_remote(out) else None
''',f'''    if search or choosing:
        found = _searched(recipe, out, quiet, begin, {K})
        recipe = resolve(found)
''','''                recipe, data=data, labels=labels, split_file=split_file, cache=cache, reporter=reporter, organ_network=found,
                any_modality=any_modality, keep_identifiers=keep_identifiers,
''')
# dataset
p='clamnet_tf/data/dataset.py'
res(p,'''from clamnet_tf.data.expected_images import expected_images
from clamnet_tf.data.folders.label_words import LabelSource
from clamnet_tf.data.hidden import with_hidden
''','''    labels: the path of a table, or a LabelSource; None: the data folder itself says. keep_identifiers: leave names of
    patients in what is said and written; else `reporter` hides them from here on.

''','','''def load_dataset(
    recipe, *, data, labels, split_file, cache, reporter, organ_network=None, any_modality: bool = False, keep_identifiers: bool = False
):
    """Cases, split by patient, prepared and checked for leakage. organ_network: as in `data.prepare.prepare`; any_modality: the
    option; keep_identifiers: as in `find_cases`.
''','''    manifest = find_split(
        recipe, data=data, labels=labels, split_file=split_file, cache=cache, reporter=reporter, keep_identifiers=keep_identifiers
    )  # fmt: skip
    prepared = prepare_with_progress(recipe, manifest, cache, reporter, organ_network, any_modality=any_modality)
''')
sub(p,('with_hidden(recognize(Path(data), Path(labels) if labels else None), keep_identifiers)','with_hidden(recognize(Path(data), source.table, source.said), keep_identifiers)'))
# evaluated
res('clamnet_tf/data/evaluated.py','''    sides = {case.patient: case.split for case in manifest.cases}
    if split_file is not None:
        sides = read_split(Path(split_file), patients, manifest.hidden)
    kept = {split, "train"} if with_train else {split}
    cases = tuple(dataclasses.replace(case, split=sides[case.patient]) for case in manifest.cases if sides[case.patient] in kept)
    if split not in {case.split for case in cases}:
''')
# classes
p='clamnet_tf/data/folders/classes.py'
n=len(parts(p)); print('classes',n)
news=[]
for o,t in parts(p):
    if 'import LabelWords' in o or 'label_words import' in o: news.append(o+t)
    elif o.strip()=='' : news.append('')
    elif 'whole = re.compile' in o: news.append(o.replace('([0-9]{1,18})(\\.0*)?','([0-9]{1,9})(\\.0{0,9})?'))
    elif 'expected a whole number' in o: news.append(o.replace('{given[line]!r}','{shown_cell(given[line])}'))
    else: news.append(o.replace("{', '.join(sorted(words)[:10])}","{shown_columns(sorted(words))}").replace('''    shown = ", ".join(
        f"{word} = {number}" for word, number in sorted(words.items(), key=lambda item: (item[1], item[0]))
    )
''','''    shown = shown_columns(
        [f"{word} = {number}" for word, number in sorted(words.items(), key=lambda item: (item[1], item[0]))]
    )
'''))
res(p,*news)
# dicom_headers
p='clamnet_tf/data/folders/dicom_headers.py'
res(p,'from clamnet_tf.imaging.dicom_header import NOT_IMAGES, Frame, open_dataset, quiet, read_frames\n','''    frame: Frame | None = None
    frames: int = 0
''','''    frames = read_frames(dataset, path) if pictured else []
    frame = frames[0] if frames else None
''')
# label_table
p='clamnet_tf/data/folders/label_table.py'
o2=P(p,2,'o')
res(p,'from clamnet_tf.data.table_files import SUFFIXES, open_table\nfrom clamnet_tf.data.table_limits import shown_columns\n','''    return (
        f"{path}: has no label column (columns: {shown_columns(header)}); name the column that holds the label"
        " 'label'."
    )
''',o2.replace('''    ignored = [name for name in table.header if name and name not in columns.values()]
''','''    used = set(columns.values())
    ignored = [name for name in table.header if name and name not in used]
'''))
# listing
res('clamnet_tf/data/folders/listing.py','''        paths = (Path(here, name) for name in names if not name.startswith(_SKIPPED))
        files += [path for path in paths if path.is_file()]  # no pipes, no dead links
''')
# layouts
p='clamnet_tf/data/layouts.py'; print([ (a[:80],b[:80]) for a,b in parts(p)])
res(p,'o','')
# manifest
p='clamnet_tf/data/manifest.py'; print(len(parts(p)))
res(p,'''from clamnet_tf import spreadsheet
from clamnet_tf.data.file_names import FolderNames
from clamnet_tf.data.problems import SHOWN, listed, nearest
from clamnet_tf.data.table_files import open_table
from clamnet_tf.data.table_limits import LONGEST_NUMBER, shown_cell, shown_columns
''','''_UID = re.compile(r"[0-9]+(\\.[0-9]+){3,}")
LONGEST_NAME, LONGEST_PATH = 255, 4000  # bytes of one name, signs of a whole path, that a file system takes
''','','''        account=(
            f"Layout manifest: {csv_path} lists {len(cases)} images with the columns {shown_columns(header)}.",
            *table.notes,
        ),
''')
s=rd(p)
for l in ('import collections\n','from clamnet_tf.spreadsheet import restored\n'): s=s.replace(l,'',1)
wr(p,s)
# problems.nearest bound
sub('clamnet_tf/data/problems.py',('SHOWN = 20\n','SHOWN = 20\nLONGEST_COMPARED = 100  # signs of a word whose nearest neighbour is looked for\n'),('''    found = difflib''','''    if len(name) > LONGEST_COMPARED:
        return ""
    found = difflib'''))
# table_files limits
sub('clamnet_tf/data/table_files.py',('''    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from error
''','''    try:
        check_table_file(path)
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{ascii(str(path))[1:-1]}: cannot be read: {reason}.") from error
'''),('''    header = numbered[0][1]
    while header and''','''    header = numbered[0][1]
    check_columns(path, header)
    check_cells(path, sum(len(cells) for _, cells in numbered))
    while header and'''),('problems = [f"column {name!r} appears twice"','problems = [f"column {shown_cell(name)} appears twice"'),('''    try:
        return [
            (reader.line_num + before, [cell.strip().strip(_INVISIBLE) for cell in row]) for row in reader
        ]
    except''','''    numbered, cells = [], 0
    try:
        for row in reader:
            cells += len(row)
            check_cells(path, cells)
            if not numbered:
                check_columns(path, row)
            numbered.append((reader.line_num + before, [restored(cell.strip().strip(_INVISIBLE)) for cell in row]))
        return numbered
    except'''),('''from clamnet_tf.data.problems import listed
''','''from clamnet_tf.data.problems import listed
from clamnet_tf.data.table_limits import check_cells, check_columns, check_table_file, shown_cell
'''),('''from clamnet_tf.errors import DataError
''','''from clamnet_tf.errors import DataError
from clamnet_tf.spreadsheet import restored
'''))
# result_names
p='clamnet_tf/data/result_names.py'
res(p,'import hashlib\n','''def short_name(name: str) -> str:
    """A name that still fits into a file system with what results put behind it; a long one is cut and told apart by a digest."""
    content = os.fsencode(name)
    if len(content) <= LONGEST_NAME:
        return name
    return f"{content[: LONGEST_NAME - 9].decode('utf-8', 'ignore')}-{hashlib.sha256(content).hexdigest()[:8]}"


''','''    places = [
        (Path(*(short_name(_writable(hide(part))) for part in folder.parts)), short_name(_writable(hide(stem))))
        for folder, stem in places
    ]
''')
# split
p='clamnet_tf/data/split.py'
res(p,'''import unicodedata
from dataclasses import replace
from pathlib import Path

from clamnet_tf import spreadsheet
from clamnet_tf.data.hidden import true_name
from clamnet_tf.data.manifest import SIDE_NAMES, SIDES, Manifest, listed, nearest
from clamnet_tf.data.table_files import read_table
''','''        named = unicodedata.normalize("NFC", cells["patient"])
        patient, side = true_name(named, cells.get("data"), known, hidden, path), cells["split"]
''')
# cases
p='clamnet_tf/evaluation/cases.py'
res(p,'''    with atomic_path(path) as temporary, open(
        temporary, "w", newline="", encoding="utf-8", errors=HANDLER
    ) as stream:
        stream.write(spreadsheet.line(rows[0]))
''')
# evaluate
p='clamnet_tf/evaluation/evaluate.py'; print(len(parts(p)))
res(p,'from clamnet_tf.data.hidden import hidden_table\n','''    result["notes"] = [chosen.note] if chosen.note else []
    result["data"] = {"root": manifest.hide(str(manifest.root)), "split": split, "simulated": manifest.layout == "cohort"}
    if mask_notes:
        result["data"]["mask_notes"] = sorted(mask_notes)
''','''        title=f"{recipe.name} on {'simulated patients' if manifest.layout == 'cohort' else manifest.hide(manifest.root.name)}",
        run=_facts(run, recipe, manifest, split, selection) | {"notes": result["notes"]},
''','''                image=manifest.hide(_short(table.image[row], manifest.root)),
                slice_index=pictures[place][1],
''')
sub(p,('reporter.line(f"Note on masks (first {first}): {note}")','reporter.line(f"Note on masks (first {manifest.hide(first)}): {note}")'))
# dicom
p='clamnet_tf/imaging/dicom.py'
res(p,'''    total = sum(path.stat().st_size for path in dict.fromkeys(frame.path for frame in headers))
    shape = (len(headers), headers[0].rows, headers[0].columns, headers[0].samples)
    check_size(where, shape, bytes_each=_BYTES_EACH, file_bytes=total)
    values, excluded = None, None
''')
# dicom_header
p='clamnet_tf/imaging/dicom_header.py'
res(p,'''from clamnet_tf.imaging.acquisition import differences_of, functional_group, image_type_of, number, refuse_tiles_and_films
from clamnet_tf.imaging.companions import is_gzipped, unpacked
from clamnet_tf.imaging.dicom_announced import refuse_deflate_bomb, refuse_impossible_frames
from clamnet_tf.imaging.limits import BoundedFile

LARGEST_UNPACKED = 2**29  # bytes of a DICOM file that is stored in gzip
''','''    refused = lambda reason: ImageError(f"{path}: damaged or cut off DICOM file: {reason}. Export or copy it again.")  # noqa: E731
    with decoding(refused), quiet():
        zipped = is_gzipped(path)
        if not zipped:
            refuse_deflate_bomb(path)
        with io.BytesIO(unpacked(path, LARGEST_UNPACKED)) if zipped else BoundedFile(path) as stream:
            dataset = pydicom.dcmread(stream, force=True, stop_before_pixels=not pixels)
        _ = dataset.get("Rows"), dataset.get("NumberOfFrames"), dataset.get("PixelSpacing")
        _complete_syntax(dataset)
''')
# dicom_pixels
p='clamnet_tf/imaging/dicom_pixels.py'
res(p,'''from clamnet_tf.imaging.companions import is_gzipped, unpacked
from clamnet_tf.imaging.dicom_announced import require_pixel_memory
from clamnet_tf.imaging.dicom_header import LARGEST_UNPACKED, functional_group, number, quiet
''','''    with decoding(lambda reason: ImageError(f"{path}: its colour palette or modality LUT is damaged: {reason}. Export the image again.")), quiet():
        values = _to_values(stored, dataset, photometric)
    return (values, stored) if stored_too else values
''')
# nifti
p='clamnet_tf/imaging/nifti.py'; print(len(parts(p)))
o,t=parts(p)[2]
res(p,'''from clamnet_tf.imaging.companions import header_of, image_of, is_gzipped
from clamnet_tf.imaging.limits import BoundedFile
from clamnet_tf.imaging.orientation import check_turned, index_transform, spacing_of, to_axial
from clamnet_tf.imaging.volume import Grid, SliceReference, Volume, check_size, finite_float32, from_stored

UNPLACED = "neither sform nor qform: orientation and spacing are not known, axes taken as stored"
_LARGEST_OFFSET = 2**26  # bytes before the values: header and extensions
''','''    with _opened(path) as stream:
        with _readable(path):
            head = stream.read(348)
''','''        dtype, offset = header.get_data_dtype(), int(getattr(image.dataobj, "offset", 0))
        spatial, channels = _dimensions(path, shape, dtype)
        axes, flips = _to_axial(path, affine)
        turned = _RAS_TO_LPS @ affine @ index_transform(spatial, axes, flips) if coded else None
    count = 3 if dtype.names else channels
    announced = int(np.prod([int(side) for side in shape], dtype=object)) * dtype.itemsize
    if not 0 <= offset <= _LARGEST_OFFSET:
        raise ImageError(f"{path}: its values begin at byte {offset:,} (vox_offset), beyond any header. Export or copy it again.")
    each = 2 * dtype.itemsize / (3 if dtype.names else 1) + 4
    check_size(values, (*(spatial[axis] for axis in axes), count), bytes_each=each, deflated_bytes=announced)
''')
s=rd(p)
s=s.replace('''    with open(path, "rb") as file, (
        gzip.GzipFile(fileobj=file) if is_gzipped(path) else contextlib.nullcontext(file)
    ) as stream:''','''    with BoundedFile(path) as file, (
        gzip.GzipFile(fileobj=file) if is_gzipped(path) else contextlib.nullcontext(file)
    ) as stream:''')
s=s.replace('''    try:
        image = kind.from_file_map(file_map)
    except _DAMAGE as error:
        raise ImageError(f"{path}: not a readable NIfTI file: {error}. Export or copy it again.") from error
    return volume_of''','''    with _readable(path):
        image = kind.from_file_map(file_map)
    return volume_of''')
s=s.replace('''    try:
        header = image.header
''','''    with _readable(path):
        header = image.header
''')
s=s.replace('''def _map(**streams)''','''def _readable(path):
    return decoding(lambda reason: ImageError(f"{path}: not a readable NIfTI file: {reason}. Export or copy it again."))


def _map(**streams)''')
wr(p,s)
# npy
res('clamnet_tf/imaging/npy.py','''    check_size(path, full.shape, bytes_each=stored.dtype.itemsize + 4)
    grid = Grid("npy", shape, references=tuple(SliceReference(path, number, number=number) for number in range(len(full))))
''')
# picture
p='clamnet_tf/imaging/picture.py'; print(len(parts(p)))
t2=P(p,2,'t'); t3=P(p,3,'t'); oo=P(p,4,'o'); tt=P(p,4,'t')
res(p,'import warnings\nfrom dataclasses import replace\n','''from clamnet_tf.imaging.limits import require_memory, require_slices
from clamnet_tf.imaging.tiff_orientation import ORIENTATIONS, upright
from clamnet_tf.imaging.tiff_segments import refuse_segment_bombs
''','''    with decoding(lambda reason: ImageError(_damaged(path, reason))), _complaints(path) as damage, tifffile.TiffFile(path) as file:
        require_slices(path, len(file.pages))
        pages, shape = _read_pages(path, file, damage, stored)
        eight_bits, page = file.series[0].dtype == np.uint8, file.series[0].keyframe
        words = {_PALETTE: "PALETTE", _WHITE_IS_ZERO: "WHITE_IS_ZERO"}.get(page.photometric, "") if stored else ""
        largest = float(2**page.bitspersample - 1) if words else 0.0
    volume = _volume(path, pages, shape, eight_bits)
    return replace(volume, grid=replace(volume.grid, photometric=words, largest=largest)) if words else volume
''','''            if image.size not in ((page.imagewidth, page.imagelength), (page.imagelength, page.imagewidth)):
                raise ImageError(_damaged(path, f"page {number + 1} has another size than the first"))
            turned = upright(np.asarray(image)[np.newaxis], _UNDONE.get(_orientation(path, series), _orientation(path, series)))
            pages.append(turned[0])  # Pillow has applied the orientation already
    array = np.stack(pages).astype(series.dtype, copy=False)
''',oo.rstrip()+'\n\n\n'+tt)
s=rd(p)
s=s.replace('''    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            check_size(path, (1, image.height, image.width, len(image.getbands())))
''','''    with decoding(lambda reason: ImageError(_damaged(path, reason))):
        with _open(path) as image:
            bands = len(image.getbands())
            check_size(path, (1, image.height, image.width, bands), bytes_each=_bytes_per_pixel(image) / bands)
''')
wr(p,s)
# sniff
p='clamnet_tf/imaging/sniff.py'
o=P(p,1,'o')
res(p,'''from clamnet_tf.files import open_regular
from clamnet_tf.imaging.other_formats import BY_SUFFIX, OTHER_FORMATS, advice
''',o.replace('''    except OSError as error:
        raise ImageError(f"{path}: cannot be opened: {error.strerror or error}.") from error
''','''    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ImageError(f"{ascii(str(path))[1:-1]}: cannot be opened: {getattr(error, 'strerror', None) or error}.") from error
'''))
res('clamnet_tf/imaging/volume.py','r' if False else P('clamnet_tf/imaging/volume.py',0,'t')+P('clamnet_tf/imaging/volume.py',0,'o'))
p='clamnet_tf/prediction/dicom_seg.py'
res(p,'''lies on row r, column c of the source's frame f; nothing is resampled, and what was turned to be marked is back as it was
stored, so gaps, oblique, sagittal and coronal planes and any order of slices stay what they are. What the standard requires of
the source's patient and study goes into the object, since no archive could file it otherwise, and nothing else of them
(dicom_seg_privacy).
''')
p='clamnet_tf/prediction/tables.py'
res(p,'''    with atomic_path(path) as temporary, open(
        temporary, "w", newline="", encoding="utf-8", errors=HANDLER
    ) as stream:
        stream.write(spreadsheet.line(first))
''')
p='clamnet_tf/zoo/index.py'
res(p,'''from clamnet_tf.recipe.section import Section
from clamnet_tf.zoo.entry import FILES, OPTIONAL_FILES, Digest, Name, Version, is_entry
''','''    version: Version = Field(description="Its version.")
    files: Annotated[list[IndexFile], Field(min_length=len(FILES), max_length=len(FILES + OPTIONAL_FILES))] = Field(
        description="Every file of the entry, once."
    )
''')
res('clamnet_tf/zoo/verify.py','b')
