"""Make folders of simulated head CT studies as DICOM, for measurements of whole predictions."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from benchmarks.set_names import StudySet, parse_set
from scipy import ndimage

from clamnet_tf.files import write_json
from clamnet_tf.simulation.dicom_files import CtFormat, write_ct_series
from clamnet_tf.simulation.head_ct import simulate_patient
from clamnet_tf.simulation.space import Space

SEED = 21
#: HU = stored - 1024, signed 16 bits, no padding.
FORMAT = CtFormat(signed=True, bits=16, slope=1.0, intercept=-1024.0, padding=None, from_below=True)
#: Half of the noise that the simulation gives its slices of half the side; interpolation has smoothed that.
NOISE_HU = 2.5
LEAST_HU = -1024.0
STAMP = "set.json"


def make_set(home: Path, wanted: StudySet) -> Path:
    """Return the folder of a set below `home`, and make it unless it is there already.

    It holds <patient>/ct/IM0001.dcm ...; each series has a head with its skull. The simulation draws slices
    of half the side, which are interpolated, so that 300 slices fit into memory; noise of the full side is
    added.
    """
    folder, settings = home / wanted.folder, {"seed": SEED, "noise_hu": NOISE_HU, "form": 2}
    if (folder / STAMP).is_file() and json.loads((folder / STAMP).read_text(encoding="utf-8")) == settings:
        return folder / "studies"
    shutil.rmtree(folder, ignore_errors=True)
    for index in range(wanted.studies):
        scan = simulate_patient(index, slices=wanted.slices, side=wanted.side // 2, seed=SEED)
        hu, space = doubled(scan.hu, scan.space, np.random.default_rng([SEED, index]))
        write_ct_series(
            folder / "studies" / scan.name / "ct",
            hu,
            space,
            FORMAT,
            patient=scan.name,
            thickness_mm=round(float(space.z_mm[1] - space.z_mm[0]), 3),
            uid_seed=f"measure-prediction {SEED} {wanted.folder} {index}",
        )
    write_json(folder / STAMP, settings)
    return folder / "studies"


def doubled(hu: np.ndarray, space: Space, generator: np.random.Generator) -> tuple[np.ndarray, Space]:
    """Return slices (S, 2 H, 2 W) float32 over the same field of view, and where their voxels lie."""
    fine = ndimage.zoom(hu, (1, 2, 2), order=1, mode="nearest", grid_mode=True, output=np.float32)
    for plane in fine:
        plane += NOISE_HU * generator.standard_normal(plane.shape, np.float32)
    return np.maximum(fine, LEAST_HU), Space(space.z_mm, 2 * space.side, space.pixel_mm / 2)


def main() -> None:
    """Make the set that the arguments name (home, 20x30, side) and print its folder."""
    home, text, side = sys.argv[1:]
    print(make_set(Path(home), parse_set(text, int(side))))


if __name__ == "__main__":
    main()
