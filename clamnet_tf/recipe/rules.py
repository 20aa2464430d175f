"""Rules between several keys of a recipe, which the schema cannot state (rule.py says what a rule is)."""

from clamnet_tf.recipe import (  # noqa: F401  (each adds its rules to RULES)
    rules_contralateral,
    rules_masks,
    rules_network,
    rules_sequences,
    rules_teaching,
)
from clamnet_tf.recipe.objectives import OBJECTIVES
from clamnet_tf.recipe.rule import RULES, Finding, rule

SPLIT_TOLERANCE = 1e-6
__all__ = ["RULES"]


@rule("classes")
def classes_once(classes):
    names = [one["name"] for one in classes or []]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Finding(
                ("classes", index, "name"), "each class once", f"{name} again", "remove one of them"
            )


@rule("classes", "loss.objective")
def classifiers_have_one_class(classes, objective):
    if classes and objective == "classification":
        expected = (
            "an objective of maps, since a classifier of slices tells abnormal from normal; or "
            "classes: null, one class at a time"
        )
        yield Finding(("loss", "objective"), expected, objective)


@rule("classes", "self_training.foreground_fraction")
def classes_have_their_own_share(classes, share):
    if classes and share is not None:
        yield Finding(
            ("self_training", "foreground_fraction"),
            "null, since every class has its own prevalence (classes[..].prevalence)",
            f"{share:g}",
        )


@rule("classes", "inference.fill_holes")
def classes_keep_holes(classes, fill_holes):
    if classes and fill_holes:
        yield Finding(("inference", "fill_holes"), "false, since a hole of one class may be another", "true")


@rule("data.normalization", "data.window")
def window_given(normalization, window):
    if normalization == "window" and window is None:
        expected = "a window (center, width), which data.normalization window scales by"
        yield Finding(
            ("data", "window"), expected, "nothing (null)", "give the window or choose another normalization"
        )


@rule("organ.method", "organ.network")
def organ_network_given(method, network):
    if method == "network" and not network:
        expected = (
            "a zoo entry or a run folder, since organ.method network lets a trained network find the organ"
        )
        yield Finding(("organ", "network"), expected, "nothing (null)")
    if method != "network" and network:
        yield Finding(
            ("organ", "network"),
            f"null, since organ.method {method} uses no network",
            network,
            "or set organ.method: network",
        )


@rule("data.cohort.slices", "data.cohort.kind")
def cohort_has_such_images(slices, kind):
    path = ("data", "cohort", "slices")
    if kind == "bone_xray" and slices > 2:
        yield Finding(path, "1 or 2, the views of data.cohort.kind bone_xray", str(slices))
    if kind != "bone_xray" and slices < 4:
        yield Finding(path, f"at least 4, the slices of data.cohort.kind {kind}", str(slices))


@rule("data.cohort.healthy", "data.cohort.kind")
def cohort_has_such_patients(healthy, kind):
    if kind == "bone_xray" and healthy:
        expected = "0, since half of the patients of data.cohort.kind bone_xray have no fracture anyway"
        yield Finding(("data", "cohort", "healthy"), expected, f"{healthy:g}")


@rule("data.labels", "training.supervision", "loss.objective", "self_training.teacher")
def study_labels_weigh_slices(labels, supervision, objective, teacher):
    if labels != "study" or supervision == "masks":
        return
    if supervision == "mixed":
        expected = "labels or masks, since mixed weighs slices by their own labels, which studies do not have"
        yield Finding(("training", "supervision"), expected, supervision)
    if objective != "hybrid":
        expected = "hybrid, since only it weighs the slices of an abnormal study (data.labels study) by eta"
        yield Finding(("loss", "objective"), expected, objective)
    if teacher in ("attribution", "auto"):
        expected = (
            "first_network or normal_atlas, since the classifiers of an attribution learn the label of each "
            "slice, which data.labels study does not have"
        )
        yield Finding(("self_training", "teacher"), expected, teacher)


@rule("data.channels")
def channels_once(channels):
    if channels == []:
        yield Finding(("data", "channels"), "at least one channel", "[]", "write null to keep all")
    for index, channel in enumerate(channels or []):
        if channel in channels[:index]:
            yield Finding(
                ("data", "channels", index), "each channel once", f"{channel} again", "remove one of them"
            )


