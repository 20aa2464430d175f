"""Text that any output can hold: names of files whose bytes are not UTF-8, and terminals that know ASCII
alone.

Python keeps a byte of a file name that it cannot decode as a lone surrogate, which no encoding can write.
Importing this module makes `errors="printable"` known: such bytes are written as the letters that they are in
Latin-1 (or in UTF-8, where a run of them is that), and what an ASCII output cannot hold as \\xfc or \\u2212.
"""

import codecs
import sys

HANDLER = "printable"
_FIRST, _LAST = 0xDC80, 0xDCFF  # surrogates that stand for the bytes 0x80 to 0xFF (PEP 383)


def printable(text: str) -> str:
    """`text` without lone surrogates: the same letters as a person wrote them, as far as that can be told."""
    return text.encode("utf-8", HANDLER).decode("utf-8")


def accept_any_text(*streams) -> None:
    """Let text streams write every text, whatever their encoding; streams of another kind are left as they
    are.
    """
    for stream in streams or (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=HANDLER)


def _handle(error):
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters, run = [], bytearray()
    for sign in error.object[error.start : error.end]:
        if _FIRST <= ord(sign) <= _LAST:
            run.append(ord(sign) - 0xDC00)
            continue
        letters += [_letters(run), "\ufffd" if 0xD800 <= ord(sign) <= 0xDFFF else sign]
        run.clear()
    text = "".join([*letters, _letters(run)])
    try:
        if error.encoding != "charmap":  # that is what the code pages call themselves
            return text.encode(error.encoding), error.end
    except UnicodeEncodeError:
        pass  # ASCII, Latin-1 ...: spelled out below
    return text.encode("ascii", "backslashreplace"), error.end


def _letters(run: bytearray) -> str:
    try:
        return run.decode("utf-8")
    except UnicodeDecodeError:
        return run.decode("latin-1")


codecs.register_error(HANDLER, _handle)
