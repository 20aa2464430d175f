"""Estimate how long the rest of a study takes, from the seconds per step that were measured in it."""

import numpy as np


def seconds_per_step(plan, states) -> dict:
    """Return run key -> expected seconds per step; None without any measurement.

    The estimate comes from the run itself if it has begun, else from the same arm with other seeds, else from
    the mean over all arms.

    Args:
        plan: The study.
        states: Run key -> State.
    """
    measured = {
        run.key: states[run.key].seconds / states[run.key].step
        for run in plan.runs
        if states[run.key].seconds and states[run.key].step
    }
    by_arm = {}
    for run in plan.runs:
        if run.key in measured:
            by_arm.setdefault(run.arm, []).append(measured[run.key])
    overall = float(np.mean([np.mean(rates) for rates in by_arm.values()])) if by_arm else None
    return {
        run.key: measured.get(run.key, float(np.mean(by_arm[run.arm])) if run.arm in by_arm else overall)
        for run in plan.runs
    }


def seconds_left(plan, states, jobs: int = 1) -> float | None:
    """Return the training seconds left for all runs that are not done; None while nothing is measured."""
    rates = seconds_per_step(plan, states)
    left, trained = [], {run.classifiers for run in plan.runs if states[run.key].step >= run.classifier_steps}
    for run in plan.runs:
        if states[run.key].name != "done":
            steps = run.steps - states[run.key].step
            if run.classifiers in trained and states[run.key].step < run.classifier_steps:
                steps = run.steps - run.classifier_steps  # it takes those of another run
            trained.add(run.classifiers)
            left.append((steps, rates[run.key]))
    if any(rate is None for _, rate in left):
        return None
    return sum(steps * rate for steps, rate in left) / jobs


def duration(seconds: float | None) -> str:
    """Format a duration: "45 s", "12 min", "3 h 20 min"; None becomes "unknown"."""
    if seconds is None:
        return "unknown"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
