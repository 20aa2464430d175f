"""The pictures behind predictions: slices as their files hold them, on the original grid."""

import numpy as np

from clamnet_tf.imaging.readers import read_volume


def original_images(manifest, prepared, rows, data) -> list:
    """Slices (H, W, C) float32 of `rows` before window and normalisation, with the recipe's channels (data: DataSection)."""
    table, images, last = prepared.table, [], (None, None)
    for row in rows:
        path = manifest.cases[table.case[row]].image
        if last[0] != path:
            last = (path, read_volume(path, dicom_backend=data.dicom_backend).array)
        image = last[1][int(table.slice_index[row])]
        images.append(image if data.channels is None else np.ascontiguousarray(image[..., list(data.channels)]))
    return images
