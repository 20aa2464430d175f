"""Images of another kind than a model was made for, right or refused by name: rows V2, V3 and V5.

Right values come from pydicom and Pillow, or are worked by hand.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from clamnet_tf.datasets.expected_images import expected_images, read_expected
from clamnet_tf.imaging.readers import read_volume
from clamnet_tf.recipe.catalogue import load_recipe

sys.path.insert(0, str(Path(__file__).parent))
from hand_made import SIDE, call, dice, displayed, rows_of, write_dicom, write_run, written_mask

CENTER, WIDTH = 1500.0, 1200.0


@pytest.fixture(scope="session")
def ct_run(tmp_path_factory):
    """Marks what is above 60 HU in a brain window."""
    return write_run(
        tmp_path_factory.mktemp("runs") / "ct",
        "ct",
        0.75,
        window={"center": 40.0, "width": 80.0},
        normalization="window",
    )


@pytest.fixture(scope="session")
def xray_run(tmp_path_factory):
    """Marks the brighter part of an X-ray."""
    return write_run(tmp_path_factory.mktemp("runs") / "xray", "xray", 0.6, normalization="percentile")


def chest():
    """(SIDE, SIDE) in 0..1: two dark ovals in a bright ramp, with shades between."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    ramp = 0.35 + 0.6 * columns / SIDE
    ovals = sum(
        np.exp(-((((rows - 32) / 16) ** 2 + ((columns - place) / 8) ** 2) ** 2)) for place in (18, 46)
    )
    return np.clip(ramp - 0.55 * ovals, 0, 1)


def far(shown, stored):
    """Stored values beyond the window where the picture is black or white: dense parts and air, far apart."""
    rng = np.random.default_rng(0)
    return np.where(
        shown >= 0.93,
        stored + rng.uniform(0, 2000, shown.shape),
        np.where(shown <= 0.05, stored - rng.uniform(0, 800, shown.shape), stored),
    )


def voi_cases():
    shown = chest()
    linear = np.clip(np.rint(far(shown, (shown - 0.5) * (WIDTH - 1) + CENTER - 0.5)), 0, 4095).astype(
        np.uint16
    )
    twelve = {"BitsStored": 12, "HighBit": 11}
    window = {"WindowCenter": CENTER, "WindowWidth": WIDTH, **twelve}
    inner = np.clip(shown, 0.01, 0.99)
    lut = Dataset()
    lut.add_new("LUTDescriptor", "US", [2048, 500, 12])
    lut.add_new("LUTData", "OW", np.rint(4095 * np.linspace(0, 1, 2048) ** 0.4).astype("<u2").tobytes())
    return {
        "LINEAR": (linear, window),
        "LINEAR_EXACT": (linear, {**window, "VOILUTFunction": "LINEAR_EXACT"}),
        "SIGMOID": (
            np.rint(CENTER - WIDTH / 4 * np.log(1 / inner - 1)).astype(np.uint16),
            {**window, "VOILUTFunction": "SIGMOID"},
        ),
        "sequence": (np.rint(500 + 2047 * shown**2.5).astype(np.uint16), {"VOILUTSequence": [lut], **twelve}),
        "several windows": (linear, {**window, "WindowCenter": [CENTER, 300], "WindowWidth": [WIDTH, 100]}),
        "rescaled": (
            linear,
            {
                **window,
                "WindowCenter": 2 * CENTER - 100,
                "WindowWidth": 2 * WIDTH,
                "RescaleSlope": 2,
                "RescaleIntercept": -100,
            },
        ),
        "MONOCHROME1": (
            (4095 - linear).astype(np.uint16),
            {
                **window,
                "WindowCenter": 4095 - CENTER + 1,
                "PhotometricInterpretation": "MONOCHROME1",
                "PresentationLUTShape": "INVERSE",
            },
        ),
    }


@pytest.mark.parametrize("kind", voi_cases())
def test_v2_an_xray_and_the_picture_a_viewer_shows_of_it_mark_alike(kind, xray_run, tmp_path):
    stored, elements = voi_cases()[kind]
    file = write_dicom(tmp_path / "film.dcm", stored, "DX", **elements)
    shown = displayed(file)
    values = read_volume(file, presentation=True).array[0, ..., 0]
    np.testing.assert_allclose((values - values.min()) / np.ptp(values), shown, atol=0.004)
    Image.fromarray(np.rint(255 * shown).astype(np.uint8)).save(tmp_path / "viewer.png")
    code, output = call(
        "predict", xray_run, file, tmp_path / "viewer.png", "--format", "png", "--out", tmp_path / "out"
    )
    assert code == 0, output
    assert written_mask(tmp_path / "out", "viewer").mean() > 0.05
    assert dice(written_mask(tmp_path / "out", "film"), written_mask(tmp_path / "out", "viewer")) > 0.97


