"""Every error that clamnet-tf raises on purpose, in one tree.

    ClamnetError                 something failed that a message can explain    (exit code 1)
    ├── UserInputError           what the user gave cannot be used              (exit code 2)
    │   ├── RecipeError          a recipe: every problem of the file at once
    │   ├── ImageError           one image or volume cannot be read
    │   ├── DataError            a folder, manifest, split or label table
    │   │   ├── LabelsMissing    a folder of images whose labels are not found
    │   │   └── UnfitImages      images of another modality, unit or shape than a recipe is for
    │   ├── NetworkError         an impossible network
    │   ├── RunError             a run folder that is missing, of another recipe or in use
    │   └── ZooError             a zoo entry that is missing or wrong, or an unusable registry
    ├── MaskAccessError          training or selection code asked for a mask
    ├── EnvironmentFailure       disk full, folder not writable, package missing
    ├── TrainingFailure          training cannot go on (loss not finite, ...)
    ├── ExportFailure            an exported model differs from the network; it was removed
    └── ServerFailure            a model server does not answer, or serves another model

Every message says which field or file is wrong, what was expected, what was received and what to do.
"""


class ClamnetError(Exception):
    """Base class of all errors; the message is complete and is printed without a traceback."""

    exit_code = 1


class UserInputError(ClamnetError):
    """A file, folder, option or value that the user gave cannot be used."""

    exit_code = 2


class RecipeError(UserInputError):
    """A recipe is wrong; the message lists every problem with line, dotted path, value and nearest key."""


class ImageError(UserInputError):
    """One image or volume file cannot be read; the message starts with its path."""


class DataError(UserInputError):
    """A data folder, manifest, label table or split cannot be used."""


class LabelsMissing(DataError):
    """Images were found and no labels for them; the message says which layouts hold labels."""


class UnfitImages(DataError):
    """Images are of another modality, unit or number of channels than the recipe or the model is for."""


class NetworkError(UserInputError):
    """A network cannot be built or does not fit its input."""


class RunError(UserInputError):
    """A run folder is missing, incomplete, made by another recipe or in use."""


class ZooError(UserInputError):
    """A zoo entry or model name cannot be used; the message lists every problem of an entry's file."""


class MaskAccessError(ClamnetError):
    """Code that must not see masks (training from image labels, selection) asked for one."""


class EnvironmentFailure(ClamnetError):
    """The machine prevents the work: no space, no permission, a package that is not installed."""


class TrainingFailure(ClamnetError):
    """Training cannot go on, for example because the loss is not finite."""


class ExportFailure(ClamnetError):
    """An exported model does not give the same output as the network; the files were removed."""


class ServerFailure(ClamnetError):
    """A model server cannot be reached, refuses the request or serves another model."""
