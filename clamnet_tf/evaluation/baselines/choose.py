"""Choose the simple methods with which an evaluation compares the network.

Methods without training are always used, methods fitted to training images when they exist.
"""

from dataclasses import dataclass

import numpy as np

from clamnet_tf.evaluation.baselines.consistent import consistent_baselines
from clamnet_tf.evaluation.baselines.intensity import Baseline, intensity_baselines, training_free
from clamnet_tf.evaluation.baselines.serialization import fitted, read_kept
from clamnet_tf.evaluation.per_class import fit_sizes
from clamnet_tf.files import write_json
from clamnet_tf.inference.postprocessing.one_class import PostprocessingConfig
from clamnet_tf.input_pipeline.pipeline import RowView
from clamnet_tf.recipe.classes import classes_of, named
from clamnet_tf.runs import KEPT_FILE, RunFolder

NOT_KEPT = (
    "The comparison includes only simple methods that need no training images (the whole organ, Otsu "
    "thresholds, the expected size). Methods that are fitted to training images (one threshold for all "
    "images, intensity with the post-processing of volumes) are not stored with this model: {why}."
)

FITTED_HERE = (
    "Simple methods that need training images were fitted to the training side of the evaluated data, "
    "because this model was published before such methods were stored with it."
)


@dataclass(frozen=True)
class Chosen:
    """Hold the chosen simple methods.

    Attributes:
        methods: For everything marked ("") and for each named class: name of the method -> callable(images,
            organ) -> masks of one volume.
        note: What the reader must know when methods are lacking or were fitted to other images than the
            network; None otherwise.
        new: Content of KEPT_FILE that was fitted just now and cannot be stored in the run, else None.
    """

    methods: dict[str, dict[str, Baseline]]
    note: str | None = None
    new: dict | None = None


def choose_baselines(run: RunFolder, recipe, prepared, split: str | None) -> Chosen:
    """Choose the simple methods for an evaluation.

    Fitted methods are read from the run or zoo entry. Where there are none, they are fitted to the training
    slices in `prepared`, unless these slices are themselves evaluated, and stored in the run. A zoo entry is
    not changed; its caller receives them as `new`.

    Args:
        run: RunFolder of the run or zoo entry.
        recipe: Its recipe.
        prepared: Prepared slices of the evaluated data.
        split: Name of the evaluated split; None: all cases.

    Raises:
        RunError: The stored file is damaged or belongs to another recipe.
    """
    prepared = prepared.own
    classes, atlas, channels = classes_of(recipe), prepared.atlas is not None, prepared.images.shape[3]
    names = named(lesion_class.name for lesion_class in classes)
    path, fitted_methods, new, note = run.path / KEPT_FILE, {}, None, None
    if path.exists():
        fitted_methods = read_kept(path, names, channels)
    elif split not in (None, "train"):
        fitted_methods = _fit(recipe, prepared, classes)
        new = _content(fitted_methods, names)
        if new and run.split.exists():
            write_json(path, new)
            new = None
        note = FITTED_HERE if new else None
    free = {
        class_name: training_free(channels, share, atlas) for class_name, share in _shares(classes).items()
    }
    why = (
        "it was published before they were stored"
        if not run.split.exists()
        else "the run has lost them, and no training images are available"
    )
    methods = {
        class_name: methods | fitted_methods.get(class_name, {}) for class_name, methods in free.items()
    }
    return Chosen(methods, note if fitted_methods else NOT_KEPT.format(why=why), new)


def fit_kept(recipe, prepared) -> dict | None:
    """Return the content of KEPT_FILE, fitted to the training slices of `prepared`; None without abnormal
    ones.

    Args:
        recipe: Recipe of the run.
        prepared: Prepared slices of its data.
    """
    classes = classes_of(recipe)
    return _content(_fit(recipe, prepared.own, classes), named(lesion_class.name for lesion_class in classes))


def _content(fitted_methods: dict[str, dict[str, Baseline]], names) -> dict | None:
    """Return fitted methods as the content of KEPT_FILE; `names` are those of named classes."""
    content = {class_name: fitted(methods) for class_name, methods in fitted_methods.items()}
    return (content if names else content[""]) if content else None


def _shares(classes) -> dict[str, float]:
    """Return the expected share of the organ, 0..1, of everything marked ("") and of each class.

    For all classes together it is the mean, since an abnormal slice shows at least one of them.
    """
    shares = {lesion_class.name: lesion_class.prevalence for lesion_class in classes}
    return {"": float(np.mean(list(shares.values()))), **shares}


def _fit(recipe, prepared, classes) -> dict[str, dict[str, Baseline]]:
    """Fit every method to abnormal training slices; return {} when there are none."""
    table, atlas = prepared.table, prepared.atlas is not None
    train = np.flatnonzero(
        (table.split == "train") & (table.area > recipe.data.minimum_organ_fraction) & (table.label > 0)
    )
    wanted = fit_sizes(classes, table.label[train], table.markers[train])
    methods = {}
    for class_name, (present, prevalence) in wanted.items():
        if (rows := train[present]).size:
            simple = intensity_baselines(
                prepared.images[rows], prepared.organ[rows], table.label[rows], prevalence, atlas=atlas
            )
            volumes = _training_volumes(prepared, rows)
            methods[class_name] = simple | consistent_baselines(
                volumes, PostprocessingConfig.of(recipe.inference), prevalence, atlas=atlas
            )
    return methods


def _training_volumes(prepared, rows) -> list:
    """Return (images, organ, abnormal) of the training volumes that hold one of `rows`, the abnormal slices.

    As many volumes are used as for fixing the thresholds of a network.
    """
    table = prepared.table
    volumes = [np.flatnonzero(table.volume == volume) for volume in table.volumes_of(rows)]
    return [
        (RowView(prepared.images, volume_rows), prepared.organ[volume_rows], np.isin(volume_rows, rows))
        for volume_rows in volumes
    ]
