"""Define the step in which the twins learn from image labels (paper 3.3-3.4).

See docs/method.md, sections "Pairs" and "Hybrid loss".
"""

from keras import ops

from clamnet_tf.input_pipeline.augmentation import sample, sample_by_gather
from clamnet_tf.losses.contrastive import contrast_of_labels, hybrid_consistency, ramp, squared_consistency
from clamnet_tf.losses.hybrid import hybrid_of_labels, organ_mean
from clamnet_tf.networks.build import head_names, logits_network
from clamnet_tf.networks.fast_form import fast_form
from clamnet_tf.training.steps import StepTrainer, head_shares, log_probabilities

TERMS = ("hybrid_abnormal", "hybrid_normal", "agreement", "contrast", "area_abnormal", "area_normal")


def build(network, loss, *, twin, new_twin, steps: int, **_) -> "SiameseTrainer":
    """Build the trainer of the hybrid loss; see recipe.objectives.Objective."""
    return SiameseTrainer(network, **siamese_options(loss, twin, new_twin, steps))


def siamese_options(loss, twin, new_twin, steps: int) -> dict:
    """Return the keyword arguments of SiameseTrainer; see recipe.objectives.Objective for these arguments."""
    options = {
        "k": loss.k,
        "head_weights": loss.head_weights,
        "agreement_weight": loss.consistency.weight,
        "agreement_distance": loss.consistency.distance,
        "agreement_ramp": loss.consistency.ramp,
        "contrast_weight": loss.contrast.weight,
        "contrast_margin": loss.contrast.margin,
        "pooling_power": loss.contrast.pooling_power,
    }
    other = new_twin() if twin.kind in ("separate", "ema") else None
    return {"twin": other, "kind": twin.kind, "loss": options, "momentum": twin.momentum, "steps": steps}


