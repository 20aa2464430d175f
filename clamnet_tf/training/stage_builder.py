"""The stages of a run, built from its recipe: networks, trainers and data of the first network, the classifiers, the rounds."""

import numpy as np

from clamnet_tf.data.data_service import DataService
from clamnet_tf.data.pairs import PairPlan, ShuffledPlan
from clamnet_tf.data.pipeline import RowView, SliceStore, mask_dataset, pair_dataset
from clamnet_tf.data.views import ViewLaw
from clamnet_tf.marking.volume_marking import VolumeSteps
from clamnet_tf.networks.attribution_map import AttributionMap
from clamnet_tf.networks.build import build_network
from clamnet_tf.networks.classifier import build_classifier
from clamnet_tf.networks.evidence_classifier import build_evidence_classifiers
from clamnet_tf.networks.markers import build_marker
from clamnet_tf.recipe.markers import markers_of
from clamnet_tf.recipe.objectives import OBJECTIVES
from clamnet_tf.training.attribution_labels import attribution_labels, student_labels
from clamnet_tf.training.classification import ClassifierTrainer
from clamnet_tf.training.initial import begin_with
from clamnet_tf.training.optimizers import build_optimizer
from clamnet_tf.training.pseudo_labels import marker_pseudo_labels, pseudo_labels
from clamnet_tf.training.selection import choose_classifier, look_at, look_at_classifier, look_at_markers
from clamnet_tf.training.stage import Stage
from clamnet_tf.training.supervised import SupervisedTrainer, training_masks


