"""Files as clinics keep them (rows T5 and T6): the content decides what is read, every other format is named
with its converter.
"""

import csv
import gzip
import os
import shutil
import subprocess
import sys
import unicodedata
import warnings
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid
from PIL import Image

from clamnet_tf.data.contents import ContentHashes
from clamnet_tf.data.identifiers import Identifiers, patient_texts
from clamnet_tf.data.inputs import find_inputs
from clamnet_tf.data.layouts import recognize
from clamnet_tf.errors import DataError, ImageError
from clamnet_tf.files import write_json, write_text
from clamnet_tf.imaging.readers import read_volume
from clamnet_tf.recipe.schema import DataSection, InferenceSection, NetworkSection, OrganSection, Recipe
from clamnet_tf.recipe.writer import to_yaml
from clamnet_tf.runs import RunFolder
from clamnet_tf.texts import printable

BRIGHT = 150  # what the run below marks


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose network marks values of at least BRIGHT, so that every mask is known."""
    from clamnet_tf.networks.build import build_network

    recipe = Recipe(
        name="by_hand",
        modality="mri",
        condition="carcinoma",
        data=DataSection(side=32, normalization="none"),
        organ=OrganSection(method="none", margin=0.0),
        network=NetworkSection(depth=2, filters=[2, 2], kernels=[3, 3], norm="none"),
        inference=InferenceSection(batch_size=2),
    )  # fmt: skip
    network = build_network(recipe.network, side=32, channels=1)
    for layer in network.layers:
        layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    for name in (
        "x_0_0_conv_1",
        "x_0_0_conv_2",
        "x_0_1_conv_1",
        "x_0_1_conv_2",
    ):  # the image goes through as filter 0
        kernel, bias = network.get_layer(name).get_weights()
        kernel[1, 1, 0, 0] = 1
        network.get_layer(name).set_weights([kernel, bias])
    kernel, bias = network.get_layer("head_1_logits").get_weights()
    kernel[0, 0, 0, 1], bias[1] = 1, -BRIGHT
    network.get_layer("head_1_logits").set_weights([kernel, bias])
    made = RunFolder(tmp_path_factory.mktemp("runs") / "by_hand")
    made.path.mkdir()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        network.save(made.model)
    write_text(made.recipe, to_yaml(recipe))
    plain = {
        "steps": {"through_plane": 0.0, "main_component": 0.0, "appearance": 0.0},
        "raw_threshold": 0.5,
        "threshold": 0.5,
    }
    markings = {"mean": plain, "head_1": plain}
    write_json(
        made.selection,
        {
            "markings": markings,
            "threshold_rule": "by hand",
            "step": 7,
            "checkpoint_rule": "none",
            "looks": [],
        },
    )
    return made.path


def process(*arguments, **environment):
    """The command line in a process of its own: (exit code, bytes of stdout and stderr)."""
    command = [sys.executable, "-m", "clamnet_tf", *map(os.fsencode, map(str, arguments))]
    paths = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    answer = subprocess.run(
        command, capture_output=True, env={**os.environ, "PYTHONPATH": paths, **environment}, timeout=400
    )
    return answer.returncode, answer.stdout + answer.stderr


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def scan(rng, shape=(5, 20, 16)):
    """(slices, rows, columns) int16: about 100, with a bright block."""
    array = rng.integers(80, 120, shape).astype(np.int16)
    array[1:3, 4:9, 3:7] = 210
    return array


def itk_image(array, angle=12.0, spacing=(0.7, 0.9, 3.0)):
    """A SimpleITK image of (slices, rows, columns), turned in the plane and put somewhere."""
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin((-10.0, 20.0, 30.0))
    turn = np.deg2rad(angle)
    image.SetDirection([np.cos(turn), -np.sin(turn), 0, np.sin(turn), np.cos(turn), 0, 0, 0, 1])
    return image


def centres(volume):
    """{value: place in mm (LPS)} of some voxels that have values of their own."""
    return {
        float(volume.array[place][0]): volume.affine @ [*place, 1]
        for place in ((0, 0, 0), (0, 3, 5), (4, 19, 15), (2, 7, 9))
    }


def numbered(shape=(5, 20, 16)):
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape)


# T5: volumes of ITK's formats, with their place in the patient


@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr", "a.mha", "a.mhd", "a.hdr", "a.img", "a.nii"])
@pytest.mark.parametrize("axes", ["LPS", "RAS", "PIR", "SLA", "ASL"])
def test_t5_volumes_lie_where_simpleitk_says(tmp_path, name, axes):
    image = SimpleITK.DICOMOrient(itk_image(numbered()), axes)
    SimpleITK.WriteImage(
        image,
        str(tmp_path / name.replace(".img", ".hdr")),
        "hdr" not in name and "img" not in name and name != "a.nii",
    )
    volume = read_volume(tmp_path / name)
    assert volume.array.shape == (5, 20, 16, 1) and not volume.grid.notes
    values = SimpleITK.GetArrayFromImage(image)
    for value, place in centres(volume).items():
        k, j, i = (int(axis[0]) for axis in np.nonzero(values == value))
        np.testing.assert_allclose(place[:3], image.TransformIndexToPhysicalPoint((i, j, k)), atol=1e-4)
    np.testing.assert_allclose(volume.spacing_mm, (3.0, 0.9, 0.7), rtol=1e-6)
    np.testing.assert_array_equal(volume.to_original(volume.array[..., 0]), values.transpose(2, 1, 0))


def nrrd(path, fields, data=None):
    """An NRRD file by its published layout: text, an empty line, values."""
    data = numbered((9, 10, 11)).astype("<i2").tobytes() if data is None else data
    path.write_bytes(
        f"NRRD0004\ntype: short\ndimension: 3\nsizes: 11 10 9\nendian: little\nencoding: raw\n{fields}\n\n"
        .encode()
        + data
    )
    return path


DIRECTIONS = "space directions: (2,0,0) (0,3,0) (0,0,4)\nspace origin: (-1,-2,-3)"


@pytest.mark.parametrize(
    ("space", "first", "corner"),
    [
        ("left-posterior-superior", 0, (-1, -2, -3)),
        ("right-anterior-superior", 109, (-19, -25, -3)),
        ("LAS", 99, (-1, -25, -3)),
    ],
)
def test_t5_nrrd_written_by_hand(tmp_path, space, first, corner):
    volume = read_volume(nrrd(tmp_path / "a.nrrd", f"space: {space}\n{DIRECTIONS}"))
    assert volume.array[0, 0, 0, 0] == first and volume.spacing_mm == (4.0, 3.0, 2.0)
    np.testing.assert_allclose(
        volume.affine, [[0, 0, 2, corner[0]], [0, 3, 0, corner[1]], [4, 0, 0, corner[2]], [0, 0, 0, 1]]
    )


META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n{}DimSize = 11 10"
    " 9\nElementType = MET_SHORT\nElementDataFile = {}\n"
)


@pytest.mark.parametrize(
    "fields", ["spacings: 2 3 4", f"space: scanner-xyz\n{DIRECTIONS}", f"space dimension: 3\n{DIRECTIONS}"]
)
def test_t5_a_header_without_an_orientation_gives_none(tmp_path, fields):
    (tmp_path / "a.mha").write_bytes(
        META.format("ElementSpacing = 2 3 4\n", "LOCAL").encode()
        + numbered((9, 10, 11)).astype("<i2").tobytes()
    )
    for path in (nrrd(tmp_path / "a.nrrd", fields), tmp_path / "a.mha"):
        volume = read_volume(path)
        assert (
            volume.affine is None
            and volume.spacing_mm is None
            and "states no orientation" in volume.grid.notes[0]
        )
        np.testing.assert_array_equal(volume.array[..., 0], numbered((9, 10, 11)))


def test_t5_components_are_channels(tmp_path, rng):
    array = rng.integers(0, 255, (4, 12, 10, 3)).astype(np.uint8)
    for name in ("a.nrrd", "a.mha"):
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array, isVector=True), str(tmp_path / name))
        np.testing.assert_array_equal(read_volume(tmp_path / name).array, array)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.mha", META.format("", "LOCAL") + "1234", "cut off: its header announces 1,980 bytes of values"),
        ("a.mhd", META.format("", "gone.raw"), "the file with its values, gone.raw, is not beside it"),
        ("a.mhd", META.format("", "../a.raw"), "its values lie in another folder"),
        ("a.mhd", META.format("", "LIST"), "its values lie in several files"),
        ("a.mhd", META.format("", "/etc/passwd"), "its values lie in another folder"),
        ("a.mha", META.format("", "LOCAL").replace("11 10 9", "11000 10000 900"), "too large: it announces"),
        (
            "a.nrrd",
            "NRRD0004\ntype: short\ndimension: 3\nsizes: 11 10 9\nencoding: raw\nendian: little\n\n12",
            "cut off: its header announces",
        ),
        (
            "a.nrrd",
            "NRRD0004\ntype: rubbish\ndimension: 3\nsizes: 11 10 9\nencoding: raw\n\n12",
            "damaged or cut off",
        ),
        (
            "a.nhdr",
            "NRRD0004\ntype: short\ndimension: 3\nsizes: 11 10 9\nencoding: raw\ndata file: b.raw\n\n",
            "b.raw, is not beside it",
        ),
        ("a.nrrd", "NRRD0004\ntype: short\ndimension: 3\n", "its header has no end"),
    ],
)
def test_t5_damaged_volumes_of_itk_are_refused(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(ImageError, match=f"{name}: .*{words}"):
        read_volume(tmp_path / name)


def test_t5_pairs_need_both_files_and_analyze_is_named(tmp_path, rng):
    image = itk_image(scan(rng))
    SimpleITK.WriteImage(image, str(tmp_path / "a.hdr"))
    before = ContentHashes(None, tmp_path).of(tmp_path / "a.hdr")
    values = bytearray((tmp_path / "a.img").read_bytes())
    values[100] ^= 1
    (tmp_path / "a.img").write_bytes(values)
    assert (
        ContentHashes(None, tmp_path).of(tmp_path / "a.hdr") != before
    )  # prepared slices of the old values are not used
    (tmp_path / "a.img").rename(tmp_path / "b.img")
    with pytest.raises(
        ImageError, match=r"a.hdr: a NIfTI header without its values, the .img of that name beside it"
    ):
        read_volume(tmp_path / "a.hdr")
    with pytest.raises(ImageError, match=r"b.img: values \(.img\) without the header"):
        read_volume(tmp_path / "b.img")
    nibabel.AnalyzeImage(scan(rng), np.eye(4)).to_filename(tmp_path / "old.hdr")
    for name in ("old.hdr", "old.img"):
        with pytest.raises(
            ImageError,
            match="Analyze 7.5 volume .*, which does not say where left and right are. Convert it to NIfTI",
        ):
            read_volume(tmp_path / name)


# T5: DICOM under any name


def dicom(path, *, patient="P1", height=0.0, series=None, study=None, **elements):
    """A small CT slice; returns its dataset."""
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID = series or generate_uid(), study or generate_uid()
    dataset.PatientID, dataset.PatientName, dataset.ImagePositionPatient = (
        patient,
        elements.pop("name", "Doe^Jane"),
        [0, 0, height],
    )
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path)
    return dataset


NAMES = ["a.dcm", "b", "c.IMA", "d.img", "e.MRDC.7", "f.dcm.gz", "g.ima.gz", "h.png", "i.1.2.840", "j.bak"]


@pytest.mark.parametrize("name", NAMES)
def test_t5_dicom_is_read_under_any_name(tmp_path, name):
    dicom(tmp_path / "plain", height=3.0)
    content = (tmp_path / "plain").read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    volume = read_volume(tmp_path / name)
    right = pydicom.dcmread(tmp_path / "plain")
    expected = right.pixel_array * float(right.RescaleSlope) + float(right.RescaleIntercept)
    np.testing.assert_array_equal(volume.array[0, ..., 0], expected)


@pytest.mark.parametrize(
    "sample", ["SC_rgb_jpeg_gdcm.dcm", "JPEG2000.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_RLE.dcm"]
)
def test_t5_compressed_dicom_inside_gzip(tmp_path, sample):
    source = Path(get_testdata_file(sample, download=False))
    (tmp_path / "a.dcm.gz").write_bytes(gzip.compress(source.read_bytes()))
    np.testing.assert_array_equal(read_volume(tmp_path / "a.dcm.gz").array, read_volume(source).array)


def test_t5_folders_decide_by_content_too(tmp_path):
    series, study = generate_uid(), generate_uid()
    for number, name in enumerate(NAMES):
        dicom(tmp_path / "in" / "plain", height=float(number), series=series, study=study)
        content = (tmp_path / "in" / "plain").read_bytes()
        (tmp_path / "in" / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        (tmp_path / "in" / "plain").unlink()
    found = find_inputs([tmp_path / "in"])
    assert (
        not found.failures
        and [case.image.name for case in found.manifest.cases] == NAMES
        and len(set(found.volumes)) == 1
    )
    (tmp_path / "in" / "labels.csv").write_text(f"StudyInstanceUID,label\n{study},1\n")
    assert len(recognize(tmp_path / "in").cases) == len(NAMES)
    for kind in ("normal", "sick"):
        dicom(tmp_path / "classes" / kind / f"IM_{kind}", patient=kind)
    assert {case.patient: case.label for case in recognize(tmp_path / "classes").cases} == {
        "normal": 0,
        "sick": 1,
    }


def test_t5_volumes_of_every_format_may_be_labelled(tmp_path, rng):
    for name in ("a.nrrd", "b.mha", "c.hdr", "d.nii.gz", "e.nhdr"):
        SimpleITK.WriteImage(itk_image(scan(rng)), str(tmp_path / name))
    (tmp_path / "labels.csv").write_text("image,label\na.nrrd,1\nb,0\nc.img,1\nd,0\nE.NHDR,n/a\n")
    manifest = recognize(tmp_path)
    assert [(case.image.name, case.label) for case in manifest.cases] == [
        ("a.nrrd", 1),
        ("b.mha", 0),
        ("c.hdr", 1),
        ("d.nii.gz", 0),
        ("e.nhdr", None),
    ]
    assert "5 of 5 volumes" in manifest.account[0]


# T5: other formats are named


OTHERS = {
    "scan.mgz": (gzip.compress(b"\0\0\0\x01" + bytes(300)), "a FreeSurfer volume .*mri_convert"),
    "scan.mnc": (b"\x89HDF\r\n\x1a\n" + bytes(300), "a MINC volume.*mnc2nii"),
    "old.mnc": (b"CDF\x01" + bytes(300), "a MINC volume.*mnc2nii"),
    "scan.PAR": (b"# === DATA DESCRIPTION FILE ======\n#\n", "a Philips PAR/REC volume.*dcm2niix"),
    "scan.vtk": (b"# vtk DataFile Version 3.0\n", "a VTK data set.*3D Slicer"),
    "a.jp2": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(50), "a JPEG 2000 picture.*opj_decompress"),
    "a.bmp": (b"BM" + bytes(100), "a BMP picture.*magick"),
    "a.gif": (b"GIF89a" + bytes(100), "a GIF picture.*magick"),
    "a.webp": (b"RIFF\x10\0\0\0WEBPVP8 " + bytes(50), "a WebP picture.*magick"),
    "a.heic": (b"\0\0\0\x18ftypheic" + bytes(50), "a HEIC or AVIF picture"),
    "study.zip": (b"PK\x03\x04" + bytes(100), "a zip archive.*Unpack it"),
    "study.rar": (b"Rar!\x1a\x07" + bytes(100), "a RAR archive.*Unpack it"),
    "study.tar": (bytes(257) + b"ustar" + bytes(300), "a tar archive.*Unpack it"),
    "scan.nii.bz2": (b"BZh9" + bytes(100), "bzip2-compressed data.*Unpack it: `bunzip2 IN`"),
    "scan.nii.zst": (b"\x28\xb5\x2f\xfd" + bytes(100), "zstd-compressed data.*Unpack it: `unzstd IN`"),
    "a.png.gz": (
        gzip.compress(b"\x89PNG\r\n\x1a\n" + bytes(100)),
        "gzip-compressed data.*Unpack it: `gunzip IN`",
    ),
}
NO_IMAGES = {
    "clip.mp4": (b"\0\0\0\x18ftypisom" + bytes(50), "a video.*ffmpeg"),
    "a.mat": (b"MATLAB 5.0 MAT-file" + bytes(200), "a MATLAB file.*scipy.io.loadmat"),
    "report.pdf": (b"%PDF-1.4" + bytes(100), "a PDF document"),
    "notes.txt": (b"Dear colleague", "text, not an image that can be read"),
    "strange": (b"\x01\x02\x03" * 50, "nothing that is known here"),
}


@pytest.mark.parametrize("name", [*OTHERS, *NO_IMAGES])
def test_t5_what_is_not_read_is_named_with_its_converter(tmp_path, name):
    content, words = {**OTHERS, **NO_IMAGES}[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=f"{name}: holds .*{words}"):
        read_volume(tmp_path / name)
    with pytest.raises(DataError, match=words if name in OTHERS else "only 1 files that are not images"):
        find_inputs([tmp_path])  # a folder with nothing else


def test_t5_npz_is_told_from_zip(tmp_path):
    np.savez(tmp_path / "a.npz", image=np.zeros((9, 9)))
    with pytest.raises(ImageError, match=r"several NumPy arrays \(.npz\).* Save the image as .npy"):
        read_volume(tmp_path / "a.npz")


def test_t5_in_a_folder_volumes_that_are_not_read_are_failures_and_the_rest_goes_on(tmp_path, rng):
    SimpleITK.WriteImage(itk_image(scan(rng)), str(tmp_path / "good.nrrd"))
    for name, (content, _) in {**OTHERS, **NO_IMAGES}.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "gone.dcm").symlink_to(tmp_path / "nowhere")
    (tmp_path / "empty.dcm").write_bytes(b"")
    found = find_inputs([tmp_path])
    read = [case.image.name for case in found.manifest.cases]
    told = "\n".join(found.failures)
    assert read == ["good.nrrd"]
    for name in ("scan.mgz", "scan.mnc", "old.mnc", "scan.PAR", "scan.vtk", "a.jp2", "gone.dcm", "empty.dcm"):
        assert name in told, told
    account = found.manifest.account[-1]
    assert (
        "1 of a format that is not read: a BMP picture (Convert it to PNG" in account
        and "a zip archive" in account
        and "files that are not images" in account
    )


def test_t5_without_simpleitk_the_extra_is_named(tmp_path):
    nrrd(tmp_path / "a.nrrd", DIRECTIONS)
    code = (
        "import sys; sys.modules['SimpleITK'] = None\nfrom clamnet_tf.errors import ImageError\nfrom"
        " clamnet_tf.imaging.readers import read_volume\ntry:\n   "
        f" read_volume({str(tmp_path / 'a.nrrd')!r})\nexcept ImageError as error:\n    print(error)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert (
        "a.nrrd: an NRRD volume, which needs SimpleITK to be read: pip install 'clamnet-tf[itk]'"
        in answer.stdout
    ), answer.stderr


# T5: names that are not UTF-8, terminals that know ASCII alone


LATIN = os.fsdecode("Müller".encode("latin-1"))
ASCII = {
    "LC_ALL=C": {"LC_ALL": "C"},
    "PYTHONIOENCODING=ascii": {"PYTHONIOENCODING": "ascii"},
    "no UTF-8 at all": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
}


@pytest.mark.parametrize("environment", ASCII.values(), ids=ASCII.keys())
def test_t5_inspect_on_an_ascii_terminal(tmp_path, rng, environment):
    root = tmp_path / "Bilder für Übung"
    for number in range(4):
        for kind in ("normal", "unauffällige Größe"):
            folder = root / kind / f"{LATIN}{number}"
            folder.mkdir(parents=True)
            Image.fromarray(rng.integers(0, 255, (32, 32)).astype(np.uint8)).save(folder / "é − 1.png")
    (root / "normal" / f"{LATIN}0" / f"{LATIN}.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    code, output = process("data", "inspect", root, "--write-split", tmp_path / "split.csv", **environment)
    assert code == 2 and b"Traceback" not in output, output.decode("utf-8", "replace")
    assert b"damaged or cut off picture" in output and b"1 problem(s) found." in output
    assert [row["patient"] for row in rows_of(tmp_path / "split.csv")] == [f"Müller{n}" for n in range(4)]
    (root / "normal" / f"{LATIN}0" / f"{LATIN}.png").unlink()
    code, output = process("data", "inspect", root, "--split-file", tmp_path / "split.csv", **environment)
    assert code == 0 and b"Split given by" in output, output.decode("utf-8", "replace")


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param(ASCII["PYTHONIOENCODING=ascii"], id="ascii"),
        pytest.param(ASCII["no UTF-8 at all"], id="no UTF-8", marks=pytest.mark.slow),
    ],
)
def test_t5_predict_goes_on_past_broken_files_with_names_in_any_encoding(run, tmp_path, rng, environment):
    root = tmp_path / "in"
    (root / LATIN).mkdir(parents=True)
    good = {
        f"{LATIN}/{LATIN}.nrrd": SimpleITK.WriteImage,
        "ü − x.mha": SimpleITK.WriteImage,
        "c.hdr": SimpleITK.WriteImage,
    }
    image = itk_image(scan(rng))
    for name, write in good.items():
        write(image, str(tmp_path / f"plain{Path(name).suffix}"))
        shutil.copy(tmp_path / f"plain{Path(name).suffix}", root / name)
    shutil.copy(tmp_path / "plain.img", root / "c.img")
    dicom(root / LATIN / f"{LATIN}.IMA", name="Roe^Rita", patient="X9")
    (root / LATIN / f"{LATIN}.dcm").write_bytes((root / LATIN / f"{LATIN}.IMA").read_bytes()[:700])
    (root / f"{LATIN}.nii.gz").write_bytes(gzip.compress(b"no volume"))
    (root / "brain.mgz").write_bytes(OTHERS["scan.mgz"][0])
    code, output = process(
        "predict", run, root, "--out", tmp_path / "out", "--format", "nifti,report", **environment
    )
    text = output.decode("utf-8", "replace")
    assert code == 1 and "Traceback" not in text, text
    assert (
        "Error: 3 of the inputs could not be used:" in text and "brain.mgz: holds a FreeSurfer volume" in text
    )
    volumes = {row["volume"]: row for row in rows_of(tmp_path / "out" / "volumes.csv")}
    assert set(volumes) == {"Müller/Müller.nrrd", "ü − x.mha", "c.hdr", "Müller/Müller.IMA"}
    assert "Müller" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for name in ("Müller/Müller.nrrd", "ü − x.mha", "c.hdr"):
        row = volumes[name]
        paths = [
            path
            for path in (tmp_path / "out").rglob("*_mask.nii.gz")
            if printable(os.path.relpath(path, tmp_path / "out")) == row["nifti"]
        ]
        assert len(paths) == 1, row
        shutil.copy(paths[0], tmp_path / "mask.nii.gz")
        mask = SimpleITK.ReadImage(str(tmp_path / "mask.nii.gz"))
        np.testing.assert_array_equal(
            SimpleITK.GetArrayFromImage(mask) > 0, SimpleITK.GetArrayFromImage(image) >= BRIGHT
        )
        for place in ("GetOrigin", "GetSpacing", "GetDirection"):
            np.testing.assert_allclose(getattr(mask, place)(), getattr(image, place)(), atol=1e-5)
        assert float(row["marked_ml"]) == pytest.approx(2 * 5 * 4 * 0.7 * 0.9 * 3.0 / 1000, rel=1e-4)


def test_t5_names_in_latin_1_are_found_by_what_people_write(tmp_path, rng):
    Image.fromarray(rng.integers(0, 255, (32, 32)).astype(np.uint8)).save(tmp_path / f"{LATIN}.png")
    Image.fromarray(rng.integers(0, 255, (32, 32)).astype(np.uint8)).save(tmp_path / "b.png")
    (tmp_path / "labels.csv").write_bytes(
        unicodedata.normalize("NFD", "image,label\nMüller.png,0\nb.png,1\n").encode()
    )
    manifest = recognize(tmp_path)
    assert manifest.cases[0].image.name == f"{LATIN}.png" and manifest.cases[0].patient == "Müller.png"


# T6: short numbers that name patients


@pytest.fixture
def identifiers():
    found = Identifiers()
    for patient, name in (("7", "Doe^Jane"), ("047", "Roe^Rita")):
        dataset = pydicom.Dataset()
        dataset.PatientID, dataset.PatientName, dataset.StudyID = patient, name, "1"
        found.add(patient_texts(dataset))
    return found


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("7.dcm", "patient1.dcm"),
        ("ct/047.nii.gz", "ct/patient2.nii.gz"),
        ("7: series 1.2.840.7.4711.7", "patient1: series 1.2.840.7.4711.7"),
        ("Patient 7", "Patient patient1"),
        ("scan.7.ima", "scan.patient1.ima"),
        ("a_7_b", "a_patient1_b"),
        ("7-t1", "patient1-t1"),
        ("17/77.dcm", "17/77.dcm"),
        ("IM_1.dcm", "IM_1.dcm"),
    ],
)  # fmt: skip
def test_t6_short_numbers_of_patients_are_hidden_in_names(identifiers, name, shown):
    assert identifiers.hide_name(name) == shown


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (
            "/data/7.dcm: holds 7 slices of 7.5 mm, 7 x 7 pixels.",
            "/data/patient1.dcm: holds 7 slices of 7.5 mm, 7 x 7 pixels.",
        ),
        ("/data/Case 7/a.dcm: NumberOfFrames is 7.", "/data/Case patient1/a.dcm: NumberOfFrames is 7."),
        ("7: damaged", "patient1: damaged"),
        ("047.dcm frame 7 announces 47 bytes", "patient2.dcm frame 7 announces 47 bytes"),
        ("patient '7' is on two sides", "patient 'patient1' is on two sides"),
        ("line 7: label", "line 7: label"),
        ("7 file(s) cannot be read", "7 file(s) cannot be read"),
    ],
)
def test_t6_in_messages_numbers_that_count_stay(identifiers, message, shown):
    assert identifiers.hide(message) == shown


def test_t6_no_table_of_a_prediction_decodes_the_replacement(tmp_path):
    for patient, name in (("7", "Doe^Jane"), ("047", "Roe^Rita")):
        for number, height in enumerate((0.0, 5.0, 10.0)):
            dicom(
                tmp_path / patient / f"{patient}.{number + 100}.dcm",
                patient=patient,
                name=name,
                height=height,
                series=f"1.2.3.4.5.{len(patient)}",
            )
    (tmp_path / "7" / "7.200.dcm").write_bytes((tmp_path / "7" / "7.100.dcm").read_bytes()[:600])
    found = find_inputs([tmp_path])
    shown = [*found.volumes, *found.names, *map(str, found.outputs), *found.failures, *found.manifest.account]
    shown = [text.replace(str(tmp_path), "") for text in shown]
    assert all("patient1/patient1." in name or "patient2/patient2." in name for name in found.names)
    assert not [
        text for text in shown if "047" in text or "/7" in text or "7:" in text or text.startswith("7")
    ], shown
