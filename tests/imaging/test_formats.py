"""The table of formats is complete and consistent, and every module that knows a format uses it."""

import inspect
import re
from pathlib import Path

import pytest

from clamnet_tf.datasets.layouts.listing import PICTURES, VOLUMES
from clamnet_tf.imaging import sniff
from clamnet_tf.imaging.formats import FORMATS, SUFFIXES, FileFormat, titles
from clamnet_tf.imaging.other_formats import OTHER_FORMATS


def test_every_suffix_promises_one_format():
    promised = [suffix for one in FORMATS.values() for suffix in one.suffixes]
    assert len(promised) == len(set(promised)) == len(SUFFIXES)
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in promised)


def test_no_format_is_read_and_not_read():
    assert not set(FORMATS) & set(OTHER_FORMATS)
    assert {name: one.words for name, one in FORMATS.items()}.items() <= sniff.WORDS.items()


def test_every_format_is_a_volume_a_picture_or_dicom():
    assert {*VOLUMES, *PICTURES, "dicom"} == set(FORMATS) and not set(VOLUMES) & set(PICTURES)


@pytest.mark.parametrize("one", FORMATS.values(), ids=list(FORMATS))
def test_what_an_entry_names_can_be_called_with_a_path(one: FileFormat):
    for named in (one.read, one.read_stored, one.is_gray, one.companions):
        if named is not None:
            first = next(iter(inspect.signature(named.function).parameters))
            assert inspect.getdoc(named.function) and first in ("path", "image", "header")


def test_titles_in_words():
    assert titles(["dicom"]) == "DICOM" and titles(["dicom", "png", "npy"]) == "DICOM, PNG and npy"
    assert titles(last="or").startswith("DICOM, NIfTI, NRRD, MetaImage") and titles(last="or").endswith(
        "TIFF or npy"
    )


def test_the_page_of_formats_names_every_format():
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "formats.md").read_text(encoding="utf-8")
    text = re.search(r"## Images.*?Not read", page, re.DOTALL)[0]
    assert not [one.title for one in FORMATS.values() if one.title not in " ".join(text.split())]
