"""Compute slices or volumes in several threads."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


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


def in_order(function: Callable, *arguments: Iterable, threads: int | None = None) -> Iterator:
    """Yield the results of `function` on each item, in order, like `map(function, *arguments)`.

    Unlike `in_threads` it keeps few results at a time: at most twice as many as there are
    threads, so that it suits large results.

    Args:
        function: Called once per item; must not change what other calls read.
        arguments: As for `map`; items are taken as they are needed.
        threads: Number of threads; None: as many as processors that this process may use.

    Raises:
        Exception: The first one, in the order of the items, that `function` raised.
    """
    threads = threads or _processors()
    if threads < 2:
        yield from map(function, *arguments)
        return
    waiting: deque = deque()
    with ThreadPoolExecutor(max_workers=threads) as pool:
        try:
            for call in zip(*arguments):
                waiting.append(pool.submit(function, *call))
                if len(waiting) >= 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items in order, each when the next one has been taken.

    What taking an item starts in a thread can then go on while the next one is being taken. At most two
    items are held.
    """
    waiting: list[Item] = []
    for item in items:
        waiting.append(item)
        if len(waiting) > 1:
            yield waiting.pop(0)
    yield from waiting


def _processors() -> int:
    """Return how many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone
    return len(affinity(0)) if affinity else os.cpu_count() or 1
