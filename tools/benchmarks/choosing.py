"""Choose the size of a network by its operations, and the fastest of several ways to compute it."""

import time


def closest(sizes, gflop_at, wanted: float):
    """Return (size, GFLOP) of the network whose operations come closest to those wanted.

    Args:
        sizes: sizes of networks, in the order of their operations, without end.
        gflop_at: size -> GFLOP per slice.
        wanted: GFLOP per slice.
    """
    found: list[tuple] = []
    for size in sizes:
        found.append((size, gflop_at(size)))
        if found[-1][1] >= wanted:
            return min(found[-2:], key=lambda each: abs(each[1] - wanted))
    raise ValueError(f"no network has {wanted} GFLOP; the largest has {found[-1][1] if found else 0}")


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