@rule("data.split.train", "data.split.val", "data.split.test")
def split_whole(train, val, test):
    total = train + val + test
    if abs(total - 1) > SPLIT_TOLERANCE:
        yield Finding(
            ("data", "split"),
            "fractions train + val + test that make 1",
            f"{train:g} + {val:g} + {test:g} = {total:g}",
        )


@rule("data.split.train")
def split_trains(train):
    if train == 0:
        yield Finding(
            ("data", "split", "train"), "a fraction above 0", "0", "nothing would be left to train on"
        )


@rule("data.split.val", "selection.checkpoint")
def split_selects(val, checkpoint):
    if val == 0 and checkpoint == "rule":
        advice = "or set selection.checkpoint: last"
        yield Finding(
            ("data", "split", "val"),
            "a fraction above 0 for the validation patients of selection.checkpoint rule",
            "0",
            advice,
        )


def _ordered(key):
    @rule(f"pairs.augmentation.{key}")
    def ordered(limits):
        low, high = limits
        if low > high:
            yield Finding(
                ("pairs", "augmentation", key),
                "a range [low, high]",
                f"[{low:g}, {high:g}]",
                f"write [{high:g}, {low:g}]",
            )


_ordered("blur")
_ordered("stretch")
_ordered("zoom")


@rule("loss.consistency.weight", "twin.kind")
def twin_agrees(weight, kind):
    path = ("loss", "consistency", "weight")
    if kind == "none" and weight > 0:
        yield Finding(
            path,
            "0, since twin.kind none has no second view to agree with",
            f"{weight:g}",
            "set it to 0 or choose a twin",
        )
    if kind != "none" and weight == 0:
        expected = f"a number above 0, since nothing else ties the twins of twin.kind {kind}"
        yield Finding(path, expected, f"{weight:g}", "give it a weight or set twin.kind: none")


@rule("twin.kind", "loss.objective")
def baselines_have_no_twin(kind, objective):
    if not OBJECTIVES[objective].needs_pairs and kind != "none":
        expected = f"none, since loss.objective {objective} is a baseline without pairs"
        yield Finding(
            ("twin", "kind"),
            expected,
            kind,
            "set it, with loss.consistency.weight: 0 and loss.contrast.weight: 0",
        )


@rule("loss.contrast.weight", "loss.objective")
def baselines_have_no_contrast(weight, objective):
    if not OBJECTIVES[objective].needs_pairs and weight > 0:
        yield Finding(
            ("loss", "contrast", "weight"),
            f"0, since loss.objective {objective} is a baseline without pairs",
            f"{weight:g}",
        )


@rule("training.batch_size", "training.supervision")
def batch_halves(batch_size, supervision):
    if supervision != "masks" and batch_size % 2:
        expected = "an even number, half abnormal and half normal slices"
        yield Finding(
            ("training", "batch_size"),
            expected,
            str(batch_size),
            f"nearest: {batch_size - 1} or {batch_size + 1}",
        )


@rule("training.optimizer.warmup_steps", "training.steps")
def warmup_ends(warmup_steps, steps):
    if warmup_steps > 0 and warmup_steps >= steps:
        expected = f"fewer than the {steps} of training.steps"
        yield Finding(("training", "optimizer", "warmup_steps"), expected, str(warmup_steps))


@rule("runtime.data_service", "pairs.augmentation.rand_augment")
def served_views_repeat(data_service, rand_augment):
    if data_service is not None and rand_augment > 0:
        expected = "null, since the draws of pairs.augmentation.rand_augment are those of one process"
        yield Finding(("runtime", "data_service"), expected, data_service, "set one of the two to null or 0")


@rule("training.optimizer.weight_decay", "training.optimizer.name")
def decay_applies(weight_decay, name):
    if weight_decay > 0 and name == "adam":
        advice = "set it to 0 or choose adamw"
        yield Finding(
            ("training", "optimizer", "weight_decay"),
            "0, since adam has no weight decay here",
            f"{weight_decay:g}",
            advice,
        )
