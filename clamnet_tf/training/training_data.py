"""Make the batches of a training: stores of slices, plans that pair them, and the datasets of a stage."""

import numpy as np

from clamnet_tf.input_pipeline.augmentation import AugmentationConfig
from clamnet_tf.input_pipeline.data_service import DataService
from clamnet_tf.input_pipeline.pair_sampling import PairPlan
from clamnet_tf.input_pipeline.pipeline import RowView, SliceStore, mask_dataset, pair_dataset
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

    def pair_plan(self, *, matching: dict, batch_size: int, seed: int) -> PairPlan:
        """Plan which normal slice is paired with which abnormal one.

        `matching` holds options of `input_pipeline.pair_sampling.PairPlan`.
        """
        table = self.slices.table.select(self.rows)
        columns = {"position": table.position, "area": table.area, "site": table.site}
        return PairPlan(table.label, columns, batch_size=batch_size, seed=seed, matching=matching)

    def pairs(self, plan: PairPlan, views: AugmentationConfig, *, steps: int, seed: int, twin: bool):
        """Return (start, Share) -> the pairs of the remaining steps, with a second view of each slice for
        a twin.
        """
        store, service = self.store(self.rows), self._service
        return lambda start, share: pair_dataset(
            store, plan, views, start=start, steps=steps, seed=seed, twin=twin, share=share, service=service
        )

    def masked(self, rows, masks, plan, views: AugmentationConfig, *, steps: int, seed: int):
        """Return (start, Share) -> views with masks of the remaining steps.

        `masks` are true or a teacher's, (len(rows), H, W) uint8.
        """
        store, service = self.store(rows), self._service
        return lambda start, share: mask_dataset(
            store, masks, plan, views, start=start, steps=steps, seed=seed, share=share, service=service
        )