def test_v2_of_ct_and_mr_the_physical_values_are_read(tmp_path):
    stored, elements = voi_cases()["LINEAR"]
    np.testing.assert_array_equal(
        read_volume(write_dicom(tmp_path / "a.dcm", stored, "CT", **elements)).array[0, ..., 0], stored
    )


def blades(inner):
    """Where a frame of 8 pixels hides the image, and the elements that say so, edges counted from 1."""
    edges = dict(
        zip(
            ("LeftVerticalEdge", "RightVerticalEdge", "UpperHorizontalEdge", "LowerHorizontalEdge"),
            (9, SIDE - 8, 9, SIDE - 8),
        )
    )
    return {f"{inner}Shape": "RECTANGULAR", **{f"{inner}{name}": value for name, value in edges.items()}}


FRAMES = {
    "padding": {"PixelPaddingValue": 4095},
    "padding range": {"PixelPaddingValue": 4000, "PixelPaddingRangeLimit": 4095},
    "shutter": blades("Shutter"),
    "collimator": blades("Collimator"),
    "polygon": {
        "ShutterShape": "POLYGONAL",
        "VerticesOfThePolygonalShutter": [8, 8, 8, SIDE - 7, SIDE - 7, SIDE - 7, SIDE - 7, 8],
    },
    "burned border": {},
}


@pytest.mark.parametrize("kind", FRAMES)
def test_v2_what_hides_the_patient_is_left_out_of_percentiles(kind, xray_run, tmp_path):
    """Else the frame's 4095 is the 99th percentile, and nothing inside is bright enough to be marked."""
    shown, inside = chest(), np.zeros((SIDE, SIDE), bool)
    inside[8:-8, 8:-8] = True
    stored = np.where(inside, np.rint(500 + 1000 * shown), 4095).astype(np.uint16)
    file = write_dicom(tmp_path / "film.dcm", stored, "DX", BitsStored=12, HighBit=11, **FRAMES[kind])
    volume = read_volume(file, presentation=True)
    np.testing.assert_array_equal(volume.excluded[0], ~inside)
    assert (volume.array[0, ..., 0][~inside] == volume.array[0, ..., 0][inside].min()).all()
    low, high = np.percentile(stored[inside], (1, 99))
    code, output = call("predict", xray_run, file, "--format", "png", "--out", tmp_path / "out")
    assert code == 0, output
    expected = inside & (stored >= low + 0.6 * (high - low))
    assert dice(written_mask(tmp_path / "out", "film"), expected) > 0.97


def test_v2_a_window_that_shows_nothing_is_said(xray_run, tmp_path):
    file = write_dicom(
        tmp_path / "film.dcm",
        np.rint(500 + 1000 * chest()).astype(np.uint16),
        "DX",
        WindowCenter=30000,
        WindowWidth=100,
    )
    code, output = call("predict", xray_run, file, "--format", "png", "--out", tmp_path / "out")
    assert code == 0 and "its VOI window shows nothing of its values; they were taken as stored" in " ".join(
        output.split()
    )


MODALITIES = [
    ("xray_run", "CT", "an X-ray model"),
    ("ct_run", "MR", "a CT model"),
    ("xray_run", "MR", "an X-ray model"),
    ("ct_run", "DX", "a CT model"),
    ("ct_run", "PT", "a CT model"),
]


@pytest.mark.parametrize(("run", "modality", "words"), MODALITIES)
def test_v3_another_modality_is_refused(run, modality, words, request, tmp_path):
    file = write_dicom(tmp_path / "image.dcm", np.rint(1000 * chest()).astype(np.uint16), modality)
    run = request.getfixturevalue(run)
    code, output = call("predict", run, file, "--out", tmp_path / "out")
    flat = " ".join(output.split())
    assert (
        code == 2
        and f"image.dcm: its Modality is {modality}, and this is {words}" in flat
        and "insist with --any-modality" in flat
    )
    code, output = call("predict", run, file, "--any-modality", "--out", tmp_path / "insisted")
    assert code == 0 and f"Modality {modality}, accepted by --any-modality for {words}" in " ".join(
        output.split()
    )


def test_v3_an_unsaid_modality_is_noted(xray_run, tmp_path):
    file = write_dicom(tmp_path / "image.dcm", np.rint(1000 * chest()).astype(np.uint16), "OT")
    code, output = call("predict", xray_run, file, "--out", tmp_path / "out")
    assert (
        code == 0
        and "the file does not say its modality (OT); it was taken as an X-ray image"
        in " ".join(output.split())
    )


def test_v3_inverted_ct_is_refused(ct_run, tmp_path):
    file = write_dicom(
        tmp_path / "image.dcm",
        np.rint(1000 * chest()).astype(np.uint16),
        "CT",
        PhotometricInterpretation="MONOCHROME1",
    )
    code, output = call("predict", ct_run, file, "--out", tmp_path / "out")
    assert code == 2 and "its PhotometricInterpretation is MONOCHROME1" in " ".join(output.split())


