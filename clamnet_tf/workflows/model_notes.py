"""Load a model to mark images, and say what a reader of its masks must know."""

from dataclasses import dataclass

from clamnet_tf.inference.engine import TENSORFLOW, EngineChoice
from clamnet_tf.inference.trained_model import TrainedModel, load_trained_model
from clamnet_tf.quiet import silence
from clamnet_tf.reporting.image_words import in_words_of
from clamnet_tf.reporting.learning_wording import WARNING, headline
from clamnet_tf.runs import RunFolder
from clamnet_tf.zoo.card import is_warning
from clamnet_tf.zoo.entry import is_entry
from clamnet_tf.zoo.read import read_entry


@dataclass(frozen=True)
class ModelNotes:
    """Hold what pages and console say of a model.

    Attributes:
        warnings: Sentences that stand before the results, such as that nothing was learned.
        about: (name, text): what a zoo entry is for, and its limits, as its card says.
    """

    warnings: tuple[str, ...] = ()
    about: tuple[tuple[str, str], ...] = ()


def model_notes(run: RunFolder) -> ModelNotes:
    """Return the notes of a finished run or of a zoo entry.

    Raises:
        ZooError: The entry is wrong.
    """
    if is_entry(run.path):
        entry = read_entry(run.path)
        warnings = (entry.learning[0],) if entry.learning and is_warning(entry) else ()
        return ModelNotes(warnings, (("Trained for", entry.summary), ("Limits", " ".join(entry.limits))))
    learning = run.read_learning()
    if learning is None or not headline(learning).startswith(WARNING):
        return ModelNotes()
    return ModelNotes((headline(learning),))


def load_announced(run: RunFolder, recipe, engine: EngineChoice, reporter) -> tuple[TrainedModel, ModelNotes]:
    """Load a model with the engine that was chosen, and say what it is, with its notes.

    Raises:
        RunError, NetworkError, UserInputError: As in `load_trained_model`.
        ZooError: The entry is wrong.
    """
    if engine.name == TENSORFLOW:
        silence()
    trained, known = load_trained_model(run, recipe, engine=engine.name), model_notes(run)
    reporter.line(
        f"Model: {run.path} (recipe {recipe.name}, step {trained.step}); threshold "
        f"{trained.marking.threshold:.3f}: {in_words_of(recipe.modality, trained.marking.rule)}"
    )
    reporter.line(f"Engine: {engine.name} ({engine.reason})")
    for line in (*known.warnings, *(f"{name}: {text}" for name, text in known.about)):
        reporter.line(f"  {line}")
    return trained, known
