"""Send a training to MLflow while it runs, without ever holding it up.

A thread reads what the run folder gets (metrics.jsonl, and in the end metrics.json, the report and the model)
and sends what is new. A server that cannot be reached is tried again later; the run folder keeps everything,
and tracking.json in it says which MLflow run it is and how far it was sent, so that a resumed training
continues the same MLflow run.
"""

import contextlib
import functools
import importlib.util
import json
import math
import os
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from clamnet_tf.errors import EnvironmentFailure
from clamnet_tf.files import write_json
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.recipe.writer import recipe_hash, resolve
from clamnet_tf.runs import RunFolder

ADDRESS_VARIABLE = "MLFLOW_TRACKING_URI"
LOCAL_FOLDER = "mlruns"  # in the working folder, where MLflow looks for it, too
STATE_FILE = "tracking.json"
INTERVAL_SECONDS = 10.0  # between two looks into the run folder
PAUSE_SECONDS = 60.0  # after a failure
#: What the client waits for by itself would hold up the end of a training for minutes.
PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "20", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
MOST_METRICS, MOST_PARAMETERS, LONGEST_VALUE = (
    500,
    100,
    500,
)  # per request; what every version of MLflow takes
#: Path in the run folder -> folder of the artifact.
ARTIFACTS = {
    "recipe.yaml": "model",
    "selection.json": "model",
    "model.keras": "model",
    "model.onnx": "model",
    "appearance.npz": "model",
    "learning.json": "evaluation",
    "evaluation/metrics.json": "evaluation",
    "evaluation/report.html": "evaluation",
}
FOLDERS = {"look": "validation"}  # kind of row -> first part of a metric's name, where they differ
MOST_FAILURES = 2  # in a row at the end
#: How a training ended -> what MLflow calls that; without an end it is FAILED.
STATES = {"finished": "FINISHED", "stopped": "KILLED"}


@contextlib.contextmanager
def tracked(recipe: Recipe, run: RunFolder, reporter):
    """Send the training in the block to MLflow if the recipe says so.

    Args:
        recipe: Resolved recipe.
        run: Run folder, opened for training.
        reporter: Told where it is sent, when that fails, and in the end what was not sent.

    Yields:
        A function that is called with how the training ended, "finished" or "stopped"; without a call it
        failed.

    Raises:
        EnvironmentFailure: The recipe asks for MLflow, and mlflow-skinny is not installed.
    """
    if recipe.runtime.tracking == "none":
        yield lambda ended: None
        return
    if importlib.util.find_spec("mlflow") is None:
        raise EnvironmentFailure(
            "runtime.tracking: mlflow needs the package mlflow-skinny; install it with: pip install "
            "'clamnet-tf[mlflow]', or train with --set runtime.tracking=none."
        )
    tracker = MlflowTracker(recipe, run, reporter)
    tracker.start()
    ended: list[str] = []
    try:
        yield ended.append
    finally:
        tracker.close(STATES[ended[0]] if ended else "FAILED")
    run.keep()  # tracking.json, too


