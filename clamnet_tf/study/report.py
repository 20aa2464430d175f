"""Everything a study writes: study.csv now."""

from clamnet_tf.evaluation.cases import write_rows
from clamnet_tf.study.folder import StudyFolder
from clamnet_tf.study.gather import gather, patient_rows
from clamnet_tf.study.plan import Plan


def write_results(plan: Plan, folder: StudyFolder):
    """Write them."""
    results = gather(plan, folder)
    rows = patient_rows(results)
    if rows:
        write_rows(folder.path / "study.csv", rows)
    return folder.path
