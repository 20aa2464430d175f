"""Train three steps in a process of its own: python -m benchmarks.first_steps full|quick BATCH.

It reports when the first step is done, then its peak memory in GB.
"""

import sys
import time

from benchmarks.processes import FIRST, peak_gb
from benchmarks.subjects import FULL, QUICK, our_step


def main() -> None:
    name, batch = sys.argv[1:]
    size = {"full": FULL, "quick": QUICK}[name]
    network = size.network("group")
    step = our_step(network, int(batch))
    step()
    print(f"{FIRST}:{time.process_time():.3f}", flush=True)
    for _ in range(2):
        step()
    print(peak_gb(), flush=True)


if __name__ == "__main__":
    main()