class MlflowTracker:
    """Sends a run folder to MLflow, in a thread of its own.

    Args:
        recipe: Resolved recipe.
        run: Run folder.
        reporter: Reporter.
        interval_seconds: Time between two looks into the run folder.
    """

    def __init__(self, recipe: Recipe, run: RunFolder, reporter, interval_seconds: float = INTERVAL_SECONDS):
        self.recipe, self.run, self.reporter, self.interval_seconds = recipe, run, reporter, interval_seconds
        self.address = os.environ.get(ADDRESS_VARIABLE) or Path(LOCAL_FOLDER).absolute().as_uri()
        self.label = without_password(self.address)
        self.problem: str | None = None  # of the last attempt
        self._client: Any = None
        self._run_id: str | None = None
        self._state_file = run.path / STATE_FILE
        self._sent: dict = {}  # kind of row -> last step that was sent
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="mlflow", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        for name, value in (*PATIENCE.items(), ("MLFLOW_ALLOW_FILE_STORE", "true")):
            os.environ.setdefault(name, value)
        self.reporter.line(f"MLflow: experiment {self.recipe.name} at {self.label}.")
        self._thread.start()

    def close(self, status: str) -> None:
        """Send what is left, close the MLflow run, and say what could not be sent.

        Args:
            status: FINISHED, KILLED (stopped on request) or FAILED.
        """
        self._ending.set()
        self._thread.join()
        if status == "FAILED" and self.run.is_untrained():  # its folder goes, too: nothing to keep
            if self._client is not None:
                self._attempt(lambda: self._client.delete_run(self._run_id))
            return
        missing, failures, reason = self._missing(status), 0, ""
        for what, send in list(missing.items()):
            if failures < MOST_FAILURES and self._attempt(send):
                del missing[what]
                failures = 0
            else:
                failures, reason = failures + 1, self.problem or reason
        if missing:
            self.reporter.line(
                f"Warning: MLflow at {self.label} did not get {', '.join(missing)} ({reason}). The training "
                f"is not affected, and {self.run.path} has all of it."
            )
        else:
            self.reporter.line(f"MLflow: everything was sent; run {self._run_id} at {self.label}.")

    def _follow(self) -> None:
        """Look into the run folder again and again until the training ends."""
        while not self._ending.is_set():
            failed_before = self.problem is not None
            if self._attempt(self._send_rows):
                if failed_before:
                    self.reporter.line(f"MLflow: {self.label} answers again; what was missing is sent.")
                self._ending.wait(self.interval_seconds)
                continue
            if not failed_before:
                self.reporter.line(
                    f"Warning: MLflow at {self.label} does not take the run ({self.problem}). The training "
                    f"goes on; it is tried again every {PAUSE_SECONDS:.0f} s and at the end."
                )
            self._ending.wait(max(PAUSE_SECONDS, self.interval_seconds))

    def _attempt(self, send) -> bool:
        """Call `send` and return whether it worked; the reason of a failure is kept."""
        try:
            self._open()
            send()
        except (
            Exception
        ) as error:  # of the client, its HTTP library or the server: a training outlives them all
            self.problem = reason_of_failure(error)
            return False
        self.problem = None
        return True

    def _missing(self, status: str) -> dict:
        """Return what is to be sent at the end, name -> function."""
        rows = sum(1 for _ in self._new_rows())
        parts: dict = {} if self._client else {"the run with its parameters": lambda: None}
        if rows:
            parts[f"{rows} rows of metrics"] = self._send_rows
        if status == "FINISHED":
            parts["the final metrics"] = self._send_final
            for name, folder in ARTIFACTS.items():
                if (self.run.path / name).is_file():
                    parts[name] = functools.partial(self._send_file, name, folder)
        parts["how the run ended"] = lambda: self._client.set_terminated(self._run_id, status)
        return parts

    def _open(self) -> None:
        """Find or make the MLflow run with its parameters; do nothing if that is done."""
        if self._client is not None:
            return
        from mlflow.entities import Param
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=self.address)
        state = self._read_state()
        if state is not None:
            self._run_id, self._sent = state
            client.update_run(self._run_id, status="RUNNING")
        if self._run_id is None:
            self._run_id = self._new_run(client)
            self._write_state()
        parameters = [Param(key, text) for key, text in parameters_of(self.recipe).items()]
        for start in range(0, len(parameters), MOST_PARAMETERS):  # the same ones again change nothing
            client.log_batch(self._run_id, params=parameters[start : start + MOST_PARAMETERS])
        self._client = client

    def _new_run(self, client) -> str:
        """Make an MLflow run and return its id."""
        experiment = client.get_experiment_by_name(self.recipe.name)
        place = experiment.experiment_id if experiment else client.create_experiment(self.recipe.name)
        tags = {"clamnet_tf.recipe": self.recipe.name, "clamnet_tf.recipe_sha256": recipe_hash(self.recipe)}
        return client.create_run(place, run_name=self.run.path.name, tags=tags).info.run_id

    def _send_file(self, name: str, folder: str) -> None:
        """Send a file of the run folder as an artifact."""
        self._client.log_artifact(self._run_id, str(self.run.path / name), folder)

    def _new_rows(self):
        """Yield the rows of metrics.jsonl that were not sent."""
        for row in self.run.read_metrics():
            if row["step"] > self._sent.get(row["kind"], -1):
                yield row

    def _send_rows(self) -> None:
        """Send the numbers of new rows, named as in TensorBoard, at their step."""
        rows = list(self._new_rows())
        if not rows:
            return
        numbers = [
            (f"{FOLDERS.get(row['kind'], row['kind'])}/{name}", value, row["step"])
            for row in rows
            for name, value in row.items()
            if name != "step"
        ]
        self._log(numbers)
        for row in rows:
            self._sent[row["kind"]] = row["step"]
        self._write_state()

    def _send_final(self) -> None:
        """Send the numbers of the evaluation under test/NAME, at the last step."""
        content = json.loads((self.run.evaluation / "metrics.json").read_text(encoding="utf-8"))
        step = max((row["step"] for row in self.run.read_metrics()), default=0)
        content = {key: value for key, value in content.items() if key != "baselines"}
        self._log([(f"test/{name}", value, step) for name, value in flattened(content)])

    def _log(self, numbers) -> None:
        """Send (name, value, step); what is no finite number is left out."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(name, float(value), now, step)
            for name, value, step in numbers
            if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        ]
        for start in range(0, len(metrics), MOST_METRICS):
            self._client.log_batch(self._run_id, metrics=metrics[start : start + MOST_METRICS])

    def _read_state(self) -> tuple[str, dict] | None:
        """Return the MLflow run and what it has, of tracking.json if that is of this server."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            state = json.loads(self._state_file.read_text(encoding="utf-8"))
            if state["address"] == self.label:
                return str(state["run_id"]), dict(state["sent"])
        return None

    def _write_state(self) -> None:
        """Write tracking.json."""
        write_json(self._state_file, {"address": self.label, "run_id": self._run_id, "sent": self._sent})


def parameters_of(recipe: Recipe) -> dict[str, str]:
    """Return key.path -> text of every value of the resolved recipe; long texts are cut (recipe.yaml, an
    artifact, has them whole).
    """
    return {
        key: (text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}...")
        for key, value in flattened(resolve(recipe).model_dump(mode="json"))
        for text in [value if isinstance(value, str) else json.dumps(value)]
    }


def flattened(content: dict, prefix: str = ""):
    """Yield (key.path, value) of every value of nested dicts; a list is one value."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def without_password(address: str) -> str:
    """Return an address without the user name and password that it may have."""
    parts = urlsplit(address)
    if "@" not in parts.netloc:
        return address
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def reason_of_failure(error: Exception) -> str:
    """Return the first line of an error, at most 200 characters, without passwords."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    words = [without_password(word) if "://" in word and "@" in word else word for word in text.split()]
    return " ".join(words)[:200].rstrip(".")
