"""Time several things in turn, round by round, so that other load on the machine affects all of them
equally.
"""

import statistics
import time
from typing import NamedTuple


class Taken(NamedTuple):
    """Hold clock seconds, and processor seconds over all threads.

    Processor seconds are what counts where other programs share the cores.
    """

    clock: float
    processor: float

    def __truediv__(self, number: float) -> "Taken":
        return Taken(self.clock / number, self.processor / number)


def interleaved(run_of: dict, rounds: int) -> dict:
    """Return name -> medians as Taken.

    Each callable is called once per round, and once before the first round, which is not counted. A callable
    that measures in another process returns its own Taken; any other result is ignored.
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
