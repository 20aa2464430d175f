"""Which simple methods an evaluation compares with: those without training always, fitted ones if any."""

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
    "Compared are only simple methods that need no training images (the whole organ, Otsu thresholds, the "
    "expected size). Those that are fitted to training images (one threshold for all images, intensity "
    "through "
    "the consistency of volumes) are not kept with this model: {why}."
)

FITTED_HERE = (
    "Simple methods that are fitted to training images were fitted to the training side of the evaluated "
    "data, "
    "since this model was published before they were kept with it."
)


@dataclass(frozen=True)
class Chosen:
    """methods: of everything marked (""), and of each class that has a name, name -> callable(images, organ)
    -> masks of one volume.

    note: what the reader must know when methods are lacking or fitted to other images than the network's.
    new: content of KEPT_FILE that was fitted now and has no place in the run, else None.
    """

    methods: dict[str, dict[str, Baseline]]
    note: str | None = None
    new: dict | None = None


def choose_baselines(run: RunFolder, recipe, prepared, split: str | None) -> Chosen:
    """Choose the simple methods for an evaluation of `split` (None: all cases).

    Fitted ones are read from the run or zoo entry. Where there are none, they are fitted to the training
    slices among `prepared`, if these are not measured themselves, and kept in the run; an entry of the zoo
    stays as it is, and the caller has them as `new`.

    Raises:
        RunError: the kept file is damaged or of another recipe.
    """
    classes, atlas, channels = classes_of(recipe), prepared.atlas is not None, prepared.images.shape[3]
    names = named(one.name for one in classes)
    path, kept, new, note = run.path / KEPT_FILE, {}, None, None
    if path.exists():
        kept = read_kept(path, names, channels)
    elif split not in (None, "train"):
        kept = _fit(recipe, prepared, classes)
        content = {what: fitted(methods) for what, methods in kept.items()}
        new = (content if names else content[""]) if content else None
        if new and run.split.exists():
            write_json(path, new)
            new = None
        note = FITTED_HERE if new else None
    free = {what: training_free(channels, share, atlas) for what, share in _shares(classes).items()}
    why = (
        "it was published before they were"
        if not run.split.exists()
        else "the run lost them, and no training images are at hand"
    )
    methods = {what: methods | kept.get(what, {}) for what, methods in free.items()}
    return Chosen(methods, note if kept else NOT_KEPT.format(why=why), new)


def _shares(classes) -> dict[str, float]:
    """Expected share of the organ, of everything marked and of each class.

    Of all together it is the mean, since an abnormal slice shows at least one of them.
    """
    own = {one.name: one.prevalence for one in classes}
    return {"": float(np.mean(list(own.values()))), **own}


def _fit(recipe, prepared, classes) -> dict[str, dict[str, Baseline]]:
    """Every method, fitted to abnormal training slices; {} without any."""
    table, atlas = prepared.table, prepared.atlas is not None
    train = np.flatnonzero(
        (table.split == "train") & (table.area > recipe.data.minimum_organ_fraction) & (table.label > 0)
    )
    wanted = fit_sizes(classes, table.label[train], table.markers[train])
    found = {}
    for what, (chosen, prevalence) in wanted.items():
        if (rows := train[chosen]).size:
            simple = intensity_baselines(
                prepared.images[rows], prepared.organ[rows], table.label[rows], prevalence, atlas=atlas
            )
            volumes = _training_volumes(prepared, rows)
            found[what] = simple | consistent_baselines(
                volumes, PostprocessingConfig.of(recipe.inference), prevalence, atlas=atlas
            )
    return found


def _training_volumes(prepared, rows) -> list:
    """(images, organ, abnormal) of whole training volumes that hold one of `rows`, the abnormal slices.

    There are as many as a network's cuts are fixed on.
    """
    table = prepared.table
    whole = [np.flatnonzero(table.volume == number) for number in table.volumes_of(rows)]
    return [(RowView(prepared.images, own), prepared.organ[own], np.isin(own, rows)) for own in whole]
