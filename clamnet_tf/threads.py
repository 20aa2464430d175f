"""Compute the slices of a volume in several threads."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor


def in_threads(function: Callable, *arguments: Iterable) -> list:
    """Return the results of `function` on each item, in order, like `list(map(function, *arguments))`.

    There are as many threads as processors that this process may use. NumPy, SciPy and Pillow release the
    interpreter's lock while they compute, so that slices are really computed at the same time.

    Args:
        function: Called once per item; must not change what other calls read.
        arguments: As for `map`.

    Raises:
        Exception: The first one, in the order of the items, that `function` raised.
    """
    calls = list(zip(*arguments))
    threads = min(len(calls), _processors())
    if threads < 2:
        return [function(*call) for call in calls]
    with ThreadPoolExecutor(max_workers=threads) as pool:
        return list(pool.map(lambda call: function(*call), calls))


def _processors() -> int:
    """Return how many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone
    return len(affinity(0)) if affinity else os.cpu_count() or 1
