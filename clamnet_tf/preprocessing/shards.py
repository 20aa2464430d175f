"""Divide a manifest into shards: parts of whole volumes that are prepared, stored and found again one by one.

Which volume belongs to which shard follows from the manifest alone, so that all processes and machines agree
without communication. A prepared shard is stored under a key of everything that affects it: one more study at
the end of an archive leaves all shards before it unchanged.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf.datasets.expected_images import ExpectedImages
from clamnet_tf.datasets.manifest import Case, Manifest
from clamnet_tf.datasets.sequence_files import SequenceGroup
from clamnet_tf.datasets.stacking import differs
from clamnet_tf.imaging.formats import format_promised
from clamnet_tf.preprocessing.content_hashes import ContentHashes
from clamnet_tf.preprocessing.volumes import Group, group_cases
from clamnet_tf.recipe.schema_data import DataSection, OrganSection

#: Raise it when shard_folder.py, prepared_volume.py, volumes.py or clamnet_tf.imaging compute other numbers.
VERSION = 10
#: A shard of this many slices is full: some 100 MB, and the most that a killed process loses.
SLICES = 1024
_SLICES_OF_A_FILE = 64  # how many slices they hold is not known before they are read


@dataclass(frozen=True)
class Shard:
    """One shard as a small manifest of its own, which may travel to another machine.

    Attributes:
        number: 0-based number of the shard.
        of: number of shards.
        manifest: the shard's cases alone, in the order of the prepared slices.
        groups: which of them form a volume, as indices into these cases.
        cases: per case, its index in the whole manifest.
        patients: per case, the index in the whole manifest of its patient's first case.
    """

    number: int
    of: int
    manifest: Manifest
    groups: tuple[Group, ...]
    cases: tuple[int, ...]
    patients: tuple[int, ...]

    def key(
        self,
        data: DataSection,
        organ: OrganSection,
        cache: Path | None,
        organ_network=None,
        expected: ExpectedImages = ExpectedImages(),
    ) -> str:
        """Return the sha256 of everything that affects pixels and rows.

        Labels, sites, eta and split are joined on opening and do not affect it.

        Args:
            data: recipe section `data`.
            organ: recipe section `organ`.
            cache: folder where hashes of files are remembered; None: nowhere.
            organ_network: has a `key`; needed when organ.method is network.
            expected: what the images must be like.

        Raises:
            DataError: a file cannot be read.
        """
        contents = ContentHashes(cache, f"{self.manifest.root} {self.number}")
        files = []
        for case in self.manifest.cases:
            hashed = contents.of(case.organ) if organ.method == "given" and case.organ else None
            files.append([contents.of(case.image), case.slice_index, case.position, hashed])
        sequences = self._sequence_causes(contents)
        contents.save()
        settings = data.model_dump(
            mode="json", include={"channels", "window", "normalization", "side", "dicom_backend"}
        )
        causes = [
            VERSION,
            settings,
            organ.model_dump(mode="json"),
            files,
            [group.cases for group in self.groups],
        ]
        causes.append(expected.causes())
        if mixed := [index for index, group in enumerate(self.groups) if self._may_be_refused(group)]:
            causes.append(mixed)
        if sequences:
            causes.append(sequences)
        if organ.method == "network":
            causes.append(organ_network.key)
        return hashlib.sha256(json.dumps(causes, sort_keys=True).encode()).hexdigest()

    def _sequence_causes(self, contents: ContentHashes) -> list:
        """Return what the other sequences of studies add to the key: [] where files hold all channels."""
        causes = []
        for index, group in enumerate(self.groups):
            sequences = self.manifest.cases[group.cases[0]].sequences
            if sequences is not None:
                hashes = [[contents.of(path) for path in image.files] for image in sequences.images]
                settings = [sequences.reference, sequences.filler, sequences.registration]
                causes.append([index, hashes, *settings])
        return causes

    def _may_be_refused(self, group: Group) -> bool:
        """Tell whether the labels of a group decide if it is prepared at all.

        Sagittal slices of several labels are not prepared (datasets/stacking.py).
        """
        cases = [self.manifest.cases[index] for index in group.cases]
        promised = format_promised(cases[0].image)
        dicom = promised is None or promised.name == "dicom"
        return (
            dicom
            and len({case.image for case in cases}) > 1
            and any(differs(case, cases[0]) for case in cases)
        )

    def row(self) -> dict:
        """Return the shard as a dict for JSON; `from_row` reads it back."""
        cases = [
            {
                **{
                    name: str(value) if isinstance(value, Path) else value
                    for name, value in vars(case).items()
                },
                "sequences": case.sequences and case.sequences.row(),
            }
            for case in self.manifest.cases
        ]
        return {
            **vars(self),
            "manifest": {"root": str(self.manifest.root), "cases": cases},
            "groups": [group.cases for group in self.groups],
        }

    @classmethod
    def from_row(cls, row: dict) -> "Shard":
        """Make a shard of what `row` returned."""
        paths, cases = ("image", "mask", "organ"), []
        for case in row["manifest"]["cases"]:
            cases.append(
                Case(
                    **{
                        **case,
                        **{name: case[name] and Path(case[name]) for name in paths},
                        "markers": tuple(case["markers"]),
                        "sequences": case["sequences"] and SequenceGroup.from_row(case["sequences"]),
                    }
                )
            )
        small, groups = (
            Manifest(Path(row["manifest"]["root"]), tuple(cases)),
            tuple(Group(tuple(group)) for group in row["groups"]),
        )
        return cls(row["number"], row["of"], small, groups, tuple(row["cases"]), tuple(row["patients"]))


def shards_of(manifest: Manifest) -> Iterator[Shard]:
    """Yield the shards of a manifest in order: groups of `volumes.group_cases` until SLICES slices are
    expected.

    A file counts as one slice; a file in a format of many slices, of which no single slice is named, counts
    as 64.
    """
    groups = group_cases(manifest)
    ends = _ends(manifest, groups)
    patients: dict[str, int] = {}
    for index, case in enumerate(manifest.cases):
        patients.setdefault(case.patient, index)
    for number, (start, end) in enumerate(zip([0, *ends], ends)):
        shard_groups, cases, local = groups[start:end], [], []
        for group in shard_groups:
            local.append(Group(tuple(range(len(cases), len(cases) + len(group.cases)))))
            cases += group.cases
        small = Manifest(manifest.root, tuple(manifest.cases[index] for index in cases))
        yield Shard(
            number,
            len(ends),
            small,
            tuple(local),
            tuple(cases),
            tuple(patients[case.patient] for case in small.cases),
        )


def count_shards(manifest: Manifest) -> int:
    """Return the number of shards of a manifest."""
    return len(_ends(manifest, group_cases(manifest)))


def _ends(manifest: Manifest, groups: list[Group]) -> list[int]:
    """Return, per shard, the index of the group after its last one."""
    ends, expected = [], 0
    for number, group in enumerate(groups, start=1):
        expected += sum(_expected_slices(manifest.cases[index]) for index in group.cases)
        if expected >= SLICES or number == len(groups):
            ends.append(number)
            expected = 0
    return ends


def _expected_slices(case: Case) -> int:
    promised = format_promised(case.image)
    many = case.slice_index is None and promised is not None and promised.slices == "many"
    return _SLICES_OF_A_FILE if many else 1
