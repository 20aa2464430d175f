"""A run folder: its files, who may write into it, and whether the run is finished.

    recipe.yaml        resolved recipe          split.csv       patient, split (as used)
    environment.json   versions, machine, git   log.txt         what was printed, with times
    metrics.jsonl      one row per logged step  tensorboard/    the same for TensorBoard
    checkpoints/       state for --resume       model.keras     the selected network, stock Keras layers
    selection.json     threshold, checkpoint    evaluation/     metrics.json, cases.csv, report.html ...
    initial.keras      weights of fit --init    initialization.json   their origin, and which were used
    masks.csv          masks that taught        corrections/   masks of fit --corrections
    intensity_baselines.json   simple methods fitted to the training images, for comparison
    appearance.npz     what the training images look like, by which predict notices others
    learning.json      whether anything was learned, by image labels of validation patients
    tracking.json      which MLflow run it is (runtime.tracking), and how far it was sent
    FINISHED           written last

Of these, a zoo entry has recipe.yaml, selection.json, model.keras, intensity_baselines.json and
appearance.npz, besides files of its own; nothing is written into it.
"""

import collections
import contextlib
import csv
import datetime
import json
import shutil
from pathlib import Path

from clamnet_tf.environment import environment
from clamnet_tf.errors import RecipeError, RunError
from clamnet_tf.files import atomic_path, hold, make_folder, write_json, write_text, writing
from clamnet_tf.plain_json import plain_json
from clamnet_tf.recipe.catalogue import load_recipe, recipe_of
from clamnet_tf.recipe.writer import recipe_hash
from clamnet_tf.texts import HANDLER

KEPT_FILE = "intensity_baselines.json"
APPEARANCE_FILE = "appearance.npz"
CLASSIFIERS = "classifiers"
"""Name of the stage that trains the classifiers of an attribution, and of its folder of checkpoints."""


