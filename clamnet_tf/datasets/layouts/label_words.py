"""Decide which label words mean normal and which a finding; the user is asked about words that do not say.

`No Finding` is normal and `pneumonia` is not. `non-displaced fracture` and `non-Hodgkin lymphoma` are
findings whose names begin like a denial. `non-X` is normal only beside a class X, and only where no other
class means normal.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf.datasets.problems import listed, nearest
from clamnet_tf.errors import DataError

NORMAL = frozenset(
    "normal normals healthy negative control controls clear none no false nofinding nofindings nolesion"
    " notumor notumour nodisease nonlesion nontumor unaffected unremarkable wnl withinnormallimits"
    " noabnormality noabnormalities 0".split()
)
UNKNOWN = frozenset(
    "na nan nat nil null unk unknown notknown notavailable missing undefined undetermined indeterminate"
    " uncertain equivocal unclear tbd tobedetermined pending notrecorded notreported notread notassessed"
    " notdone unlabelled unlabeled unread".split()
)
_UNKNOWN_SIGNS = frozenset({"?", "??", "???", "-", "--", ".", "#n/a", "#n/a n/a", "n.a."})
_COMPANY = frozenset(  # words that may follow a word of NORMAL: healthy volunteers, control group
    "subject subjects control controls volunteer volunteers patient patients group person persons people"
    " individual individuals scan scans image images study studies case cases exam exams slice slices ct mr"
    " mri xray chest brain".split()
)
_DENIALS = (
    "no|non|not|without|w/o|absent|absence of|no evidence of|no sign of|no signs of|negative for|neg for|free"
    " of|excluded|ruled out|kein|keine|ohne|nicht|sans|sin|senza|zonder|geen"
)
_BEFORE = re.compile(rf"(?P<denial>{_DENIALS})[\s_-]+(?P<rest>\S.*)", re.IGNORECASE)
_DENIED = "negative|neg|free|absent|excluded|ruled out|not found|not seen|not present"
_BEHIND = re.compile(
    rf"(?P<rest>\S.*?)(?:[\s_-]+(?P<denial>{_DENIED})|\s*\(?[-\u2212\u2013]\)?)", re.IGNORECASE
)
_JOINED = re.compile(r"(?P<denial>non?)(?P<rest>[a-z0-9]{3,}.*)", re.IGNORECASE)
_MINUS = ("-", "\u2212", "\u2013")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
# Adjectives: non-displaced and non-ischemic are a kind of X, not its absence.
_OF_A_KIND = re.compile(r".*(ed|ing|ive|ic|al|ous|ent|ant|able|ible|ary)")
_ORDINARY = frozenset(  # words that begin with no or non without a denial
    {
        "nodule",
        "nodules",
        "node",
        "nodes",
        "nodal",
        "nodular",
        "nose",
        "nocardia",
        "nocardiosis",
        "noise",
        "noisy",
        "normocephalus",
    }
)


@dataclass(frozen=True)
class LabelWords:
    """Meanings of label words that the user gave (--normal, --abnormal); they override the built-in lists."""

    normal: tuple[str, ...] = ()
    abnormal: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.normal or self.abnormal)

    def says_normal(self, name: str) -> bool | None:
        """Return True for normal, False for abnormal, None when the user said nothing about this word."""
        if plain(name) in {plain(word) for word in self.normal}:
            return True
        return False if plain(name) in {plain(word) for word in self.abnormal} else None

    def check(self, names: Iterable[str], where) -> None:
        """Raise DataError for a word that is in both lists, or that equals none of `names`."""
        known = {plain(name): name for name in names}
        problems = [
            f"{word!r} is given as normal and as abnormal"
            for word in self.normal
            if plain(word) in {plain(other) for other in self.abnormal}
        ]
        for option, words in (("--normal", self.normal), ("--abnormal", self.abnormal)):
            problems += [
                f"{option} {word!r}: no label is called so{nearest(plain(word), known)}"
                for word in words
                if plain(word) not in known
            ]
        if problems:
            examples = ", ".join(sorted(known.values())[:10])
            raise DataError(
                f"{where}: {len(problems)} problem(s):\n{listed(problems)}\nIts labels are:"
                f" {examples}{' ...' if len(known) > 10 else ''}."
            )


NOTHING_SAID = LabelWords()


@dataclass(frozen=True)
class LabelSource:
    """Where labels come from.

    Attributes:
        table: a table of labels; None for the data folder itself.
        said: meanings of label words that the user gave.
    """

    table: Path | None = None
    said: LabelWords = NOTHING_SAID


def plain(name: str) -> str:
    """Return the lower-case letters and digits of a word in any Unicode form, with a final + or -."""
    text = unicodedata.normalize("NFKC", name).casefold().strip()
    core, last = "".join(character for character in text if character.isalnum()), text.rstrip(" )")[-1:]
    return core + ("+" if last == "+" else "-" if last in _MINUS else "") if core else text


def is_unknown(text: str) -> bool:
    """Return whether a cell says that the label is not known: n/a, NaN, unknown, ?, uncertain ..."""
    return plain(text) in UNKNOWN or text.strip().casefold() in _UNKNOWN_SIGNS


def is_normal(name: str) -> bool:
    """Return whether a word alone says that an image is normal: NORMAL, healthy, negative, no_finding ...

    Denials (non-X) do not.
    """
    words = re.findall(r"[^\W_]+", _CAMEL.sub(" ", name).casefold())
    return plain(name) in NORMAL or (
        words[:1] != []
        and words[0] in NORMAL - {"no", "none", "0"}
        and all(word in _COMPANY for word in words[1:])
    )


def class_numbers(
    names: Iterable[str], label_words: LabelWords = NOTHING_SAID, where="labels", counts=None
) -> dict[str, int]:
    """Return {name: label}: 0 for normal words, 1, 2 .. for all others in alphabetical order, ignoring case.

    Args:
        names: the label words.
        label_words: meanings of words that the user gave.
        where: file or folder of the labels, for the message.
        counts: {name: number of rows or images, in words}, for the message.

    Raises:
        DataError: names the words that do not say whether they mean normal.
    """
    names = list(names)
    normal, unclear = normal_names(names, label_words)
    if unclear:
        raise DataError(_question(unclear, where, counts or {}))
    findings = sorted({name.lower() for name in names if name not in normal})
    return {name: 0 if name in normal else 1 + findings.index(name.lower()) for name in names}


def normal_names(names: Iterable[str], label_words: LabelWords = NOTHING_SAID) -> tuple[set[str], list[str]]:
    """Return (names that mean normal, names that may mean normal but do not say so)."""
    names = list(names)
    known = {name: label_words.says_normal(name) for name in names}
    normal = {name for name in names if known[name] or (known[name] is None and is_normal(name))}
    denied, unclear = [], []
    for name in names:
        if known[name] is not None:
            continue
        if name in normal:
            if plain(name) == "none" and any(plain(other) != "none" for other in normal):
                unclear.append(name)  # it may mean no finding, or that nothing is known
            continue
        verdict = _denial(name, {plain(other) for other in names if other != name})
        if verdict == "denied":
            denied.append(name)
        elif verdict == "unclear" or _mentions_normal(name):
            unclear.append(name)
    if denied and normal:  # beside 'normal', 'non-covid' is probably another disease
        return normal, unclear + denied
    return normal | set(denied), unclear


def _denial(name: str, other_names: set[str]) -> str | None:
    """Return whether a name denies another class.

    Returns:
        "denied" when the name says that another class is absent, "unclear" when it begins or ends like a
            denial, else None.
    """
    spaced = _CAMEL.sub(" ", name.strip())
    match = _BEFORE.fullmatch(spaced) or _BEHIND.fullmatch(spaced)
    if match is None:
        joined = _JOINED.fullmatch(name.strip())
        if joined is None or plain(name) in _ORDINARY:
            return None
        if joined["denial"].lower() == "no" and not any(
            _same(plain(joined["rest"]), other) or plain(joined["rest"]) in other for other in other_names
        ):
            return None
        match = joined
    rest = match["rest"]
    if is_normal(rest) and (match["denial"] or "").lower() in ("not", "non"):
        return None  # not normal
    of_a_kind = (match["denial"] or "").lower() == "non" and (
        len(re.findall(r"[^\W_]+", rest)) > 1 or _OF_A_KIND.fullmatch(plain(rest))
    )
    return (
        "denied" if any(_same(plain(rest), other) for other in other_names) and not of_a_kind else "unclear"
    )


def _same(rest: str, other: str) -> bool:
    return rest.rstrip("s") == other.rstrip("s+")


def _mentions_normal(name: str) -> bool:
    """Return whether a word of NORMAL is among others: 'normal pressure hydrocephalus', 'clear lungs'."""
    words = re.findall(r"[^\W_]+", _CAMEL.sub(" ", name).casefold())
    if len(words) < 2 or words[0] in ("not", "non"):
        return False
    return words[0] in NORMAL - {"no", "none", "false", "0"} or bool(
        {"normal", "healthy", "unremarkable"} & set(words)
    )


def _question(unclear: list[str], where, counts) -> str:
    lines = [f"{name!r}" + (f" ({counts[name]})" if counts.get(name) else "") for name in sorted(unclear)]
    example = sorted(unclear)[0]
    return (
        f"{where}: {len(unclear)} label word(s) do not say whether they mean"
        f" normal:\n{listed(lines, 10)}\nSay it with --normal {example!r} or --abnormal {example!r} (may be"
        " repeated), or write 0 and 1 instead of words; leave a cell empty if its label is not known."
    )
