"""Write prepared slices as records for readers other than `fit`: one TFRecord or ArrayRecord file per shard.

Each slice is one tf.train.Example:

    field         type                     shape; unit
    image         bytes, float16 little    (side, side, channels): normalised, 0 outside the organ
    organ         bytes, uint8             (side, side): 1 = organ
    side          int64                    pixels
    channels      int64
    case          int64                    row of the manifest of `data inspect --write-manifest`, from 0
    patient       int64                    the first `case` of the same patient
    shard         int64                    number of the file
    volume        int64                    number of the volume in its shard; its slices follow one another
    slice_index   int64                    slice inside the image file, from 0
    position      float32                  0..1 inside the volume
    area          float32                  organ fraction of the original image
    box           int64 (5)                top, left, size, height, width of the crop, original grid, pixels
    spacing       float32 (3)              between slices, rows, columns, mm; nan: unknown
    pixel_hash    text                     sha256 of the original pixels, '' of a constant image
    label         int64                    0 normal, 1.. abnormal
    markers       text                     names of the lesion classes that the slice shows, joined by +
    eta           float32                  nan: the recipe's
    split         text                     train, val or test

Pixels equal those of the cache to the bit. Paths, names of patients and institutions are left out. A file's
name ends with the key of everything that affects it; a finished file is left alone, and the file of a changed
shard replaces the old one.

    import tensorflow as tf
    from clamnet_tf.preprocessing.tfrecords import parse
    files = tf.data.Dataset.list_files("records/slices-*.tfrecord", shuffle=True, seed=0)
    slices = files.interleave(tf.data.TFRecordDataset, num_parallel_calls=2).map(parse, num_parallel_calls=2)
    batches = slices.filter(lambda fields: fields["split"] == "train").shuffle(1024, seed=0).batch(16)

For random access to ArrayRecord files, use `parse(source[row])` with
array_record.python.array_record_data_source.ArrayRecordDataSource(paths).
"""

import contextlib
import hashlib
import json
from pathlib import Path

import tensorflow as tf

from clamnet_tf.datasets.expected_images import ExpectedImages
from clamnet_tf.datasets.manifest import Manifest
from clamnet_tf.errors import EnvironmentFailure, RunError
from clamnet_tf.files import atomic_path, make_folder, write_json
from clamnet_tf.preprocessing.cache import claimed
from clamnet_tf.preprocessing.shard_folder import prepared_groups
from clamnet_tf.preprocessing.shards import VERSION, Shard, shards_of
from clamnet_tf.recipe.schema_data import DataSection, OrganSection

SETTINGS = "records.json"
SUFFIXES = {"tfrecord": "tfrecord", "array_record": "array_record"}
_INTEGERS = ("side", "channels", "case", "patient", "shard", "volume", "slice_index", "label")
_NUMBERS = ("position", "area", "eta")
_TEXTS = ("image", "organ", "pixel_hash", "markers", "split")
FIELDS = {
    **{name: tf.io.FixedLenFeature([], tf.int64) for name in _INTEGERS},
    **{name: tf.io.FixedLenFeature([], tf.float32) for name in _NUMBERS},
    **{name: tf.io.FixedLenFeature([], tf.string) for name in _TEXTS},
    "box": tf.io.FixedLenFeature([5], tf.int64),
    "spacing": tf.io.FixedLenFeature([3], tf.float32),
}


def parse(record) -> dict[str, tf.Tensor]:
    """Turn a record into its fields, with image and organ as arrays; works eagerly or in `Dataset.map`."""
    fields = tf.io.parse_single_example(record, FIELDS)
    side, channels = fields["side"], fields["channels"]
    fields["image"] = tf.reshape(tf.io.decode_raw(fields["image"], tf.float16), [side, side, channels])
    fields["organ"] = tf.reshape(tf.io.decode_raw(fields["organ"], tf.uint8), [side, side])
    return fields


