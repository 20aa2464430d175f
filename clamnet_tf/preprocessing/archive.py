"""Prepare and check a data set of any size without opening it whole: the work behind `data prepare`.

Memory holds some bytes per slice and, per case, its row of the manifest.
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
    """Counts of all slices: how many show the organ, and how many show too little of it to be used.

    Attributes:
        kept: slices whose organ fraction is at least data.minimum_organ_fraction.
        left_out: the other slices.
    """

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
    """Prepare the shards of a split manifest behind a progress bar, and report what was done.

    Args:
        recipe: the recipe; its sections `data` and `organ` are used.
        manifest: a manifest whose cases have their split.
        cache: folder of the cache.
        reporter: receives the lines and the bar.
        organ_network: what finds the organ when organ.method is network, else None.
        expected: what the images must be like.

    Returns:
        The finished shards, in order.

    Raises:
        The errors of `preprocessing.cache.prepare_shards`.
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
    """Prepare one shard on a Beam worker, for `beam_runner.run_on_beam`.

    Return its number of slices and whether it existed.
    """
    shard_folder = prepare_shard(shard, data, organ, cache, organ_network=organ_network, expected=expected)
    return {"slices": shard_folder.shape[0], "reused": shard_folder.reused}


def say_prepared(recipe, manifest: Manifest, shards: list[KeptShard], reporter) -> None:
    """Report the number, size and folder of the slices, and what could not be done as asked."""
    prepared_here, (_, side, _, channels) = sum(not shard.reused for shard in shards), shards[0].shape
    state = (
        "found in the cache"
        if not prepared_here
        else "prepared"
        if len(shards) == 1
        else f"prepared, {prepared_here} of {len(shards)} shards by this process"
    )
    folder = shards[0].folder if len(shards) == 1 else shards[0].folder.parent
    reporter.line(
        f"  {sum(shard.shape[0] for shard in shards)} slices of {side} x {side} pixels, {channels} "
        f"channel(s), {state}: {folder}"
    )
    for line in account(recipe.organ.method, shards, manifest):
        reporter.line(f"  {line}")


def check_archive(manifest: Manifest, shards: list[KeptShard], minimum_organ_fraction: float) -> Survey:
    """Count the slices, and refuse pixels that occur on two sides of the split, like
    `datasets.split.check_leakage`.

    Thirteen bytes per slice are held in memory: the first eight of its pixel hash, its case and its side.

    Args:
        manifest: the manifest whose cases have their split.
        shards: the finished shards of that manifest.
        minimum_organ_fraction: least organ fraction of a slice that counts as usable, in 0..1.

    Raises:
        DataError: the same pixels lie on two sides of the split.
    """
    count = sum(shard.shape[0] for shard in shards)
    hashes, cases, sides = np.empty(count, np.uint64), np.empty(count, np.uint32), np.empty(count, np.uint8)
    offset = usable = 0
    for shard in shards:
        columns = read_stored(shard.folder / "table.csv")
        usable += int((columns["area"] >= minimum_organ_fraction).sum())
        hashed_cases = [
            (int(value[:16], 16), shard.cases[case])
            for value, case in zip(columns["pixel_hash"].tolist(), columns["case"].tolist())
            if value
        ]
        part = slice(offset, offset + len(hashed_cases))
        hashes[part], cases[part] = [value for value, _ in hashed_cases], [case for _, case in hashed_cases]
        sides[part] = [SIDES.index(manifest.cases[case].split) for _, case in hashed_cases]
        offset += len(hashed_cases)
    check_leakage(manifest, on_two_sides(hashes[:offset], cases[:offset], sides[:offset]))
    return Survey(usable, count - usable)


def on_two_sides(hashes: np.ndarray, cases: np.ndarray, sides: np.ndarray) -> dict[int, list[str]]:
    """Return {case: hashes} for the hashes that occur on more than one side; all arrays have shape (N,)."""
    order = np.lexsort((sides, hashes))
    ordered, placed = hashes[order], sides[order]
    differs = (ordered[1:] == ordered[:-1]) & (placed[1:] != placed[:-1])
    suspects: dict[int, list[str]] = {}
    for row in np.flatnonzero(np.isin(hashes, ordered[1:][differs])):
        suspects.setdefault(int(cases[row]), []).append(str(hashes[row]))
    return suspects
