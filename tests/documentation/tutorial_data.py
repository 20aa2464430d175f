"""Small simulated data in the form that the tutorials describe."""

import csv
import shutil
from pathlib import Path

import openpyxl
import pydicom

from clamnet_tf.recipe.schema_data import CohortSection
from clamnet_tf.simulation.cohorts import write_cohort


def write_archive(folder, columns, words):
    """Write head CT of 12 patients: `archive/`, `labels.xlsx` of its slices, and `new_studies/`.

    Args:
        folder: where they go.
        columns: names of the table's columns: of the series' UID, of InstanceNumber, of the label.
        words: (normal, abnormal), the words of the table's labels.

    Returns:
        The SOPInstanceUIDs of each of the two series in `new_studies`, by SeriesInstanceUID.
    """
    home = write_cohort(CohortSection(kind="head_ct", patients=12, slices=6, side=64), folder / "made").root
    with (home / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    book, series = openpyxl.Workbook(), {}
    book.active.append(columns)
    for row in rows:
        if row["image"] not in series:
            headers = [
                pydicom.dcmread(path, stop_before_pixels=True) for path in (home / row["image"]).iterdir()
            ]
            series[row["image"]] = headers
            year = 2020 + len(series) % 3  # folders of any shape
            shutil.copytree(home / row["image"], folder / "archive" / str(year) / f"S{len(series):03d}")
        uid = str(series[row["image"]][0].SeriesInstanceUID)
        book.active.append([uid, int(row["slice"]), words[int(row["label"] != "0")]])
    book.save(folder / "labels.xlsx")
    new = list(series)[:2]
    for number, image in enumerate(new):
        shutil.copytree(home / image, folder / "new_studies" / f"N{number}")
    shutil.rmtree(folder / "made")
    return {
        str(series[image][0].SeriesInstanceUID): {str(one.SOPInstanceUID) for one in series[image]}
        for image in new
    }


def write_brain_mri(folder):
    """Write `studies/`, brain MRI of 10 patients with labels and masks, and `new_study/`, the pictures of one
    of them; return the paths of these pictures.
    """
    cohort = CohortSection(kind="brain_mri", patients=10, slices=6, side=96)
    home = write_cohort(cohort, folder / "made").root
    shutil.move(home, folder / "studies")
    shutil.rmtree(folder / "made")
    patient = min(path for path in (folder / "studies").iterdir() if path.is_dir())
    (folder / "new_study").mkdir()
    return [
        Path(shutil.copy(path, folder / "new_study"))
        for path in sorted(patient.iterdir())
        if not path.stem.endswith("_mask")
    ]
