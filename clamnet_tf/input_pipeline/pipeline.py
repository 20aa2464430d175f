"""From prepared slices and a plan to a tf.data of dicts, one element per step, resumable at any step."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from clamnet_tf.input_pipeline.augmentation import AugmentationConfig, draw_view, warp_between
from clamnet_tf.input_pipeline.data_service import DataService, served
from clamnet_tf.input_pipeline.file_rows import file_rows
from clamnet_tf.input_pipeline.keras_cv_augmentation import build_rand_augment


class RowView:
    """Some rows of an array or memory map, indexable like an array of those rows; nothing is read before it
    is asked for.
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
    """Rows that the pipeline may read: memory-mapped or plain arrays; no masks.

    Args:
        images: (N, H, W, C) float16 or float32. organ: (N, H, W) uint8.
        labels: (N,) int, 0 normal, 1.. abnormal: what is yielded is 0 or 1.
        etas: (N, M) float32: eta of the lesion classes that a slice shows, the recipe's where the manifest
            has none; 0 of the others.
    """

    def __init__(self, images, organ, labels, etas):
        self.images, self.organ = images, organ
        self.labels, self.etas = np.minimum(np.asarray(labels, np.int32), 1), np.asarray(etas, np.float32)


class Share(NamedTuple):
    """The replicas first..first+here-1 of `replicas`: which part of every batch a process computes. A
    replica's rows are an equal, contiguous part of the batch, so that pairs (rows 2i and 2i+1) never part."""

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
) -> tf.data.Dataset:
    """Two views per slice with the warps between them.

    Args:
        plan: has `rows(step)` -> (B,) row numbers of the store.
        law: distribution of the views. start, steps: steps `start` .. `steps`-1 are yielded. seed: of the
            views.
        twin: False leaves out the second view. share: which part of every batch is made, and nothing else is
            read.
        service: whose workers make the elements, or None: this process; the elements are the same
            (law.rand_augment must be 0).

    Returns:
        A dataset of dicts, one per step and replica of the share (all replicas of a step, then the next
        step): view_a, organ_a, label (B,), eta (B, M), and with a twin view_b, organ_b, warp_a_to_b and
            warp_b_to_a (B, 3, 3); prefetched.
        B is the plan's batch divided by all replicas; the parts of a step together are the same for every
        share.
    """
    whole = len(plan.rows(start))
    extra = build_rand_augment(law.rand_augment) if law.rand_augment else tf.identity
    read = _reader(
        [store.images, store.organ],
        [store.labels, store.etas],
        plan,
        start,
        steps,
        whole // share.replicas,
        service,
    )

    def element(step, first):
        images, organ, label, eta = read(step, first)
        images, organ = tf.cast(images, tf.float32), tf.cast(organ, tf.float32)
        place = tf.cast(first, tf.int32), whole
        view_a, organ_a, matrix_a = draw_view(
            images, organ, tf.stack([seed, 2 * tf.cast(step, tf.int32)]), law, place
        )
        batch_of = {"view_a": extra(view_a), "organ_a": organ_a, "label": label, "eta": eta}
        if twin:
            view_b, organ_b, matrix_b = draw_view(
                images, organ, tf.stack([seed, 2 * tf.cast(step, tf.int32) + 1]), law, place
            )
            batch_of |= {
                "view_b": extra(view_b),
                "organ_b": organ_b,
                "warp_a_to_b": warp_between(matrix_a, matrix_b),
                "warp_b_to_a": warp_between(matrix_b, matrix_a),
            }
        return batch_of

    return _parts(element, start, steps, share, whole // share.replicas, service)


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
) -> tf.data.Dataset:
    """Views with warped masks for supervised training: dicts view_a, organ_a, mask (B, H, W) int32 classes.

    Args:
        masks: (N, H, W) uint8 classes aligned with the store's rows; the rest as in `pair_dataset`.
    """
    whole, side = len(plan.rows(start)), store.images.shape[1]
    extra = build_rand_augment(law.rand_augment) if law.rand_augment else tf.identity
    read = _reader(
        [store.images, store.organ, masks], [], plan, start, steps, whole // share.replicas, service
    )

    def element(step, first):
        images, organ, mask = (tf.cast(value, tf.float32) for value in read(step, first))
        place = tf.cast(first, tf.int32), whole
        view, organ, matrix = draw_view(
            images, organ, tf.stack([seed, 2 * tf.cast(step, tf.int32)]), law, place
        )
        flat = tf.reshape(matrix, [-1, 9])[:, :8]
        warped = tf.raw_ops.ImageProjectiveTransformV3(
            images=mask[..., None],
            transforms=flat,
            output_shape=[side, side],
            interpolation="NEAREST",
            fill_mode="CONSTANT",
            fill_value=0.0,
        )
        return {"view_a": extra(view), "organ_a": organ, "mask": tf.cast(warped[..., 0], tf.int32)}

    return _parts(element, start, steps, share, whole // share.replicas, service)


def _reader(arrays, facts, plan, start: int, steps: int, batch: int, service):
    """A function (step, first) -> the rows first..first+batch-1 of the plan's batch of that step: of `arrays`
    (large, in files or in memory), then of `facts` (small, in memory). For a service it consists of graph ops
    that read the arrays' files."""
    if service is not None:
        return _file_reader(
            [file_rows(array, service.folder) for array in arrays], facts, plan, start, steps, batch
        )

    def load(step, first):
        rows = plan.rows(int(step))[int(first) : int(first) + batch]
        order = np.argsort(rows)  # memory maps like rising rows
        back = np.argsort(order)
        return (
            *(np.asarray(array[rows[order]], np.float32)[back] for array in arrays),
            *(fact[rows] for fact in facts),
        )

    kinds = [tf.float32] * len(arrays) + [tf.as_dtype(fact.dtype) for fact in facts]

    def read(step, first):
        found = tf.numpy_function(load, [step, first], kinds, stateful=False)
        return [
            tf.ensure_shape(value, [batch, *array.shape[1:]])
            for value, array in zip(found, [*arrays, *facts])
        ]

    return read


def _file_reader(files, facts, plan, start: int, steps: int, batch: int):
    """The same from files; rows and facts of all steps are part of the graph."""
    rows = np.stack([plan.rows(step) for step in range(start, max(steps, start + 1))])
    numbers = [tf.constant(each.numbers(rows)) for each in files]
    known = [tf.constant(fact[rows]) for fact in facts]

    def read(step, first):
        def part(table):
            return tf.ensure_shape(table[step - start][first : first + batch], [batch, *table.shape[2:]])

        return [
            *(
                tf.ensure_shape(each.gather(part(table)), [batch, *each.shape[1:]])
                for each, table in zip(files, numbers)
            ),
            *map(part, known),
        ]

    return read


def _parts(element, start: int, steps: int, share: Share, batch: int, service) -> tf.data.Dataset:
    """`element(step, first row)` for every step from `start` to `steps`-1 and every replica of the share,
    `batch` rows each.
    """

    def place(number):
        return element(start + number // share.here, (share.first + number % share.here) * batch)

    count = max(0, steps - start) * share.here
    if service is not None:
        return served(place, count, service).prefetch(2 * share.here)
    dataset = tf.data.Dataset.range(count).map(place, num_parallel_calls=2, deterministic=True)
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(2 * share.here)
