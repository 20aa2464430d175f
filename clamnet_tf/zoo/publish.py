"""Publish a finished, evaluated run as a zoo entry.

No metric is typed in by hand: all are taken from the run's own files.
"""

import contextlib
import dataclasses
import datetime
import json
import os
import shutil
import tempfile
from pathlib import Path

from clamnet_tf.errors import ZooError
from clamnet_tf.export.heads_onnx import write_heads_onnx
from clamnet_tf.files import make_folder, write_json, write_text, writing
from clamnet_tf.networks.classifier import has_heads, is_classifier
from clamnet_tf.networks.saved import load_network
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.runs import APPEARANCE_FILE, RunFolder
from clamnet_tf.zoo.about import About
from clamnet_tf.zoo.card import card
from clamnet_tf.zoo.classes import class_rows, cuts, rows_of_figures, rule_of_metrics
from clamnet_tf.zoo.entry import (
    BASELINES_FILE,
    CARD_FILE,
    ENTRY_FILE,
    GOLDEN_FILE,
    LARGEST_WEIGHTS,
    ONNX_FILE,
    Entry,
    is_entry,
)
from clamnet_tf.zoo.golden import golden_output
from clamnet_tf.zoo.measured import check_held_out, metrics_of, read_figures
from clamnet_tf.zoo.read import entry_of, entry_text, onnx_section, read_entry
from clamnet_tf.zoo.run_entry import entry_of_run
from clamnet_tf.zoo.verify import verify


@dataclasses.dataclass(frozen=True)
class Release:
    """Say which version is published, when, and what is new in it (required from version 2 on)."""

    version: int
    changes: str | None
    date: str = dataclasses.field(default_factory=lambda: datetime.date.today().isoformat())


