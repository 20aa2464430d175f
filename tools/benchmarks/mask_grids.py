"""Read the grids of all NIfTI masks of a folder, to see that all sides write masks on the same grids.

python -m benchmarks.mask_grids FOLDER PATTERN
"""

import json
import sys
from pathlib import Path

TOLERANCE_MM = 0.01  # NIfTI keeps float32, DICOM decimal text


def grids_of(folder: Path, pattern: str) -> list[list]:
    """Return [shape, affine in RAS with the axes closest to it] of each mask, ordered by the affines."""
    import nibabel

    images = [nibabel.as_closest_canonical(nibabel.load(path)) for path in folder.rglob(pattern)]
    return sorted(([list(image.shape), image.affine.tolist()] for image in images), key=lambda grid: grid[1])


def difference(ours: list[list], theirs: list[list]) -> str | None:
    """Return in words how the grids of two sides differ, or None."""
    if len(ours) != len(theirs):
        return f"{len(ours)} and {len(theirs)} masks"
    for (shape, affine), (other_shape, other_affine) in zip(ours, theirs):
        if shape != other_shape:
            return f"shapes {shape} and {other_shape}"
        pairs = [pair for rows in zip(affine, other_affine) for pair in zip(*rows)]
        if any(abs(one - other) > TOLERANCE_MM for one, other in pairs):
            return f"affines {affine} and {other_affine}"
    return None


if __name__ == "__main__":
    print(json.dumps(grids_of(Path(sys.argv[1]), sys.argv[2])))
