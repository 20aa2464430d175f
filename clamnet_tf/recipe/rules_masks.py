"""Rules on masks that teach: training.supervision masks and mixed."""

from clamnet_tf.recipe.rule import Finding, rule
from clamnet_tf.recipe.schema import MASKED_SHARE
from clamnet_tf.recipe.schema_loss import MixedSection


@rule("training.supervision", "self_training.rounds")
def self_training_from_labels(supervision, rounds):
    if supervision == "masks" and rounds:
        expected = "0, since training.supervision masks has true masks to learn from"
        yield Finding(
            ("self_training", "rounds"), expected, str(rounds), "or use training.supervision: mixed"
        )


@rule("training.shuffle_labels", "training.supervision")
def shuffled_labels_are_learned_from(shuffle_labels, supervision):
    why = {"masks": "learns from no labels", "mixed": "learns from masks, too, which stay true"}
    if shuffle_labels and supervision in why:
        expected = f"false, since training.supervision {supervision} {why[supervision]}"
        yield Finding(("training", "shuffle_labels"), expected, "true")


@rule("loss.objective", "training.supervision")
def objective_is_minimised(objective, supervision):
    why = {
        "masks": "learns from masks alone",
        "mixed": "mixes masks with the hybrid loss of labelled pairs, slice by slice",
    }
    if objective != "hybrid" and supervision in why:
        expected = f"hybrid, since training.supervision {supervision} {why[supervision]}"
        yield Finding(("loss", "objective"), expected, objective)


@rule("training.supervision", "training.masked_patients", "training.patients")
def masked_patients_teach(supervision, masked, patients):
    path = ("training", "masked_patients")
    if masked is None:
        return
    if supervision == "labels":
        yield Finding(path, "null, since training.supervision labels reads no mask", str(masked))
    elif patients is not None and masked > patients:
        yield Finding(path, f"at most {patients}, the training.patients that are used", str(masked))


@rule("training.supervision", "training.masked_share", "loss.mixed")
def mixing_is_used(supervision, share, mixed):
    if supervision == "mixed":
        return
    why = f"since training.supervision {supervision} mixes nothing"
    if share != MASKED_SHARE:
        yield Finding(("training", "masked_share"), f"left out, {why}", f"{share:g}")
    if MixedSection.model_validate(mixed) != MixedSection():
        yield Finding(("loss", "mixed"), f"left out, {why}", "other weights than 1 and 1")


@rule("training.supervision", "training.batch_size")
def both_kinds_fit_a_batch(supervision, batch_size):
    if supervision == "mixed" and batch_size < 4:
        expected = "at least 4, since training.supervision mixed takes pairs with and without masks"
        yield Finding(("training", "batch_size"), expected, str(batch_size))


@rule("training.supervision", "self_training.teacher")
def teacher_is_chosen_without_masks(supervision, teacher):
    if supervision == "mixed" and teacher == "auto":
        expected = (
            "the name of a teacher, since auto chooses one without masks: run it with training.supervision "
            "labels first"
        )
        yield Finding(("self_training", "teacher"), expected, teacher)