def open_folder(
    out,
    form: str,
    data: DataSection,
    organ: OrganSection,
    shards: int,
    expected: ExpectedImages = ExpectedImages(),
) -> Path:
    """Return the folder of records, new or of the same settings.

    Raises:
        RunError: the folder holds records of other settings.
    """
    out = make_folder(out)
    settings = {
        "version": VERSION,
        "format": form,
        "shards": shards,
        "data": data.model_dump(mode="json"),
        "organ": organ.model_dump(mode="json"),
    }
    settings["expected"] = expected.causes()
    try:
        stored = json.loads((out / SETTINGS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        write_json(out / SETTINGS, settings)
        return out
    differing = [
        name for name in settings if not isinstance(stored, dict) or stored.get(name) != settings[name]
    ]
    if differing:
        raise RunError(
            f"{out}: holds records of other settings ({', '.join(differing)} differ, see {SETTINGS}); "
            f"choose another --out, or delete that folder."
        )
    return out


def write_every_shard(
    manifest: Manifest,
    out: Path,
    form: str,
    data: DataSection,
    organ: OrganSection,
    organ_network=None,
    progress=None,
    expected: ExpectedImages = ExpectedImages(),
) -> None:
    """Write all shards of a manifest, shared with other processes that do the same (see `cache.claimed`).

    `progress(done, total)` counts cases.
    """
    done = 0
    with contextlib.closing(
        claimed(shards_of(manifest), lambda shard: out / f".{_stem(shard)}.lock")
    ) as claims:
        for shard in claims:
            write_records(shard, out, form, data, organ, organ_network, expected)
            done += len(shard.cases)
            if progress is not None:
                progress(done, len(manifest.cases))


def write_on_worker(
    shard: Shard,
    *,
    out: Path,
    form: str,
    data: DataSection,
    organ: OrganSection,
    organ_network,
    expected=ExpectedImages(),
) -> dict:
    """Write one shard on a Beam worker, for `beam_runner.run_on_beam`.

    Return its file and whether it existed.
    """
    path, reused = write_records(shard, out, form, data, organ, organ_network, expected)
    return {"file": path.name, "reused": reused}


def write_records(
    shard: Shard,
    out: Path,
    form: str,
    data: DataSection,
    organ: OrganSection,
    organ_network=None,
    expected: ExpectedImages = ExpectedImages(),
) -> tuple[Path, bool]:
    """Prepare a shard and write it into its file in `out`, with one volume after the other in memory.

    Args:
        shard: the shard.
        out: folder of the records.
        form: tfrecord or array_record.
        data: recipe section `data`.
        organ: recipe section `organ`.
        organ_network: see `organ_region`.
        expected: what the images must be like.

    Returns:
        The file, and whether it existed before.

    Raises:
        The errors of `shard_folder.prepared_groups`.
        EnvironmentFailure: `out` cannot be written.
    """
    key, suffix = _key(shard, data, organ, organ_network, expected), SUFFIXES[form]
    path = out / f"{_stem(shard)}-{key[:12]}.{suffix}"
    if path.exists():
        return path, True
    with atomic_path(path) as temporary:
        with (
            _writer(temporary, form) as write,
            contextlib.closing(prepared_groups(shard, data, organ, organ_network, expected)) as groups,
        ):
            for group in groups:
                for images, organs, facts in group.volumes:
                    for image, inside, fact in zip(images, organs, facts):
                        write(_example(shard, image, inside, fact))
    for other in out.glob(f"{_stem(shard)}-*.{suffix}"):
        if other != path:
            other.unlink(missing_ok=True)
    return path, False


def _stem(shard: Shard) -> str:
    return f"slices-{shard.number:05d}-of-{shard.of:05d}"


def _key(
    shard: Shard, data: DataSection, organ: OrganSection, organ_network, expected: ExpectedImages
) -> str:
    """Return the sha256 of everything that affects a file: the shard's key and what the manifest says of its
    cases.
    """
    labels = [[case.label, case.markers, case.eta, case.split] for case in shard.manifest.cases]
    causes = [shard.key(data, organ, None, organ_network, expected), labels, shard.cases, shard.patients]
    return hashlib.sha256(json.dumps(causes).encode()).hexdigest()


def _example(shard: Shard, image, organ, fact: dict) -> bytes:
    case = shard.manifest.cases[fact["case"]]
    integers = {
        "side": [image.shape[0]],
        "channels": [image.shape[2]],
        "case": [shard.cases[fact["case"]]],
        "patient": [shard.patients[fact["case"]]],
        "shard": [shard.number],
        "volume": [fact["volume"]],
        "slice_index": [fact["slice_index"]],
        "label": [-1 if case.label is None else case.label],
        "box": fact["box"],
    }
    floats = {
        "position": [fact["position"]],
        "area": [fact["area"]],
        "eta": [float("nan") if case.eta is None else case.eta],
        "spacing": fact["spacing"],
    }
    texts = {
        "image": image.astype("<f2").tobytes(),
        "organ": organ.tobytes(),
        "pixel_hash": fact["pixel_hash"].encode(),
        "markers": "+".join(case.markers).encode(),
        "split": (case.split or "").encode(),
    }
    features = {
        name: tf.train.Feature(int64_list=tf.train.Int64List(value=value)) for name, value in integers.items()
    }
    features |= {
        name: tf.train.Feature(float_list=tf.train.FloatList(value=value)) for name, value in floats.items()
    }
    features |= {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for name, value in texts.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


@contextlib.contextmanager
def _writer(path: Path, form: str):
    """Open a file for records; the block receives the function that writes one record (bytes)."""
    if form == "tfrecord":
        try:
            with tf.io.TFRecordWriter(str(path)) as writer:
                yield writer.write
        except tf.errors.OpError as error:
            raise EnvironmentFailure(f"{path}: cannot be written: {error.message}") from error
        return
    try:
        from array_record.python.array_record_module import ArrayRecordWriter
    except ImportError as error:
        raise EnvironmentFailure(
            "ArrayRecord files need the package array_record: python -m pip install 'clamnet-tf[beam]'"
        ) from error
    writer = ArrayRecordWriter(str(path), "group_size:1")
    try:
        yield writer.write
    finally:
        writer.close()
