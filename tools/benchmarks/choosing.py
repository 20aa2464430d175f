"""Choose the width of a network by its operations, and the fastest of several ways to compute it."""

import time


def nearest_width(gflop_at, wanted: float, step: int = 8) -> int:
    """Return the width, a multiple of `step`, at which a network's operations come closest to those wanted.

    Args:
        gflop_at: width -> GFLOP per slice, growing.
        wanted: GFLOP per slice.
        step: see above; oneDNN computes multiples of 8 channels best.
    """
    width = step
    while gflop_at(width + step) < wanted:
        width += step
    return min((width, width + step), key=lambda each: abs(gflop_at(each) - wanted))


def fastest(runs: dict, repeats: int = 3) -> tuple[str, dict]:
    """Return the name of the fastest of several callables, and the milliseconds of each.

    They take turns, and the shortest of their times counts; a first turn is left out.
    """
    seconds: dict = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if repeat:
                seconds[name].append(time.perf_counter() - began)
    shortest = {name: 1000 * min(taken) for name, taken in seconds.items()}
    return min(shortest, key=shortest.get), shortest
