"""tools/measure-prediction: its studies, figures and table, and the command on ours alone."""

import importlib
import itertools
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
HOLD = "import time; block = b'x' * 60_000_000; time.sleep(0.8)"  # touches every page
TWO = f"import subprocess, sys; one = subprocess.Popen([sys.executable, '-c', {HOLD!r}]); {HOLD}; one.wait()"


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return lambda name: importlib.import_module(f"benchmarks.{name}")


def test_a_set_is_a_folder_of_heads_in_hounsfield_units(benchmarks, tmp_path):
    sets, wanted = benchmarks("study_sets"), benchmarks("set_names").parse_set("2x6", 64)
    assert wanted.name == "2 studies of 6 slices"
    folder = sets.make_set(tmp_path, wanted)
    series = sorted(path.parent for path in folder.rglob("IM0001.dcm"))
    assert len(series) == 2 and len(list(folder.rglob("*.dcm"))) == 12
    for one in series:
        files = [pydicom.dcmread(path) for path in sorted(one.iterdir())]
        first, spacing = files[0], float(files[0].PixelSpacing[0])
        assert {file.SeriesInstanceUID for file in files} == {first.SeriesInstanceUID}
        assert (first.Rows, first.Columns, first.pixel_array.dtype) == (64, 64, np.int16)
        assert first.file_meta.TransferSyntaxUID.name == "Explicit VR Little Endian"
        assert 214 <= 64 * spacing <= 232  # the simulation's fields of view
        positions = np.array([file.ImagePositionPatient for file in files], float)
        assert np.allclose(positions[:, :2], -31.5 * spacing, atol=1e-3)  # centred on 0
        assert (
            np.allclose(np.diff(positions[:, 2]), 96 / 5, atol=2) and np.ptp(np.diff(positions[:, 2])) < 0.01
        )
        hu = np.stack([file.RescaleSlope * file.pixel_array + file.RescaleIntercept for file in files])
        assert -1024 <= hu.min() < -980 and hu.max() > 500  # air and skull
        assert ((hu[2] > 15) & (hu[2] < 55)).mean() > 0.2  # brain
    marker = series[0] / "IM0001.dcm"
    marker.touch()
    before = marker.stat().st_mtime_ns
    assert sets.make_set(tmp_path, wanted) == folder and marker.stat().st_mtime_ns == before


def test_doubled_slices_keep_their_place(benchmarks, monkeypatch):
    from clamnet_tf.simulation.space import Space

    sets = benchmarks("study_sets")
    monkeypatch.setattr(sets, "NOISE_HU", 0.0)
    space = Space(np.array([0.0, 2.0]), 8, 3.0)
    ramp = np.broadcast_to(5 * space.x + 2 * space.y, space.shape)
    fine, twice = sets.doubled(ramp, space, np.random.default_rng(0))
    wanted = np.broadcast_to(5 * twice.x + 2 * twice.y, twice.shape)
    assert fine.shape == (2, 16, 16) and twice.pixel_mm == 1.5
    assert np.allclose(fine[:, 1:-1, 1:-1], wanted[:, 1:-1, 1:-1], atol=1e-3)


@pytest.mark.parametrize("text", ["20", "x30", "0x30", "2x1", "2x-3", "axb"])
def test_a_set_of_another_form_is_refused(benchmarks, text):
    with pytest.raises(ValueError, match="expected STUDIESxSLICES.*received"):
        benchmarks("set_names").parse_set(text, 64)


def test_an_odd_side_is_refused(benchmarks):
    with pytest.raises(ValueError, match="expected an even side .* received 65"):
        benchmarks("set_names").parse_set("2x6", 65)


def test_memory_is_that_of_all_processes(benchmarks, tmp_path):
    large = np.ones(400_000_000, np.uint8)  # of the program that measures, which does not count
    used = benchmarks("whole_commands").measured([sys.executable, "-c", TWO], {}, tmp_path / "log")
    assert (
        large.any() and 120 < used.peak_mb < 220 and 0.8 < used.clock < 20 and used.processor < used.clock * 2
    )
    with pytest.raises(RuntimeError, match="ended with 3\nlast words"):
        command = [sys.executable, "-c", "import sys; print('last words'); sys.exit(3)"]
        benchmarks("whole_commands").measured(command, {}, tmp_path / "log")


