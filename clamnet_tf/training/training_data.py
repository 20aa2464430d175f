"""Make the batches of a training: stores of slices, plans that pair them, and the datasets of a stage."""

from typing import Any

import numpy as np

from clamnet_tf.input_pipeline.augmentation import AugmentationConfig
from clamnet_tf.input_pipeline.data_service import DataService
from clamnet_tf.input_pipeline.pair_sampling import MixedPlan, PairPlan, ShuffledPlan, SubsetPlan
from clamnet_tf.input_pipeline.pipeline import (
    KnownMasks,
    RowView,
    SliceStore,
    mask_dataset,
    pair_dataset,
)
from clamnet_tf.training.slices import TrainingSlices


class TrainingData:
    """Make the datasets that the stages of one run train on.

    Args:
        slices: usable slices of the training side.
        etas: eta per lesion class, for a slice that shows the class and whose manifest row gives none.
        data_service: address of the service that makes the batches (grpc://host:port); None: this process.

    Attributes:
        rows: training rows of the prepared slices, rising.
        images: view of these rows, (N, H, W, C).
        organ: view of these rows, (N, H, W).
        label: (N,) labels of these rows.
        volume: (N,) volume numbers of these rows.
        shown: (N, classes) bool.
    """

    def __init__(self, slices: TrainingSlices, *, etas, data_service: str | None = None):
        prepared, self.rows = slices.prepared, slices.rows
        self.slices, self.etas = slices, list(etas)
        self.images, self.organ = RowView(prepared.images, self.rows), RowView(prepared.organ, self.rows)
        self.label, self.volume = slices.table.label[self.rows], slices.table.volume[self.rows]
        self.shown = slices.shown[self.rows]
        # A service elsewhere needs files: arrays that are in none are written into the cache.
        self._service = (
            None if data_service is None else DataService(data_service, prepared.cache / "data-service")
        )

    def store(self, rows) -> SliceStore:
        """Return what the pipelines read of these rows of the prepared slices; rows are numbered where labels
        of studies teach.
        """
        prepared, table = self.slices.prepared, self.slices.table
        case_etas = table.eta[rows][:, None]
        etas = np.where(np.isnan(case_etas), self.etas, case_etas) * self.slices.shown[rows]
        return SliceStore(
            RowView(prepared.images, rows),
            RowView(prepared.organ, rows),
            table.label[rows],
            etas,
            numbered=bool(self.slices.unsure.any()),
        )

    def pair_plan(self, *, matching: dict, batch_size: int, seed: int, among=None) -> PairPlan:
        """Plan which normal slice is paired with which abnormal one.

        Args:
            matching: options of `input_pipeline.pair_sampling.PairPlan`.
            batch_size: slices per step, even.
            seed: of the plan.
            among: (n,) numbers of the training rows that are paired, whose rows the plan counts; None: all.
        """
        table = self.slices.table.select(self.rows if among is None else self.rows[among])
        columns = {"position": table.position, "area": table.area, "site": table.site}
        return PairPlan(table.label, columns, batch_size=batch_size, seed=seed, matching=matching)

    def mixed_plan(self, masked, *, share: float, matching: dict, batch_size: int, seed: int):
        """Plan batches of pairs with masks and pairs without.

        The least share of slices with masks is exceeded where more of the abnormal slices have one. Pairs
        without a mask take abnormal slices that have none and normal ones that have none or, where all have
        one, any. When every abnormal slice has a mask, there are only pairs with masks and any normal slices.

        Args:
            masked: (N,) bool, which of the training rows have a mask that teaches.
            share: training.masked_share.
            matching, batch_size, seed: see `pair_plan`.
        """
        abnormal, pairs = self.label > 0, batch_size // 2
        others, normal = np.flatnonzero(~masked & abnormal), np.flatnonzero(~masked & ~abnormal)
        if not len(others):
            return self.pair_plan(matching=matching, batch_size=batch_size, seed=seed)
        normal = normal if len(normal) else np.flatnonzero(~abnormal)
        share = max(share, float((masked & abnormal).sum() / abnormal.sum()))
        masked_pairs = int(np.clip(round(share * pairs), 1, pairs - 1))

        def paired(rows, count):
            options = {"matching": matching, "batch_size": 2 * count, "seed": seed}
            return SubsetPlan(self.pair_plan(among=rows, **options), rows)

        rows = np.flatnonzero(masked)
        if abnormal[rows].all() or not abnormal[rows].any():  # nothing to pair: each in turn
            with_masks = SubsetPlan(ShuffledPlan(len(rows), batch_size=2 * masked_pairs, seed=seed), rows)
        else:
            with_masks = paired(rows, masked_pairs)
        without = paired(np.sort(np.concatenate([others, normal])), pairs - masked_pairs)
        return MixedPlan(with_masks, without, pairs=pairs, masked_pairs=masked_pairs)

    def pairs(
        self,
        plan,
        views: AugmentationConfig,
        *,
        steps: int,
        seed: int,
        twin: bool,
        known: KnownMasks | None = None,
    ):
        """Return (start, Share) -> the pairs of the remaining steps, with a second view of each slice for
        a twin.

        `known` are masks of the training rows for mixed supervision.
        """
        store = self.store(self.rows)
        own: dict[str, Any] = {"seed": seed, "twin": twin, "known": known, "service": self._service}
        return lambda start, share: pair_dataset(
            store, plan, views, start=start, steps=steps, share=share, **own
        )

    def masked(self, rows, masks, plan, views: AugmentationConfig, *, steps: int, seed: int, masked=None):
        """Return (start, Share) -> views with masks of the remaining steps.

        `masks` are true or a teacher's, (len(rows), H, W) uint8; `masked` (len(rows),) is 1 where they are
        true, None when all are of one kind.
        """
        store = self.store(rows)
        own: dict[str, Any] = {"seed": seed, "service": self._service, "masked": masked}
        return lambda start, share: mask_dataset(
            store, masks, plan, views, start=start, steps=steps, share=share, **own
        )
