"""Take the trained classifiers of another run, so that runs that differ only in what follows them (the
attribution, the outlines, the last network) train them once.
"""

import shutil
import zipfile

from clamnet_tf.errors import RunError
from clamnet_tf.files import make_folder, write_json
from clamnet_tf.plain_json import plain_json
from clamnet_tf.runs import CLASSIFIERS, RunFolder
from clamnet_tf.training.checkpoints import END, candidate


def has_classifiers(run: RunFolder) -> bool:
    """Return whether the run has trained its classifiers to the end."""
    return (run.checkpoints / CLASSIFIERS / END).exists()


def take_classifiers(donor: RunFolder, run: RunFolder, key: str, say) -> None:
    """Copy the trained classifiers of `donor`, and the rows of its log about them, into `run`.

    Nothing happens when `run` has begun to train its own, or has taken them before.

    Args:
        donor: a run whose classifiers are trained, finished or not.
        run: the run that is about to train.
        key: `recipe.classifiers_key.key_of_classifiers` of `run`.
        say: called with a line for the reader.

    Raises:
        RunError: `donor` has no trained classifiers, damaged ones, or other ones than `run` would train.
    """
    target, source = run.checkpoints / CLASSIFIERS, donor.checkpoints / CLASSIFIERS
    if target.exists():
        return
    ended = _trained(donor)
    if ended["key"] != key:
        raise RunError(
            f"--classifiers {donor.path}: expected classifiers of the same images, labels, split, seed and "
            "sections data, organ, training and attribution.classifier of the recipe; received those of "
            f"another training (compare {donor.recipe} with {run.recipe}, and both split.csv). Train without "
            "--classifiers."
        )
    step = ended["look"]["step"]
    partial = make_folder(target.with_name(f".partial-{CLASSIFIERS}"))
    shutil.copyfile(candidate(source, step), candidate(partial, step))
    write_json(partial / END, {**ended, "taken_from": str(donor.path)})
    run.truncate_metrics(0)
    for row in donor.read_metrics():
        if row.get("stage") == CLASSIFIERS:
            run.append_metrics(row)
    partial.rename(target)
    run.keep()
    say(f"Classifiers: those of {donor.path} are taken, after {step} steps.")


def _trained(donor: RunFolder) -> dict:
    """Return what `run_stage` wrote about the classifiers of a run, whose weights are there and whole."""

    def refused(reason: str) -> RunError:
        return RunError(f"--classifiers {donor.path}: {reason}. Train without --classifiers.")

    folder = donor.checkpoints / CLASSIFIERS
    if not has_classifiers(donor):
        raise refused(
            "expected a run that has trained the classifiers of an attribution; there is no "
            f"{CLASSIFIERS}/{END} below its checkpoints/"
        )
    ended = plain_json(
        (folder / END).read_bytes(), lambda reason: refused(f"{CLASSIFIERS}/{END} is damaged ({reason})")
    )
    if not ended.get("key"):
        raise refused(
            "expected a run that says what its classifiers depend on; it was trained by an earlier version"
        )
    weights = candidate(folder, ended["look"]["step"])
    if not zipfile.is_zipfile(weights) or zipfile.ZipFile(weights).testzip():
        raise refused(
            f"expected whole weights in {CLASSIFIERS}/{weights.name}; the file is missing or damaged"
        )
    return ended
