"""The lesion classes that an image shows: the manifest's column, its checks, masks with values, and the
split.
"""

import collections
import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from clamnet_tf.datasets.classes import class_account, shown_classes
from clamnet_tf.datasets.manifest import Case, Manifest, read_manifest, write_manifest
from clamnet_tf.datasets.split import split_manifest
from clamnet_tf.errors import DataError, ImageError
from clamnet_tf.preprocessing.mask_access import open_masks
from clamnet_tf.recipe.classes import UNNAMED
from clamnet_tf.recipe.schema_data import SplitSection

NAMES = ("intraparenchymal", "subdural")


@pytest.fixture
def table(tmp_path):
    """Return a function: table(rows of (label, markers)) -> path of a manifest of real pictures."""

    def write(*rows):
        lines = ["image,patient,label,markers"]
        for number, (label, markers) in enumerate(rows):
            Image.fromarray(np.full((20, 20), number, np.uint8)).save(tmp_path / f"{number}.png")
            lines.append(f"{number}.png,p{number},{label},{markers}")
        (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
        return tmp_path / "manifest.csv"

    return write


def test_names_are_joined_by_plus_and_come_back(table, tmp_path):
    manifest = read_manifest(table((0, ""), (1, "subdural"), (1, " subdural + intraparenchymal "), (1, "")))
    assert [case.markers for case in manifest.cases] == [
        (),
        ("subdural",),
        ("intraparenchymal", "subdural"),
        (),
    ]
    write_manifest(manifest, tmp_path / "again.csv")
    assert read_manifest(tmp_path / "again.csv").cases == manifest.cases


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((0, "subdural"), "expected nothing, since label is 0, received 'subdural'"),
        ((1, "a+"), "names joined by [+], each once, received 'a[+]'"),
        ((1, "a+a"), "each once, received 'a[+]a'"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(table, row, message):
    with pytest.raises(DataError, match=f"line 3: markers: expected .*{message[-20:]}") as error:
        read_manifest(table((0, ""), row))
    assert message.split("received")[0].replace("[+]", "+") in str(error.value)


def test_the_account_counts_names_and_what_is_left_out(table):
    manifest = read_manifest(
        table((0, ""), (1, "subdural"), (1, "subdural+intraparenchymal"), (1, ""), (1, ""))
    )
    first, second = class_account(manifest, NAMES)
    assert first == "Lesion classes: intraparenchymal 1, subdural 2, several at once 1."
    assert (
        second
        == "Left out of training and of metrics by label: 2 abnormal images that name none of these classes."
    )
    assert class_account(manifest, (UNNAMED,)) == []
    said = dataclasses.replace(manifest, account=("Lesion classes: intraparenchymal 1, subdural 2.",))
    assert class_account(said, NAMES) == ["Several lesion classes at once: 1 images.", second]


def test_a_name_that_the_recipe_does_not_have_is_told_with_the_nearest(table):
    manifest = read_manifest(table((1, "subdurral"), (1, "subdurral"), (1, "epidural"), (0, "")))
    with pytest.raises(
        DataError,
        match=r"its classes: intraparenchymal, subdural(.|\n)*'subdurral' of 2 image\(s\), .*0.png \(did "
        r"you mean 'subdural'\?\)",
    ) as error:
        class_account(manifest, NAMES)
    assert "'epidural' of 1 image(s)" in str(error.value) and "leave the cell empty for an image" in str(
        error.value
    )


def test_what_slices_show_is_a_table_in_the_order_of_the_recipe():
    column = np.array(["", "subdural", "intraparenchymal+subdural", "other"])
    labels = np.array([0, 1, 2, -1])
    np.testing.assert_array_equal(shown_classes(labels, column, NAMES), [[0, 0], [0, 1], [1, 1], [0, 0]])
    np.testing.assert_array_equal(shown_classes(labels, column, (UNNAMED,)), [[0], [1], [1], [0]])
    assert shown_classes(labels[:0], column[:0], NAMES).shape == (0, 2)


def test_masks_of_several_markers_keep_their_values_on_both_grids(tmp_path):
    mask = np.zeros((12, 12), np.uint8)
    mask[2:5, 3:6], mask[6:9, 6:11] = 1, 2
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(mask * 127).save(tmp_path / "gray.png")
    Image.fromarray(mask).save(tmp_path / "mask.jpg")
    cases = [
        Case(tmp_path / "mask.png", "p", 1, mask=tmp_path / name)
        for name in ("mask.png", "gray.png", "mask.jpg")
    ] + [Case(tmp_path / "mask.png", "p", 0)]
    table = SimpleNamespace(
        case=np.arange(4),
        split=np.full(4, "train"),
        slice_index=np.zeros(4, int),
        image=np.full(4, "x"),
        box=np.array([[0, 0, 12, 12, 12]] * 4),
    )
    manifest, prepared = (
        Manifest(tmp_path, tuple(cases)),
        SimpleNamespace(table=table, images=np.zeros((4, 24, 24, 1))),
    )
    original, empty = open_masks(manifest, prepared, [0, 3], "evaluation", "original", classes=2)
    np.testing.assert_array_equal(original, mask)
    assert empty.dtype == np.uint8 and not empty.any()
    [large] = open_masks(manifest, prepared, [0], "supervision", "prepared", classes=2)
    np.testing.assert_array_equal(large, mask.repeat(2, axis=0).repeat(2, axis=1))
    [one] = open_masks(manifest, prepared, [0], "evaluation", "original")
    assert one.dtype == np.uint8 and (one == (mask > 0)).all()
    with pytest.raises(
        ImageError,
        match="gray.png: expected the values 0 to 2, background and the recipe's classes in their order; "
        "received 0, 127, 254",
    ):
        open_masks(manifest, prepared, [1], "evaluation", "original", classes=2)
    with pytest.raises(ImageError, match="mask.jpg: a mask of several classes cannot be a JPEG"):
        open_masks(manifest, prepared, [2], "evaluation", "original", classes=2)


def test_a_split_spreads_patients_of_each_marker_evenly():
    kinds = [("a",)] * 10 + [("b",)] * 10 + [()] * 10
    cases = [
        Case(Path(f"/data/{number}.png"), f"p{number}", int(bool(kind)), markers=kind)
        for number, kind in enumerate(kinds)
    ]
    split = split_manifest(Manifest(Path("/data"), tuple(cases)), SplitSection(train=0.6, val=0.2, test=0.2))
    found = collections.Counter((case.split, case.markers) for case in split.cases)
    assert found == {
        (side, kind): count
        for side, count in (("train", 6), ("val", 2), ("test", 2))
        for kind in (("a",), ("b",), ())
    }
