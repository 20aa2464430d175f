"""Prepare one shard of slices volume by volume, and store it in a folder of its own."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from clamnet_tf.datasets.expected_images import ExpectedImages
from clamnet_tf.errors import DataError
from clamnet_tf.preprocessing.assembled_volume import AssembledVolume
from clamnet_tf.preprocessing.npy_files import GrowingArray
from clamnet_tf.preprocessing.prepared_volume import prepare_volume
from clamnet_tf.preprocessing.shards import VERSION, Shard
from clamnet_tf.preprocessing.slice_table import write_stored
from clamnet_tf.preprocessing.volumes import assemble
from clamnet_tf.recipe.schema_data import DataSection, OrganSection
from clamnet_tf.threads import in_order


@dataclass(frozen=True)
class PreparedGroup:
    """The prepared slices of one group of cases.

    Attributes:
        cases: number of cases of the group.
        volumes: per volume (images (n, side, side, C) float16, organ (n, side, side) uint8, facts of the n
            slices); `volume` in the facts counts from 0 in the shard.
        fallback: {index of a volume's first case: number of slices without a plausible organ}.
        windowed: number of volumes that are 8-bit pictures, taken to show data.window already.
        notes: (index of a volume's first case, what was accepted or changed to read it) each.
    """

    cases: int
    volumes: tuple
    fallback: dict[int, int]
    windowed: int = 0
    notes: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, eq=False)
class KeptShard:
    """A finished folder: images.npy, organ.npy, table.csv, meta.json.

    Attributes:
        folder: the folder.
        key: sha256 of everything that affects it.
        shape: (n, side, side, C) of its images.
        volumes: number of volumes that they belong to.
        fallback: {first case of a volume: number of slices without a plausible organ}.
        windowed: number of volumes, see PreparedGroup.
        cases: per case of the shard, its index in the whole manifest.
        reused: whether the folder existed before.
        notes: {text: [first case that it is true of, number of volumes]}.
    """

    folder: Path
    key: str
    shape: tuple[int, int, int, int]
    volumes: int
    fallback: dict[int, int]
    windowed: int
    cases: np.ndarray
    reused: bool
    notes: dict[str, list[int]] = field(default_factory=dict)


def prepared_groups(
    shard: Shard,
    data: DataSection,
    organ: OrganSection,
    organ_network=None,
    expected: ExpectedImages = ExpectedImages(),
) -> Iterator[PreparedGroup]:
    """Yield the shard's groups in order, computed by two threads; at most four are in memory.

    Args:
        shard: the shard.
        data: recipe section `data`.
        organ: recipe section `organ`.
        organ_network: see `organ_region`.
        expected: what the images must be like.

    Raises:
        ImageError: a file cannot be read.
        DataError: a file is not what is expected, or a volume has other channels than the first.
    """
    manifest, channels, first_image, volumes = shard.manifest, None, None, 0
    results = in_order(
        lambda group: _compute(shard, group, data, organ, organ_network, expected), shard.groups, threads=2
    )
    with contextlib.closing(results):
        for group, ready in zip(shard.groups, results):
            numbered, fallback, notes = [], {}, []
            for images, regions, facts, without_organ, _, volume_notes in ready:
                case = facts[0]["case"]
                channels, first_image = (
                    (channels, first_image) if channels else (images.shape[-1], manifest.cases[case].image)
                )
                check_channels(first_image, channels, manifest.cases[case].image, images.shape[-1])
                if without_organ:
                    fallback[case] = without_organ
                notes += [(case, note) for note in volume_notes]
                numbered.append((images, regions, [{**fact, "volume": volumes} for fact in facts]))
                volumes += 1
            yield PreparedGroup(
                len(group.cases),
                tuple(numbered),
                fallback,
                sum(windowed for *_, windowed, _ in ready),
                tuple(notes),
            )


def check_channels(first: Path, channels: int, other: Path, count: int) -> None:
    """Raise DataError when two images of one data set differ in their number of channels."""
    if count != channels:
        raise DataError(
            f"images of different channel counts: {first} has {channels}, {other} has "
            f"{count}; convert them, or choose common channels with data.channels."
        )


def write_shard(
    folder: Path,
    shard: Shard,
    data: DataSection,
    organ: OrganSection,
    key: str,
    progress,
    organ_network,
    expected=ExpectedImages(),
) -> None:
    """Prepare a shard and write it into the new folder `folder`.

    `progress(cases)` is called after every group.
    """
    folder.mkdir()
    side, rows, fallback, windowed, notes = data.side, [], {}, 0, {}
    with contextlib.ExitStack() as stack:
        images = organs = None
        for group in stack.enter_context(
            contextlib.closing(prepared_groups(shard, data, organ, organ_network, expected))
        ):
            for slices, regions, facts in group.volumes:
                if images is None:
                    images = stack.enter_context(
                        GrowingArray(folder / "images.npy", slices.shape[1:], np.float16)
                    )
                    organs = stack.enter_context(GrowingArray(folder / "organ.npy", (side, side), np.uint8))
                images.append(slices)
                organs.append(regions)
                rows += facts
            fallback |= group.fallback
            windowed += group.windowed
            for case, note in group.notes:
                notes.setdefault(note, [case, 0])[1] += 1
            progress(group.cases)
    write_stored(rows, folder / "table.csv")
    meta = {
        "key": key,
        "version": VERSION,
        "shape": [len(rows), *images.item_shape],
        "volumes": rows[-1]["volume"] + 1,
        "fallback": fallback,
        "windowed": windowed,
        "notes": notes,
        "root": str(shard.manifest.root),
        "shard": [shard.number, shard.of],
        "data": data.model_dump(mode="json"),
        "organ": organ.model_dump(mode="json"),
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")


def open_shard(folder: Path, shard: Shard, key: str, reused: bool) -> KeptShard | None:
    """Return the finished folder, or None when there is none or it is damaged."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        images, organ = (np.load(folder / name, mmap_mode="r") for name in ("images.npy", "organ.npy"))
        lines = (folder / "table.csv").read_bytes()
        if meta["key"] != key or list(images.shape) != meta["shape"] or organ.shape != images.shape[:3]:
            return None
        if lines.count(b"\n") != len(images) + 1 or not lines.endswith(b"\n"):
            return None
        fallback = {int(case): int(slices) for case, slices in meta["fallback"].items()}
        return KeptShard(
            folder,
            key,
            images.shape,
            int(meta["volumes"]),
            fallback,
            int(meta["windowed"]),
            np.array(shard.cases),
            reused,
            dict(meta["notes"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _compute(
    shard: Shard, group, data: DataSection, organ: OrganSection, organ_network, expected: ExpectedImages
):
    """Prepare the volumes of one group.

    Returns:
        Per volume (images, organ, facts, slices without an organ, whether it shows the window already,
        notes).
    """
    with_organ = organ.method == "given"
    volumes = assemble(
        shard.manifest,
        group,
        channels=data.channels,
        dicom_backend=data.dicom_backend,
        with_organ=with_organ,
        expected=expected,
    )
    return [_compute_volume(shard, volume, data, organ, organ_network) for volume in volumes]


def _compute_volume(
    shard: Shard, volume: AssembledVolume, data: DataSection, organ: OrganSection, organ_network
):
    ready = prepare_volume(
        volume, shard.manifest.cases[volume.wanted[0][1]].image, data, organ, organ_network
    )
    box = ready.box
    facts = [
        {
            "case": case,
            "slice_index": inside,
            "position": position,
            "area": area,
            "box": (box.top, box.left, box.size, box.height, box.width),
            "spacing": volume.spacing_mm or (float("nan"),) * 3,
            "pixel_hash": pixel_hash,
        }
        for (_, case, inside, position), area, pixel_hash in zip(volume.wanted, ready.area, ready.pixel_hash)
    ]
    return ready.images, ready.organ, facts, ready.fallback, ready.windowed, ready.notes
