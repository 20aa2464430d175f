"""Put series and files of studies together into images of several channels, for predictions and trainings."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from clamnet_tf.datasets.announced_channels import holds_several_channels
from clamnet_tf.datasets.layouts.dicom_series import SortedHeaders
from clamnet_tf.datasets.sequence_files import SequenceGroup, group_of
from clamnet_tf.datasets.sequence_headers import files_of, studies_of_series
from clamnet_tf.datasets.sequence_names import sequence_of_name, studies_of_names
from clamnet_tf.recipe.sequences import Sequences


@dataclass
class SeriesGroups:
    """The DICOM series of some studies after grouping.

    Attributes:
        series: the series without the volumes that are no reference of a study; those of studies of which
            nothing matches a sequence stay as they are.
        groups: key of a reference volume -> its group.
        problems: why studies cannot be used.
        left_out: number of images of volumes that are no sequence of the model.
    """

    series: list[SortedHeaders]
    groups: dict[str, SequenceGroup] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    left_out: int = 0


@dataclass
class FileGroups:
    """Volume files after grouping by their names.

    Attributes:
        groups: (reference file, group, folder and common name of the study) each.
        problems: why studies cannot be used.
        others: files that are no sequence of the model, beside those that are.
        rest: files that belong to no study.
    """

    groups: list[tuple[Path, SequenceGroup, Path]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    rest: list[Path] = field(default_factory=list)


def group_series(series: list[SortedHeaders], sequences: Sequences | None) -> SeriesGroups:
    """Group the series of each study by `sequences`; None leaves all series as they are.

    Raises:
        DataError: data.sequences names a field that DICOM does not have.
    """
    result = SeriesGroups(series)
    if sequences is None or not series:
        return result
    dropped = set()
    for study in studies_of_series(series, sequences):
        dropped |= {volume.key for volume in (*study.volumes.values(), *study.others)}
        if study.problem:
            result.problems.append(study.problem)
            dropped |= {
                volume.key
                for item in series
                for volume in item.volumes
                if study.study in (volume.headers[0].study, volume.headers[0].series)
            }
            continue
        files = {index: files_of(volume) for index, volume in study.volumes.items()}
        group = group_of(sequences, files, study.notes)
        reference = study.volumes[group.reference].key
        result.groups[reference] = group
        dropped.discard(reference)
        result.left_out += sum(len(volume.headers) for volume in study.others)
    kept = [
        replace(item, volumes=tuple(volume for volume in item.volumes if volume.key not in dropped))
        for item in series
    ]
    result.series = [item for item in kept if item.volumes or item.unclear]
    return result


def group_files(paths: list[Path], sequences: Sequences | None, named=()) -> FileGroups:
    """Group volume files by their names; None leaves all files as they are.

    Files that announce several channels are no sequence, whatever they are called. Beside the sequences of
    its study, such a file is a problem: it may be the sequence that it is called.

    Args:
        paths: the files.
        sequences: the sequences of the model.
        named: files that were given by their own name, which are never left out.
    """
    if sequences is None:
        return FileGroups(rest=list(paths))
    whole = {path for path in paths if holds_several_channels(path)}
    studies, result = studies_of_names([path for path in paths if path not in whole], sequences), FileGroups()
    taken = {path for study in studies for path in study.files}
    folders = {study.folder for study in studies}
    doubtful = _of_several_channels(whole, sequences)
    for study in studies:
        problem = study.problem(sequences.names)
        if unclear := doubtful.get((study.folder, study.name)):
            taken.update(unclear)
            found = ", ".join(path.name for path in unclear)
            problem = (
                f"{study.folder / study.name}: its other files are one sequence each, and {found} holds "
                "several channels; expected one file of one channel per sequence, or a single file of all "
                "channels. Save the wanted part as a file of its own, or move that file away."
            )
        if problem:
            result.problems.append(problem)
        else:
            group = group_of(sequences, study.files_of)
            reference = group.images[group.reference].files[0]
            result.groups.append((reference, group, study.folder / study.name))
    for path in paths:
        if path not in taken:
            beside = path.parent in folders and path not in named and path not in whole
            (result.others if beside else result.rest).append(path)
    return result


def _of_several_channels(paths: set[Path], sequences: Sequences) -> dict[tuple[Path, str], list[Path]]:
    """Return {(folder, name of a study): files of several channels that are called as its sequences are}."""
    result: dict[tuple[Path, str], list[Path]] = {}
    for path in sorted(paths):
        if found := sequence_of_name(path, sequences):
            result.setdefault((path.parent, found[1]), []).append(path)
    return result
