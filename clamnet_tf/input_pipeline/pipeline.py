"""Turn prepared slices and a plan into a tf.data.Dataset of dicts, one element per step and replica,
resumable at any step.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from clamnet_tf.input_pipeline.augmentation import AugmentationConfig, draw_view, warp_between
from clamnet_tf.input_pipeline.data_service import DataService, served
from clamnet_tf.input_pipeline.file_rows import file_rows
from clamnet_tf.input_pipeline.keras_cv_augmentation import build_rand_augment


class RowView:
    """Some rows of an array or memory map, indexable like an array of those rows.

    Rows are read when asked for.

    Args:
        array: (N, ...) array, memory map or ShardedArray.
        rows: (n,) row numbers of `array`.
    """

    def __init__(self, array, rows):
        self.array, self.rows, self.shape = array, np.asarray(rows), (len(rows), *array.shape[1:])

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.array[self.rows[index]]

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.array[self.rows], dtype)


class SliceStore:
    """Rows that the pipeline may read: memory-mapped or plain arrays, without masks.

    Args:
        images: (N, H, W, C) float16 or float32.
        organ: (N, H, W) uint8.
        labels: (N,) int, 0 normal, 1.. abnormal; the pipeline yields 0 or 1.
        etas: (N, M) float32: eta of the lesion classes that a slice shows (the recipe's where the manifest
            has none), 0 for the other classes.
        numbered: whether batches hold the row numbers of their slices, "row" (B,) int32.

    Examples:
        >>> import numpy as np
        >>> images, organ = np.zeros((4, 16, 16, 1), "float32"), np.ones((4, 16, 16), "uint8")
        >>> store = SliceStore(images, organ, [1, 1, 0, 0], [[0.9], [0.9], [0.0], [0.0]])
        >>> store.labels.tolist()
        [1, 1, 0, 0]
    """

    def __init__(self, images, organ, labels, etas, *, numbered: bool = False):
        self.images, self.organ, self.numbered = images, organ, numbered
        self.labels, self.etas = np.minimum(np.asarray(labels, np.int32), 1), np.asarray(etas, np.float32)


class KnownMasks(NamedTuple):
    """The masks of a store's rows, of which some are known and teach (training.supervision mixed).

    Attributes:
        values: (N, H, W) uint8: 0 background, 1.. class, 255 ignored; without meaning where none is known.
        masked: (N,) float32, 1 where the mask is known and teaches, else 0.
    """

    values: np.ndarray
    masked: np.ndarray


class Share(NamedTuple):
    """The part of every batch that a process computes: the replicas first..first+here-1 of `replicas`.

    A replica's rows are an equal, contiguous part of the batch, so that pairs (rows 2i and 2i+1) are never
    separated.

    Attributes:
        first: index of the process's first replica.
        here: number of the process's replicas.
        replicas: number of all replicas.
    """

    first: int = 0
    here: int = 1
    replicas: int = 1


WHOLE = Share()


def pair_dataset(
    store: SliceStore,
    plan,
    law: AugmentationConfig,
    *,
    start: int,
    steps: int,
    seed: int,
    twin: bool,
    share: Share = WHOLE,
    service: DataService | None = None,
    known: KnownMasks | None = None,
) -> tf.data.Dataset:
    """Make the dataset of two views per slice, with the warps between them.

    Args:
        store: the rows to read.
        plan: has `rows(step)` -> (B,) row numbers of the store.
        law: the distribution of views.
        start: the first step that is yielded.
        steps: the step after the last one that is yielded.
        seed: of the views.
        twin: False leaves out the second view.
        share: which part of every batch is made; nothing else is read.
        service: the service whose workers make the elements; None: this process. The elements are the same
            (law.rand_augment must be 0).
        known: masks of the store's rows, for mixed supervision; None: there are none.

    Returns:
        A prefetched dataset of dicts, one per step and replica of the share (all replicas of a step, then the
        next step): view_a, organ_a, label (B,), eta (B, M), of a numbered store row (B,), and with a twin
        view_b, organ_b, warp_a_to_b and
        warp_b_to_a (B, 3, 3), where warp_a_to_b resamples a map of view a onto the grid of view b. Views and
        organs are float32, organs in {0, 1}; label is 0 or 1. With known masks there are masked (B,) and
        mask_a, and with a twin mask_b, (B, H, W) int32 as in `mask_dataset`. B is the plan's batch divided
        by all replicas; the parts of a step together are the same for every share.

    Examples:
        >>> import numpy as np
        >>> from clamnet_tf import AugmentationConfig, PairPlan
        >>> images, organ = np.zeros((4, 16, 16, 1), "float32"), np.ones((4, 16, 16), "uint8")
        >>> store = SliceStore(images, organ, [1, 1, 0, 0], [[0.9], [0.9], [0.0], [0.0]])
        >>> columns = {"position": [0.5] * 4, "area": [0.1] * 4, "site": ["a"] * 4}
        >>> plan = PairPlan([1, 1, 0, 0], columns, batch_size=4, seed=0, matching={})
        >>> batches = pair_dataset(store, plan, AugmentationConfig(), start=0, steps=2, seed=0, twin=True)
        >>> batch = next(iter(batches))
        >>> batch["view_a"].shape.as_list(), batch["label"].numpy().tolist()
        ([4, 16, 16, 1], [1, 0, 1, 0])
    """
    total = len(plan.rows(start))
    extra = build_rand_augment(law.rand_augment) if law.rand_augment else tf.identity
    rows = [np.arange(len(store.labels), dtype=np.int32)] if store.numbered else []
    arrays, facts = [store.images, store.organ], [store.labels, store.etas, *rows]
    if known is not None:
        arrays, facts = [*arrays, known.values], [*facts, known.masked]
    read = _reader(arrays, facts, plan, start, steps, total // share.replicas, service)

    def element(step, first_row):
        values = read(step, first_row)
        images, organ, *masks = (tf.cast(value, tf.float32) for value in values[: len(arrays)])
        label, eta, *others = values[len(arrays) :]
        batch_place = tf.cast(first_row, tf.int32), total
        view_a, organ_a, matrix_a = draw_view(
            images, organ, tf.stack([seed, 2 * tf.cast(step, tf.int32)]), law, batch_place
        )
        batch_of = {"view_a": extra(view_a), "organ_a": organ_a, "label": label, "eta": eta}
        if known is not None:
            batch_of |= {"masked": others[-1], "mask_a": _warped(masks[0], matrix_a)}
        if rows:
            batch_of["row"] = others[0]
        if twin:
            view_b, organ_b, matrix_b = draw_view(
                images, organ, tf.stack([seed, 2 * tf.cast(step, tf.int32) + 1]), law, batch_place
            )
            batch_of |= {
                "view_b": extra(view_b),
                "organ_b": organ_b,
                "warp_a_to_b": warp_between(matrix_a, matrix_b),
                "warp_b_to_a": warp_between(matrix_b, matrix_a),
            }
            if known is not None:
                batch_of["mask_b"] = _warped(masks[0], matrix_b)
        return batch_of

    return _parts(element, start, steps, share, total // share.replicas, service)


def mask_dataset(
    store: SliceStore,
    masks,
    plan,
    law: AugmentationConfig,
    *,
    start: int,
    steps: int,
    seed: int,
    share: Share = WHOLE,
    service: DataService | None = None,
    masked=None,
) -> tf.data.Dataset:
    """Make the dataset of views with warped masks for supervised training.

    Args:
        store: the rows to read.
        masks: (N, H, W) uint8, aligned with the store's rows: 0 background, 1.. class, 255 ignored.
        plan, law, start, steps, seed, share, service: see `pair_dataset`.
        masked: (N,) float32, 1 for true masks and 0 for a teacher's; None: all are of one kind.

    Returns:
        A prefetched dataset of dicts: view_a, organ_a, mask (B, H, W) int32 as `masks`, of a numbered store
        row (B,); pixels from outside of the slice are background. With `masked`, there is masked (B,), too.
    """
    total = len(plan.rows(start))
    facts = [] if masked is None else [np.asarray(masked, np.float32)]
    extra = build_rand_augment(law.rand_augment) if law.rand_augment else tf.identity
    numbers = [np.arange(len(store.labels), dtype=np.int32)] if store.numbered else []
    read = _reader(
        [store.images, store.organ, masks],
        [*numbers, *facts],
        plan,
        start,
        steps,
        total // share.replicas,
        service,
    )

    def element(step, first_row):
        values = read(step, first_row)
        images, organ, mask = (tf.cast(value, tf.float32) for value in values[:3])
        batch_place = tf.cast(first_row, tf.int32), total
        view, organ, matrix = draw_view(
            images, organ, tf.stack([seed, 2 * tf.cast(step, tf.int32)]), law, batch_place
        )
        batch_of = {"view_a": extra(view), "organ_a": organ, "mask": _warped(mask, matrix)}
        if numbers:
            batch_of["row"] = values[3]
        if facts:
            batch_of["masked"] = values[-1]
        return batch_of

    return _parts(element, start, steps, share, total // share.replicas, service)


def _warped(mask, matrix):
    """Return the masks (B, H, W) of slices as int32 masks of their views; outside of the slice they are 0."""
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=mask[..., None],
        transforms=tf.reshape(matrix, [-1, 9])[:, :8],
        output_shape=mask.shape[1:3].as_list(),
        interpolation="NEAREST",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )
    return tf.cast(warped[..., 0], tf.int32)


def _reader(arrays, facts, plan, start: int, steps: int, batch: int, service):
    """Return a function (step, first) -> rows first..first+batch-1 of the plan's batch of that step.

    It returns the rows of `arrays` (large, in files or in memory), then those of `facts` (small, in memory).
    For a service it consists of graph ops that read the arrays' files.
    """
    if service is not None:
        return _file_reader(
            [file_rows(array, service.folder) for array in arrays], facts, plan, start, steps, batch
        )

    def load(step, first_row):
        rows = plan.rows(int(step))[int(first_row) : int(first_row) + batch]
        order = np.argsort(rows)  # memory maps like rising rows
        back = np.argsort(order)
        return (
            *(np.asarray(array[rows[order]], np.float32)[back] for array in arrays),
            *(fact[rows] for fact in facts),
        )

    kinds = [tf.float32] * len(arrays) + [tf.as_dtype(fact.dtype) for fact in facts]

    def read(step, first_row):
        values = tf.numpy_function(load, [step, first_row], kinds, stateful=False)
        return [
            tf.ensure_shape(value, [batch, *array.shape[1:]])
            for value, array in zip(values, [*arrays, *facts])
        ]

    return read


def _file_reader(files, facts, plan, start: int, steps: int, batch: int):
    """Return the function of `_reader` for arrays in files.

    Rows and facts of all steps are part of the graph.
    """
    rows = np.stack([plan.rows(step) for step in range(start, max(steps, start + 1))])
    file_rows_of_steps = [tf.constant(file.numbers(rows)) for file in files]
    fact_tables = [tf.constant(fact[rows]) for fact in facts]

    def read(step, first_row):
        def part(table):
            return tf.ensure_shape(
                table[step - start][first_row : first_row + batch], [batch, *table.shape[2:]]
            )

        return [
            *(
                tf.ensure_shape(file.gather(part(table)), [batch, *file.shape[1:]])
                for file, table in zip(files, file_rows_of_steps)
            ),
            *map(part, fact_tables),
        ]

    return read


def _parts(element, start: int, steps: int, share: Share, batch: int, service) -> tf.data.Dataset:
    """Make the dataset of `element(step, first row)`, `batch` rows each.

    It runs over every step from `start` to `steps` - 1 and, within a step, every replica of the share.
    """

    def part_of_index(index):
        return element(start + index // share.here, (share.first + index % share.here) * batch)

    count = max(0, steps - start) * share.here
    if service is not None:
        return served(part_of_index, count, service).prefetch(2 * share.here)
    dataset = tf.data.Dataset.range(count).map(part_of_index, num_parallel_calls=2, deterministic=True)
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(2 * share.here)
