"""Check the weights inside a .keras file: only plain numbers that are really there, nothing else that HDF5
can hold.
"""

import io

import h5py

from clamnet_tf.decoding import decoding
from clamnet_tf.errors import NetworkError
from clamnet_tf.networks.declared import not_a_model, values_of

MOST_OBJECTS = 50_000
_KINDS = "fiub"  # of NumPy: floats, integers, booleans


def stored_values(path, content: bytes) -> int:
    """Return how many numbers the HDF5 file `content` holds, without reading them.

    Raises:
        NetworkError: it is damaged, a link or a dataset leads out of the file (CVE-2026-1669), or it holds
            something other than numbers stored as they are: named datatypes, compressed or unallocated data,
            which would grow when they are read.
    """
    total, visited = 0, set()
    with (
        decoding(lambda reason: not_a_model(path, f"its weights: {reason}")),
        h5py.File(io.BytesIO(content), "r") as stored,
    ):
        open_groups = [stored]
        while open_groups:
            group = open_groups.pop()
            for name in group:
                if isinstance(group.get(name, getlink=True), (h5py.ExternalLink, h5py.SoftLink)):
                    raise _outside(path, name)
                item = group[name]
                address = h5py.h5o.get_info(item.id).addr
                if address in visited:
                    continue  # A second name of the same object; groups that refer to one another never end.
                visited.add(address)
                if len(visited) > MOST_OBJECTS:
                    raise not_a_model(path, f"its weights are more than {MOST_OBJECTS:,} objects")
                if isinstance(item, h5py.Group):
                    open_groups.append(item)
                else:
                    total += _values(path, name, item)
    return total


def _values(path, name: str, item) -> int:
    if not isinstance(item, h5py.Dataset):
        raise not_a_model(
            path,
            f"its weights hold {ascii(name)[:60]}, a {type(item).__name__.lower()}, where arrays of numbers "
            f"are expected",
        )
    if item.external or item.is_virtual:
        raise _outside(path, name)
    if item.shape is None or item.dtype.kind not in _KINDS or item.dtype.subdtype:
        raise not_a_model(
            path,
            f"its weights hold {ascii(name)[:60]} of type {str(item.dtype)[:60]}, where numbers are expected",
        )
    if item.id.get_create_plist().get_nfilters() or item.id.get_storage_size() < item.nbytes:
        raise not_a_model(
            path,
            f"its weights announce {item.nbytes:,} bytes in {ascii(name)[:60]}, of which "
            f"{item.id.get_storage_size():,} are stored: compressed or not there",
        )
    return values_of(item.shape)


def _outside(path, name: str) -> NetworkError:
    return NetworkError(
        f"{path}: its weights lead out of the file ({ascii(name)[:60]}). It was not loaded. Only use files "
        f"whose source you trust."
    )