class SiameseTrainer(StepTrainer):
    """Train `network`, which is held by composition, with its twin; the trainer is not part of what is saved.

    Each step takes the dict of `input_pipeline.pipeline.pair_dataset` (rows 2i and 2i+1 are a negative pair)
    and minimises

        mean over slices and heads of hybrid_of_labels(p, classes of the slice, eta)
        + agreement * ramp(step) * mean_organ distance(T p_a, p_b)         positive pairs, both directions
        + contrast * contrast_of_labels(p of abnormal and normal slices)   negative pairs

    Abnormal and normal slices count alike, since a batch holds as many of each.

    Args:
        network: functional network with outputs head_1.. (B, H, W, C).
        twin: a second network of the same shape (kind separate or ema), or None (shared, none).
        kind: "shared", "separate", "ema" or "none".
        loss: keyword options k, head_weights, agreement_weight, agreement_distance, agreement_ramp,
            contrast_weight, contrast_margin, pooling_power.
        momentum: of the ema twin, in 0..1.
        steps: planned number of steps, for the ramp.
    """

    logged: tuple[str, ...] = TERMS

    def __init__(self, network, *, twin=None, kind="shared", loss: dict, momentum=0.99, steps: int, **kwargs):
        super().__init__(network, self.logged, **kwargs)
        self.twin, self.kind, self.momentum, self.steps = twin, kind, momentum, steps
        self.options, self.heads = loss, head_names(network.output)
        self.head_weights = head_shares(self.heads, loss.get("head_weights"))
        self._other = fast_form(logits_network(twin)) if twin is not None else self._student
        if kind == "ema":
            twin.trainable = False
            twin.set_weights(network.get_weights())
        self.step_counter = self.add_weight(
            name="step", shape=(), dtype="int64", initializer="zeros", trainable=False
        )

    def _views(self, batch, training):
        """Return the log-softmax (B, H, W, C) of each view and head."""
        if self.kind == "none":
            return [log_probabilities(self._student(batch["view_a"], training=training))]
        if self.kind == "shared":  # one concatenated pass
            logits = self._student(ops.concatenate([batch["view_a"], batch["view_b"]]), training=training)
            split_heads = {head: ops.split(value, 2) for head, value in log_probabilities(logits).items()}
            return [{head: pair[view] for head, pair in split_heads.items()} for view in (0, 1)]
        logits_a = self._student(batch["view_a"], training=training)
        logits_b = self._other(batch["view_b"], training=training and self.kind == "separate")
        return [log_probabilities(logits_a), log_probabilities(logits_b)]

    def loss_terms(self, batch, training=True) -> dict:
        """Return terms per example, each (B,) float32: hybrid (weighted by eta), agreement, contrast, and
        logged ones.
        """
        return self.terms_of(self._views(batch, training), batch)

    def learned(self, views) -> list:
        """Return the views whose network learns: an ema teacher does not."""
        return views[:1] if self.kind == "ema" else views

    def terms_of(self, views, batch) -> dict:
        """Return the terms of `loss_terms` from the log-softmax (B, H, W, C) of each view and head."""
        abnormal = ops.cast(batch["label"] > 0, "float32")
        k, margin, power = (self.options[name] for name in ("k", "contrast_margin", "pooling_power"))
        terms = {"hybrid": 0.0, "agreement": 0.0, "contrast": 0.0, "raw": 0.0, "area": 0.0}
        learned = self.learned(views)
        for head, head_weight in zip(self.heads, self.head_weights):
            if not head_weight:
                continue
            for view, organ in zip(learned, (batch["organ_a"], batch.get("organ_b"))):
                share = head_weight / len(learned)
                raw, weighted = hybrid_of_labels(view[head], organ, batch["eta"], k)
                contrast = contrast_of_labels(
                    view[head], organ, batch["eta"], margin, power, batch.get("certainty")
                )
                lesion = 1.0 - ops.exp(view[head][..., 0])
                terms["raw"] += share * raw
                terms["hybrid"] += share * weighted
                terms["contrast"] += share * ops.repeat(contrast, 2)
                terms["area"] += share * organ_mean(ops.cast(lesion > 0.5, "float32"), organ)
            if len(views) == 2:
                terms["agreement"] += head_weight * self._agreement(views[0][head], views[1][head], batch)
        terms["abnormal"] = abnormal
        return terms

    def _agreement(self, log_a, log_b, batch):
        """Return the symmetric consistency loss of two views of one slice inside both organs, (B,)."""
        result = 0.0
        directions = (
            (log_a, log_b, "warp_a_to_b", "organ_a", "organ_b"),
            (log_b, log_a, "warp_b_to_a", "organ_b", "organ_a"),
        )
        for source, target, warp, source_organ, target_organ in directions:
            moving = ops.exp(source)
            if self.kind == "ema" and source is log_b:  # the label excludes classes of the teacher
                moving = moving * _possible(batch["eta"])[:, None, None, :]
                background = moving[..., :1] + (1.0 - ops.sum(moving, axis=-1, keepdims=True))
                moving = ops.concatenate([background, moving[..., 1:]], axis=-1)
            elif self.kind == "ema":
                continue  # the teacher learns nothing
            resample = sample_by_gather if self.jit_compile else sample
            warped = resample(ops.concatenate([moving, batch[source_organ][..., None]], axis=-1), batch[warp])
            visible = ops.round(warped[..., -1]) * batch[target_organ]
            if self.options["agreement_distance"] == "hybrid":
                distance = hybrid_consistency(warped[..., :-1], target, self.options["k"])
            else:
                distance = squared_consistency(warped[..., :-1], ops.exp(target))
            result += organ_mean(distance, visible) * (1.0 if self.kind == "ema" else 0.5)
        return result

    def _total(self, terms):
        agreement = self.options["agreement_weight"] * ramp(
            self.step_counter, self.steps, self.options["agreement_ramp"]
        )
        return (
            terms["hybrid"]
            + agreement * terms["agreement"]
            + self.options["contrast_weight"] * terms["contrast"]
        )

    def minimised(self, batch) -> tuple:
        """Return the mean total, and the terms that are logged."""
        terms = self.loss_terms(batch, training=True)
        return ops.mean(self._total(terms)), self.logged_terms(terms)

    def logged_terms(self, terms) -> dict:
        """Return what is logged, name -> (values (B,), weights (B,) or None)."""
        abnormal, normal = terms["abnormal"], 1.0 - terms["abnormal"]
        return {
            "hybrid_abnormal": (terms["raw"], abnormal),
            "hybrid_normal": (terms["raw"], normal),
            "agreement": (terms["agreement"], None),
            "contrast": (terms["contrast"], None),
            "area_abnormal": (terms["area"], abnormal),
            "area_normal": (terms["area"], normal),
        }

    def updated(self) -> None:
        """Let the teacher follow the student, and count the step."""
        if self.kind == "ema":
            for teacher, student in zip(self.twin.variables, self.network.variables):
                if "float" in teacher.dtype:
                    teacher.assign(self.momentum * teacher + (1.0 - self.momentum) * student)
        self.step_counter.assign_add(1)


def _possible(eta):
    """Return which classes a slice may show, (B, 1 + M) of 0 and 1: the background, and those with an eta."""
    return ops.concatenate([ops.ones_like(eta[:, :1]), ops.cast(eta > 0, eta.dtype)], axis=-1)
