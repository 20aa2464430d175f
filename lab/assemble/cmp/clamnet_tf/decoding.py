"""The one place where whatever a decoder raises on foreign bytes becomes an error of the project's own tree.

Libraries that read files of other people raise everything from StopIteration to the panics of Rust. Code that
calls
them does so inside `decoding`, so that a damaged file is one named error and the files beside it go on.
"""

import contextlib
from collections.abc import Callable, Iterator

from clamnet_tf.errors import ClamnetError

_LONGEST_REASON = 300  # characters


@contextlib.contextmanager
def decoding(refused: Callable[[str], ClamnetError]) -> Iterator[None]:
    """Turn every exception of the block into `refused(reason)`; errors of the project pass unchanged.

    Args:
        refused: makes the error to raise from a reason of one line, for example
            `lambda reason: ImageError(f"{path}: damaged: {reason}.")`.
    """
    try:
        yield
    except ClamnetError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # Ctrl-C, exit
            raise
        raise refused(reason_of(error)) from error


def reason_of(error: BaseException) -> str:
    """The first line of what an exception says, without a full stop; its type when it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2]) if lines and lines[0].endswith(":") else (lines or [type(error).__name__])[0]
    text = "".join(sign if sign.isprintable() else "?" for sign in text)
    return text[:_LONGEST_REASON].rstrip(". ") or type(error).__name__