def test_the_size_closest_in_operations(benchmarks):
    choosing = benchmarks("choosing")

    def closest(wanted):
        return choosing.closest(itertools.count(8, 8), lambda width: width**2 / 100, wanted)

    assert closest(2.5) == (16, 2.56) and closest(4.5) == (24, 5.76) and closest(0.1) == (8, 0.64)
    with pytest.raises(ValueError, match="no network has 9 GFLOP; the largest has 2"):
        choosing.closest([1, 2], float, 9)
    best, shortest = choosing.fastest({"slow": lambda: time.sleep(0.03), "fast": lambda: None}, 2)
    assert best == "fast" and shortest["slow"] >= 30 > shortest["fast"]


def test_the_operations_of_a_model_file_are_those_of_its_recipe(benchmarks):
    """Biases, which the count of the recipe includes, are below one thousandth."""
    from clamnet_tf.networks.cost import network_cost
    from clamnet_tf.networks.grid import grid_of
    from clamnet_tf.recipe.catalogue import load_recipe

    entry = TOOLS.parent / "zoo" / "ct_trauma"
    section = load_recipe(str(entry / "recipe.yaml")).self_training.network
    grid = grid_of(section)
    wanted = network_cost(section, grid, list(grid.heads), side=128, channels=2).gflop
    gflop, side = benchmarks("onnx_cost").gflop_of(entry / "model.onnx")
    assert side == 128 and gflop == pytest.approx(wanted, rel=1e-3)


def test_a_part_is_less_what_other_parts_take_within_it(benchmarks):
    parts = benchmarks("prediction_parts").Parts()
    inner = parts.timed("inner", lambda: time.sleep(0.05))

    def outer():
        time.sleep(0.02)
        inner()
        inner()

    parts.timed("outer", outer)()
    assert parts.clock["inner"] >= 0.1 and 0.02 <= parts.clock["outer"] < 0.1


def test_the_functions_of_the_parts_exist(benchmarks):
    module = benchmarks("prediction_parts")
    for function in (function for functions in module.PARTS.values() for function in functions):
        owner, name = module.owner_of(function)
        assert callable(getattr(owner, name))
    with pytest.raises(AttributeError):
        module.owner_of("clamnet_tf.prediction.predict:lost")