def last_version(target) -> Entry | None:
    """Return the entry that exists at `target`, or None. Raises ZooError when other files are there."""
    target = Path(target)
    if is_entry(target):
        return read_entry(target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ZooError(
            f"{target}: expected a new folder or a zoo entry; received a folder with other files. Choose "
            f"another --to."
        )
    return None


def publish(
    run_folder,
    target,
    about: About,
    release: Release,
    *,
    kind: str = "marker",
    figures_file=None,
    onnx: bool = False,
) -> Entry:
    """Write the entry of a run to `target`; an older version there is replaced.

    Args:
        run_folder: Finished and evaluated run.
        target: Folder of the entry; its last part is the entry's name.
        about: Texts of the entry.
        release: Version and changes.
        kind: "marker" (marks lesions) or "organ".
        figures_file: metrics.json of an evaluation of the same weights; None: the run's own.
        onnx: Whether the entry gets a model.onnx, with which predict needs no TensorFlow. A network whose
            attribution is the result gets none: only TensorFlow computes its gradients.

    Returns:
        The entry. Its folder passed every check of `verify` before it was put in place.

    Raises:
        ZooError: The run is not finished or too large; it has no metrics, metrics of other weights, or
            metrics of patients it was trained on; or the version is not raised, or its changes are not given.
        RunError: There is no run.
    """
    run, target = RunFolder.open_finished(run_folder), Path(target)
    if not run.finished.exists():
        raise ZooError(
            f"{run_folder}: expected a finished run; FINISHED is missing. Finish it with clamnet-tf fit ... "
            f"--resume."
        )
    if run.model.stat().st_size > LARGEST_WEIGHTS:
        raise ZooError(
            f"{run.model}: expected at most {LARGEST_WEIGHTS} bytes, the limit of a zoo entry; received "
            f"{run.model.stat().st_size}. Train a smaller network, or average fewer folds."
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
    metrics = read_figures(figures_file, selection, threshold["value"], rule)
    check_held_out(figures_file, metrics, run.read_environment(), averaged="average" in selection)
    network = load_network(run.model)
    if is_classifier(network):
        raise ZooError(
            f"{run_folder}: expected a network that marks lesions; received one that classifies slices "
            f"(loss.objective). Publish another run."
        )
    try:
        cut = {"threshold": threshold, "markers": rows_of_figures(metrics, classes)}
    except (KeyError, TypeError) as error:
        raise ZooError(
            f"{figures_file}: expected metrics of each lesion class ({type(error).__name__}: {error}). "
            f"Evaluate this run."
        ) from error
    entry = entry_of_run(target, kind, run, recipe, network, cut, selection, metrics, about, changelog)
    with workshop(target) as folder:
        if before is not None:
            shutil.copytree(target, folder)  # keeps further files, for example pictures that the card shows
        folder.mkdir(exist_ok=True)
        for name in ("model.keras", "recipe.yaml", "selection.json"):
            shutil.copyfile(run.path / name, folder / name)
        for name in (BASELINES_FILE, APPEARANCE_FILE):
            (folder / name).unlink(missing_ok=True)
            if (run.path / name).is_file():
                shutil.copyfile(run.path / name, folder / name)
        (folder / ONNX_FILE).unlink(missing_ok=True)
        if onnx and has_heads(network):
            write_heads_onnx(network, folder / "model.keras", folder / ONNX_FILE)
            entry = with_onnx(entry, folder, target)
        write_text(folder / ENTRY_FILE, entry_text(entry))
        write_json(folder / GOLDEN_FILE, golden_output(network))
        write_text(folder / CARD_FILE, card(entry))
        put_in_place(folder, target)
    return entry


def publish_again(source, target, about: About, release: Release, *, figures_file) -> Entry:
    """Write an existing entry to `target` with new metrics of the same weights and a raised version.

    The metrics come from clamnet-tf evaluate.

    Args:
        source: Folder of the entry, which may be `target`.
        target: Folder of the new version; its last part is the entry's name.
        about: Texts of the entry.
        release: Version and changes.
        figures_file: metrics.json.

    Raises:
        ZooError: As in `publish`; or no metrics are given.
    """
    source, target = Path(source), Path(target)
    if figures_file is None:
        raise ZooError(
            f"{source}: is a zoo entry, which has no evaluation of its own. Give its metrics.json with "
            f"--figures, or publish a run."
        )
    before, replaced = read_entry(source), last_version(target)
    recipe, selection = (
        load_recipe(source / "recipe.yaml"),
        json.loads((source / "selection.json").read_text(encoding="utf-8")),
    )
    rule = rule_of_metrics(recipe, selection) if before.markers else None
    metrics = read_figures(Path(figures_file), selection, before.threshold.value, rule)
    check_held_out(Path(figures_file), metrics, {})
    data = before.model_dump(mode="json") | {
        "name": target.name,
        "summary": about.summary,
        "metrics": metrics_of(metrics, recipe),
        "training_data": about.training_data.model_dump(),
        "markers": rows_of_figures(metrics, class_rows(recipe, selection)) or None,
        "changelog": changelog_of(target, replaced, release),
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
        fitted_baselines = (
            Path(figures_file).parent / BASELINES_FILE
        )  # of an evaluation that fitted what the entry lacked
        if fitted_baselines.is_file():
            shutil.copyfile(fitted_baselines, folder / BASELINES_FILE)
        write_text(folder / ENTRY_FILE, entry_text(entry))
        write_text(folder / CARD_FILE, card(entry))
        put_in_place(folder, target)
    return entry


def with_onnx(entry: Entry, folder: Path, target: Path) -> Entry:
    """Return the entry with the model.onnx of `folder` declared; `target` names it in messages."""
    data = entry.model_dump(mode="json")
    data["weights"]["onnx"] = onnx_section(folder / ONNX_FILE)
    return entry_of(data, str(target / ENTRY_FILE))


def changelog_of(target: Path | str, before: Entry | None, release: Release) -> list[dict]:
    """Return the changelog with a new line on top. Raises ZooError when version or changes are not
    acceptable.
    """
    older = [] if before is None else [change.model_dump() for change in before.changelog]
    if before is not None and release.version <= before.version:
        raise ZooError(
            f"{target}: has version {before.version} already; expected a higher one, received "
            f"{release.version}. Add --version {before.version + 1}."
        )
    if before is not None and not release.changes:
        raise ZooError(
            f"{target}: expected a line for the changelog, because version {before.version} is replaced; "
            f"received none. Add --change TEXT."
        )
    return [
        {"version": release.version, "date": release.date, "changes": release.changes or "First version."},
        *older,
    ]


@contextlib.contextmanager
def workshop(target: Path):
    """Yield a path beside `target`, with its name, that does not exist yet; it is removed afterwards."""
    holder = Path(tempfile.mkdtemp(prefix=".writing-", dir=make_folder(target.parent)))
    try:
        with writing(target):
            yield holder / target.name
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def put_in_place(folder: Path, target: Path) -> None:
    """Move `folder`, which must pass every check, to `target`; if that fails, restore the older version."""
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
