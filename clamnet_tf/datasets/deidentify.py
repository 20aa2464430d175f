"""What a DICOM header says of who the patient is, and keeping that out of names, tables and messages.

Folders and files are often named after the patient. Results are named after them, so every part of a path
that repeats an identifier of a header that was read is replaced: patient1, patient2 ... for persons, hidden1
... for institutions,
physicians and visits. UIDs stay: they name no person, and are the way back to the archive.
"""

import re
from dataclasses import dataclass, field

from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

_PERSON = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientBirthName",
    "PatientMotherBirthName",
)
_PERSON_MORE = ("PatientAddress", "PatientTelephoneNumbers", "MedicalRecordLocator")
_VISIT = (
    "AccessionNumber",
    "StudyID",
    "AdmissionID",
    "InstitutionName",
    "InstitutionAddress",
    "InstitutionalDepartmentName",
)
_WORD = re.compile(r"[^\W_]+")
_UID = re.compile(r"(?<![0-9.])[0-2](?:\.[0-9]+){4,}(?![0-9.])")
_LONGEST_RUN = 8  # words of one identifier, as in the name of a hospital
_SHORTEST_NUMBER = (
    4  # digits; in messages shorter ones may count slices and the like, see `Identifiers._counts`
)
_PATH = re.compile(r"/(?:(?!: |; |, | \(|\)|\n).)*")  # where a message names a file
_COUNTED = ("line ", "slice ", "frame ", "row ", "column ")  # words before a number that names no patient


@dataclass(frozen=True)
class PatientTexts:
    """Identifiers of one file as plain lower-case letters and digits: of the person, and of visit, place and
    staff.
    key: what tells one patient from another: ID and name."""

    key: str = ""
    person: frozenset[str] = frozenset()
    visit: frozenset[str] = frozenset()


def patient_texts(dataset: Dataset) -> PatientTexts:
    """Names whole and by part, IDs, birth date in the usual spellings; every other name of a person (PN) at
    the top level.
    """
    person, visit = set(), set()
    for keyword in (*_PERSON, *_PERSON_MORE):
        for text in _values(dataset, keyword):
            person |= (
                _names(text) if "Name" in keyword else _dates(text) if "Date" in keyword else {_plain(text)}
            )
    for keyword in _VISIT:
        visit |= {_plain(text) for text in _values(dataset, keyword)}
    for tag in dataset.keys():  # noqa: SIM118  elements as such would all be decoded
        if dictionary_has_tag(tag) and dictionary_VR(tag) == "PN" and keyword_for_tag(tag) not in _PERSON:
            for text in _values(dataset, keyword_for_tag(tag)):
                visit |= _names(text)
    key = " ".join(
        _plain(text) for keyword in ("PatientID", "PatientName") for text in _values(dataset, keyword)
    )
    return PatientTexts(key, frozenset(person - {""}), frozenset(visit - {""} - person))


@dataclass
class Identifiers:
    """All identifiers of a set of files, each with the word that stands for it."""

    words: dict[str, str] = field(default_factory=dict)
    personal: set[str] = field(default_factory=set)  # those of `words` that say who a patient is
    persons: dict[str, str] = field(default_factory=dict)
    others: int = 0

    def add(self, texts: PatientTexts) -> None:
        """Files come in the order of the input, so that words are the same in every call on the same
        input.
        """
        if texts.person:
            word = self.persons.setdefault(texts.key, f"patient{len(self.persons) + 1}")
            self.personal |= texts.person
            for text in texts.person:
                self.words.setdefault(text, word)
        for text in sorted(texts.visit):
            if text not in self.words:
                self.others += 1
                self.words[text] = f"hidden{self.others}"

    def hide(self, text: str) -> str:
        """A message without identifiers, in its paths and elsewhere; UIDs and numbers that count stay."""
        return self._hide_around_uids(text, [match.span() for match in _PATH.finditer(text)])

    def hide_name(self, text: str) -> str:
        """A name (file, folder, volume) without identifiers, short numbers among them. UIDs stay."""
        return self._hide_around_uids(text, [(0, len(text))])

    def _hide_around_uids(self, text: str, names) -> str:
        if not self.words:
            return text
        pieces, last = [], 0
        for uid in [*_UID.finditer(text), None]:
            end = uid.start() if uid else len(text)
            pieces.append(self._hide(text[last:end], [(start - last, stop - last) for start, stop in names]))
            if uid:
                pieces.append(uid.group())
                last = uid.end()
        return "".join(pieces)

    def _hide(self, text: str, names) -> str:
        found, result, end, place, last = list(_WORD.finditer(text)), [], 0, 0, None
        while place < len(found):
            run, stop = self._longest(text, found, place, names)
            if run is None:
                place, last = place + 1, None
                continue
            between, word = text[end : found[place].start()], self.words[run]
            if word != last or "/" in between:  # Doe_Jane_1950 is one patient1, Doe/1950 are two folders
                result += [between, word]
            end, place, last = found[stop - 1].end(), stop, word
        return "".join([*result, text[end:]])

    def _longest(self, text, found, place, names):
        """(identifier, index behind its last word) of the longest one that begins with word `place`; (None,
        None) without.
        """
        for stop in range(min(len(found), place + _LONGEST_RUN), place, -1):
            run = "".join(word.group() for word in found[place:stop]).casefold()
            start, end = found[place].start(), found[stop - 1].end()
            if (
                run in self.words
                and "/" not in text[start:end]
                and self._counts(run, text, start, end, names)
            ):
                return run, stop
        return None, None

    def _counts(self, run: str, text: str, start: int, end: int, names) -> bool:
        """Whether `run`, an identifier, is meant as one: a short number may count slices.

        Short numbers of visits and places are identifiers as a whole part of a path alone; those of patients
        in every name (a span of `names`), and elsewhere beside a slash, colon, quote, underscore or suffix.
        """
        if len(run) >= (_SHORTEST_NUMBER if run.isdigit() else 2):
            return True
        before, after = text[:start][-1:], text[end:][:1]
        if before in ("", "/") and after in ("", "/"):
            return True
        if run not in self.personal:
            return False
        if any(first <= start and end <= last for first, last in names):
            return True
        if text[:start].endswith(_COUNTED):
            return False
        ahead = after in ("/", ":", "'", '"', "_") or (after == "." and text[end + 1 : end + 2].isalpha())
        behind = before in ("/", ":", "'", '"', "_") or (
            before == "." and text[start - 2 : start - 1].isalpha()
        )
        return ahead or behind


def _values(dataset: Dataset, keyword: str) -> list[str]:
    value = dataset.get(keyword)
    several = value if isinstance(value, (list, tuple, MultiValue)) else [value]
    return [str(one).strip() for one in several if one is not None and str(one).strip()]


def _plain(text: str) -> str:
    return "".join(_WORD.findall(text)).casefold()


def _names(text: str) -> set[str]:
    """doe, jane, doejane and janedoe of Doe^Jane; ideographic and phonetic forms alike (PS3.5 6.2.1)."""
    found = set()
    for form in text.split("="):
        words = [word.casefold() for word in _WORD.findall(form)]
        found |= {word for word in words if len(word) > 1} | {
            "".join(words),
            "".join(reversed(words)),
            "".join(words[:2]),
            "".join(reversed(words[:2])),
        }
    return found


def _dates(text: str) -> set[str]:
    """19500131 as it is, 31011950 and 01311950; separators do not count."""
    digits = _plain(text)
    if len(digits) != 8:
        return {digits}
    year, month, day = digits[:4], digits[4:6], digits[6:]
    return {digits, day + month + year, month + day + year}
