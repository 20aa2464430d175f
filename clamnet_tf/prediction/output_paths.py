"""Name the results of a volume of several files: next to the results of its first file, all names
different.
"""

from pathlib import Path

from clamnet_tf.datasets.unlabelled_inputs import Inputs
from clamnet_tf.preprocessing.volumes import Group


def volume_output_names(inputs: Inputs, groups: list[Group]) -> list[Path]:
    """Return one path per group, relative to the output folder, without suffix.

    A group of one file has that file's path. Otherwise the path is in the folder of its first file and named
    after what its names have in common (head for head_1.png, head_2.png), or series_1, series_2, ...
    """
    taken = {str(output).lower() for output in inputs.outputs}
    stems = []
    for group in groups:
        outputs = [inputs.outputs[case] for case in group.cases]
        if len(outputs) == 1:
            stems.append(outputs[0])
            continue
        common = (
            _common([output.name for output in outputs])
            if len({output.parent for output in outputs}) == 1
            else ""
        )
        base, count = common or "series_1", 1
        while str(outputs[0].parent / base).lower() in taken:
            count += 1
            base = f"{common}_{count}" if common else f"series_{count}"
        taken.add(str(outputs[0].parent / base).lower())
        stems.append(outputs[0].parent / base)
    return stems


def _common(names: list[str]) -> str:
    """Return the beginning that all names share, without a running number.

    The result is '' when only numbers are left, as for a UID.
    """
    shortest = min(names, key=len)
    length = next(
        (offset for offset in range(len(shortest)) if len({name[offset] for name in names}) > 1),
        len(shortest),
    )
    common = shortest[:length].rstrip("0123456789").rstrip("_-. ")
    return common if any(sign.isalpha() for sign in common) else ""
