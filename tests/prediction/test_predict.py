"""predict, by a run whose network is made by hand: it marks what is at least so bright, so that every mask is
known.
"""

import json
import threading
import weakref

import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from clamnet_tf.datasets.unlabelled_inputs import find_inputs
from clamnet_tf.progress import Reporter
from clamnet_tf.reporting.overlays import MARKED_RGB
from clamnet_tf.runs import RunFolder

BRIGHT = 150  # what the run of conftest.py marks


def brain(rng, shape=(32, 24)):
    """uint8, mostly about 100, never BRIGHT, with a bright block somewhere."""
    image = rng.integers(80, 120, shape).astype(np.uint8)
    corner = [int(rng.integers(1, side // 2)) for side in shape]
    image[tuple(slice(start, start + max(2, side // 4)) for start, side in zip(corner, shape))] = 210
    return image


ALWAYS = ["marks.csv", "volumes.csv", "prediction.json", "report.html"]


def visible(folder):
    """Names in an output folder, but for the journal."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".progress.jsonl")


def mask_of(path):
    mask = np.asarray(Image.open(path))
    assert mask.dtype == np.uint8 and set(np.unique(mask)) <= {0, 255}
    return mask > 0


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR", "SLA", "ASL"])
def test_nifti_of_any_orientation_gets_its_mask_on_the_same_voxels(run, predict, tmp_path, rng, axes):
    affine = np.array([[1.5, 0, 0.1, -20], [0, 2, 0, 9], [-0.1, 0, 4, 3], [0, 0, 0, 1.0]])
    upright = nibabel.Nifti1Image(brain(rng, (32, 24, 10)), affine)
    upright.header.set_xyzt_units("mm")
    change = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(affine), nibabel.orientations.axcodes2ornt(axes)
    )
    image = upright.as_reoriented(change)
    nibabel.save(image, tmp_path / "scan.nii.gz")
    result, out, rows = predict(run, tmp_path / "scan.nii.gz")
    assert result.exit_code == 0, result.output
    mask = nibabel.load(out / "scan_mask.nii.gz")
    bright = np.asarray(image.dataobj) >= BRIGHT
    np.testing.assert_array_equal(np.asarray(mask.dataobj), bright)
    np.testing.assert_allclose(mask.affine, image.affine, atol=1e-5)
    assert mask.get_data_dtype() == np.uint8 and mask.header.get_xyzt_units() == image.header.get_xyzt_units()
    assert [int(mask.header[code]) for code in ("sform_code", "qform_code")] == [
        int(image.header[code]) for code in ("sform_code", "qform_code")
    ]
    assert len(rows) == 10 and sum(int(row["marked_px"]) for row in rows) == bright.sum()
    assert {row["mask"] for row in rows} == {"scan_mask.nii.gz"} and len(
        list(out.glob("scan_*_overlay.png"))
    ) == 10
    along = axes.index("S") if "S" in axes else axes.index("I")
    for row in rows:  # `frame` is the place along the file's own axis of slices
        assert int(row["marked_px"]) == np.take(bright, int(row["frame"]), along).sum()
    voxel_ml = abs(np.linalg.det(affine[:3, :3])) / 1000
    assert f"scan.nii.gz: {bright.sum() * voxel_ml:.2f} ml in " in result.stdout
    spacing = np.linalg.norm(affine[:3, :2], axis=0)
    assert float(rows[0]["area_mm2"]) == pytest.approx(
        int(rows[0]["marked_px"]) * spacing[0] * spacing[1], rel=1e-3
    )


def test_nifti_without_orientation_or_with_a_fourth_dimension(run, predict, tmp_path, rng):
    array = brain(rng, (32, 24, 4))
    image = nibabel.Nifti2Image(array[..., None].astype(np.float32), None)
    image.header.set_intent("vector")
    nibabel.save(image, tmp_path / "scan.nii")
    result, out, rows = predict(run, tmp_path / "scan.nii")
    mask = nibabel.load(out / "scan_mask.nii.gz")
    assert (
        isinstance(mask, nibabel.Nifti2Image)
        and mask.shape == (32, 24, 4)
        and mask.header.get_intent()[0] == "label"
    )
    np.testing.assert_array_equal(np.asarray(mask.dataobj), array >= BRIGHT)
    assert "scan.nii: neither sform nor qform: orientation and spacing are not known" in result.stdout
    assert (
        f"{(array >= BRIGHT).sum()} pixels (the spacing is not known, so no ml)" in result.stdout
        and rows[0]["area_mm2"] == ""
    )


def test_a_tiff_of_several_slices(run, predict, tmp_path, rng):
    pages = np.stack([brain(rng) for _ in range(3)])
    pages[1] = 0
    tifffile.imwrite(tmp_path / "stack.tif", pages, photometric="minisblack")
    result, out, rows = predict(run, tmp_path / "stack.tif")
    assert visible(out) == sorted(
        [f"stack_{number}_{what}.png" for number in range(3) for what in ("mask", "overlay")] + ALWAYS
    )
    for number, row in enumerate(rows):
        np.testing.assert_array_equal(mask_of(out / f"stack_{number}_mask.png"), pages[number] >= BRIGHT)
        assert (row["input"], row["slice"], row["mask"]) == (
            "stack.tif",
            str(number),
            f"stack_{number}_mask.png",
        )
        assert int(row["marked_px"]) == (pages[number] >= BRIGHT).sum()
    assert float(rows[0]["marked_fraction"]) == pytest.approx(
        int(rows[0]["marked_px"]) / pages[0].size, rel=1e-4
    )
    assert (rows[1]["marked_fraction"], rows[1]["presence_score"], rows[1]["organ_px"]) == ("", "0", "0"), (
        "a blank slice has no organ"
    )
    assert (
        "threshold 0.500: set by hand" in result.stdout
        and "step 7" in result.stdout
        and f"Table: {out / 'marks.csv'}" in result.stdout
    )


def test_presence_score_is_the_pooled_probability(run, predict, tmp_path):
    values = np.linspace(BRIGHT - 3, BRIGHT + 3, 32 * 24).reshape(32, 24).astype(np.float32)
    np.save(tmp_path / "ramp.npy", values)
    _, _, rows = predict(run, tmp_path / "ramp.npy")
    probability = 1 / (1 + np.exp(BRIGHT - values.astype(np.float16).astype(float)))
    assert float(rows[0]["presence_score"]) == pytest.approx(np.mean(probability**6) ** (1 / 6), rel=1e-4)
    assert int(rows[0]["marked_px"]) == (probability >= 0.5).sum()


def test_overlays_have_the_size_of_the_image_and_show_the_outline(run, predict, tmp_path, rng):
    image = brain(rng)
    Image.fromarray(image).save(tmp_path / "a.png")
    _, out, _ = predict(run, tmp_path / "a.png")
    picture, marked = np.asarray(Image.open(out / "a_overlay.png")), mask_of(out / "a_mask.png")
    assert picture.shape == (32, 24, 3)
    outline = (picture == MARKED_RGB).all(-1)
    assert outline.any() and not outline[~marked].any()
    assert (picture[~marked].std(-1) == 0).all(), "gray outside of the mask"


def test_a_larger_picture_is_marked_on_its_own_grid(run, predict, tmp_path):
    rows, columns = np.mgrid[:90, :120]
    disc = (rows - 40) ** 2 + (columns - 70) ** 2 < 20**2
    Image.fromarray(np.where(disc, 210, 90 + (rows + columns) % 2).astype(np.uint8)).save(
        tmp_path / "big.png"
    )
    _, out, _ = predict(run, tmp_path / "big.png")
    mask = mask_of(out / "big_mask.png")
    assert mask.shape == disc.shape
    assert 2 * (mask & disc).sum() / (mask.sum() + disc.sum()) > 0.95


def test_a_dicom_series(run, predict, tmp_path, rng):
    sample = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    sample.SeriesInstanceUID = generate_uid()
    sample.Rows, sample.Columns, sample.RescaleIntercept, sample.RescaleSlope = 32, 24, 0, 1
    sample.PixelSpacing, sample.SliceThickness = [0.5, 0.75], 1.0
    (tmp_path / "ct").mkdir()
    slices = {}
    for name, height in (("a", 5.0), ("b", 0.0), ("c", 2.5)):
        slices[name] = brain(rng)
        sample.SOPInstanceUID = sample.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        sample.ImagePositionPatient = [0, 0, height]
        sample.PixelData = slices[name].astype(np.int16).tobytes()
        sample.save_as(tmp_path / "ct" / f"{name}.dcm")
    result, out, rows = predict(run, tmp_path / "ct")
    assert result.exit_code == 0, result.output
    assert [row["input"] for row in rows] == ["b.dcm", "c.dcm", "a.dcm"] and len(
        {row["volume"] for row in rows}
    ) == 1
    for name, image in slices.items():
        np.testing.assert_array_equal(mask_of(out / f"{name}_mask.png"), image >= BRIGHT)
    marked = sum((image >= BRIGHT).sum() for image in slices.values())
    assert (
        f"series {sample.SeriesInstanceUID}: {marked * 0.5 * 0.75 * 2.5 / 1000:.2f} ml in 3 of 3 slices"
        in result.stdout
    )
    assert float(rows[1]["area_mm2"]) == pytest.approx((slices["c"] >= BRIGHT).sum() * 0.375)
    result, _, _ = predict(run, tmp_path / "ct" / "a.dcm", out=tmp_path / "one")
    assert f"a.dcm: {(slices['a'] >= BRIGHT).sum() * 0.375:.1f} mm2, " in result.stdout, (
        "one slice has no volume"
    )


@pytest.fixture(scope="module")
def relative_run(write_run, tmp_path_factory):
    """Marks what lies two deviations above the mean of its volume."""
    return write_run(tmp_path_factory.mktemp("runs") / "relative", 2.0, normalization="zscore")


def test_a_folder_of_numbered_pictures_has_the_statistics_of_a_volume(relative_run, predict, tmp_path):
    """In the volume only the very bright block stands out; alone, the first slice's faint one does."""
    faint, bright = np.full((2, 32, 24), 100, np.uint8)
    faint[4:8, 4:8], bright[10:16, 10:16] = 120, 250
    for folder, names in (("volume", ["head_9.png", "head_10.png"]), ("alone", ["head_9.png"])):
        (tmp_path / folder).mkdir()
        for name, image in zip(names, (faint, bright)):
            Image.fromarray(image).save(tmp_path / folder / name)
    result, out, rows = predict(relative_run, tmp_path / "volume", tmp_path / "alone")
    assert [row["input"] for row in rows] == ["volume/head_9.png", "volume/head_10.png", "alone/head_9.png"]
    assert not mask_of(out / "volume/head_9_mask.png").any()
    np.testing.assert_array_equal(mask_of(out / "volume/head_10_mask.png"), bright == 250)
    np.testing.assert_array_equal(mask_of(out / "alone/head_9_mask.png"), faint == 120)
    assert "volume/head_<n>.png: 2 pictures of 32 x 24, n = 9 to 10, one volume" in result.stdout


def test_pictures_of_an_x_ray_model_stand_alone(write_run, tmp_path, predict, rng):
    run = write_run(tmp_path / "xray", BRIGHT, normalization="none", modality="xray")
    for number in (1, 2):
        Image.fromarray(brain(rng)).save(tmp_path / f"chest_{number}.png")
    _result, _, rows = predict(run, *tmp_path.glob("*.png"))
    assert sorted(row["volume"] for row in rows) == ["chest_1.png", "chest_2.png"]


# what cannot be used


@pytest.fixture
def mixed(tmp_path, rng):
    """A folder of one good picture, a stack with a damaged slice, and what nobody can use; its path."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name in ("good.png", "s_1.png", "s_2.png", "s_3.png"):
        Image.fromarray(brain(rng)).save(folder / name)
    (folder / "s_2.png").write_bytes((folder / "s_2.png").read_bytes()[:150])
    (folder / "words.png").write_text("not a picture")
    Image.fromarray(rng.integers(0, 255, (32, 24, 3)).astype(np.uint8)).save(folder / "colour.png")
    np.save(folder / "nan.npy", np.full((16, 16), np.nan))
    Image.new("L", (1, 1)).save(folder / "dot.png")
    return folder


def test_bad_files_do_not_stop_the_others(run, predict, mixed):
    result, out, rows = predict(run, mixed, mixed / "absent.png")
    assert result.exit_code == 1
    assert (
        sorted(row["input"] for row in rows) == ["good.png", "s_1.png", "s_3.png"]
        and len(list(out.glob("*_mask.png"))) == 3
    )
    assert result.stderr.startswith("Error: 6 of the inputs could not be used:\n")
    for part in (
        "absent.png: there is no such file or folder",
        "s_2.png: damaged or cut off picture",
        "words.png: the name says",
        "colour.png: is a colour picture",
        "nan.npy: 256 NaN",
        "dot.png: too small",
    ):
        assert result.stderr.count(part) == 1, part
    assert "Traceback" not in result.stderr


def test_a_damaged_slice_of_a_dicom_series_is_left_out(run, predict, tmp_path):
    sample = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    for number in range(3):
        sample.SOPInstanceUID = sample.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        sample.ImagePositionPatient = [0, 0, number]
        sample.save_as(tmp_path / f"{number}.dcm")
    whole = (tmp_path / "1.dcm").read_bytes()
    (tmp_path / "1.dcm").write_bytes(whole[: len(whole) - 9000])
    result, _, rows = predict(run, tmp_path / "0.dcm", tmp_path / "1.dcm", tmp_path / "2.dcm")
    assert result.exit_code == 1 and [row["input"] for row in rows] == ["0.dcm", "2.dcm"]
    assert "1.dcm: " in result.stderr and "The rest of its volume is marked without it." in result.stderr


def test_only_bad_files_exit_2(run, predict, mixed):
    result, out, _ = predict(run, mixed / "words.png", mixed / "colour.png", mixed / "absent.png")
    assert result.exit_code == 2 and not list(out.iterdir())
    assert result.stderr.startswith("Error: Nothing could be marked:\n  ") and result.stderr.count("\n") == 4
    result, _, _ = predict(run, mixed / "absent.png")
    assert (result.exit_code, result.stderr) == (
        2,
        f"Error: {mixed / 'absent.png'}: there is no such file or folder; check the name.\n",
    )


def test_the_output_folder_must_be_new_or_empty(run, predict, mixed, tmp_path):
    result, _, _ = predict(run, mixed / "good.png", out=mixed)
    assert result.exit_code == 2 and "expected a new or empty folder for the results" in result.stderr
    result, _, _ = predict(tmp_path / "no_run", mixed / "good.png")
    assert (
        result.exit_code == 2
        and "expected a run folder with a trained model; recipe.yaml is missing" in result.stderr
    )


@pytest.mark.parametrize(
    ("part", "content", "message"),
    [
        ("model.keras", "nonsense", "model.keras: cannot be loaded as a Keras model"),
        (
            "selection.json",
            '{"threshold": 0.5}',
            "selection.json: not the selection of a finished run (KeyError: 'markings')",
        ),
        ("selection.json", "{", "selection.json: not the selection of a finished run (Expecting"),
    ],
)
def test_a_damaged_run(run, predict, mixed, tmp_path, part, content, message):
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("recipe.yaml", "selection.json", "model.keras"):
        (broken / name).write_bytes((run / name).read_bytes())
    (broken / part).write_text(content)
    result, _, _ = predict(broken, mixed / "good.png")
    assert result.exit_code == 2 and message in result.stderr


def test_a_recipe_of_another_run(run, predict, mixed, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for name in ("selection.json", "model.keras"):
        (other / name).write_bytes((run / name).read_bytes())
    (other / "recipe.yaml").write_text((run / "recipe.yaml").read_text().replace("side: 32\n", "side: 64\n"))
    result, _, _ = predict(other, mixed / "good.png")
    assert (
        result.exit_code == 2
        and "takes slices of 32 x 32 pixels, but recipe.yaml beside it says data.side=64" in result.stderr
    )


# the rest


def test_cache_and_quiet(run, predict, tmp_path, rng, own_cache):
    pages = np.stack([brain(rng, (40, 40)) for _ in range(3)])
    tifffile.imwrite(tmp_path / "stack.tif", pages, photometric="minisblack")
    before = sorted(own_cache.rglob("*"))
    result, out, _ = predict(run, tmp_path / "stack.tif", options=["--quiet"])
    assert (result.exit_code, result.output) == (0, "") and sorted(own_cache.rglob("*")) == before, (
        "nothing is kept"
    )
    for name in ("first", "second"):
        predict(run, tmp_path / "stack.tif", options=["--cache", tmp_path / "kept"], out=tmp_path / name)
        assert len(list((tmp_path / "kept").glob("prepared-*"))) == 1
        for path in out.glob("*.png"):
            assert (tmp_path / name / path.name).read_bytes() == path.read_bytes()


def test_what_was_marked_before_an_interruption_is_in_the_table(run, rows_of, tmp_path, rng):
    from clamnet_tf.inference.trained_model import load_trained_model
    from clamnet_tf.prediction.predict import predict_inputs
    from clamnet_tf.recipe.catalogue import load_recipe

    class Stopped(Reporter):
        """Control-C after the first volume."""

        def bar(self, *about):
            bar = super().bar(*about)
            bar.update = self.stop
            return bar

        def stop(self, *done):
            raise KeyboardInterrupt

    for name in ("a.png", "b.png"):
        Image.fromarray(brain(rng)).save(tmp_path / name)
    recipe = load_recipe(str(run / "recipe.yaml"))
    with pytest.raises(KeyboardInterrupt):
        predict_inputs(
            load_trained_model(RunFolder(run), recipe),
            recipe,
            find_inputs([tmp_path]),
            out=tmp_path / "out",
            reporter=Stopped(quiet=True),
            model={"model": "x"},
        )
    assert [row["input"] for row in rows_of(tmp_path / "out" / "marks.csv")] == ["a.png"]
    assert [row["volume"] for row in rows_of(tmp_path / "out" / "volumes.csv")] == ["a.png"]
    assert visible(tmp_path / "out") == sorted(["a_mask.png", "a_overlay.png", "a_report.html", *ALWAYS])


def test_the_next_volume_is_read_while_the_network_computes(run, predict, monkeypatch, tmp_path, rng):
    from clamnet_tf.inference.head_predictor import HeadPredictor
    from clamnet_tf.prediction import mark_groups

    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        Image.fromarray(brain(rng)).save(images / name)
    alone = [
        predict(run, path, out=tmp_path / path.stem)[2][0]["presence_score"]
        for path in sorted(images.iterdir())
    ]
    read, waited, held = [], [], []
    second, assemble, heads = threading.Event(), mark_groups.assemble, HeadPredictor.heads

    def noted(*arguments, **named):
        held.append(sum(volume() is not None for volume in read))
        volumes = assemble(*arguments, **named)
        read.extend(weakref.ref(volume) for volume in volumes)
        if len(read) == 2:
            second.set()
        return volumes

    def late(predictor, slices):
        waited.append(second.wait(timeout=60))
        return heads(predictor, slices)

    monkeypatch.setattr(mark_groups, "assemble", noted)
    monkeypatch.setattr(HeadPredictor, "heads", late)
    rows = predict(run, images)[2]
    assert waited == [True] * 3
    assert held == [0, 1, 1]  # volumes in memory when another one is read
    assert [row["presence_score"] for row in rows] == alone


def test_only_twenty_volumes_are_printed():
    from clamnet_tf.prediction.tables import totals

    row = {
        "volume": "v",
        "slices": 1,
        "marked_slices": 0,
        "marked_px": 0,
        "marked_fraction": None,
        "area_mm2": 0.0,
        "marked_ml": None,
    }
    lines = totals([row] * 23)
    assert lines[0] == "  v: 0.0 mm2; no organ found" and lines[20:] == ["  ... and 3 more, see volumes.csv"]


def test_a_run_that_is_not_shown_to_have_learned_says_so_at_every_prediction(
    write_run, predict, tmp_path, rng
):
    own = write_run(tmp_path / "run", BRIGHT)
    Image.fromarray(brain(rng)).save(tmp_path / "one.png")
    for number, (sentence, said) in enumerate(
        (
            ("WARNING: this run is not shown to have learned anything: AUROC 0.51.", True),
            ("It has learned.", False),
        )
    ):
        (own / "learning.json").write_text(json.dumps({"sentences": [sentence]}))
        result, _, _ = predict(own, tmp_path / "one.png", out=tmp_path / f"out{number}")
        assert result.exit_code == 0 and (sentence in result.output) == said
