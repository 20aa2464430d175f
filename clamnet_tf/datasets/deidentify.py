"""Find identifiers of patients in DICOM headers and keep them out of names, tables and messages.

Folders and files are often named after the patient, and results are named after them. So every part of a path
that repeats an identifier of a header that was read is replaced: by patient1, patient2 ... for persons, by
hidden1 ... for institutions, physicians and visits. UIDs are kept, because they name no person and are the
way back to the archive.
"""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # names are cleaned of pictures too, which need no pydicom
    from pydicom.dataset import Dataset

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
# Digits; in messages shorter numbers may count slices and the like, see `Identifiers._is_identifier`.
_SHORTEST_NUMBER = 4
_PATH = re.compile(r"/(?:(?!: |; |, | \(|\)|\n).)*")  # the path of a file in a message
_COUNTED = ("line ", "slice ", "frame ", "row ", "column ")  # a number after these words names no patient


@dataclass(frozen=True)
class PatientTexts:
    """Identifiers in the header of one file, as plain lower-case letters and digits.

    Attributes:
        key: ID and name, which distinguish one patient from another.
        person: identifiers of the person.
        visit: identifiers of visit, place and staff.
    """

    key: str = ""
    person: frozenset[str] = frozenset()
    visit: frozenset[str] = frozenset()


def patient_texts(dataset: "Dataset") -> PatientTexts:
    """Return the identifiers in a DICOM header.

    They are names as a whole and by part, IDs, the birth date in the usual spellings, and every other name of
    a person (value representation PN) at the top level.
    """
    from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag

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
    """All identifiers of a set of files, each with the word that replaces it.

    Attributes:
        words: {identifier: the word that replaces it}.
        personal: those of `words` that identify a patient.
        persons: {key of a patient: word}.
        others: number of words for visits, places and staff.
    """

    words: dict[str, str] = field(default_factory=dict)
    personal: set[str] = field(default_factory=set)
    persons: dict[str, str] = field(default_factory=dict)
    others: int = 0

    def add(self, texts: PatientTexts) -> None:
        """Add the identifiers of one file.

        Add files in the order of the input, so that the words are the same in every call on the same input.
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
        """Return a message without identifiers, in its paths and elsewhere; UIDs and numbers that count are
        kept.
        """
        return self._hide_around_uids(text, [match.span() for match in _PATH.finditer(text)])

    def hide_name(self, text: str) -> str:
        """Return a name (file, folder, volume) without identifiers, short numbers included; UIDs are kept."""
        return self._hide_around_uids(text, [(0, len(text))])

    def _hide_around_uids(self, text: str, names) -> str:
        if not self.words:
            return text
        pieces, position = [], 0
        for uid in [*_UID.finditer(text), None]:
            end = uid.start() if uid else len(text)
            pieces.append(
                self._hide(text[position:end], [(start - position, stop - position) for start, stop in names])
            )
            if uid:
                pieces.append(uid.group())
                position = uid.end()
        return "".join(pieces)

    def _hide(self, text: str, names) -> str:
        words, result, end, index, last_word = list(_WORD.finditer(text)), [], 0, 0, None
        while index < len(words):
            run, stop = self._longest(text, words, index, names)
            if run is None:
                index, last_word = index + 1, None
                continue
            between, word = text[end : words[index].start()], self.words[run]
            if word != last_word or "/" in between:  # Doe_Jane_1950 is one patient1, Doe/1950 are two folders
                result += [between, word]
            end, index, last_word = words[stop - 1].end(), stop, word
        return "".join([*result, text[end:]])

    def _longest(self, text, words, index, names):
        """Return (identifier, index behind its last word) of the longest identifier that begins with word
        `index`.

        Returns:
            (None, None) when none begins there.
        """
        for stop in range(min(len(words), index + _LONGEST_RUN), index, -1):
            run = "".join(word.group() for word in words[index:stop]).casefold()
            start, end = words[index].start(), words[stop - 1].end()
            if (
                run in self.words
                and "/" not in text[start:end]
                and self._is_identifier(run, text, start, end, names)
            ):
                return run, stop
        return None, None

    def _is_identifier(self, run: str, text: str, start: int, end: int, names) -> bool:
        """Return whether `run`, which equals an identifier, is meant as one: a short number may count slices.

        Short numbers of visits and places are identifiers only as a complete part of a path. Those of
        patients are identifiers in every name (a span of `names`), and elsewhere beside a slash, colon,
        quote, underscore or suffix.
        """
        if len(run) >= (_SHORTEST_NUMBER if run.isdigit() else 2):
            return True
        before, after = text[:start][-1:], text[end:][:1]
        if before in ("", "/") and after in ("", "/"):
            return True
        if run not in self.personal:
            return False
        if any(name_start <= start and end <= name_end for name_start, name_end in names):
            return True
        if text[:start].endswith(_COUNTED):
            return False
        ahead = after in ("/", ":", "'", '"', "_") or (after == "." and text[end + 1 : end + 2].isalpha())
        behind = before in ("/", ":", "'", '"', "_") or (
            before == "." and text[start - 2 : start - 1].isalpha()
        )
        return ahead or behind


def _values(dataset: "Dataset", keyword: str) -> list[str]:
    from pydicom.multival import MultiValue

    value = dataset.get(keyword)
    values = value if isinstance(value, (list, tuple, MultiValue)) else [value]
    return [str(item).strip() for item in values if item is not None and str(item).strip()]


def _plain(text: str) -> str:
    return "".join(_WORD.findall(text)).casefold()


def _names(text: str) -> set[str]:
    """Return doe, jane, doejane and janedoe for Doe^Jane, also in ideographic and phonetic forms.

    PS3.5 6.2.1 defines these forms.
    """
    names = set()
    for form in text.split("="):
        words = [word.casefold() for word in _WORD.findall(form)]
        names |= {word for word in words if len(word) > 1} | {
            "".join(words),
            "".join(reversed(words)),
            "".join(words[:2]),
            "".join(reversed(words[:2])),
        }
    return names


def _dates(text: str) -> set[str]:
    """Return 19500131 together with 31011950 and 01311950; separators are ignored."""
    digits = _plain(text)
    if len(digits) != 8:
        return {digits}
    year, month, day = digits[:4], digits[4:6], digits[6:]
    return {digits, day + month + year, month + day + year}
