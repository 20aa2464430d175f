"""Take the trained classifiers of another run, so that runs that differ only in what follows them (the
attribution, the outlines, the last network) train them once.
"""

import json
import shutil

from clamnet_tf.errors import RunError
from clamnet_tf.runs import RunFolder
from clamnet_tf.training.checkpoints import END

STAGE = "classifiers"
"""Name of the stage that trains them, and of its folder below checkpoints/."""


def has_classifiers(run: RunFolder) -> bool:
    """Return whether the run has trained its classifiers to the end."""
    return (run.checkpoints / STAGE / END).exists()


def take_classifiers(donor: RunFolder, run: RunFolder, key: str, say) -> None:
    """Copy the trained classifiers of `donor`, and the rows of its log about them, into `run`.

    Nothing happens when `run` has begun to train its own, or has taken them before.

    Args:
        donor: a run whose classifiers are trained, finished or not.
        run: the run that is about to train.
        key: `recipe.classifiers_key.key_of_classifiers` of `run`.
        say: called with a line for the reader.

    Raises:
        RunError: `donor` has no trained classifiers, or other ones than `run` would train.
    """
    target, source = run.checkpoints / STAGE, donor.checkpoints / STAGE
    if target.exists():
        return
    if not has_classifiers(donor):
        raise RunError(
            f"--classifiers {donor.path}: expected a run that has trained the classifiers of an attribution; "
            f"there is no {source.name}/{END} below its checkpoints/. Name another run, or train without "
            "--classifiers."
        )
    ended = json.loads((source / END).read_text(encoding="utf-8"))
    if not ended.get("key"):
        raise RunError(
            f"--classifiers {donor.path}: expected a run that says what its classifiers depend on; it was "
            "trained by an earlier version. Train without --classifiers."
        )
    if ended["key"] != key:
        raise RunError(
            f"--classifiers {donor.path}: expected classifiers of the same images, labels, split, seed and "
            "sections data, organ, training and attribution.classifier of the recipe; received those of "
            f"another training (compare {donor.recipe} with {run.recipe}, and both split.csv). Train without "
            "--classifiers."
        )
    partial = target.with_name(f".partial-{STAGE}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for path in source.glob("candidate-*.npz"):
        shutil.copyfile(path, partial / path.name)
    (partial / END).write_text(json.dumps({**ended, "taken_from": str(donor.path)}, indent=1) + "\n", "utf-8")
    run.truncate_metrics(0)
    for row in donor.read_metrics():
        if row.get("stage") == STAGE:
            run.append_metrics(row)
    partial.rename(target)
    run.keep()
    say(f"Classifiers: those of {donor.path} are taken, after {ended['look']['step']} steps.")
