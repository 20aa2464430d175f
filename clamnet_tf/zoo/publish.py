"""A finished, measured run -> a zoo entry. No figure is typed: all are taken from the run's own files."""

import contextlib
import dataclasses
import datetime
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from clamnet_tf.errors import ZooError
from clamnet_tf.evaluation.figures import DEFINITIONS
from clamnet_tf.files import make_folder, write_json, write_text, writing
from clamnet_tf.networks.classifier import is_classifier
from clamnet_tf.networks.saved import load_network
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.runs import RunFolder
from clamnet_tf.zoo.about import About
from clamnet_tf.zoo.card import card
from clamnet_tf.zoo.classes import class_rows, cuts, rows_of_figures, rule_of_metrics, trained_eta
from clamnet_tf.zoo.entry import (
    BASELINES_FILE,
    CARD_FILE,
    ENTRY_FILE,
    GOLDEN_FILE,
    LARGEST_WEIGHTS,
    Entry,
    is_entry,
)
from clamnet_tf.zoo.golden import golden_output
from clamnet_tf.zoo.measured import metrics_of
from clamnet_tf.zoo.read import entry_of, entry_text, read_entry
from clamnet_tf.zoo.verify import verify

UNITS = {
    "mri": "those of the scanner; MR intensities have none, the normalisation takes them out.",
    "ct": "Hounsfield units (slope and intercept of the file applied).",
    "xray": "stored values of the detector or picture.",
}
TAUGHT_BY = {
    "first_network": "pairs of abnormal and normal slices",
    "normal_atlas": "an atlas of normal slices says what is unusual at its place",
    "attribution": "image classifiers learn the labels, where they look is outlined by the image's own "
    "intensities",
}
SPACING = "any; a slice is scaled so that the organ's box fills it, and millimetres are not used."


@dataclasses.dataclass(frozen=True)
class Release:
    """Which version is published, and what is new in it (needed from version 2 on)."""

    version: int
    changes: str | None
    date: str = dataclasses.field(default_factory=lambda: datetime.date.today().isoformat())


