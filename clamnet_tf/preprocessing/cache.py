"""From a manifest to prepared slices on disk: organ, crop, normalisation and resizing, shard by shard, each
kept under a key of its causes.

Any number of processes, on one machine or on several with the cache on shared storage, may run the same
command: each takes the next shard that nobody is at. A shard is claimed by a lock on a file, which ends with
its process, however that ends; so a killed one loses the shard it was at, and another takes that over. (A
fixed part per process, `3 of 16`, would need no locks, but waits for the slowest machine and leaves holes
where one died.) On a file system without locks everyone does everything, and the first to finish a shard
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
_ASK_AGAIN_SECONDS = 0.5  # while other processes are at all shards that are left


def default_cache() -> Path:
    """$CLAMNET_TF_CACHE, or ~/.cache/clamnet_tf."""
    return Path(os.environ.get("CLAMNET_TF_CACHE") or Path.home() / ".cache" / "clamnet_tf")


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """Prepared slices, opened. The arrays are read-only in the order of `table`: a memory map, or of several
    shards one view of theirs.

    folder: of the slices, or the cache when there are several shards
    images: (N, side, side, C) float16, normalised, 0 outside the organ unless organ.surroundings are kept
    organ: (N, side, side) uint8, 1 = organ
    atlas: its deviation is the last channel, or None (data.normal_atlas)
    key: sha256 of everything that affects them; reused: whether all were there before this call
    account: a line on what the preparation could not do as asked, if anything; fallback: number of such
    slices
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

    @property
    def cache(self) -> Path:
        """The folder of the cache: of one shard `folder` lies in it, of several it is that itself."""
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

    Per volume: channels are chosen, the organ found, one crop box laid around it, the values windowed and
    normalised inside the organ, then resized to data.side. A constant slice gets an empty organ (area 0) and
    stays in the table. The rest as in `prepare_shards`.
    """
    kept = prepare_shards(
        manifest,
        data=data,
        organ=organ,
        cache=cache,
        progress=progress,
        organ_network=organ_network,
        expected=expected,
    )
    counts = [shard.shape[0] for shard in kept]
    images, organs = (
        open_rows([shard.folder / name for shard in kept], counts) for name in ("images.npy", "organ.npy")
    )
    table = join_stored(((read_stored(shard.folder / "table.csv"), shard.cases) for shard in kept), manifest)
    alone = len(kept) == 1
    key = kept[0].key if alone else hashlib.sha256("".join(shard.key for shard in kept).encode()).hexdigest()
    return Prepared(
        kept[0].folder if alone else kept[0].folder.parent,
        images,
        organs,
        table,
        key,
        all(shard.reused for shard in kept),
        account(organ.method, kept, manifest),
        sum(sum(shard.fallback.values()) for shard in kept),
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
    """The same without opening it: some volumes are in memory at a time, and of every case what the manifest
    holds.

    `progress(done, total)` counts cases; organ_network: what finds the organ when organ.method is network,
    with its `key`;
    expected: what images must be like.
    ImageError or DataError names the file; EnvironmentFailure for a full or read-only cache. Shards that are
    finished stay, whatever happens to the others.
    """
    cache, total, done = make_folder(cache), len(manifest.cases), 0
    _sweep(cache)
    kept: dict[int, KeptShard] = {}

    def after_group(cases):
        nonlocal done
        done += cases
        if progress is not None:
            progress(done, total)

    settings = json.dumps([data.model_dump(mode="json"), organ.model_dump(mode="json")])
    mine = claimed(
        shards_of(manifest),
        lambda shard: cache / f"shard-{_digest(settings, manifest.root, shard.number)}.lock",
    )
    with contextlib.closing(mine):  # gives a lock back at once when something fails
        for shard in mine:
            before = done
            one = kept[shard.number] = prepare_shard(
                shard, data, organ, cache, after_group, organ_network, expected
            )
            done = before + len(shard.cases)
            first = next(iter(kept.values()))
            check_channels(
                *(each for of in (first, one) for each in (manifest.cases[of.cases[0]].image, of.shape[3]))
            )
    return [kept[number] for number in sorted(kept)]


def claimed(shards, lock_of) -> Iterator[Shard]:
    """Every shard once, while this process holds its lock file; those that another process is at come last,
    when it has done with them.
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


def account(method: str, kept: list[KeptShard], manifest: Manifest) -> tuple[str, ...]:
    """A line each on slices where organ.method found nothing plausible, and on pictures that are taken to
    show data.window.
    """
    lines, volumes = [], sum(shard.volumes for shard in kept)
    without = [(shard.cases[case], slices) for shard in kept for case, slices in shard.fallback.items()]
    if without:
        lines.append(
            f"No plausible {method} in {sum(slices for _, slices in without)} slices of {len(without)} of "
            f"{volumes} volumes "
            f"(first {manifest.cases[without[0][0]].image}): {FALLBACK}."
        )
    if windowed := sum(shard.windowed for shard in kept):
        lines.append(
            f"{windowed} of {volumes} volumes are pictures of 8 bits, which are taken to show data.window "
            f"already."
        )
    told: dict[str, list] = {}
    for shard in kept:
        for note, (case, count) in shard.notes.items():
            told.setdefault(note, [manifest.cases[shard.cases[case]].image, 0])[1] += count
    lines += [
        f"{count} of {volumes} volumes (first {image}): {note}." for note, (image, count) in told.items()
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
    """One shard in the cache, made unless it is there; `progress(cases)` after every group that is made."""
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
    kept = open_shard(folder, shard, key, reused=lost_race)
    if kept is None:
        raise EnvironmentFailure(
            f"{folder}: was written but cannot be read back; check the disk, delete the folder and try again."
        )
    return kept


def _digest(*causes) -> str:
    return hashlib.sha256("\n".join(map(str, causes)).encode("utf-8", "surrogateescape")).hexdigest()[:20]


def _sweep(cache: Path) -> None:
    """Remove what killed runs left behind more than a day ago."""
    for leftover in cache.glob(".writing-*"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)