class RunFolder:
    """Paths of one run and its log; a lock keeps a second process out.

    Attributes:
        keep: a function that is called whenever the written files should outlive this machine (a checkpoint,
            the end of the run). It does nothing unless the folder is the copy of a remote one
            (runtime/remote_folder.py).
    """

    def __init__(self, path):
        self.path = Path(path).resolve()
        self.recipe = self.path / "recipe.yaml"
        self.split = self.path / "split.csv"
        self.environment = self.path / "environment.json"
        self.masks = self.path / "masks.csv"
        self.corrections = self.path / "corrections"
        self.log_file = self.path / "log.txt"
        self.metrics = self.path / "metrics.jsonl"
        self.tensorboard = self.path / "tensorboard"
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model.keras"
        self.onnx = self.path / "model.onnx"
        self.selection = self.path / "selection.json"
        self.appearance = self.path / APPEARANCE_FILE
        self.learning = self.path / "learning.json"
        self.initial = self.path / "initial.keras"
        self.initialization = self.path / "initialization.json"
        self.evaluation = self.path / "evaluation"
        self.finished = self.path / "FINISHED"
        self.keep = lambda: None

    @classmethod
    def open_for_training(cls, path, recipe_text: str, *, resume: bool, shown=None) -> "RunFolder":
        """Make a new run folder, or open an unfinished one to go on with it.

        Args:
            path: the folder.
            recipe_text: the resolved recipe as YAML.
            resume: whether to go on with an unfinished run.
            shown: how messages name the folder, when not by `path`.

        Raises:
            RunError: the folder holds other files, a finished run, an unfinished run without `resume`, or a
                run of another recipe.
            EnvironmentFailure: it cannot be written.
        """
        run, shown = cls(path), shown or path
        if resume and not run.recipe.exists():
            raise RunError(
                f"{shown}: expected an unfinished run to resume; found no recipe.yaml. Start it without "
                f"--resume."
            )
        if run.path.exists() and not run.path.is_dir():
            raise RunError(f"{shown}: expected a folder; it is a file. Choose another --out.")
        if run.recipe.exists():
            if run.finished.exists():
                raise RunError(
                    f"{shown}: holds a finished run. Choose another --out, or remove the folder to train "
                    f"again."
                )
            if not resume:
                raise RunError(
                    f"{shown}: holds an unfinished run. Add --resume to go on with it, or choose another "
                    f"--out."
                )
            if not run.has_recipe(recipe_text):
                raise RunError(
                    f"{shown}: the run was started with another recipe (see {run.recipe}). Resume it with "
                    f"that one: "
                    f"clamnet-tf fit {run.recipe} --resume ..., or choose another --out."
                )
        elif run.path.exists() and any(run.path.iterdir()):
            raise RunError(
                f"{shown}: expected a new or empty folder; it holds other files. Choose another --out."
            )
        else:
            make_folder(run.path)
            write_text(run.recipe, recipe_text)
        make_folder(run.checkpoints)
        return run

    @classmethod
    def open_finished(cls, path) -> "RunFolder":
        """Open a run whose model can be used; raise RunError that names the missing file."""
        run = cls(path)
        for part in (run.recipe, run.model, run.selection):
            if not part.is_file():
                raise RunError(
                    f"{path}: expected a run folder with a trained model; {part.name} is missing. Finish it "
                    f"with clamnet-tf fit ... --resume."
                )
        return run

    def has_recipe(self, recipe_text: str) -> bool:
        """Return whether the run was started with this recipe, also when recipe keys have moved since.

        Args:
            recipe_text: the recipe as `recipe.writer.to_yaml` writes it. Moved keys are listed in
                recipe/moved.py.
        """
        if self.recipe.read_text(encoding="utf-8") == recipe_text:
            return True
        try:
            return recipe_hash(load_recipe(self.recipe)) == recipe_hash(recipe_of(recipe_text))
        except RecipeError:  # a recipe of another version
            return False

    @contextlib.contextmanager
    def lock(self):
        """Hold the folder in the block; raise RunError when another process trains in it.

        The lock is released when the process ends, however it ends.
        """
        with hold(self.path / ".lock") as held:
            if not held:
                raise RunError(
                    f"{self.path}: another process is training in this folder. Wait for it, or choose "
                    f"another --out."
                )
            yield self

    def log(self, message: str) -> None:
        """Append a line with the time to log.txt."""
        with open(self.log_file, "a", encoding="utf-8", errors=HANDLER) as stream:
            stream.write(f"{datetime.datetime.now().isoformat(timespec='seconds')} {message}\n")

    def write_environment(self, hide=str, **more) -> None:
        """Write package versions, machine and git state to environment.json, so that the run can be repeated.

        Args:
            hide: a function that removes identifiers of patients from paths.
            **more: further entries of the file.
        """
        content = environment()
        content["command"] = [hide(part) for part in content["command"]]
        write_json(
            self.environment,
            {
                **content,
                **{key: hide(value) if isinstance(value, str) else value for key, value in more.items()},
            },
        )

    def append_metrics(self, row: dict) -> None:
        """Append one JSON line to metrics.jsonl; a torn last line (power cut) is dropped when the file is
        read.
        """
        with open(self.metrics, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")

    def read_metrics(self) -> list:
        """Return all complete rows of metrics.jsonl."""
        rows = []
        if self.metrics.exists():
            for line in self.metrics.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(json.JSONDecodeError):
                    rows.append(json.loads(line))
        return rows

    def truncate_metrics(self, step: int) -> None:
        """Drop the rows after `step`, which a resumed run is about to write again."""
        rows = [row for row in self.read_metrics() if row["step"] <= step]
        write_text(self.metrics, "".join(json.dumps(row) + "\n" for row in rows))

    def read_selection(self) -> dict:
        """Return the content of selection.json.

        Its keys are markings (thresholds per head and for the mean of the heads), threshold_rule, prevalence,
        step, checkpoint_rule, seconds and looks.

        Raises:
            RunError: the file is damaged.
        """
        return plain_json(
            self.selection.read_bytes(),
            lambda reason: RunError(
                f"{self.selection}: not the selection of a finished run ({reason}). Train the run again."
            ),
        )

    def read_learning(self) -> dict | None:
        """Return the content of learning.json (evaluation.learning_check); None for runs without it.

        Raises:
            RunError: the file is damaged.
        """
        if not self.learning.exists():
            return None
        return plain_json(
            self.learning.read_bytes(),
            lambda reason: RunError(
                f"{self.learning}: not the file that fit writes ({reason}). Remove it, or train the run "
                f"again."
            ),
        )

    def split_patients(self) -> dict:
        """Return the number of patients per side from split.csv, such as {"train": 54, ...}.

        The dictionary is empty for a zoo entry, which has no split.csv.
        """
        if not self.split.exists():
            return {}
        with open(self.split, newline="", encoding="utf-8") as stream:
            return dict(collections.Counter(row["split"] for row in csv.DictReader(stream)))

    def read_environment(self) -> dict:
        """Return the content of environment.json, {} when there is none."""
        return json.loads(self.environment.read_text(encoding="utf-8")) if self.environment.exists() else {}

    def is_untrained(self) -> bool:
        """Return whether the run has neither metrics nor checkpoints yet."""
        return not self.metrics.exists() and not any(self.checkpoints.glob("*"))

    def discard_if_untrained(self) -> None:
        """Remove a folder without any trained state, so that a corrected command can use the same --out."""
        if self.is_untrained():
            shutil.rmtree(self.path, ignore_errors=True)

    def begin_with(self, model, origin: dict) -> None:
        """Copy the weights that the run starts from into the folder, so that it can be resumed without the
        original.

        Args:
            model: a .keras file.
            origin: where it comes from, written to initialization.json; its key sha256 distinguishes weights.

        Raises:
            RunError: training has begun already, from other weights or from none.
        """
        if self.is_untrained():
            with atomic_path(self.initial) as temporary, writing(self.initial):
                shutil.copyfile(model, temporary)
            write_json(self.initialization, origin)
            return
        before = (
            json.loads(self.initialization.read_text(encoding="utf-8"))
            if self.initialization.exists()
            else None
        )
        if before is None or before["sha256"] != origin["sha256"]:
            began = f"from {before['from']}" if before else "without --init"
            raise RunError(
                f"{self.path}: the run was started {began}. Resume it without another --init, or choose "
                f"another --out."
            )

    def finish(self) -> None:
        """Mark the run as finished; this is the last file that is written."""
        write_text(self.finished, datetime.datetime.now().isoformat(timespec="seconds") + "\n")


def check_output(path) -> Path:
    """Return an empty folder for results, made when missing; raise RunError when it is in use."""
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunError(
            f"{path}: expected a new or empty folder for the results; it is in use. Choose another --out."
        )
    return make_folder(path)
