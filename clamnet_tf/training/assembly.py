"""Build the parts of one training once from its recipe; modules below it get plain arguments or a section."""

import functools
import hashlib

import keras
import numpy as np

from clamnet_tf.inference.attribution_map import AttributionMap
from clamnet_tf.inference.build import build_predictor
from clamnet_tf.inference.postprocessing.one_class import PostprocessingConfig
from clamnet_tf.input_pipeline.augmentation import AugmentationConfig
from clamnet_tf.input_pipeline.pair_sampling import ShuffledPlan
from clamnet_tf.networks.build import build_network
from clamnet_tf.networks.classifier import build_classifier
from clamnet_tf.networks.evidence_classifier import build_evidence_classifiers
from clamnet_tf.networks.evidence_maps import evidence_maps
from clamnet_tf.recipe.classes import classes_of
from clamnet_tf.recipe.classifiers_key import key_of_classifiers
from clamnet_tf.recipe.objectives import OBJECTIVES
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.runs import CLASSIFIERS
from clamnet_tf.training import mixed
from clamnet_tf.training.attribution_labels import attribution_labels, student_labels
from clamnet_tf.training.classification import ClassifierTrainer
from clamnet_tf.training.initial import begin_with
from clamnet_tf.training.optimizers import build_optimizer
from clamnet_tf.training.pseudo_labels import pseudo_labels
from clamnet_tf.training.selection import (
    choose,
    choose_classifier,
    score_checkpoint,
    score_classifier,
    thinned,
)
from clamnet_tf.training.slices import TrainingSlices
from clamnet_tf.training.stage import Schedule, Stage
from clamnet_tf.training.study_labels import StudyLabels
from clamnet_tf.training.supervised import SupervisedTrainer
from clamnet_tf.training.teaching_masks import TeachingMasks, open_teaching_masks
from clamnet_tf.training.thresholds import fit_postprocessors
from clamnet_tf.training.training_data import TrainingData
from clamnet_tf.training.workers import Workers


