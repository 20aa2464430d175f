"""Change bytes, texts and trees of plain values; the random generator alone decides all changes."""

import copy
import json
import random
import struct

NUMBERS = (
    0,
    1,
    -1,
    2,
    7,
    8,
    127,
    128,
    255,
    256,
    32767,
    32768,
    65535,
    65536,
    10**6,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
    2**63 - 1,
    10**18,
)
WORDS = (
    "",
    " ",
    "null",
    "~",
    "true",
    "no",
    "-",
    "[]",
    "{}",
    "[",
    "{",
    "'",
    '"',
    "#",
    "&a",
    "*a",
    "<<",
    "!!python/object:os.system",
    "---",
    "...",
    "1e-3",
    "010",
    "1:30",
    ".inf",
    ".nan",
    "0x10",
    "9" * 5000,
    "1" + "0" * 300,
    "é",
    "\u202e",
    "\ud7ff",
    "\x00",
    "\t",
    "=1+1",
    "@SUM(A1)",
    "../../etc/passwd",
    "/dev/zero",
    "a" * 300,
    "NORMAL",
    "nan",
    "-inf",
    "train",
    "p1",
    "a1.png",
    "1.0",
    "%s%n",
    "${x}",
    "\\ud800",
    "\N{BOM}",
)
VALUES = (
    None,
    True,
    False,
    0,
    -1,
    1,
    3.5,
    1e308,
    -1e-308,
    float("nan"),
    float("inf"),
    10**20,
    10**300,
    "",
    "x",
    "9" * 5000,
    "a" * 300,
    [],
    {},
    [[]],
    [None],
    [[[[[[]]]]]],
    {"a": {"b": {"c": []}}},
    {"": None},
    {"unknown_key": 1},
    ["head_1"],
    "\ud7ff\x00",
    [0] * 2000,
    2**31,
    2**63,
)


def change_bytes(content: bytes, rng: random.Random, others: list[bytes] = ()) -> bytes:
    """Make one to four changes to a byte string."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        kind, size = rng.randrange(9), len(data)
        place = rng.randrange(size) if size else 0
        if rng.random() < 0.6:
            place = min(place, rng.randrange(1, 600))  # headers stand at the beginning
        if kind == 0 and size:
            data[place % size] ^= 1 << rng.randrange(8)
        elif kind == 1:
            number = rng.choice(NUMBERS)
            code, width = rng.choice((("B", 1), ("<H", 2), (">H", 2), ("<I", 4), (">I", 4), ("<Q", 8)))
            data[place : place + width] = struct.pack(code, number & (2 ** (8 * width) - 1))
        elif kind == 2:
            del data[rng.randrange(size + 1) :]
        elif kind == 3:
            del data[place : place + rng.randrange(1, 200)]
        elif kind == 4:
            data[place:place] = rng.randbytes(rng.randrange(1, 60))
        elif kind == 5:
            data[place : place + rng.randrange(1, 60)] = rng.choice(
                (b"\x00", b"\xff", b"\x20")
            ) * rng.randrange(1, 60)
        elif kind == 6:
            piece = bytes(data[place : place + rng.randrange(1, 300)])
            data[place:place] = piece * rng.choice((1, 2, 30))
        elif kind == 7 and others:
            other = rng.choice(others)
            start = rng.randrange(len(other) + 1)
            data[place:] = other[start:]
        elif size:
            for _ in range(rng.randrange(1, 30)):
                data[rng.randrange(size)] = rng.randrange(256)
            size = len(data)
    return bytes(data)


def change_text(content: bytes, rng: random.Random) -> bytes:
    """Make one to four changes to lines, words and numbers of a text."""
    text = content.decode("utf-8", "replace")
    for _ in range(rng.choice((1, 1, 2, 4))):
        lines = text.split("\n")
        place, kind = rng.randrange(len(lines)), rng.randrange(9)
        if kind == 0:
            del lines[place]
        elif kind == 1:
            lines.insert(place, lines[rng.randrange(len(lines))])
        elif kind == 2:
            lines[place] = " " * rng.randrange(9) + lines[place].lstrip()
        elif kind == 3:
            lines.insert(place, f"{rng.choice(WORDS)}: {rng.choice(WORDS)}")
        elif kind == 4:
            lines[place] = lines[place] * rng.choice((2, 50))
        elif kind in (5, 6):
            line, cut = lines[place], sorted(rng.randrange(len(lines[place]) + 1) for _ in range(2))
            lines[place] = line[: cut[0]] + rng.choice(WORDS) + line[cut[1] :]
        elif kind == 7:
            head, sep, _ = lines[place].partition(rng.choice((":", ",", ";")))
            lines[place] = head + sep + rng.choice(WORDS)
        else:
            nested = rng.randrange(1, 2000)
            lines[place] += rng.choice(
                ("[" * nested, "{a: " * nested, "," * nested * 50, "- " * nested, "\t", '"')
            )
        text = "\n".join(lines)
    return text.encode("utf-8", "surrogatepass" if "\ud800" in text else "replace")


def change_tree(tree, rng: random.Random):
    """Copy nested lists and dicts with one to four changes: replaced, removed or repeated values, or unknown
    keys.
    """
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        holders = list(_holders(tree))
        if not holders:
            return rng.choice(VALUES)
        holder = rng.choice(holders)
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        kind = rng.randrange(6)
        if kind == 0 or not keys:
            if isinstance(holder, dict):
                holder[rng.choice(("unknown_key", "", "name", "module", "class_name", "kind", "a" * 300))] = (
                    copy.deepcopy(rng.choice(VALUES))
                )
            else:
                holder.insert(rng.randrange(len(holder) + 1), copy.deepcopy(rng.choice(VALUES)))
            continue
        key = rng.choice(keys)
        if kind == 1:
            del holder[key]
        elif kind == 2 and isinstance(holder, list):
            holder *= rng.choice((2, 50)) if len(holder) < 100 else 1
        elif kind == 3:
            other = rng.choice(holders)
            holder[key] = copy.deepcopy(other) if len(repr(other)) < 20_000 else None
        elif kind == 4 and isinstance(holder[key], int):
            holder[key] = rng.choice(NUMBERS)
        else:
            holder[key] = copy.deepcopy(rng.choice(VALUES))
    return tree


def json_bytes(tree) -> bytes:
    """Return JSON with NaN and half surrogates unchanged, and numbers of any length."""
    import sys

    sys.set_int_max_str_digits(0)
    return json.dumps(tree).encode()


def _holders(tree):
    open_parts = [tree]
    while open_parts:
        part = open_parts.pop()
        if isinstance(part, (dict, list)):
            yield part
            open_parts.extend(part.values() if isinstance(part, dict) else part)
