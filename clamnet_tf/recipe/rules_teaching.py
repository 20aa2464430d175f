"""Rules on what teaches the rounds of self-training: the first network, the atlas of normal slices, or an
attribution.
"""

from clamnet_tf.recipe.objectives import OBJECTIVES
from clamnet_tf.recipe.rule import Finding, rule
from clamnet_tf.recipe.schema_attribution import AttributionSection, ClassifierSection


@rule(
    "self_training.rounds",
    "self_training.foreground_fraction",
    "self_training.background_fraction",
    "selection.prevalence",
    "classes",
)
def pseudo_labels_part(rounds, foreground, background, prevalence, classes):
    if classes:
        foreground = max(
            prevalence if one.get("prevalence") is None else one["prevalence"] for one in classes
        )
    foreground = prevalence if foreground is None else foreground
    if rounds and foreground + background > 1:
        expected = (
            f"at most {1 - foreground:g}, since the highest {foreground:g} of the organ is taken as lesion"
        )
        yield Finding(("self_training", "background_fraction"), expected, f"{background:g}")


@rule("self_training.teacher", "self_training.rounds", "data.normal_atlas")
def atlas_that_teaches(teacher, rounds, atlas):
    if teacher == "normal_atlas" and not rounds:
        yield Finding(
            ("self_training", "rounds"),
            "1 or more, since self_training.teacher normal_atlas trains no first network",
            "0",
        )
    if teacher == "normal_atlas" and atlas is None:
        yield Finding(
            ("data", "normal_atlas"),
            "a section, since self_training.teacher normal_atlas takes its marks from it",
            "null",
        )


@rule("self_training.teacher", "loss.objective")
def teacher_without_first_network(teacher, objective):
    if teacher != "first_network" and not OBJECTIVES[objective].needs_pairs:
        expected = f"first_network, since loss.objective {objective} is what the first network learns"
        yield Finding(("self_training", "teacher"), expected, teacher)


@rule("self_training.teacher", "attribution")
def attribution_that_teaches(teacher, attribution):
    if teacher in ("attribution", "auto") and attribution is None:
        yield Finding(
            ("attribution",), f"a section, since self_training.teacher {teacher} learns by it", "null"
        )
    if teacher not in ("attribution", "auto") and attribution is not None:
        expected = f"null, since self_training.teacher {teacher} does not use it"
        yield Finding(
            ("attribution",), expected, "a section", "remove it, or set self_training.teacher: attribution"
        )


@rule("self_training.teacher", "self_training.rounds", "training.supervision", "inference.head")
def attribution_that_is_the_result(teacher, rounds, supervision, head):
    if teacher != "attribution" or rounds:
        return
    why = "since with self_training.rounds 0 the attribution of classifiers is the result"
    if supervision != "labels":
        yield Finding(("training", "supervision"), f"labels, {why}, and they learn no masks", supervision)
    if head != "mean":
        yield Finding(("inference", "head"), f"mean, {why}, which is one map", str(head))


@rule("self_training.teacher", "classes")
def attribution_of_one_class(teacher, classes):
    if teacher in ("attribution", "auto") and classes:
        expected = "null, since attributions are taken from a classifier of abnormal against normal slices"
        yield Finding(("classes",), expected, f"{len(classes)} classes")


@rule("attribution", "data.side")
def classifier_fits_the_side(attribution, side):
    if attribution is None:
        return
    own, place = AttributionSection(**attribution).classifier, ("attribution", "classifier")
    if own.batch_size % 2:
        yield Finding(
            (*place, "batch_size"),
            "an even number, half abnormal and half normal slices",
            str(own.batch_size),
        )
    if own.backbone == "efficientnet_lite0":
        yield from _pretrained(own, side, place)
        return
    if len(own.filters) != len(own.blocks):
        expected = f"{len(own.filters)} entries, one per level of attribution.classifier.filters"
        yield Finding((*place, "blocks"), expected, f"{len(own.blocks)}: {own.blocks}")
    if not own.filters:
        yield Finding((*place, "filters"), "at least one level", "[]")
        return
    halvings = len(own.filters) - (own.stem_stride == 1)
    if side % 2**halvings:
        expected = f"a multiple of {2**halvings}, halved {halvings} times by attribution.classifier"
        yield Finding(("data", "side"), expected, str(side))


def _pretrained(own, side, place):
    usual = ClassifierSection()
    for key in ("filters", "blocks", "norm", "stem_stride"):
        if getattr(own, key) != getattr(usual, key):
            expected = (
                "left out, since attribution.classifier.backbone efficientnet_lite0 has levels of its own"
            )
            yield Finding((*place, key), expected, str(getattr(own, key)))
    if side % 32:
        expected = "a multiple of 32, halved 5 times by attribution.classifier.backbone efficientnet_lite0"
        yield Finding(("data", "side"), expected, str(side))


@rule("attribution", "data.normalization")
def backbone_sees_its_units(attribution, normalization):
    if attribution is None or AttributionSection(**attribution).classifier.backbone == "residual":
        return
    if normalization != "zscore":
        expected = (
            "zscore, since the ImageNet weights of attribution.classifier.backbone expect unit deviation"
        )
        yield Finding(("data", "normalization"), expected, normalization)


@rule("attribution", "selection.prevalence", "data.side", "self_training.teacher", "self_training.rounds")
def attribution_marks_a_part(attribution, prevalence, side, teacher, rounds):
    if attribution is None:
        return
    own = AttributionSection(**attribution)
    share = prevalence if own.share is None else own.share
    if share > 0.5 and (rounds or teacher == "auto"):  # else no share of it is taught
        expected = "at most 0.5, since surroundings must be left to compare with"
        yield Finding(("attribution", "share"), expected, f"{share:g}")
    if own.method == "occlusion" and max(own.windows, default=side) >= side:
        yield Finding(
            ("attribution", "windows"), f"one or more windows smaller than data.side {side}", str(own.windows)
        )
    if not own.refinement.methods:
        yield Finding(
            ("attribution", "refinement", "methods"), "at least one method; none keeps the marked share", "[]"
        )


@rule("attribution", "runtime.data_service")
def classifier_trains_as_it_says(attribution, data_service):
    """Ask of the classifier's own augmentation and optimizer what rules.py asks of pairs.augmentation and
    training.optimizer.
    """
    if attribution is None:
        return
    own, place = AttributionSection(**attribution).classifier, ("attribution", "classifier")
    for key in ("blur", "stretch", "zoom"):
        low, high = getattr(own.augmentation, key)
        if low > high:
            advice = f"write [{high:g}, {low:g}]"
            yield Finding(
                (*place, "augmentation", key), "a range [low, high]", f"[{low:g}, {high:g}]", advice
            )
    if own.augmentation.rand_augment and data_service is not None:
        expected = "0, since draws of rand_augment do not repeat in runtime.data_service"
        yield Finding(
            (*place, "augmentation", "rand_augment"), expected, f"{own.augmentation.rand_augment:g}"
        )
    if own.optimizer.weight_decay and own.optimizer.name == "adam":
        expected = "0, since adam has no weight decay"
        yield Finding(
            (*place, "optimizer", "weight_decay"), expected, f"{own.optimizer.weight_decay:g}", "use adamw"
        )
    if own.optimizer.warmup_steps >= own.steps:
        expected = f"fewer than the {own.steps} of attribution.classifier.steps"
        yield Finding((*place, "optimizer", "warmup_steps"), expected, str(own.optimizer.warmup_steps))