class StageBuilder:
    """Builds the stages of one run, one after the other; holds what they share.

    Args:
        recipe: Recipe, resolved. manifest: with every case's split set. prepared: its Prepared slices.
        slices: TrainingSlices of both. workers: Workers of the cluster.
        initial: network whose weights every stage starts from as far as they fit (fit --init), or None.
        say: callable, for a line to the reader.
    """

    def __init__(self, recipe, manifest, prepared, slices, workers, initial=None, say=lambda line: None):
        self.recipe, self.manifest, self.prepared, self.slices = recipe, manifest, prepared, slices
        self.workers, self.initial, self.say = workers, initial, say
        self.channels = prepared.images.shape[3]
        self.classes = markers_of(recipe)
        self.rows = slices.rows

    def build(self, number: int, first_step: int, teacher) -> Stage:
        """Stage `number`: 0 learns from labels (or masks), 1.. from the marks of `teacher`, or of the atlas when it is None.

        first_step: number of optimizer steps of the stages before.
        """
        if number:
            return self._taught(number, first_step, teacher)
        if self.recipe.self_training.teacher == "attribution":
            return self._classifiers(first_step)
        return self._first(first_step)

    def untrained(self) -> dict:
        """Words for a stage -> its network without the initial weights: what `training.initial.plan_initial` tries."""
        recipe, found = self.recipe, {}
        if recipe.self_training.teacher == "first_network":
            found["first network"] = self._first_network(None)
        if recipe.self_training.rounds:
            found["self-training"] = build_network(recipe.self_training.network, side=recipe.data.side, channels=self.channels)
        return found

    def _first(self, first_step) -> Stage:
        """From image labels, or from masks in supervised mode."""
        recipe, section = self.recipe, self.recipe.training
        supervised = section.supervision == "masks"
        with self.workers.strategy.scope():
            network = self._first_network(self.initial)
            if supervised:
                trainer = SupervisedTrainer(network, k=recipe.loss.k, head_weights=recipe.loss.head_weights, dice=recipe.loss.soft_dice)
            else:
                trainer = OBJECTIVES[recipe.loss.objective].build(
                    network, recipe.loss, twin=recipe.twin, new_twin=self._twin, prevalence=recipe.selection.prevalence, steps=section.steps
                )
            self._compile(trainer, section.optimizer, section.steps)
        if supervised:
            kept, masks = training_masks(self.manifest, self.prepared, self.rows, max(1, len(self.classes)), self.say)
            rows = self.rows[kept]
            plan = ShuffledPlan(len(rows), batch_size=section.batch_size, seed=section.seed)
            dataset = self._mask_data(rows, plan, masks, section.steps, section.seed)
        else:
            plan = self._pair_plan(section.seed, recipe.pairs.matching, section.batch_size)
            dataset = self._pair_data(plan, recipe.pairs.views, section.steps, twin=recipe.twin.kind != "none")
        return self._stage("supervised" if supervised else "image-labels", first_step, section.steps, trainer, dataset)

    def _classifiers(self, first_step) -> Stage:
        """Image classifiers, whose attribution is the teacher of the first round."""
        recipe, section = self.recipe, self.recipe.attribution
        own = section.classifier
        with self.workers.strategy.scope():
            network = build_evidence_classifiers(own, side=recipe.data.side, channels=self.channels)
            trainer = ClassifierTrainer(network, section, steps=own.steps)
            self._compile(trainer, own.optimizer, own.steps)
        plan = self._pair_plan(recipe.training.seed, own.matching, own.batch_size)
        dataset = self._pair_data(plan, own.views, own.steps, twin=own.networks > 1)
        teacher = AttributionMap(network, section, batch_size=recipe.inference.batch_size)
        look = lambda step: look_at_classifier(teacher, step, self.slices.validation())  # noqa: E731
        return Stage("classifiers", first_step, own.steps, trainer, teacher, dataset, look, batch_size=own.batch_size, choose=choose_classifier)

    def _taught(self, number, first_step, teacher) -> Stage:
        """A fresh network (or one with the initial weights) taught by the marks of the teacher, or of the atlas."""
        recipe, own = self.recipe, self.recipe.self_training
        masks = self._taught_masks(number, teacher)
        with self.workers.strategy.scope():
            network = build_network(own.network, side=recipe.data.side, channels=self.channels)
            begin_with(self.initial, network)
            trainer = SupervisedTrainer(network, k=recipe.loss.k, dice=recipe.loss.soft_dice)
            self._compile(trainer, recipe.training.optimizer, own.steps)
        seed = recipe.training.seed + number
        plan = self._pair_plan(seed, own.matching, recipe.training.batch_size)
        return self._stage(f"self-training-{number}", first_step, own.steps, trainer, self._mask_data(self.rows, plan, masks, own.steps, seed))

    def _taught_masks(self, number, teacher) -> np.ndarray:
        """(N, H, W) uint8 of training.pseudo_labels for the training rows."""
        recipe, own, rows, table = self.recipe, self.recipe.self_training, self.rows, self.slices.table
        images, organ = RowView(self.prepared.images, rows), RowView(self.prepared.organ, rows)
        if own.teacher == "attribution":
            known = images, self.prepared.organ[rows], table.label[rows], table.volume[rows], recipe.attribution
            first = number == 1
            return attribution_labels(teacher, *known, recipe.selection.prevalence) if first else student_labels(teacher, *known)

        def maps_of(some):
            if teacher:
                return teacher(images[some])
            unusual = self.prepared.atlas.probability(images[some], organ[some])
            return np.repeat(unusual[..., None], len(self.classes), axis=-1) if self.classes else unusual

        seen = maps_of, images, self.prepared.organ[rows]
        options = {"background": own.background, "steps": VolumeSteps.of(recipe.inference)}
        if self.classes:
            marked = [one.prevalence for one in self.classes]
            shown = self.slices.shown[rows]
            return marker_pseudo_labels(*seen, shown, table.volume[rows], marked=marked, told_apart=teacher is not None, **options)
        share = own.marker or recipe.selection.prevalence
        return pseudo_labels(*seen, table.label[rows], table.volume[rows], marked=share, **options)

    def _stage(self, name, first_step, steps, trainer, dataset) -> Stage:
        inference, section, slices = self.recipe.inference, self.recipe.selection, self.slices
        network = trainer.twin if trainer.kind == "ema" else trainer.network
        marker = build_marker(network, inference, head=inference.head if f"head_{inference.head}" in network.output else "mean")
        marker.workers = self.workers
        power = self.recipe.loss.contrast.pooling_power

        def look(step):
            if self.classes:
                return look_at_markers(marker, step, slices.training_markers(), slices.validation_markers(), section, self.classes, power)
            return look_at(marker, step, slices.training_abnormal(), slices.validation(), section, power)

        return Stage(name, first_step, steps, trainer, marker, dataset, look, batch_size=self.recipe.training.batch_size)

    def _first_network(self, initial):
        """The first network, with the initial weights when there are any."""
        recipe = self.recipe
        build = build_classifier if OBJECTIVES[recipe.loss.objective].classifies else build_network
        network = build(recipe.network, side=recipe.data.side, channels=self.channels)
        begin_with(initial, network)
        return network

    def _twin(self):
        """A second network like the first one."""
        twin = build_network(self.recipe.network, side=self.recipe.data.side, channels=self.channels, name="twin")
        begin_with(self.initial, twin)
        return twin

    def _compile(self, trainer, optimizer, steps) -> None:
        replicas = self.workers.strategy.num_replicas_in_sync
        trainer.compile(optimizer=build_optimizer(optimizer, steps=steps, replicas=replicas), jit_compile=self.recipe.runtime.xla)
        trainer.optimizer.build(trainer.trainable_variables)

    def _store(self, rows) -> SliceStore:
        prepared, table = self.prepared, self.slices.table
        unknown = np.isnan(table.eta[rows])
        eta = np.where(unknown, self.recipe.loss.eta, table.eta[rows])
        parts = RowView(prepared.images, rows), RowView(prepared.organ, rows), table.label[rows], eta
        if not self.classes:
            return SliceStore(*parts)
        of_classes = np.where(unknown[:, None], [one.eta for one in self.classes], table.eta[rows][:, None])
        return SliceStore(*parts, of_classes * self.slices.shown[rows])

    def _pair_plan(self, seed, matching, batch_size) -> PairPlan:
        table = self.slices.table.select(self.rows)
        columns = {"position": table.position, "area": table.area, "site": table.site}
        return PairPlan(table.label, columns, batch_size=batch_size, seed=seed, matching=matching.model_dump())

    def _pair_data(self, plan, views, steps, *, twin):
        """(start, Share) -> the pairs of the remaining steps."""
        options = {"steps": steps, "seed": self.recipe.training.seed, "twin": twin, "service": self._service()}
        store, law = self._store(self.rows), ViewLaw(**views.model_dump())
        return lambda start, share: pair_dataset(store, plan, law, start=start, share=share, **options)

    def _mask_data(self, rows, plan, masks, steps, seed):
        """(start, Share) -> views with masks (true or taught) of the remaining steps."""
        store, law, service = self._store(rows), ViewLaw(**self.recipe.pairs.views.model_dump()), self._service()
        return lambda start, share: mask_dataset(store, masks, plan, law, start=start, steps=steps, seed=seed, share=share, service=service)

    def _service(self):
        """What makes the batches, or None: this process; arrays that are in no file go into the cache."""
        address = self.recipe.runtime.data_service
        return None if address is None else DataService(address, self.prepared.cache / "data-service")
