"""Run short trainings beside a run, from which a search chooses.

Each has its own run folder and is not repeated.
"""

from pathlib import Path

from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.recipe.writer import to_yaml
from clamnet_tf.runs import RunFolder
from clamnet_tf.training.fit import train


class TrialRuns:
    """Train the candidates of one search on the same slices.

    Args:
        manifest, prepared, reporter: see `training.fit.train`.
        folder: gets a run folder per candidate. Runs that an earlier, interrupted search has finished there
            are used, an unfinished run is resumed.
        begin: callable that gives a run folder its initial weights and refuses one that was started
            otherwise; or None.
    """

    def __init__(self, manifest, prepared, folder: Path, reporter, begin=None):
        self.manifest, self.prepared, self.folder = manifest, prepared, Path(folder)
        self.reporter, self.begin = reporter, begin

    def run(self, name: str, recipe: Recipe, title: str) -> RunFolder | None:
        """Return the finished run folder `name` of `recipe`, or None when stopped on request.

        `title` is for the reader.

        Raises:
            RunError: the folder holds a run of another recipe.
            The errors of `training.fit.train`.
        """
        run = RunFolder(self.folder / name)
        if self.begin is not None and run.finished.exists():
            self.begin(run)
        if run.finished.exists() and run.has_recipe(to_yaml(recipe)):
            return run
        run = RunFolder.open_for_training(run.path, to_yaml(recipe), resume=run.recipe.exists())
        with run.lock():
            self.reporter.line(f"Search: {title}.")
            if self.begin is not None:
                self.begin(run)
            if train(recipe, self.manifest, self.prepared, run, self.reporter).look is None:
                return None
            run.finish()
        return run
