"""Turn every exception that a decoder raises on foreign bytes into an error of the project.

Libraries that read other people's files raise anything from StopIteration to the panics of Rust code. Code
that calls them runs inside `decoding`, so that a damaged file gives one named error and the remaining files
are still processed.
"""

import contextlib
from collections.abc import Callable, Iterator

from clamnet_tf.errors import ClamnetError

_LONGEST_REASON = 300  # characters


@contextlib.contextmanager
def decoding(refused: Callable[[str], ClamnetError]) -> Iterator[None]:
    """Turn every exception of the block into `refused(reason)`; errors of the project pass unchanged.

    Args:
        refused: makes the error to raise from a reason of one line, for example `lambda reason:
            ImageError(f"{path}: damaged: {reason}.")`.
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
    """Return the first line of an exception's message without a full stop, or its type when it has no
    message.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2]) if lines and lines[0].endswith(":") else (lines or [type(error).__name__])[0]
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text[:_LONGEST_REASON].rstrip(". ") or type(error).__name__
