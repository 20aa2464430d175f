"""Retry requests that a busy or restarting server refused, and no others."""

import time

from clamnet_tf.errors import ServerFailure

WAITS_SECONDS = (0.5, 1.0, 2.0, 4.0)  # before the second, third ... attempt
LONGEST_WAIT_SECONDS = 30.0


class Busy(Exception):
    """Report that a request was not processed and may be sent again.

    Attributes:
        wait: Seconds that the server asks to wait, or None.
    """

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait


def attempt(call, address: str, waits=WAITS_SECONDS):
    """Return `call()`; repeat it after each of `waits` while it raises Busy.

    Raises:
        ServerFailure: The last attempt is refused as well.
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
