"""Other formats, names in any encoding, and numbers that name patients (rows T5 and T6)."""

import gzip
import os
import shutil
import subprocess
import sys
import unicodedata
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from PIL import Image

from clamnet_tf.datasets.deidentify import Identifiers, patient_texts
from clamnet_tf.datasets.layouts.recognition import recognize
from clamnet_tf.datasets.unlabelled_inputs import find_inputs
from clamnet_tf.errors import DataError, ImageError
from clamnet_tf.files import write_json, write_text
from clamnet_tf.imaging.readers import read_volume
from clamnet_tf.recipe.schema import DataSection, InferenceSection, NetworkSection, OrganSection, Recipe
from clamnet_tf.recipe.writer import to_yaml
from clamnet_tf.runs import RunFolder
from clamnet_tf.texts import printable

sys.path.insert(0, str(Path(__file__).parent))  # for the inputs that this folder shares
from clinic_inputs import DIRECTIONS, LATIN, dicom, itk_image, nrrd, process, rows_of, scan

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
    )
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


# T5: other formats are named


OTHERS = {
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
    for name in ("scan.mnc", "old.mnc", "scan.PAR", "scan.vtk", "a.jp2", "gone.dcm", "empty.dcm"):
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
    (root / "brain.mnc").write_bytes(OTHERS["scan.mnc"][0])
    code, output = process(
        "predict",
        run,
        root,
        "--out",
        tmp_path / "out",
        "--format",
        "nifti,report",
        "--any-modality",
        **environment,
    )
    text = output.decode("utf-8", "replace")
    assert code == 1 and "Traceback" not in text, text
    assert "Error: 3 of the inputs could not be used:" in text and "brain.mnc: holds a MINC volume" in text
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
)
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
