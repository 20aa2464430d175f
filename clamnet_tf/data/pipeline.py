"""From prepared slices and a plan to a tf.data of dicts, one element per step, resumable at any step."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from clamnet_tf.data.keras_cv_views import build_rand_augment
from clamnet_tf.data.views import ViewLaw, draw_view, warp_between


class RowView:
    """Some rows of an array or memory map, indexable like an array of those rows; nothing is read before it is asked for."""

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
        labels: (N,) int, 0 normal, 1.. abnormal: what is yielded is 0 or 1. etas: (N,) float32, already filled with the recipe's value where the manifest has none.
        marker_etas: of several markers, (N, M) float32: eta of those that a slice shows, 0 of the others; None: one marker.
    """

    def __init__(self, images, organ, labels, etas, marker_etas=None):
        self.images, self.organ = images, organ
        self.labels, self.etas = np.minimum(np.asarray(labels, np.int32), 1), np.asarray(etas, np.float32)
        self.marker_etas = None if marker_etas is None else np.asarray(marker_etas, np.float32)

    def gather(self, rows):
        """Rows (B,) -> images float32, organ float32, labels int32, etas float32."""
        order = np.argsort(rows)  # memory maps like rising rows
        back = np.argsort(order)
        take = rows[order]
        images = np.asarray(self.images[take], np.float32)[back]
        organ = np.asarray(self.organ[take], np.float32)[back]
        return images, organ, self.labels[rows], self.etas[rows]


class Share(NamedTuple):
    """The replicas first..first+here-1 of `replicas`: which part of every batch a process computes. A replica's rows are
    an equal, contiguous part of the batch, so that pairs (rows 2i and 2i+1) never part."""

    first: int = 0
    here: int = 1
    replicas: int = 1


WHOLE = Share()


def pair_dataset(store: SliceStore, plan, law: ViewLaw, *, start: int, steps: int, seed: int, twin: bool, share: Share = WHOLE) -> tf.data.Dataset:
    """Two views per slice with the warps between them.

    Args:
        plan: has `rows(step)` -> (B,) row numbers of the store.
        law: distribution of the views. start, steps: steps `start` .. `steps`-1 are yielded. seed: of the views.
        twin: False leaves out the second view. share: which part of every batch is made, and nothing else is read.

    Returns:
        A dataset of dicts, one per step and replica of the share (all replicas of a step, then the next step): view_a,
        organ_a, label (B,), eta (B,), of several markers marker_eta (B, M), and with a twin view_b, organ_b, warp_a_to_b and warp_b_to_a (B, 3, 3); prefetched.
        B is the plan's batch divided by all replicas; the parts of a step together are the same for every share.
    """
    channels, side = store.images.shape[3], store.images.shape[1]
    whole = len(plan.rows(start))
    batch = whole // share.replicas

    extra = build_rand_augment(law.rand_augment) if law.rand_augment else tf.identity

    several = store.marker_etas is not None

    def load(step, first):
        rows = plan.rows(int(step))[int(first) : int(first) + batch]
        return (*store.gather(rows), *([store.marker_etas[rows]] if several else []))

    def element(step, first):
        kinds = [tf.float32, tf.float32, tf.int32, tf.float32, *([tf.float32] if several else [])]
        images, organ, label, eta, *marker_eta = tf.numpy_function(load, [step, first], kinds, stateful=False)
        images.set_shape([batch, side, side, channels])
        organ.set_shape([batch, side, side])
        label.set_shape([batch])
        eta.set_shape([batch])
        place = tf.cast(first, tf.int32), whole
        view_a, organ_a, matrix_a = draw_view(images, organ, tf.stack([seed, 2 * tf.cast(step, tf.int32)]), law, place)
        batch_of = {"view_a": extra(view_a), "organ_a": organ_a, "label": label, "eta": eta}
        if several:
            batch_of["marker_eta"] = tf.ensure_shape(marker_eta[0], [batch, store.marker_etas.shape[1]])
        if twin:
            view_b, organ_b, matrix_b = draw_view(images, organ, tf.stack([seed, 2 * tf.cast(step, tf.int32) + 1]), law, place)
            batch_of |= {
                "view_b": extra(view_b),
                "organ_b": organ_b,
                "warp_a_to_b": warp_between(matrix_a, matrix_b),
                "warp_b_to_a": warp_between(matrix_b, matrix_a),
            }
        return batch_of

    return _parts(element, start, steps, share, batch)


def mask_dataset(store: SliceStore, masks, plan, law: ViewLaw, *, start: int, steps: int, seed: int, share: Share = WHOLE) -> tf.data.Dataset:
    """Views with warped masks for supervised training: dicts view_a, organ_a, mask (B, H, W) int32 classes.

    Args:
        masks: (N, H, W) uint8 classes aligned with the store's rows; the rest as in `pair_dataset`.
    """
    channels, side = store.images.shape[3], store.images.shape[1]
    whole = len(plan.rows(start))
    batch = whole // share.replicas

    extra = build_rand_augment(law.rand_augment) if law.rand_augment else tf.identity

    def load(step, first):
        rows = plan.rows(int(step))[int(first) : int(first) + batch]
        return (*store.gather(rows)[:2], np.asarray(masks[rows], np.float32))

    def element(step, first):
        images, organ, mask = tf.numpy_function(load, [step, first], [tf.float32] * 3, stateful=False)
        images.set_shape([batch, side, side, channels])
        organ.set_shape([batch, side, side])
        mask.set_shape([batch, side, side])
        place = tf.cast(first, tf.int32), whole
        view, organ, matrix = draw_view(images, organ, tf.stack([seed, 2 * tf.cast(step, tf.int32)]), law, place)
        flat = tf.reshape(matrix, [-1, 9])[:, :8]
        warped = tf.raw_ops.ImageProjectiveTransformV3(
            images=mask[..., None], transforms=flat, output_shape=[side, side], interpolation="NEAREST", fill_mode="CONSTANT", fill_value=0.0
        )
        return {"view_a": extra(view), "organ_a": organ, "mask": tf.cast(warped[..., 0], tf.int32)}

    return _parts(element, start, steps, share, batch)


def _parts(element, start: int, steps: int, share: Share, batch: int) -> tf.data.Dataset:
    """`element(step, first row)` for every step from `start` to `steps`-1 and every replica of the share, `batch` rows each."""

    def place(number):
        return element(start + number // share.here, (share.first + number % share.here) * batch)

    count = max(0, steps - start) * share.here
    dataset = tf.data.Dataset.range(count).map(place, num_parallel_calls=2, deterministic=True)
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(2 * share.here)
