"""Trying again what a busy or restarting server refused, and nothing else."""

import time

from clamnet_tf.errors import ServerFailure

WAITS_SECONDS = (0.5, 1.0, 2.0, 4.0)  # before the second, third ... attempt
LONGEST_WAIT_SECONDS = 30.0


class Busy(Exception):
    """The request was not worked on and may be sent again. wait: seconds that the server asks for, or
    None.
    """

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait


def attempt(call, address: str, waits=WAITS_SECONDS):
    """`call()`, again after each of `waits` while it raises Busy. ServerFailure when the last attempt is
    refused too.
    """
    for wait in (*waits, None):
        try:
            return call()
        except Busy as error:
            if wait is None:
                raise ServerFailure(
                    f"{address}: no answer after {len(waits) + 1} attempts ({error}). Check that the server "
                    f"runs and can be reached, then start again."
                ) from error
            time.sleep(min(max(wait, error.wait or 0.0), LONGEST_WAIT_SECONDS))
