"""Make the lines that `clamnet-tf study --list` prints: every arm and seed, its run, how far it is, what is
left.
"""

from clamnet_tf.study.folder import StudyFolder
from clamnet_tf.study.plan import Plan
from clamnet_tf.study.times import duration, seconds_left, seconds_per_step


def listing_lines(plan: Plan, folder: StudyFolder, jobs: int = 1) -> list[str]:
    """Return the table as lines of text, and a summary line at its end."""
    states = {run.key: folder.state(run) for run in plan.runs}
    rates = seconds_per_step(plan, states)
    rows = [("ARM", "SEED", "RUN", "STATE", "TAKEN", "LEFT")]
    for arm in plan.study.arms():
        if arm.kind == "simple":
            rows.append(
                (arm.name, "-", "-", f"no training; {arm.baseline} of {plan.study.reference}", "", "")
            )
        for trial in plan.of(arm.name):
            if trial.run is None:
                rows.append(
                    (
                        arm.name,
                        str(trial.seed),
                        "-",
                        "not valid: " + trial.problem.replace("\n", "; "),
                        "",
                        "",
                    )
                )
                continue
            run, state = trial.run, states[trial.run.key]
            rate = rates[run.key]
            left = "" if state.name == "done" else duration(rate and (run.steps - state.step) * rate)
            shared = "" if run.title == f"{arm.name}, seed {trial.seed}" else f" (shared with {run.title})"
            taken = duration(state.seconds) if state.seconds else ""
            rows.append(
                (
                    arm.name,
                    str(trial.seed),
                    run.key,
                    _words(trial, run, state, folder, plan) + shared,
                    taken,
                    left,
                )
            )
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    width = min(max(len(row[3]) for row in rows), 40)
    lines = []
    for arm, seed, key, state_text, taken, left in rows:
        lines.append(
            f"{arm:{widths[0]}}  {seed:>{widths[1]}}  {key:{widths[2]}}  {state_text:{width}}  {taken:>10}  "
            f"{left:>10}".rstrip()
        )
    counts = {
        name: sum(state.name == name for state in states.values())
        for name in ("done", "partly", "missing", "failed")
    }
    summary = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    left = duration(seconds_left(plan, states, jobs))
    return [
        *lines,
        f"{len(states)} runs: {summary}; training left: {left} (from the seconds per step measured here)",
    ]


def _words(trial, run, state, folder: StudyFolder, plan: Plan) -> str:
    """Describe the state of a trial's run."""
    if state.name == "done":
        unevaluated = [split for split in plan.study.splits if not folder.evaluated(trial, split)]
        return "done" if not unevaluated else f"trained; to be evaluated on {' and '.join(unevaluated)}"
    if state.name == "failed":
        return f"failed: {state.message.splitlines()[0]}"
    return f"partly, step {state.step} of {run.steps}" if state.name == "partly" else "missing"
