"""Make every text printable: file names that are not UTF-8, and terminals that support only ASCII.

Python represents a byte of a file name that it cannot decode as a lone surrogate, which no encoding can
write. Importing this module registers `errors="printable"`: such bytes are written as Latin-1 letters (or as
UTF-8 letters where a run of bytes is valid UTF-8), and characters that an ASCII output cannot hold are
written as \\xfc or \\u2212.
"""

import codecs
import contextlib
import sys

HANDLER = "printable"
_FIRST, _LAST = 0xDC80, 0xDCFF  # surrogates that stand for the bytes 0x80 to 0xFF (PEP 383)


def printable(text: str) -> str:
    """Return `text` without lone surrogates, with the letters that the writer most probably meant."""
    return text.encode("utf-8", HANDLER).decode("utf-8")


def accept_any_text(*streams) -> None:
    """Let text streams write every text, whatever their encoding; other kinds of streams are left unchanged.

    Args:
        *streams: by default stdout and stderr.
    """
    for stream in streams or (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=HANDLER)


def _handle(error):
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters, run = [], bytearray()
    for character in error.object[error.start : error.end]:
        if _FIRST <= ord(character) <= _LAST:
            run.append(ord(character) - 0xDC00)
            continue
        letters += [_letters(run), "\ufffd" if 0xD800 <= ord(character) <= 0xDFFF else character]
        run.clear()
    text = "".join([*letters, _letters(run)])
    if error.encoding != "charmap":  # the name that all code pages report
        with contextlib.suppress(UnicodeEncodeError):  # ASCII, Latin-1 ...: spelled out below
            return text.encode(error.encoding), error.end
    return text.encode("ascii", "backslashreplace"), error.end


def _letters(run: bytearray) -> str:
    try:
        return run.decode("utf-8")
    except UnicodeDecodeError:
        return run.decode("latin-1")


codecs.register_error(HANDLER, _handle)
