"""A folder of thirty studies, six of them broken: the others are marked, and each of the six is listed with
its reason.
"""

import struct

import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, RLELossless


def cut(path):
    path.write_bytes(path.read_bytes()[:-400])


def frames(path):
    edit(path, NumberOfFrames=10**6)


def wrong_type(path):
    dataset = pydicom.dcmread(path)
    element = pydicom.DataElement("PhotometricInterpretation", "SQ", pydicom.Sequence([pydicom.Dataset()]))
    dataset[element.tag] = element
    dataset.save_as(path)


def few_fragments(path):
    edit(path, syntax=RLELossless, PixelData=encapsulate([struct.pack("<16I", 9, *[10**6] * 15)]))


def no_fragments(path):
    edit(path, syntax=JPEGBaseline8Bit, PixelData=b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0")


def huge(path):
    edit(path, Rows=65535, Columns=65535)


def edit(path, syntax=None, **elements):
    dataset = pydicom.dcmread(path)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    if syntax is not None:
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)


BROKEN = {3: cut, 7: frames, 11: wrong_type, 16: few_fragments, 22: no_fragments, 29: huge}


@pytest.fixture
def studies(tmp_path, rng, head, write_series):
    root = tmp_path / "archive"
    for number in range(30):
        files = write_series(root / f"study_{number:02d}", head(rng, 1))
        if number in BROKEN:
            BROKEN[number](files[0])
    return root


def test_twenty_four_are_marked_and_six_are_listed(run, predict, studies):
    result, out, rows = predict(run, studies, options=["--format", "png"])
    assert result.exit_code == 1, result.output
    assert len(rows) == 24 and all(int(row["marked_px"]) > 0 for row in rows)
    assert "Error: 6 of the inputs could not be used:" in result.stderr
    told = [line for line in result.stderr.splitlines() if line.startswith("  ")]
    assert len(told) == 6, result.stderr
    for number in BROKEN:
        assert sum(f"study_{number:02d}/" in line for line in told) == 1, (number, result.stderr)
    assert len(list(out.rglob("*_mask.png"))) == 24
