"""Register one volume rigidly onto another with SimpleITK (extra [itk]).

The settings are ITK's usual ones for images of different contrast: Mattes mutual information on random but
fixed voxels, up to three resolutions, gradient descent by steps of at most 2 mm. The start is the position in
the patient, not the centres of the images, since the series of a study lie near one another.
"""

import numpy as np

from clamnet_tf.errors import EnvironmentFailure, ImageError

INSTALL = "pip install 'clamnet-tf[itk]'"
FARTHEST_MM, MOST_DEGREES = 30.0, 20.0
"""A patient moves less between two series of an examination; a larger motion is a failure of the search."""
_BINS, _SAMPLES, _SEED, _STEPS = 50, 50_000, 1, 200
_LARGEST_STEP_MM, _SMALLEST_STEP_MM = 2.0, 1e-3
_LEAST_SIDE = 16  # voxels of the shortest side that a coarser resolution must leave


def rigid_transform(where, fixed, fixed_affine, moving, moving_affine) -> tuple[np.ndarray, str]:
    """Return the rigid transform from the place of a fixed volume to that of a moving one, and what it does.

    Args:
        where: what is registered, named in messages.
        fixed: (S, H, W) float32.
        fixed_affine: 4x4, (slice, row, column, 1) of `fixed` -> mm, LPS.
        moving: (S, H, W) float32.
        moving_affine: the same of `moving`.

    Returns:
        (4x4, mm of the fixed volume -> mm of the moving one, LPS; a text such as "1.2 mm, 0.8 degrees").

    Raises:
        EnvironmentFailure: SimpleITK is not installed.
        ImageError: a volume has a single slice or a sheared grid, or no plausible transform is found.
    """
    try:
        import SimpleITK as sitk
    except ImportError:
        raise EnvironmentFailure(
            "data.registration: rigid needs the package SimpleITK, which is not installed. Run: " + INSTALL
        ) from None
    images = [_image(sitk, where, *pair) for pair in ((fixed, fixed_affine), (moving, moving_affine))]
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    shrink = [factor for factor in (4, 2, 1) if factor == 1 or min(fixed.shape) >= factor * _LEAST_SIDE]
    shares = [min(1.0, _SAMPLES * factor**3 / fixed.size) for factor in shrink]
    method.SetMetricSamplingPercentagePerLevel(shares, _SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(_LARGEST_STEP_MM, _SMALLEST_STEP_MM, _STEPS)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(shrink)
    method.SetSmoothingSigmasPerLevel([factor / 2 if factor > 1 else 0.0 for factor in shrink])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    start = sitk.Euler3DTransform()
    centre = fixed_affine @ np.array([*(np.array(fixed.shape) - 1) / 2, 1.0])
    start.SetCenter(centre[:3].tolist())
    method.SetInitialTransform(start, inPlace=False)
    try:
        found = method.Execute(*images)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1][-200:]
        raise ImageError(
            f"{where}: rigid registration failed: {reason}. Set data.registration: none."
        ) from error
    matrix = np.eye(4)
    origin = np.array(found.TransformPoint((0.0, 0.0, 0.0)))
    for axis in range(3):
        matrix[:3, axis] = np.array(found.TransformPoint(tuple(np.eye(3)[axis]))) - origin
    matrix[:3, 3] = origin
    shift = float(np.linalg.norm((matrix @ centre - centre)[:3]))
    degrees = float(np.degrees(np.arccos(np.clip((np.trace(matrix[:3, :3]) - 1) / 2, -1, 1))))
    if shift > FARTHEST_MM or degrees > MOST_DEGREES:
        raise ImageError(
            f"{where}: rigid registration moves it by {shift:.0f} mm and {degrees:.0f} degrees, more than a "
            f"patient moves within an examination ({FARTHEST_MM:.0f} mm, {MOST_DEGREES:.0f} degrees). Check "
            "that the images show the same part of the same patient, or set data.registration: none."
        )
    return matrix, f"{shift:.1f} mm, {degrees:.1f} degrees"


def _image(sitk, where, values: np.ndarray, affine: np.ndarray):
    """Return a SimpleITK image (x = columns, y = rows, z = slices) of a volume on a rectangular grid."""
    if min(values.shape) < 4:
        raise ImageError(
            f"{where}: {values.shape[0]} slice(s), and rigid registration needs at least 4 along every axis. "
            "Set data.registration: none."
        )
    axes = affine[:3, [2, 1, 0]]
    spacing = np.linalg.norm(axes, axis=0)
    directions = axes / spacing
    if np.abs(directions.T @ directions - np.eye(3)).max() > 1e-3:
        raise ImageError(
            f"{where}: its slices are sheared (tilted gantry), which rigid registration cannot take. Set "
            "data.registration: none."
        )
    image = sitk.GetImageFromArray(np.ascontiguousarray(values, np.float32))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection(directions.reshape(-1).tolist())
    return image
