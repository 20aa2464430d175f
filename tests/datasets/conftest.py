"""Small data folders made of real files."""

import csv

import numpy as np
import pytest
import tifffile
from PIL import Image


def head(rng, height=48, width=40, channels=3, lesion=False, blank=False):
    """Return (height, width[, channels]) uint8: a noisy bright ellipse on black, with a brighter spot if
    `lesion`.
    """
    rows, columns = np.mgrid[:height, :width]
    inside = ((rows - height / 2) / (0.4 * height)) ** 2 + ((columns - width / 2) / (0.4 * width)) ** 2 < 1
    image = rng.integers(0, 6, (height, width, channels))
    image[inside] += rng.integers(90, 130, (int(inside.sum()), channels))
    if lesion:
        image[height // 2 : height // 2 + 6, width // 2 : width // 2 + 6] += 90
    image = np.zeros_like(image) if blank else image
    return image.astype(np.uint8) if channels > 1 else image[..., 0].astype(np.uint8)


@pytest.fixture
def make_head(rng):
    """Return a function: make_head(lesion=..., channels=...) -> uint8 picture, a new one each time."""
    return lambda **options: head(rng, **options)


@pytest.fixture
def make_kaggle(tmp_path, rng):
    """Return a function: make_kaggle(patients, slices, name) -> folder in the layout of the LGG MRI set.

    The middle third of the slices has lesions, slice 1 is blank.
    """

    def make(patients=("TCGA_CS_0001_19990101", "TCGA_DU_0002_19990101"), slices=6, name="kaggle_3m"):
        root = tmp_path / name
        for patient in patients:
            folder = root / patient
            folder.mkdir(parents=True)
            for number in range(1, slices + 1):
                lesion = slices // 3 < number <= 2 * slices // 3
                image = head(rng, lesion=lesion, blank=number == 1)
                mask = np.zeros(image.shape[:2], np.uint8)
                if lesion:
                    mask[24:30, 20:26] = 255
                tifffile.imwrite(folder / f"{patient}_{number}.tif", image, photometric="rgb")
                tifffile.imwrite(folder / f"{patient}_{number}_mask.tif", mask)
        return root

    return make


@pytest.fixture
def make_pictures(tmp_path, rng):
    """Return a function: make_pictures({"a/b.png": options of head}) -> folder with these grey pictures."""

    def make(pictures, name="pictures"):
        root = tmp_path / name
        for path, options in dict(pictures).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(head(rng, **{"channels": 1, **options})).save(root / path)
        return root

    return make


@pytest.fixture
def write_csv():
    """Write a CSV and return its path."""

    def write(path, header, rows):
        with open(path, "w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(header)
            writer.writerows(rows)
        return path

    return write