def test_v3_evaluate_refuses_and_can_be_insisted_upon(xray_run, tmp_path):
    write_dicom(tmp_path / "image.dcm", np.rint(1000 * chest()).astype(np.uint16), "CT")
    (tmp_path / "manifest.csv").write_text("image,patient,label\nimage.dcm,p,1\n")
    code, output = call("evaluate", xray_run, "--data", tmp_path, "--out", tmp_path / "out")
    assert code == 2 and "its Modality is CT" in " ".join(output.split())
    assert call("evaluate", xray_run, "--data", tmp_path, "--any-modality", "--out", tmp_path / "out")[0] == 0


def gray_as(kind, path):
    gray = Image.fromarray(np.rint(255 * chest()).astype(np.uint8))
    if kind == "DICOM":
        return write_dicom(path / "image.dcm", np.asarray(gray.convert("RGB")), "DX")
    image = gray.convert("RGB" if kind == "JPEG" else kind)
    image.save(
        path / ("image.jpg" if kind == "JPEG" else "image.png"), **({"quality": 95} if kind == "JPEG" else {})
    )
    return path / ("image.jpg" if kind == "JPEG" else "image.png")


@pytest.mark.parametrize("kind", ["RGB", "RGBA", "LA", "JPEG", "DICOM"])
def test_v5_gray_stored_as_colour_is_reduced(kind, xray_run, tmp_path):
    file = gray_as(kind, tmp_path)
    code, output = call("predict", xray_run, file, "--format", "png", "--out", tmp_path / "out")
    assert code == 0, output
    values = np.rint(255 * chest())
    low, high = np.percentile(values, (1, 99))
    assert dice(written_mask(tmp_path / "out", "image"), values >= low + 0.6 * (high - low)) > 0.97
    if kind != "LA":
        assert "gray stored in several equal channels" in " ".join(output.split())


def test_v5_true_colour_is_refused(xray_run, tmp_path):
    colour = np.stack([chest(), chest()[::-1], chest().T], axis=-1)
    Image.fromarray(np.rint(255 * colour).astype(np.uint8)).save(tmp_path / "photo.png")
    code, output = call("predict", xray_run, tmp_path / "photo.png", "--out", tmp_path / "out")
    assert code == 2 and "photo.png: is a colour picture" in " ".join(output.split())


def test_v5_training_and_evaluation_take_gray_beside_gray_as_rgb(xray_run, tmp_path):
    gray = Image.fromarray(np.rint(255 * chest()).astype(np.uint8))
    gray.save(tmp_path / "a.png")
    gray.convert("RGB").save(tmp_path / "b.png")
    (tmp_path / "manifest.csv").write_text("image,patient,label\na.png,p,1\nb.png,q,0\n")
    code, output = call("evaluate", xray_run, "--data", tmp_path, "--out", tmp_path / "out")
    assert code == 0, output
    scores = [row["score"] for row in rows_of(tmp_path / "out" / "cases.csv")]
    assert scores[0] == scores[1]


def test_v5_training_makes_one_channel_of_a_mixed_set(tmp_path):
    rows = []
    for number, side in enumerate(("train", "train", "val", "val")):
        gray = Image.fromarray(np.rint(255 * np.roll(chest(), number, axis=0)).astype(np.uint8))
        (gray.convert("RGB") if number % 2 else gray).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,p{number},{number % 2},{side}")
    (tmp_path / "manifest.csv").write_text("image,patient,label,split\n" + "\n".join(rows) + "\n")
    code, output = call("data", "prepare", "xray_trauma", "--data", tmp_path, "--cache", tmp_path / "cache")
    assert code == 0 and "4 slices of" in output and "pixels, 1 channel(s)" in output, output
    assert "2 of 4 volumes (first" in output and "gray stored in several equal channels" in " ".join(
        output.split()
    )


def test_a_whole_slice_given_to_a_model_of_patches_is_noted(tmp_path):
    patch, whole = tmp_path / "patch.png", tmp_path / "whole.png"
    noise = np.random.default_rng(0).integers(0, 255, (512, 512), np.uint8)
    Image.fromarray(noise[:48, :48]).save(patch)
    Image.fromarray(noise).save(whole)
    expected = expected_images(load_recipe("ct_nodule"), 1)
    assert read_expected(patch, expected)[1] == ()
    (note,) = read_expected(whole, expected)[1]
    assert "512 x 512 pixels are shrunk to 48 x 48" in note
    assert (
        read_expected(whole, expected_images(load_recipe("xray_trauma"), 1))[1] == ()
    )  # finds the organ first
