"""`data prepare`: a data set of any size prepared and checked without being opened; of a slice some bytes
stay in memory, of a case its row in the manifest.
"""

from dataclasses import dataclass

import numpy as np

from clamnet_tf.datasets.expected_images import ExpectedImages
from clamnet_tf.datasets.manifest import SIDES, Manifest
from clamnet_tf.datasets.split import check_leakage
from clamnet_tf.preprocessing.cache import account, prepare_shard, prepare_shards
from clamnet_tf.preprocessing.shard_folder import KeptShard
from clamnet_tf.preprocessing.shards import Shard
from clamnet_tf.preprocessing.slice_table import read_stored


@dataclass(frozen=True)
class Survey:
    """Of all slices: how many show the organ, how many less of it than data.minimum_organ_fraction."""

    kept: int
    left_out: int


def prepare_archive(
    recipe,
    manifest: Manifest,
    *,
    cache,
    reporter,
    organ_network=None,
    expected: ExpectedImages = ExpectedImages(),
) -> list[KeptShard]:
    """The finished shards of a split manifest, with a bar; says what was done. Errors as of
    `preprocessing.cache.prepare_shards`.
    """
    with reporter.bar("Preparing slices", len(manifest.cases)) as bar:
        shards = prepare_shards(
            manifest,
            data=recipe.data,
            organ=recipe.organ,
            cache=cache,
            progress=lambda done, total: bar.update(done),
            organ_network=organ_network,
            expected=expected,
        )
    say_prepared(recipe, manifest, shards, reporter)
    return shards


def prepare_on_worker(shard: Shard, *, cache, data, organ, organ_network, expected=ExpectedImages()) -> dict:
    """What `beam_runner.run_on_beam` makes of a shard."""
    kept = prepare_shard(shard, data, organ, cache, organ_network=organ_network, expected=expected)
    return {"slices": kept.shape[0], "reused": kept.reused}


def say_prepared(recipe, manifest: Manifest, shards: list[KeptShard], reporter) -> None:
    """Lines on number, size and place of the slices, and on what could not be done as asked."""
    here, (_, side, _, channels) = sum(not shard.reused for shard in shards), shards[0].shape
    how = (
        "found in the cache"
        if not here
        else "prepared"
        if len(shards) == 1
        else f"prepared, {here} of {len(shards)} shards by this process"
    )
    folder = shards[0].folder if len(shards) == 1 else shards[0].folder.parent
    reporter.line(
        f"  {sum(shard.shape[0] for shard in shards)} slices of {side} x {side} pixels, {channels} "
        f"channel(s), {how}: {folder}"
    )
    for line in account(recipe.organ.method, shards, manifest):
        reporter.line(f"  {line}")


def check_archive(manifest: Manifest, shards: list[KeptShard], minimum_organ_fraction: float) -> Survey:
    """Count the slices, and refuse the same pixels on two sides of the split as `data.split.check_leakage`
    does.

    Thirteen bytes of a slice are remembered: the first eight of its pixel hash, its case and its side.
    """
    count = sum(shard.shape[0] for shard in shards)
    hashes, cases, sides = np.empty(count, np.uint64), np.empty(count, np.uint32), np.empty(count, np.uint8)
    found = kept = 0
    for shard in shards:
        columns = read_stored(shard.folder / "table.csv")
        kept += int((columns["area"] >= minimum_organ_fraction).sum())
        own = [
            (int(value[:16], 16), shard.cases[case])
            for value, case in zip(columns["pixel_hash"].tolist(), columns["case"].tolist())
            if value
        ]
        part = slice(found, found + len(own))
        hashes[part], cases[part] = [value for value, _ in own], [case for _, case in own]
        sides[part] = [SIDES.index(manifest.cases[case].split) for _, case in own]
        found += len(own)
    check_leakage(manifest, on_two_sides(hashes[:found], cases[:found], sides[:found]))
    return Survey(kept, count - kept)


def on_two_sides(hashes: np.ndarray, cases: np.ndarray, sides: np.ndarray) -> dict[int, list[str]]:
    """{case: hashes} of those hashes that occur on more than one side; all arrays (N,)."""
    order = np.lexsort((sides, hashes))
    ordered, placed = hashes[order], sides[order]
    differs = (ordered[1:] == ordered[:-1]) & (placed[1:] != placed[:-1])
    suspects: dict[int, list[str]] = {}
    for row in np.flatnonzero(np.isin(hashes, ordered[1:][differs])):
        suspects.setdefault(int(cases[row]), []).append(str(hashes[row]))
    return suspects
