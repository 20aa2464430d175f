"""Read FreeSurfer volumes (.mgh, .mgz): values, and the position in the patient that the header states."""

from pathlib import Path

from nibabel.arrayproxy import ArrayProxy
from nibabel.freesurfer.mghformat import DATA_OFFSET, MGHHeader

from clamnet_tf.decoding import decoding
from clamnet_tf.errors import ImageError
from clamnet_tf.imaging import sniff
from clamnet_tf.imaging.nifti import check_affine, nifti_image, opened, volume_of
from clamnet_tf.imaging.volume import Volume

_GOOD_RAS = slice(28, 30)  # of the header; nibabel sets it when it supposes an orientation
_UNPLACED = (
    "its header states no orientation (goodRASFlag 0): orientation and spacing are not known, axes "
    "taken as stored"
)


def read_mgh(path: Path) -> Volume:
    """Read a FreeSurfer volume, plain or inside gzip.

    Frames are channels. affine and spacing_mm are None and a note says so when the header states no
    orientation, where FreeSurfer itself would assume coronal slices of 1 mm. Data after the values (times,
    history) are not read.

    Raises:
        ImageError: the file is damaged or cut off, holds NaN, has sides under 8 pixels, or announces more
            values than it can hold.
    """
    path = Path(path)
    sniff.require(path, "mgh")
    with opened(path) as stream:
        with decoding(_unreadable(path)):
            head = stream.read(DATA_OFFSET)
            header = MGHHeader(head)  # from_fileobj would unpack everything, to read what follows the values
            affine = header.get_affine()
            check_affine(path, affine)
            stored = ArrayProxy(
                stream, (header.get_data_shape(), header.get_data_dtype(), DATA_OFFSET, 1.0, 0.0)
            )
            image = nifti_image(stored, affine, placed=head[_GOOD_RAS] != b"\0\0")
        return volume_of(path, image, path, unplaced=_UNPLACED)


def _unreadable(path: Path):
    return lambda reason: ImageError(
        f"{path}: not a readable FreeSurfer volume: {reason}. Export or copy it again."
    )
