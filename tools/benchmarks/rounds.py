"""Times of several things in turn, round by round, so that what else runs on the machine hits all of them
alike.
"""

import statistics
import time
from typing import NamedTuple


class Taken(NamedTuple):
    """Seconds of the clock, and of processor time over all threads (what counts where other programs share
    the cores).
    """

    clock: float
    processor: float

    def __truediv__(self, number: float) -> "Taken":
        return Taken(self.clock / number, self.processor / number)


def interleaved(run_of: dict, rounds: int) -> dict:
    """name: medians as Taken. Each callable is called once per round, and once before the first, which is not
    counted.

    A callable that measures in another process returns its own Taken; any other result is left unread.
    """
    found = {name: [] for name in run_of}
    for number in range(rounds + 1):
        for name, run in run_of.items():
            clock, processor = time.perf_counter(), time.process_time()
            own = run()
            taken = (
                own
                if isinstance(own, Taken)
                else Taken(time.perf_counter() - clock, time.process_time() - processor)
            )
            if number:
                found[name].append(taken)
    return {name: Taken(*(statistics.median(each) for each in zip(*taken))) for name, taken in found.items()}
