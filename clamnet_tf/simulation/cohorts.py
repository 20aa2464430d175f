"""Write the built-in cohorts of simulated patients as files, once, and reuse them. COHORTS lists the kinds.

Nothing is downloaded. A cohort is a folder with a folder per patient and a `manifest.csv`, like the data of
any user.
"""

import concurrent.futures
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf.datasets.manifest import Case, Manifest, read_manifest, write_manifest
from clamnet_tf.errors import EnvironmentFailure
from clamnet_tf.files import atomic_path
from clamnet_tf.simulation.abdomen_ct import write_patient as write_abdomen_ct
from clamnet_tf.simulation.bone_xray import write_patient as write_bone_xray
from clamnet_tf.simulation.brain_mri.anatomy import template_hash
from clamnet_tf.simulation.brain_mri.patient import write_patient as write_brain_mri
from clamnet_tf.simulation.chest_ct import write_patient as write_chest_ct
from clamnet_tf.simulation.head_ct import write_patient as write_head_ct


@dataclass(frozen=True)
class Cohort:
    """One kind of cohort.

    Attributes:
        title: description in a few words.
        channels: number of channels of its images.
        generator: version, raised whenever the same section would give other pixels.
        write_patient: function (home, index, slices=, side=, seed=) that writes patient number `index` and
            returns its cases; of the kinds that can have healthy patients also healthy=True.
        source: function that returns what else the pixels depend on; called before the first patient is
            written.
    """

    title: str
    channels: int
    generator: int
    write_patient: Callable[..., list[Case]]
    source: Callable[[], str] | None = None


COHORTS: dict[str, Cohort] = {  # data.cohort.kind of a recipe
    "brain_mri": Cohort("simulated brain MRI", 3, 3, write_brain_mri, template_hash),
    "chest_ct": Cohort("simulated chest CT", 1, 2, write_chest_ct),
    "abdomen_ct": Cohort("simulated abdominal CT", 1, 2, write_abdomen_ct),
    "bone_xray": Cohort("simulated X-rays of the forearm", 1, 1, write_bone_xray),
    "head_ct": Cohort("simulated head CT", 1, 2, write_head_ct),
}


def is_healthy(index: int, share: float) -> bool:
    """Return whether patient number `index` (from 0) is one of the healthy ones.

    Two patients in turn, one per scanner, are alike in this, so that the scanner does not reveal it; the
    healthy pairs are spread evenly.

    Args:
        index: number of the patient, from 0.
        share: data.cohort.healthy, in 0..1.
    """
    pair = index // 2
    return int((pair + 1) * share + 1e-9) > int(pair * share + 1e-9)


def cohort_key(section) -> str:
    """Return the name of the cohort's folder, which depends on everything that changes a pixel."""
    cohort = COHORTS[section.kind]
    content = {"section": section.model_dump(mode="json"), "generator": cohort.generator}
    if cohort.source is not None:
        content["template"] = cohort.source()
    return f"{section.kind}-{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]}"


def write_cohort(section, folder: Path, progress=None) -> Manifest:
    """Write a cohort below `folder`, unless it is there already, and return its manifest.

    The folder `<folder>/<cohort_key>` appears at once and complete, or not at all. The files are bitwise
    equal for equal sections on one machine.

    Args:
        section: recipe.schema.CohortSection.
        folder: the folder that holds cohorts.
        progress: called as progress(done, total) after each patient, or None.

    Raises:
        EnvironmentFailure: the template of brain_mri is missing or the folder cannot be written.
    """
    home = Path(folder) / cohort_key(section)
    if not (home / "manifest.csv").is_file():
        try:
            with atomic_path(home) as temporary:
                _write(section, temporary, progress)
        except EnvironmentFailure:
            if not (home / "manifest.csv").is_file():  # else another process was faster
                raise
    manifest = read_manifest(home / "manifest.csv")
    abnormal = sum(case.label == 1 for case in manifest.cases)
    account = (
        f"{len(manifest.cases)} simulated images, {abnormal} with a lesion, seed {section.seed}: {home}",
    )
    return Manifest(root=manifest.root, cases=manifest.cases, account=account, layout="cohort")


def _write(section, home: Path, progress) -> None:
    home.mkdir()
    cases, write_patient = [], COHORTS[section.kind].write_patient
    settings = {"slices": section.slices, "side": section.side, "seed": section.seed}
    with concurrent.futures.ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        jobs = []
        for index in range(section.patients):
            healthy = {"healthy": True} if is_healthy(index, section.healthy) else {}
            jobs.append(pool.submit(write_patient, home, index, **settings, **healthy))
        try:
            for done, job in enumerate(jobs, start=1):
                cases.extend(job.result())
                if progress is not None:
                    progress(done, section.patients)
        finally:
            pool.shutdown(cancel_futures=True)  # cancels jobs not yet begun after a failure or Ctrl-C
    write_manifest(Manifest(root=home, cases=tuple(cases)), home / "manifest.csv")
