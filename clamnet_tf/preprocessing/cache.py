"""Turn a manifest into prepared slices on disk: organ, crop, normalisation and resizing, shard by shard.

Each shard is stored under a key of everything that affects it. Any number of processes, on one machine or on
several with the cache on shared storage, may run the same command: each takes the next shard that no other
process works on. A process claims a shard by locking a file, and the lock ends with the process, however that
ends; a killed process therefore loses only the shard it worked on, and another takes that over. (A fixed part
per process, `3 of 16`, would need no locks, but waits for the slowest machine and leaves gaps where one
died.) On a file system without locks every process prepares every shard, and the first to finish a shard
wins.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from clamnet_tf.datasets.expected_images import ExpectedImages
from clamnet_tf.datasets.manifest import Manifest
from clamnet_tf.errors import EnvironmentFailure
from clamnet_tf.files import atomic_path, hold, make_folder
from clamnet_tf.preprocessing.normal_atlas import NormalAtlas
from clamnet_tf.preprocessing.npy_files import ShardedArray, open_rows
from clamnet_tf.preprocessing.organ_region import FALLBACK
from clamnet_tf.preprocessing.shard_folder import KeptShard, check_channels, open_shard, write_shard
from clamnet_tf.preprocessing.shards import Shard, shards_of
from clamnet_tf.preprocessing.slice_table import SliceTable, join_stored, read_stored
from clamnet_tf.recipe.schema_data import DataSection, OrganSection

_STALE_SECONDS = 24 * 3600
_ASK_AGAIN_SECONDS = 0.5  # while other processes work on all shards that are left


def default_cache() -> Path:
    """Return the folder of the cache: $CLAMNET_TF_CACHE, or ~/.cache/clamnet_tf."""
    return Path(os.environ.get("CLAMNET_TF_CACHE") or Path.home() / ".cache" / "clamnet_tf")


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """Prepared slices, opened; the arrays are read-only and in the order of `table`.

    Attributes:
        folder: folder of the slices, or of the cache when there are several shards.
        images: (N, side, side, C) float16, normalised, 0 outside the organ unless organ.surroundings are
            kept; a memory map, or one view of several.
        organ: (N, side, side) uint8, 1 = organ.
        table: one row per slice.
        key: sha256 of everything that affects the slices.
        reused: whether all slices existed before this call.
        account: lines on what the preparation could not do as asked, if anything.
        fallback: number of slices where organ.method found nothing plausible.
        atlas: the atlas whose deviation is the last channel (data.normal_atlas), or None.
        single: the same slices without the other breast, which is the second half of the channels
            (data.contralateral); None when there is no such half.
    """

    folder: Path
    images: np.ndarray | ShardedArray
    organ: np.ndarray | ShardedArray
    table: SliceTable
    key: str
    reused: bool = False
    account: tuple[str, ...] = ()
    fallback: int = 0
    atlas: NormalAtlas | None = None
    single: "Prepared | None" = None

    @property
    def own(self) -> "Prepared":
        """The same slices with the channels of the image itself alone, apart from those of an atlas."""
        return self.single or self

    @property
    def cache(self) -> Path:
        """The folder of the cache: the parent of `folder` for one shard, `folder` itself for several."""
        return self.folder.parent if (self.folder / "meta.json").exists() else self.folder


def prepare(
    manifest: Manifest,
    *,
    data: DataSection,
    organ: OrganSection,
    cache,
    progress=None,
    organ_network=None,
    expected: ExpectedImages = ExpectedImages(),
) -> Prepared:
    """Prepare every slice of `manifest`, or open what an earlier run prepared from the same files and
    settings.

    Per volume, the channels are chosen, the organ is found, one crop box is laid around it, the values are
    windowed and normalised inside the organ, then resized to data.side. A constant slice gets an empty organ
    (area 0) and stays in the table. Arguments and errors are those of `prepare_shards`.

    Returns:
        The opened slices.
    """
    shards = prepare_shards(
        manifest,
        data=data,
        organ=organ,
        cache=cache,
        progress=progress,
        organ_network=organ_network,
        expected=expected,
    )
    counts = [shard.shape[0] for shard in shards]
    images, organs = (
        open_rows([shard.folder / name for shard in shards], counts) for name in ("images.npy", "organ.npy")
    )
    table = join_stored(
        ((read_stored(shard.folder / "table.csv"), shard.cases) for shard in shards), manifest
    )
    is_single = len(shards) == 1
    key = (
        shards[0].key
        if is_single
        else hashlib.sha256("".join(shard.key for shard in shards).encode()).hexdigest()
    )
    return Prepared(
        shards[0].folder if is_single else shards[0].folder.parent,
        images,
        organs,
        table,
        key,
        all(shard.reused for shard in shards),
        account(organ.method, shards, manifest),
        sum(sum(shard.fallback.values()) for shard in shards),
    )


def prepare_shards(
    manifest: Manifest,
    *,
    data: DataSection,
    organ: OrganSection,
    cache,
    progress=None,
    organ_network=None,
    expected: ExpectedImages = ExpectedImages(),
) -> list[KeptShard]:
    """Prepare every shard of `manifest` without opening the result.

    Memory holds some volumes at a time and, per case, its row of the manifest. Finished shards remain,
    whatever happens to the others.

    Args:
        manifest: the cases.
        data: recipe section `data`.
        organ: recipe section `organ`.
        cache: folder of the cache.
        progress: `progress(done, total)` counts cases; None: no progress.
        organ_network: what finds the organ when organ.method is network; has a `key`.
        expected: what the images must be like.

    Returns:
        The finished shards, in order.

    Raises:
        ImageError: a file cannot be read. DataError: a file is not what is expected. Both name the file.
        EnvironmentFailure: the cache is full or read-only.
    """
    cache, total, done = make_folder(cache), len(manifest.cases), 0
    _sweep(cache)
    finished: dict[int, KeptShard] = {}

    def after_group(cases):
        nonlocal done
        done += cases
        if progress is not None:
            progress(done, total)

    settings = json.dumps([data.model_dump(mode="json"), organ.model_dump(mode="json")])
    claims = claimed(
        shards_of(manifest),
        lambda shard: cache / f"shard-{_digest(settings, manifest.root, shard.number)}.lock",
    )
    with contextlib.closing(claims):  # gives a lock back at once when something fails
        for shard in claims:
            before = done
            latest = finished[shard.number] = prepare_shard(
                shard, data, organ, cache, after_group, organ_network, expected
            )
            done = before + len(shard.cases)
            reference = next(iter(finished.values()))
            check_channels(
                manifest.cases[reference.cases[0]].image,
                reference.shape[3],
                manifest.cases[latest.cases[0]].image,
                latest.shape[3],
            )
    return [finished[number] for number in sorted(finished)]


def claimed(shards, lock_of) -> Iterator[Shard]:
    """Yield every shard once, while this process holds its lock file.

    Shards that another process works on come last, when that process has finished with them.
    """
    while shards:
        busy = []
        for shard in shards:
            lock = lock_of(shard)
            with hold(lock, needed=False) as held:
                if held:
                    try:
                        yield shard
                    finally:
                        with contextlib.suppress(OSError):
                            lock.unlink(missing_ok=True)
                else:
                    busy.append(shard)
        if busy:
            time.sleep(_ASK_AGAIN_SECONDS)
        shards = busy


def account(method: str, shards: list[KeptShard], manifest: Manifest) -> tuple[str, ...]:
    """Describe what the preparation could not do as asked, one line per matter.

    The lines concern slices where organ.method found nothing plausible, volumes that are 8-bit pictures and
    are taken to show data.window already, and the notes of the readers.
    """
    lines, volumes = [], sum(shard.volumes for shard in shards)
    without_organ = [
        (shard.cases[case], slices) for shard in shards for case, slices in shard.fallback.items()
    ]
    if without_organ:
        count = sum(slices for _, slices in without_organ)
        lines.append(
            f"No plausible {method} in {count} slices of {len(without_organ)} of "
            f"{volumes} volumes (first {manifest.cases[without_organ[0][0]].image}): {FALLBACK}."
        )
    if windowed := sum(shard.windowed for shard in shards):
        lines.append(
            f"{windowed} of {volumes} volumes are pictures of 8 bits, which are taken to show data.window "
            f"already."
        )
    notes: dict[str, list] = {}
    for shard in shards:
        for note, (case, count) in shard.notes.items():
            notes.setdefault(note, [manifest.cases[shard.cases[case]].image, 0])[1] += count
    lines += [
        f"{count} of {volumes} volumes (first {image}): {note}." for note, (image, count) in notes.items()
    ]
    return tuple(lines)


def prepare_shard(
    shard: Shard,
    data: DataSection,
    organ: OrganSection,
    cache: Path,
    progress=lambda cases: None,
    organ_network=None,
    expected: ExpectedImages = ExpectedImages(),
) -> KeptShard:
    """Return one shard from the cache; prepare it first when it is not there.

    `progress(cases)` is called after every group of cases that is prepared.
    """
    key = shard.key(data, organ, cache, organ_network, expected)
    folder = cache / f"prepared-{key[:20]}"
    existing = open_shard(folder, shard, key, reused=True)
    if existing is not None:
        return existing
    if folder.exists():
        shutil.rmtree(folder)
    lost_race = False
    try:
        with atomic_path(folder) as temporary:
            write_shard(temporary, shard, data, organ, key, progress, organ_network, expected)
            lost_race = folder.exists()
    except EnvironmentFailure:
        if not folder.exists():
            raise
    result = open_shard(folder, shard, key, reused=lost_race)
    if result is None:
        raise EnvironmentFailure(
            f"{folder}: was written but cannot be read back; check the disk, delete the folder and try again."
        )
    return result


def _digest(*causes) -> str:
    return hashlib.sha256("\n".join(map(str, causes)).encode("utf-8", "surrogateescape")).hexdigest()[:20]


def _sweep(cache: Path) -> None:
    """Remove what killed runs left behind more than a day ago."""
    for leftover in cache.glob(".writing-*"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)
