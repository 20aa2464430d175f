"""Export a SavedModel for TensorFlow Serving: <out>/<name>/<version>/.

It is checked in a fresh process before it gets its name.
"""

import tempfile
from pathlib import Path

import tensorflow as tf

from clamnet_tf.errors import UserInputError
from clamnet_tf.export.contract import contract
from clamnet_tf.export.dicom_ops import load_operations
from clamnet_tf.export.endpoints import Endpoints, why_not_encoded
from clamnet_tf.export.parity import check
from clamnet_tf.export.reference import reference_of
from clamnet_tf.export.warmup import write_warmup
from clamnet_tf.export.writing import Exported, leaves_nothing_behind
from clamnet_tf.files import atomic_path, write_json, write_text
from clamnet_tf.serving.signatures import CONTRACT, RECIPE, RECIPE_SHA256


def next_version(folder: Path) -> int:
    """Return 1, or one more than the highest version in `folder`."""
    return max((int(path.name) for path in folder.glob("*") if path.name.isdecimal()), default=0) + 1


def export_savedmodel(source, out: Path, *, dicom: bool = False) -> Exported:
    """Write the next version of the model below `out`.

    Args:
        source: export.source.Source.
        out: Folder of models; made when missing.
        dicom: Add the signature `encoded_dicom`. The server then needs tensorflow-io; the stock image refuses
            the whole model.

    Raises:
        EnvironmentFailure: tensorflow-serving-api is missing, or for `dicom` tensorflow-io does not work.
        UserInputError: `dicom` for a network that takes no whole pictures.
        ExportFailure: The model does not give what the network gives; nothing is left behind.
    """
    if dicom:
        load_operations()
        if (reason := why_not_encoded(source)) is not None:
            raise UserInputError(f"--dicom: {reason}. Omit --dicom, and prepare slices before they are sent.")
    model = Path(out) / source.name
    with leaves_nothing_behind(model), atomic_path(model / str(next_version(model))) as temporary:
        endpoints = Endpoints(source, dicom)
        with tempfile.TemporaryDirectory() as folder:
            assets = [Path(folder) / Path(name).name for name in (CONTRACT, RECIPE, RECIPE_SHA256)]
            write_json(assets[0], contract(source, kind="savedmodel", signatures=endpoints.functions))
            write_text(assets[1], source.recipe_text)
            write_text(assets[2], f"{source.identity.recipe}\n")
            endpoints.assets = [tf.saved_model.Asset(str(path)) for path in assets]
            tf.saved_model.save(endpoints, str(temporary), signatures=endpoints.functions)
        reference = reference_of(source, endpoints.functions)
        requests = write_warmup(temporary, source.name, reference)
        differences = check("savedmodel", temporary, reference)
    path = model / temporary.name
    return Exported(path, differences, (f"{requests} warm-up requests",))