def test_masks_on_other_grids_are_seen(benchmarks, tmp_path):
    import nibabel

    module, affine = benchmarks("mask_grids"), np.diag([-2.0, -2.0, 5.0, 1.0])
    affine[:3, 3] = 30, 30, -10
    for name, axes, matrix in (
        ("one", slice(None), affine),
        ("turned", slice(None, None, -1), affine @ [[-1, 0, 0, 3], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
        ("moved", slice(None), affine + np.eye(4)[:, [3, 0, 1, 2]]),
    ):
        (tmp_path / name).mkdir()
        values = np.arange(4 * 5 * 2, dtype=np.uint8).reshape(4, 5, 2)[axes]
        nibabel.save(nibabel.Nifti1Image(values, matrix), tmp_path / name / "a_mask.nii.gz")
    one, turned, moved = (
        module.grids_of(tmp_path / name, "*_mask.nii.gz") for name in ("one", "turned", "moved")
    )
    assert one[0][0] == [4, 5, 2] and module.difference(one, turned) is None
    assert module.difference(one, moved).startswith("affines [[2.0")
    assert module.difference(one, []) == "1 and 0 masks"


@pytest.fixture
def measured_runs(benchmarks):
    """side -> runs of two rounds of "2x10", ours in 10 and 20 s."""
    sides, used = benchmarks("prediction_sides"), benchmarks("whole_commands").Used
    report = {"start": 4.0, "network": 2.0, "slices": 20, "versions": {"monai": "1.6"}}
    conversion = used(1.0, 2.0, 900.0)
    return {
        "ours": [sides.Run(used(10.0, 8.0, 200.0)), sides.Run(used(20.0, 8.0, 220.0))],
        sides.MONAI: [sides.Run(used(25.0, 40.0, 700.0), None, report)] * 2,
        sides.NNUNET: [sides.Run(conversion + used(14.0, 30.0, 800.0), conversion, report)] * 2,
        sides.MIRRORED: [
            sides.Run(conversion + used(79.0, 90.0, 800.0), conversion, report | {"slices": 80})
        ],
    }


def test_the_table_by_hand(benchmarks, measured_runs):
    lines = benchmarks("prediction_page").table("2x10", measured_runs, {"network": (3.0, 2.0)})
    ours, monai, nnunet, mirrored = (line.strip("| ").split(" | ") for line in lines[4:8])
    assert lines[0] == "## 2 studies of 10 slices"
    assert ours[:6] == ["ours", "8.00", "15.0 s", "8.00 s", "210 MB", "1.00 x (1.00 x)"]
    assert monai[1:6] == ["4.80", "25.0 s", "40.0 s", "700 MB", "1.88 x (5.00 x)"]  # of 2.5 and 1.25
    assert nnunet[1:] == ["8.00", "15.0 s", "32.0 s", "900 MB", "1.12 x (4.00 x)", "4.00 s, 1.00 s, 2.00 s"]
    assert mirrored[5] == "4.00 x (11.5 x)"  # against the last round of ours
    assert lines[-1] == "Target, at least 2 x by the clock: MONAI missed (1.88 x); nnU-Net, no mirroring " + (
        "missed (1.12 x)."
    )


def test_the_page_has_parts_networks_and_what_is_missing(benchmarks, measured_runs):
    sides = benchmarks("prediction_sides")
    lost = {side: measured_runs.pop(side) for side in (sides.NNUNET, sides.MIRRORED)}
    chosen = {"network": "features 16, 24", "gflop": 2.51, "reader": "itk", "workers": 2}
    chosen |= {"tried": {"itk 2": 9.0}, "load": 0.5}
    text = benchmarks("prediction_page").page(
        {"2x10": measured_runs},
        {"2x10": {"reading": (1.0, 1.0), "network": (3.0, 2.0)}},
        network={"gflop": 2.53, "side": 128, "versions": {"clamnet-tf": "1"}},
        settings={sides.MONAI: chosen},
        missing=dict.fromkeys(lost, "nnunetv2: cannot be installed"),
        machine="Linux",
        rounds=2,
        side=64,
        model="ct_trauma",
        engine="onnxruntime",
        note="",
    )
    assert "| network | 3.00 s (2.00 s), 75% |\n| reading | 1.00 s (1.00 s), 25% |" in text
    assert "| ours | 2.53 | 1.00 | 150.0 ms | 128 x 128 pixels |" in text
    assert "| MONAI | 2.51 | 1.00 | 100.0 ms | features 16, 24, reader itk, workers 2 |" in text
    assert "Tried for MONAI at a load of 0.5, reader and workers: itk 2 9.00 s." in text
    assert "Not measured: nnU-Net, no mirroring (nnunetv2: cannot be installed)." in text
    assert "Versions: clamnet-tf 1, monai 1.6." in text and "haemorrhage" not in text


def test_ours_alone_is_measured(tmp_path):
    command = [sys.executable, TOOLS / "measure-prediction", "--no-peers", "--sets", "1x3", "--side", "64"]
    command += ["--rounds", "1", "--cache", tmp_path / "cache", "--out", tmp_path / "page.md"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page.md").read_text()
    cells = next(line for line in page.splitlines() if line.startswith("| ours | ")).split(" | ")
    clock, peak = float(cells[2].removesuffix(" s")), float(cells[4].removesuffix(" MB"))
    assert float(cells[1]) == pytest.approx(60 / clock, rel=0.02) and 100 < peak < 2000
    for part in ("organ step", "network", "post-processing", "writing", "reading"):
        line = next(line for line in page.splitlines() if line.startswith(f"| {part} | "))
        assert float(line.split(" | ")[1].split(" s ")[0]) >= 0
    assert not list((tmp_path / "cache").glob("tmp*"))


def test_a_wrong_set_is_named(tmp_path):
    command = [sys.executable, TOOLS / "measure-prediction", "--no-peers", "--sets", "30"]
    done = subprocess.run(
        [*command, "--cache", tmp_path, "--out", tmp_path / "page.md"], capture_output=True, text=True
    )
    assert done.returncode == 1 and "Error: --sets, --side: expected STUDIESxSLICES" in done.stderr