class TrainingAssembly:
    """Build the stages, predictors and thresholds of one training from its recipe.

    Args:
        recipe: the resolved recipe.
        manifest: the manifest whose cases have their split.
        prepared: its Prepared slices.
        workers: processes of the cluster, with the strategy that the networks are built in.
        initial: network whose weights every stage but the attribution's classifiers starts from, as far as
            they fit (fit --init), or None.
        say: callable that receives a line for the reader.

    Attributes:
        slices: TrainingSlices.
        data: TrainingData.
        mixed: whether some slices teach with masks and the others with their labels.
        postprocessor: PostprocessingConfig.
        classes: LesionClass of each map.
        studies: StudyLabels.
        numbers: numbers of the stages, in order: 0 learns from labels or masks, 1.. from the masks of the
            stage before.
        key: text of the resolved recipe, the prepared slices' key and the training labels, which must be
            equal in all processes of a training; initial weights are not part of it.
        key_of_classifiers: identity of what the classifiers of an attribution depend on, "" without any.

    Raises:
        DataError: a side has no usable slices or lacks a class.
    """

    def __init__(
        self, recipe: Recipe, manifest, prepared, workers: Workers, initial=None, say=lambda line: None
    ):
        self.manifest, self.prepared, self.workers = manifest, prepared, workers
        self.initial, self.say = initial, say
        self.training, self.taught, self.selection = recipe.training, recipe.self_training, recipe.selection
        self.loss, self.twin, self.inference = recipe.loss, recipe.twin, recipe.inference
        self.attribution = recipe.attribution
        self.network, self.pairs, self.xla = recipe.network, recipe.pairs, recipe.runtime.xla
        self.mixed = recipe.training.supervision == "mixed"
        self.shape = {"side": recipe.data.side, "channels": prepared.images.shape[3]}
        self.classes = classes_of(recipe)
        self.numbers = range(recipe.first_round, 1 + recipe.self_training.rounds)
        self.postprocessor = PostprocessingConfig.of(recipe.inference)
        self.slices = TrainingSlices.of(recipe, prepared)
        self.studies = StudyLabels(self.slices, method=recipe.loss.study_weights)
        etas = [lesion_class.eta for lesion_class in self.classes]
        self.data = TrainingData(self.slices, etas=etas, data_service=recipe.runtime.data_service)
        identity = f"{prepared.key} {_digest(self.slices)}"
        self.key = f"{recipe.model_dump_json()} {identity}"
        self.key_of_classifiers = key_of_classifiers(recipe, identity)

    @property
    def batch_sizes(self) -> dict[str, int]:
        """Key of the recipe -> slices per step, for every size that is used."""
        sizes = {"training.batch_size": self.training.batch_size}
        if self.taught.teacher == "attribution" and self.attribution is not None:
            sizes["attribution.classifier.batch_size"] = self.attribution.classifier.batch_size
        return sizes

    @functools.cached_property
    def teaching(self) -> TeachingMasks:
        """The masks that teach, opened at the first use; none are known when image labels alone teach."""
        count = len(self.classes)
        return open_teaching_masks(
            self.manifest, self.prepared, self.slices, self.training, count, self.workers, self.say
        )

    def untrained(self) -> dict:
        """Return {title of a stage: its network without the initial weights}, which
        `training.initial.plan_initial` tries.
        """
        networks = {}
        if self.taught.teacher == "first_network":
            networks["first network"] = self._first_network(None)
        if self.taught.rounds:
            networks["self-training"] = build_network(self.taught.network, **self.shape)
        return networks

    def stage(self, number: int, first_step: int, teacher) -> Stage:
        """Seed Keras and build stage `number`.

        Args:
            number: 0 for the first stage, 1.. for the rounds of self-training.
            first_step: optimizer steps of the stages before.
            teacher: predictor of the stage before; None: the normal atlas.
        """
        keras.utils.set_random_seed(self.training.seed + number)
        if number:
            return self.self_training_stage(number, first_step, teacher)
        if self.taught.teacher == "attribution":
            return self.classifier_stage(first_step)
        if self.training.supervision == "masks":
            return self.mask_stage(first_step)
        return self.label_stage(first_step)

    def label_stage(self, first_step: int) -> Stage:
        """Build the stage in which the first network learns from image labels, by pairs or by another
        objective.
        """
        section = self.training
        with self.workers.strategy.scope():
            network = self._first_network(self.initial)
            build = mixed.build if self.mixed else OBJECTIVES[self.loss.objective].build
            parts = {"twin": self.twin, "new_twin": self._twin, "classes": self.classes}
            trainer = build(network, self.loss, steps=section.steps, **parts)
            if self.studies.any:
                trainer.weigh_studies(*self.studies.unsure.shape)
            self._compile(trainer, section.optimizer, section.steps)
        plan = self._plan(self.pairs.matching, section.batch_size, section.seed)
        known, twin = self.teaching.for_pairs() if self.mixed else None, self.twin.kind != "none"
        dataset = self.data.pairs(
            plan, self._views(), steps=section.steps, seed=section.seed, twin=twin, known=known
        )
        name = "mixed" if self.mixed else "image-labels"
        return self._stage(name, first_step, section.steps, trainer, dataset)

    def mask_stage(self, first_step: int) -> Stage:
        """Build the stage in which the first network learns from masks (supervised mode)."""
        section, loss = self.training, self.loss
        with self.workers.strategy.scope():
            network = self._first_network(self.initial)
            trainer = SupervisedTrainer(
                network, k=loss.k, head_weights=loss.head_weights, dice=loss.soft_dice
            )
            self._compile(trainer, section.optimizer, section.steps)
        rows, masks = self.data.rows[self.teaching.known], self.teaching.masks[self.teaching.known]
        plan = ShuffledPlan(len(rows), batch_size=section.batch_size, seed=section.seed)
        dataset = self.data.masked(rows, masks, plan, self._views(), steps=section.steps, seed=section.seed)
        return self._stage("supervised", first_step, section.steps, trainer, dataset)

    def classifier_stage(self, first_step: int) -> Stage:
        """Build the stage in which image classifiers learn the labels.

        Their attribution teaches the first round.
        """
        assert self.attribution is not None  # a rule of the recipe
        own, slices, seed = self.attribution.classifier, self.slices, self.training.seed
        with self.workers.strategy.scope():
            network = build_evidence_classifiers(own, **self.shape)
            trainer = ClassifierTrainer(network, self.attribution, steps=own.steps)
            self._compile(trainer, own.optimizer, own.steps)
        plan = self._plan(own.matching, own.batch_size, seed, of_labels=True)
        views = AugmentationConfig(**own.augmentation.model_dump())
        dataset = self.data.pairs(plan, views, steps=own.steps, seed=seed, twin=own.networks > 1)
        teacher = AttributionMap(network, self.attribution, batch_size=self.inference.batch_size)
        return Stage(
            name=CLASSIFIERS,
            schedule=self._schedule(first_step, own.steps, own.batch_size),
            trainer=trainer,
            predictor=teacher,
            dataset=dataset,
            score=lambda step: score_classifier(teacher, step, slices.validation()),
            choose=lambda scores: choose_classifier(scores, self.selection),
            key=self.key_of_classifiers,
        )

    def self_training_stage(self, number: int, first_step: int, teacher) -> Stage:
        """Build a stage in which a new network learns from the masks of the teacher, or of the atlas.

        The network starts from random or from the initial weights. In mixed supervision, slices with a mask
        teach with it instead.
        """
        own, seed = self.taught, self.training.seed + number
        with self.workers.strategy.scope():
            network = build_network(own.network, **self.shape)
            begin_with(self.initial, network)
            loss = self.loss
            trainer = SupervisedTrainer(network, k=loss.k, dice=loss.soft_dice, mixed=loss.mixed)
            if self.studies.any:
                trainer.weigh_studies(*self.studies.unsure.shape)
            self._compile(trainer, self.training.optimizer, own.steps)
        masks, masked = self.taught_masks(number, teacher, trainer), None
        if self.mixed:
            masks, masked = self.teaching.over(masks), self.teaching.known
        plan = self._plan(own.matching, self.training.batch_size, seed)
        dataset = self.data.masked(
            self.data.rows, masks, plan, self._views(), steps=own.steps, seed=seed, masked=masked
        )
        return self._stage(f"self-training-{number}", first_step, own.steps, trainer, dataset)

    def taught_masks(self, number: int, teacher, trainer=None) -> np.ndarray:
        """Return the masks that teach the training rows, (N, H, W) uint8 of training.pseudo_labels.

        With labels of studies, the slices that the teacher's scores make probable fix the cuts, and `trainer`
        gets the weights of all slices.
        """
        own, data, organ = self.taught, self.data, self.prepared.organ[self.data.rows]
        if own.teacher == "attribution":
            known = data.images, organ, data.label, data.volume, self.attribution
            if number == 1:
                return attribution_labels(teacher, *known, self.selection.prevalence)
            return student_labels(teacher, *known)

        def maps_of(rows):
            if teacher:
                return teacher(data.images[rows])
            unusual = self.prepared.atlas.probability(data.images[rows], data.organ[rows])
            return np.repeat(unusual[..., None], len(self.classes), axis=-1)

        return pseudo_labels(
            maps_of,
            data.images,
            organ,
            data.shown,
            data.volume,
            marked=[own.foreground_fraction or one.prevalence for one in self.classes],
            background=own.background_fraction,
            steps=self.postprocessor,
            distinct=teacher is not None,
            certain=self.studies.estimated(maps_of, trainer).shown[data.rows],
        )

    def predictor(self, network):
        """Return the predictor of a network that is trained here; the workers share its passes."""
        head = self.inference.head if f"head_{self.inference.head}" in network.output else "mean"
        predictor = build_predictor(network, self.inference, self.attribution, head=head)
        predictor.workers = self.workers
        return predictor

    def result(self, predictor):
        """Return the predictor of the run's result: the last stage's, or the attribution of classifiers."""
        if self.taught.teacher != "attribution" or self.taught.rounds:
            return predictor
        return self.predictor(evidence_maps(predictor.network))

    def cuts(self, predictor) -> dict:
        """Return the postprocessors of the mean of the heads ("mean") and of every head, fixed on training
        images.
        """
        slices = self.studies.estimated(lambda rows: predictor(self.data.images[rows]))
        return fit_postprocessors(predictor, slices, self.selection, self.postprocessor, self.classes)

    def _stage(self, name: str, first_step: int, steps: int, trainer, dataset) -> Stage:
        """Build a stage whose network predicts masks."""
        predictor = self.predictor(trainer.twin if trainer.kind == "ema" else trainer.network)
        section, power = self.selection, self.loss.contrast.pooling_power
        unit = "slice" if self.slices.validation_studies is None else "study"

        schedule = self._schedule(first_step, steps, self.training.batch_size)

        def score(step):
            slices = self.studies.estimated(lambda rows: predictor(self.data.images[rows]), trainer)
            samples, studies = (slices.training_abnormal(), slices.validation()), slices.validation_studies
            if section.checkpoint == "last" and step != schedule.last_step and studies is None:
                samples = thinned(*samples)  # nothing is chosen by this score
            return score_checkpoint(predictor, step, *samples, section, self.classes, power, studies)

        return Stage(
            name,
            schedule,
            trainer,
            predictor,
            dataset,
            score,
            choose=lambda scores: choose(scores, section, unit),
        )

    def _schedule(self, first_step: int, steps: int, batch_size: int) -> Schedule:
        section = self.training
        return Schedule(first_step, steps, batch_size, section.evaluate_every, section.checkpoint_every)

    def _first_network(self, initial):
        """Build the first network, with the initial weights when there are any."""
        build = build_classifier if OBJECTIVES[self.loss.objective].classifies else build_network
        network = build(self.network, **self.shape)
        begin_with(initial, network)
        return network

    def _twin(self):
        """Build a second network like the first one, for twins with weights of their own."""
        twin = build_network(self.network, **self.shape, name="twin")
        begin_with(self.initial, twin)
        return twin

    def _compile(self, trainer, optimizer, steps: int) -> None:
        replicas = self.workers.strategy.num_replicas_in_sync
        trainer.compile(
            optimizer=build_optimizer(optimizer, steps=steps, replicas=replicas), jit_compile=self.xla
        )
        trainer.optimizer.build(trainer.trainable_variables)

    def _plan(self, matching, batch_size: int, seed: int, *, of_labels: bool = False):
        """Plan the pairs of a stage; mixed supervision mixes them, unless the stage learns labels alone."""
        options = {"matching": matching.model_dump(), "batch_size": batch_size, "seed": seed}
        if self.mixed and not of_labels:
            return self.data.mixed_plan(self.teaching.known, share=self.training.masked_share, **options)
        return self.data.pair_plan(**options)

    def _views(self) -> AugmentationConfig:
        return AugmentationConfig(**self.pairs.augmentation.model_dump())


def _digest(slices: TrainingSlices) -> str:
    """Return the sha256 of the training rows, their labels and the classes they show."""
    rows = slices.rows
    labels = np.ascontiguousarray(slices.table.label[rows]).tobytes() + slices.shown[rows].tobytes()
    labels += slices.unsure.tobytes()
    return hashlib.sha256(rows.tobytes() + labels).hexdigest()
