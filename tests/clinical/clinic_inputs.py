"""Inputs as clinics have them, for the tests of this folder: pictures, tables, volumes, DICOM, commands."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK
from click.testing import CliRunner
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from clamnet_tf.cli.main import main

HEADER = ["image", "patient", "label"]
LATIN = os.fsdecode("Müller".encode("latin-1"))


def picture(path, rng, spot=False):
    """A gray picture of a bright disc, different each time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[:48, :48]
    image = (
        rng.integers(0, 5, (48, 48))
        + 100 * (np.hypot(rows - 24, columns - 24) < 18)
        + 60 * spot * (np.hypot(rows - 20, columns - 20) < 4)
    )
    Image.fromarray(image.astype(np.uint8)).save(path)


def labelled(root, rng, labels, header=("image", "patient", "label")):
    """A folder with a picture per label and labels.csv; returns it."""
    lines = []
    for number, label in enumerate(labels):
        picture(root / f"p{number}.png", rng)
        lines.append([f"p{number}.png", f"patient {number}", label])
    stream = io.StringIO()
    csv.writer(stream).writerows([header, *lines])
    (root / "labels.csv").write_text(stream.getvalue(), encoding="utf-8")
    return root


def run(*arguments):
    return CliRunner().invoke(main, [str(each) for each in arguments])


def text_of(rows, delimiter=",", end="\r\n"):
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, lineterminator=end).writerows(rows)
    return stream.getvalue()


def process(*arguments, **environment):
    """The command line in a process of its own: (exit code, bytes of stdout and stderr)."""
    command = [sys.executable, "-m", "clamnet_tf", *map(os.fsencode, map(str, arguments))]
    paths = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    answer = subprocess.run(
        command, capture_output=True, env={**os.environ, "PYTHONPATH": paths, **environment}, timeout=1500
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


def numbered(shape=(5, 20, 16)):
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape)


def nrrd(path, fields, data=None):
    """An NRRD file by its published layout: text, an empty line, values."""
    data = numbered((9, 10, 11)).astype("<i2").tobytes() if data is None else data
    header = "NRRD0004\ntype: short\ndimension: 3\nsizes: 11 10 9\nendian: little\nencoding: raw\n"
    path.write_bytes(f"{header}{fields}\n\n".encode() + data)
    return path


DIRECTIONS = "space directions: (2,0,0) (0,3,0) (0,0,4)\nspace origin: (-1,-2,-3)"


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
