"""Write whole training states atomically into one file each: weights, optimizer, step, random states,
candidates.
"""

import json
import re
import zipfile
from pathlib import Path

import numpy as np

from clamnet_tf.errors import RunError
from clamnet_tf.files import atomic_path

END = "chosen.json"
"""File in the folder of a stage that says which checkpoint was chosen; written when the stage has ended."""
_NAME = re.compile(r"step-(\d{8})\.npz$")


def state_variables(trainer) -> list:
    """Return every variable that decides how training continues, metrics left out.

    These are networks (with dropout's random states), step and optimizer.
    """
    known_ids, variables = {id(variable) for metric in trainer.metrics for variable in metric.variables}, []
    for variable in [*trainer.variables, *trainer.optimizer.variables]:
        if id(variable) not in known_ids:
            known_ids.add(id(variable))
            variables.append(variable)
    return variables


def save_checkpoint(folder: Path, trainer, step: int, extra: dict, keep: int = 2) -> Path:
    """Write `folder`/step-XXXXXXXX.npz and remove all but the newest `keep`; JSON can hold `extra`."""
    path = Path(folder) / f"step-{step:08d}.npz"
    arrays = {
        f"v{index:05d}": np.asarray(variable) for index, variable in enumerate(state_variables(trainer))
    }
    with atomic_path(path) as temporary:
        np.savez(temporary, extra=np.array(json.dumps(extra)), **arrays)
    for old in sorted(Path(folder).glob("step-*.npz"))[:-keep]:
        old.unlink()
    return path


def newest_checkpoint(folder: Path):
    """Return path and step of the newest complete checkpoint, or (None, 0)."""
    for path in sorted(Path(folder).glob("step-*.npz"), reverse=True):
        if _NAME.search(path.name) and zipfile.is_zipfile(path):
            return path, int(_NAME.search(path.name).group(1))
    return None, 0


def restore_checkpoint(path: Path, trainer) -> dict:
    """Assign every variable of a checkpoint; return its `extra`.

    Raises:
        RunError: the file belongs to another network or optimizer.
    """
    variables = state_variables(trainer)
    with np.load(path, allow_pickle=False) as stored:
        arrays = [stored[name] for name in sorted(stored.files) if name != "extra"]
        extra = json.loads(str(stored["extra"]))
    shapes = [tuple(array.shape) for array in arrays], [tuple(variable.shape) for variable in variables]
    if shapes[0] != shapes[1]:
        raise RunError(
            f"{path}: expected {len(variables)} variables of this recipe's network and optimizer; the file "
            f"has {len(arrays)} of other shapes. Resume with the recipe of the run folder."
        )
    for variable, array in zip(variables, arrays):
        variable.assign(array)
    return extra


def candidate(folder: Path, step: int) -> Path:
    """Return the file of the weights that were scored at `step` of the run, in the folder of a stage."""
    return Path(folder) / f"candidate-{step:08d}.npz"


def save_weights(path: Path, network) -> None:
    """Write the network's weights alone, in order, as an .npz."""
    with atomic_path(path) as temporary:
        np.savez(temporary, **{f"v{index:05d}": array for index, array in enumerate(network.get_weights())})


def load_weights(path: Path, network) -> None:
    """Load what `save_weights` wrote into the network."""
    with np.load(path, allow_pickle=False) as stored:
        network.set_weights([stored[name] for name in sorted(stored.files)])