def last_version(target) -> Entry | None:
    """The entry that stands at `target` already. ZooError when other files do."""
    target = Path(target)
    if is_entry(target):
        return read_entry(target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ZooError(
            f"{target}: expected a new folder or a zoo entry; it holds other files. Choose another --to."
        )
    return None


def publish(
    run_folder, target, about: About, release: Release, *, kind: str = "marker", figures_file=None
) -> Entry:
    """Write the entry of a run to `target`, whose last part is the entry's name; an older version there is
    replaced.

    Args:
        run_folder: finished and evaluated. about: texts. release: version and changes. kind: marker or organ.
        figures_file: metrics.json of an evaluation of the same weights; None: the run's own.

    Returns:
        The entry; its folder has passed every check of `verify` before it took its place.

    Raises:
        ZooError: the run is not finished, has no figures, or figures of other weights; or of patients it was
            trained on; it is too large; the version is not raised, or its changes are not said. RunError: no
            run.
    """
    run, target = RunFolder.open_finished(run_folder), Path(target)
    if not run.finished.exists():
        raise ZooError(
            f"{run_folder}: expected a finished run; FINISHED is missing. Finish it with clamnet-tf fit ... "
            f"--resume."
        )
    if run.model.stat().st_size > LARGEST_WEIGHTS:
        raise ZooError(
            f"{run.model}: expected at most {LARGEST_WEIGHTS} bytes, the limit of a zoo entry; it has "
            f"{run.model.stat().st_size}. "
            "Train a smaller network."
        )
    before = last_version(target)
    changelog = changelog_of(target, before, release)
    figures_file = Path(figures_file) if figures_file else run.evaluation / "metrics.json"
    recipe = load_recipe(run.recipe)
    try:
        selection = run.read_selection()
        threshold, classes = cuts(recipe, selection), class_rows(recipe, selection)
        rule = rule_of_metrics(recipe, selection) if classes else None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ZooError(
            f"{run.selection}: not the selection of a finished run ({type(error).__name__}: {error})."
        ) from error
    figures = read_figures(figures_file, selection, threshold["value"], rule)
    check_held_out(figures_file, figures, run.read_environment())
    network = load_network(run.model)
    if is_classifier(network):
        raise ZooError(
            f"{run_folder}: expected a network that marks; this one classifies slices (loss.objective), a "
            f"baseline only."
        )
    try:
        cut = {"threshold": threshold, "markers": rows_of_figures(figures, classes)}
    except (KeyError, TypeError) as error:
        raise ZooError(
            f"{figures_file}: expected figures of each marker ({type(error).__name__}: {error}). Evaluate "
            f"this run."
        ) from error
    entry = _entry(target, kind, run, recipe, network, cut, selection, figures, about, changelog)
    with workshop(target) as folder:
        if before is not None:
            shutil.copytree(target, folder)  # pictures that the card shows, for example
        folder.mkdir(exist_ok=True)
        for name in ("model.keras", "recipe.yaml", "selection.json"):
            shutil.copyfile(run.path / name, folder / name)
        (folder / BASELINES_FILE).unlink(missing_ok=True)
        if (run.path / BASELINES_FILE).is_file():
            shutil.copyfile(run.path / BASELINES_FILE, folder / BASELINES_FILE)
        write_text(folder / ENTRY_FILE, entry_text(entry))
        write_json(folder / GOLDEN_FILE, golden_output(network))
        write_text(folder / CARD_FILE, card(entry))
        put_in_place(folder, target)
    return entry


def publish_again(source, target, about: About, release: Release, *, figures_file) -> Entry:
    """Write the entry at `source` to `target` with other figures of the same weights, measured by clamnet-tf
    evaluate, and a raised version.

    Args:
        source: folder of an entry, which may be `target`. about: texts. release: version and changes.
            figures_file: metrics.json.

    Raises:
        ZooError: as `publish`; no figures are named.
    """
    source, target = Path(source), Path(target)
    if figures_file is None:
        raise ZooError(
            f"{source}: is a zoo entry, which holds no evaluation; name its metrics.json with --figures, or "
            f"publish a run."
        )
    before, older = read_entry(source), last_version(target)
    recipe, selection = (
        load_recipe(source / "recipe.yaml"),
        json.loads((source / "selection.json").read_text(encoding="utf-8")),
    )
    rule = rule_of_metrics(recipe, selection) if before.markers else None
    figures = read_figures(Path(figures_file), selection, before.threshold.value, rule)
    check_held_out(Path(figures_file), figures, {})
    data = before.model_dump(mode="json") | {
        "name": target.name,
        "summary": about.summary,
        "metrics": metrics_of(figures, recipe),
        "training_data": about.training_data.model_dump(),
        "markers": rows_of_figures(figures, class_rows(recipe, selection)) or None,
        "changelog": changelog_of(target, older, release),
        "version": release.version,
        "intended_use": about.intended_use,
        "limits": about.limits,
        "notes": about.notes,
    }
    data["weights"]["licence"] = about.weights_licence
    data["input"] |= {"channel_order": about.channel_order, "missing_channels": about.missing_channels}
    entry = entry_of(data, str(target / ENTRY_FILE))
    with workshop(target) as folder:
        shutil.copytree(source, folder)
        fitted = (
            Path(figures_file).parent / BASELINES_FILE
        )  # of an evaluation that fitted what the entry lacked
        if fitted.is_file():
            shutil.copyfile(fitted, folder / BASELINES_FILE)
        write_text(folder / ENTRY_FILE, entry_text(entry))
        write_text(folder / CARD_FILE, card(entry))
        put_in_place(folder, target)
    return entry


def read_figures(path: Path, selection: dict, cut: float, rule: str | None = None) -> dict:
    """metrics.json of an evaluation, which must be of the weights whose selection is given.

    Of one marker it was cut at `cut`, and every head where the selection says. Several markers are all cut at
    one value after a shift, and heads are not measured; then `rule`, which tells the cuts before it, must be
    that of the figures.
    """
    if not path.is_file():
        raise ZooError(
            f"{path}: missing. An entry needs measured figures; make them with clamnet-tf evaluate, or name "
            f"others with --figures."
        )
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
        dice = (
            figures["dice_volume"]["mean"]
            if figures["dice_volume"]["mean"] is not None
            else figures["dice_slice"]["mean"]
        )
        wanted = (
            {name: row["raw_threshold"] for name, row in selection["markings"].items() if name != "mean"}
            if rule is None
            else rule
        )
        found = (
            {name: row["threshold"] for name, row in figures["heads"].items()}
            if rule is None
            else figures["threshold_rule"]
        )
        threshold, data, definitions = (
            figures["threshold"],
            figures["data"]["root"],
            figures.get("definitions"),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ZooError(
            f"{path}: expected metrics.json of clamnet-tf evaluate; it is none ({type(error).__name__}: "
            f"{error})."
        ) from error
    if definitions != DEFINITIONS:
        raise ZooError(
            f"{path}: expected figures of definitions {DEFINITIONS}, received "
            f"{definitions or 'those of an earlier version'}, whose Dice counts "
            "patients without a lesion. Evaluate this run again."
        )
    if dice is None:
        raise ZooError(
            f"{path}: expected a Dice per patient volume or outlined slice; the evaluation of {data} had no "
            f"masks. Evaluate on data with masks."
        )
    if found != wanted or threshold != cut:
        raise ZooError(
            f"{path}: holds the figures of other weights: its thresholds are not those of the run's "
            f"selection.json. Evaluate this run."
        )
    return figures


def check_held_out(path: Path, figures: dict, environment: dict) -> None:
    """Figures on patients that training saw say nothing."""
    data, own = figures["data"], environment.get("data")
    all_of_its_own = data["split"] is None and (data["simulated"] if own is None else data["root"] == own)
    if data["split"] == "train" or all_of_its_own:
        side = "the training side" if data["split"] else "all cases, with those it was trained on"
        raise ZooError(
            f"{path}: expected figures on patients that training did not see; these are of {side}. Evaluate "
            f"with --split test, or "
            "on other data."
        )


def changelog_of(target: Path, before: Entry | None, release: Release) -> list[dict]:
    older = [] if before is None else [change.model_dump() for change in before.changelog]
    if before is not None and release.version <= before.version:
        raise ZooError(
            f"{target}: holds version {before.version} already; expected a higher one, received "
            f"{release.version}. Add --version "
            f"{before.version + 1}."
        )
    if before is not None and not release.changes:
        raise ZooError(
            f"{target}: expected a line for the changelog, since version {before.version} is replaced. Add "
            f"--change TEXT."
        )
    return [
        {"version": release.version, "date": release.date, "changes": release.changes or "First version."},
        *older,
    ]


def _units(recipe) -> str:
    """The unit of the pixels before normalisation, in words."""
    if recipe.modality == "ct" and recipe.data.window is None:
        return "values as the files give them, Hounsfield units or shades of a picture; no window is fixed."
    return UNITS[recipe.modality]


def _taught_by(recipe) -> str:
    """What told the network where the lesion is, in words."""
    if recipe.training.supervision == "masks":
        return "outlines drawn by hand."
    return f"image labels alone: {TAUGHT_BY[recipe.self_training.teacher]}."


def _entry(
    target: Path, kind, run: RunFolder, recipe, network, cut, selection, figures, about: About, changelog
) -> Entry:
    environment, content = run.read_environment(), run.model.read_bytes()
    packages = environment.get("packages", {})
    tensorflow = packages.get("tensorflow") or packages.get("tensorflow-cpu")
    if not (tensorflow and packages.get("keras") and packages.get("clamnet-tf")):
        raise ZooError(
            f"{run.environment}: expected the versions of clamnet-tf, TensorFlow and Keras; found "
            f"{', '.join(packages) or 'none'}. "
            "Train the run again."
        )
    heads = sorted(network.output)
    classes = about.classes or ["background", *([row["name"] for row in cut["markers"]] or ["marker"])]
    return entry_of(
        {
            "name": target.name,
            "version": changelog[0]["version"],
            "kind": kind,
            "modality": recipe.modality,
            "condition": recipe.condition,
            "summary": about.summary,
            "recipe": "recipe.yaml",
            "weights": {
                "file": "model.keras",
                "sha256": hashlib.sha256(content).hexdigest(),
                "bytes": len(content),
                "licence": about.weights_licence,
            },
            "input": {
                "modality": recipe.modality,
                "channels": int(network.inputs[0].shape[3]),
                "channel_order": about.channel_order,
                "missing_channels": about.missing_channels,
                "units": _units(recipe),
                "spacing": SPACING,
                "window": recipe.data.window and recipe.data.window.model_dump(),
                "normalization": recipe.data.normalization,
                "side": recipe.data.side,
                "organ": recipe.organ.model_dump(mode="json"),
            },
            "output": {
                "heads": heads,
                "classes": classes,
                "activation": network.get_layer(heads[0]).activation.__name__,
            },
            "eta": trained_eta(recipe),
            "threshold": {
                "head": recipe.inference.head,
                **cut["threshold"],
                "rule": selection["threshold_rule"],
            },
            "metrics": metrics_of(figures, recipe),
            "markers": cut["markers"] or None,
            "training_data": about.training_data.model_dump(),
            "taught_by": _taught_by(recipe),
            "intended_use": about.intended_use,
            "limits": about.limits,
            "notes": about.notes,
            "made_with": {
                "clamnet_tf": packages["clamnet-tf"],
                "tensorflow": tensorflow,
                "keras": packages["keras"],
                "python": environment["python"],
                "commit": (environment.get("git") or {}).get("commit"),
                "machine": f"{environment['machine']}, {environment['processors']} processors",
                "training_seconds": selection["seconds"],
            },
            "changelog": changelog,
        },
        str(target / ENTRY_FILE),
    )


@contextlib.contextmanager
def workshop(target: Path):
    """Yield a folder beside `target`, of its name, that does not exist yet; it is gone afterwards."""
    holder = Path(tempfile.mkdtemp(prefix=".writing-", dir=make_folder(target.parent)))
    try:
        with writing(target):
            yield holder / target.name
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def put_in_place(folder: Path, target: Path) -> None:
    """Put `folder`, which must pass every check, where `target` is; when that fails the older version is put
    back.
    """
    problems = [f"{check.name}: {check.problem}" for check in verify(folder) if check.problem]
    if problems:
        raise ZooError("\n".join(problems))
    if not target.exists() or not any(target.iterdir()):
        os.replace(folder, target)
        return
    older = folder.with_name(f"older-{target.name}")
    os.replace(target, older)
    try:
        os.replace(folder, target)
    except OSError:
        os.replace(older, target)
        raise
