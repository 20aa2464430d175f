"""Masks whose values are not 0 and 1 (row V4): read as they were meant, or refused by name."""

import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage

from clamnet_tf.datasets.layouts.recognition import recognize
from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.mask_files import read_mask

sys.path.insert(0, str(Path(__file__).parent))
from hand_made import SIDE, call, dice, rows_of, write_run


def lesion():
    """Bool (SIDE, SIDE): a disc and a bar."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return ((rows - 20) ** 2 + (columns - 24) ** 2 <= 81) | (
        (np.abs(rows - 48) < 4) & (np.abs(columns - 40) < 12)
    )


def nifti(path, values):
    nibabel.save(nibabel.Nifti1Image(np.asarray(values).T[:, :, None], np.diag([-1.0, -1.0, 5.0, 1.0])), path)
    return path


def picture(path, array, **how):
    Image.fromarray(array).save(path, **how)
    return path


def palette(path, indices, colours):
    image = Image.fromarray(indices.astype(np.uint8)).convert("P")
    image.putdata(indices.astype(np.uint8).ravel().tolist())
    image.putpalette(colours)
    image.save(path)
    return path


def smooth(sigma):
    return ndimage.gaussian_filter(lesion().astype(np.float64), sigma)


def cubic():
    """Shrunken and enlarged again by cubic splines, which overshoot."""
    return ndimage.zoom(ndimage.zoom(lesion().astype(np.float64), 0.75, order=3), 1 / 0.75, order=3)


BYTE = lambda values: np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)
RIGHT = {  # how it is stored -> (writer, smallest Dice to the original, words of the note)
    "0 and 1": (lambda p: picture(p / "m.png", lesion().astype(np.uint8)), 1.0, None),
    "0 and 255": (lambda p: picture(p / "m.png", BYTE(lesion())), 1.0, None),
    "one bit": (lambda p: picture(p / "m.png", lesion()), 1.0, None),
    "two bits": (lambda p: tiny_png(p / "m.png", lesion().astype(np.uint8), 2), 1.0, None),
    "JPEG": (lambda p: picture(p / "m.jpg", BYTE(lesion()), quality=85), 1.0, "half of their range"),
    "palette, background black": (lambda p: palette(p / "m.png", lesion(), [0, 0, 0, 255, 0, 0]), 1.0, None),
    "palette, background white": (
        lambda p: palette(p / "m.png", lesion(), [255, 255, 255, 200, 0, 0]),
        1.0,
        None,
    ),
    "palette, both black": (lambda p: palette(p / "m.png", lesion(), [0, 0, 0, 0, 0, 0]), 1.0, None),
    "palette TIFF": (
        lambda p: tiff(
            p / "m.tif",
            lesion().astype(np.uint8),
            photometric="palette",
            colormap=np.full((3, 256), 65535, np.uint16),
        ),
        1.0,
        None,
    ),
    "white is zero, shades": (
        lambda p: tiff(p / "m.tif", BYTE(~lesion()), photometric="miniswhite"),
        1.0,
        "stored 0 is shown white",
    ),
    "white is zero, one bit": (
        lambda p: tiff(p / "m.tif", ~lesion(), photometric="miniswhite"),
        1.0,
        "stored 0 is shown white",
    ),
    "white is zero, class numbers": (
        lambda p: tiff(p / "m.tif", lesion().astype(np.uint8), photometric="miniswhite"),
        1.0,
        "taken as stored",
    ),
    "RGB of gray": (lambda p: picture(p / "m.png", np.dstack([BYTE(lesion())] * 3)), 1.0, None),
    "RGBA of gray": (
        lambda p: picture(
            p / "m.png", np.dstack([BYTE(lesion())] * 3 + [np.full((SIDE, SIDE), 255, np.uint8)])
        ),
        1.0,
        None,
    ),
    "smoothed floats": (
        lambda p: nifti(p / "m.nii", smooth(1.0).astype(np.float32)),
        0.95,
        "cut at 0.5, half of their range",
    ),
    "smoothed bytes": (
        lambda p: picture(p / "m.png", BYTE(smooth(1.0))),
        0.95,
        "cut at 127.5, half of their range",
    ),
    "cubic": (
        lambda p: nifti(p / "m.nii", cubic().astype(np.float32)),
        0.95,
        "cut at 0.5, half of their range",
    ),
    "cubic of 255": (
        lambda p: nifti(p / "m.nii", (255 * cubic()).astype(np.float32)),
        0.95,
        "cut at 127.5, half of their range",
    ),
    "background 1e-6": (
        lambda p: nifti(p / "m.nii", np.where(lesion(), 1, 1e-6).astype(np.float32)),
        1.0,
        "taken as whole numbers",
    ),
    "scaled by slope": (
        lambda p: nifti(p / "m.nii", (lesion() * 0.99998).astype(np.float32)),
        1.0,
        "taken as whole numbers",
    ),
    "classes 1 and 2": (
        lambda p: nifti(p / "m.nii", (lesion() * (1 + (np.arange(SIDE) > 24))).astype(np.uint8)),
        1.0,
        "holds the classes 1, 2",
    ),
    "sixteen bits": (lambda p: tiff(p / "m.tif", lesion().astype(np.uint16) * 65535), 1.0, None),
    "empty": (lambda p: picture(p / "m.png", np.zeros((SIDE, SIDE), np.uint8)), None, None),
}


def tiff(path, array, **how):
    tifffile.imwrite(path, array, **how)
    return path


def tiny_png(path, values, bits):
    Image.fromarray(values).save(path, bits=bits)
    assert path.read_bytes()[24] in (bits, 8)
    return path


@pytest.mark.parametrize("kind", RIGHT)
def test_v4_a_mask_is_read_as_it_was_meant(kind, tmp_path):
    write, least, note = RIGHT[kind]
    mask = read_mask(write(tmp_path))
    assert mask.values.shape == (1, SIDE, SIDE) and mask.values.dtype == np.uint8
    if least is None:
        assert not mask.values.any()
        return
    assert dice(mask.values[0], lesion()) >= least
    assert (note in " ".join(mask.notes)) if note else mask.notes == ()


REFUSED = {
    "coloured": (
        lambda p: picture(p / "m.png", np.dstack([BYTE(lesion()), BYTE(lesion()) * 0, BYTE(lesion()) * 0])),
        "channels that differ",
    ),
    "the image itself": (
        lambda p: picture(p / "m.png", np.add.outer(np.arange(SIDE), 3 * np.arange(SIDE)).astype(np.uint8)),
        "shades throughout, like a picture",
    ),
    "no background": (lambda p: nifti(p / "m.nii", 1 + lesion().astype(np.uint8)), "may mean several things"),
    "two shades": (
        lambda p: picture(
            p / "m.png", np.where(lesion(), np.where(np.arange(SIDE) > 24, 255, 128), 0).astype(np.uint8)
        ),
        "regions of several shades",
    ),
    "class 1 and 255": (
        lambda p: picture(
            p / "m.png", np.where(lesion(), np.where(np.arange(SIDE) > 24, 255, 1), 0).astype(np.uint8)
        ),
        "regions of several shades",
    ),
    "a noisy picture on black": (
        lambda p: picture(
            p / "m.png",
            np.where(lesion(), np.random.default_rng(0).integers(20, 256, (SIDE, SIDE)), 0).astype(np.uint8),
        ),
        "shades throughout, like a picture",
    ),
    "weak shades": (
        lambda p: nifti(p / "m.nii", (0.3 * smooth(1.0)).astype(np.float32)),
        "may mean several things",
    ),
    "interpolated classes": (
        lambda p: nifti(p / "m.nii", (2 * smooth(1.0)).astype(np.float32)),
        "may mean several things",
    ),
    "signed distances": (
        lambda p: nifti(
            p / "m.nii",
            (ndimage.distance_transform_edt(lesion()) - ndimage.distance_transform_edt(~lesion())).astype(
                np.float32
            ),
        ),
        "may mean several things",
    ),
    "all 1e-6": (lambda p: nifti(p / "m.nii", np.full((SIDE, SIDE), 1e-6, np.float32)), "nothing but 1e-06"),
    "class numbers as JPEG": (
        lambda p: picture(p / "m.jpg", lesion().astype(np.uint8) * 3, quality=100),
        "a JPEG does not keep small values apart",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_v4_what_may_mean_several_things_is_refused(kind, tmp_path):
    write, words = REFUSED[kind]
    with pytest.raises(ImageError, match=f"(?s){tmp_path}/m.*{words}"):
        read_mask(write(tmp_path))


def test_v4_several_markers_are_class_numbers_and_nothing_else(tmp_path):
    numbers = (lesion() * (1 + (np.arange(SIDE) > 24))).astype(np.uint8)
    for write in (
        lambda: palette(tmp_path / "m.png", numbers, [0, 0, 0, 255, 0, 0, 0, 255, 0]),
        lambda: nifti(tmp_path / "m.nii", numbers.astype(np.float64)),
    ):
        np.testing.assert_array_equal(read_mask(write(), 2).values[0], numbers)
    with pytest.raises(ImageError, match="expected the values 0 to 2.*received 0, 0.5, 1"):
        read_mask(nifti(tmp_path / "half.nii", numbers / 2), 2)


def test_v4_evaluation_reads_the_same_mask_and_says_what_it_did(tmp_path):
    """A mask compared with its own smoothed copy: Dice 0.27 with every nonzero value as lesion."""
    run = write_run(tmp_path / "run", "mri", 0.5, normalization="none")
    data = tmp_path / "data"
    data.mkdir()
    for name in ("a", "b"):
        np.save(data / f"{name}.npy", lesion().astype(np.float32))
    nifti(data / "a_mask.nii", smooth(1.0).astype(np.float32))
    nifti(data / "b_mask.nii", cubic().astype(np.float32))
    (data / "manifest.csv").write_text(
        "image,patient,label,mask\na.npy,p,1,a_mask.nii\nb.npy,q,1,b_mask.nii\n"
    )
    code, output = call("evaluate", run, "--data", data, "--out", tmp_path / "out")
    assert code == 0, output
    assert all(float(row["dice"]) > 0.95 for row in rows_of(tmp_path / "out" / "cases.csv"))
    assert "half of their range" in " ".join(output.split())


def test_v4_kaggle_labels_come_from_the_same_reader(tmp_path):
    folder = tmp_path / "TCGA_CS_1"
    folder.mkdir()
    for number, mask in enumerate(
        [BYTE(smooth(1.0)), np.full((SIDE, SIDE), 2, np.uint8) * 0, BYTE(0.004 * lesion())], start=1
    ):
        tiff(folder / f"TCGA_CS_1_{number}.tif", np.zeros((SIDE, SIDE, 3), np.uint8), photometric="rgb")
        tiff(folder / f"TCGA_CS_1_{number}_mask.tif", mask)
    manifest = recognize(tmp_path)
    assert [case.label for case in manifest.cases] == [1, 0, 1]
    assert any("half of their range" in line for line in manifest.account)
    tiff(folder / "TCGA_CS_1_2_mask.tif", np.add.outer(np.arange(SIDE), np.arange(SIDE)).astype(np.uint8))
    with pytest.raises(ImageError, match="TCGA_CS_1_2_mask.tif"):
        recognize(tmp_path)


def test_v4_organ_masks_come_from_the_same_reader(tmp_path):
    run = write_run(tmp_path / "run", "mri", 0.5, normalization="none")
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("method: none", "method: given"))
    np.save(tmp_path / "a.npy", 1 + np.eye(SIDE, dtype=np.float32))
    nifti(tmp_path / "organ.nii", smooth(1.0).astype(np.float32))
    (tmp_path / "inputs.csv").write_text("image,patient,label,organ\na.npy,p,1,organ.nii\n")
    code, output = call("predict", run, tmp_path / "inputs.csv", "--format", "png", "--out", tmp_path / "out")
    assert code == 0, output
    assert "organ mask: values" in " ".join(output.split()) and "half of their range" in " ".join(
        output.split()
    )
    assert dice(np.asarray(Image.open(next((tmp_path / "out").rglob("*_mask.png")))) > 0, lesion()) > 0.9
