"""Parse the address of an archive and the search for studies in it.

    dicomweb://HOST[:PORT]/PATH?KEY=VALUE&KEY=VALUE

`dicomweb` is DICOMweb (PS3.18) over TLS; `dicomweb+http` is the same without TLS, for an archive on this
machine or in a network that is protected otherwise.
"""

import datetime
import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from clamnet_tf.errors import UserInputError

SCHEMES = {"dicomweb": "https", "dicomweb+http": "http"}
EXAMPLE = "dicomweb://HOST/dicom-web?StudyInstanceUID=1.2.3"
KEYS = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "AccessionNumber",
    "Modality",
    "StudyDate",
)
_SEVERAL = ("StudyInstanceUID", "SeriesInstanceUID", "Modality")
_UID = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))+")
_LONGEST_UID = 64
_CODE = re.compile(r"[A-Z0-9_]{1,16}")


@dataclass(frozen=True)
class ArchiveAddress:
    """Hold the address of an archive.

    Attributes:
        text: The address without the search.
        url: URL of the DICOMweb service.
        host: Host name, without port.
        encrypted: Whether the connection uses TLS.
    """

    text: str
    url: str
    host: str
    encrypted: bool


@dataclass(frozen=True)
class StudySearch:
    """Say which studies are wanted; an empty field means any.

    Attributes:
        studies: StudyInstanceUIDs.
        series: SeriesInstanceUIDs.
        patient: PatientID, where * and ? match any characters and one character.
        accession: AccessionNumber.
        modalities: Modalities of series.
        date: (first, last) StudyDate as YYYYMMDD, "" for an open end; None: any.
    """

    studies: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    patient: str = ""
    accession: str = ""
    modalities: tuple[str, ...] = ()
    date: tuple[str, str] | None = None


def is_archive(text: str) -> bool:
    """Return whether a text is the address of an archive rather than a path."""
    return text.partition("://")[0].lower() in SCHEMES and "://" in text


def is_uid(text: str) -> bool:
    """Return whether a text is a DICOM UID (PS3.5 9.1)."""
    return len(text) <= _LONGEST_UID and bool(_UID.fullmatch(text))


def parse_archive(text: str, option: str = "") -> ArchiveAddress:
    """Parse an address without a search, as `--send` takes.

    Raises:
        UserInputError: The address has another form.
    """
    address, query = _split(text, option)
    if query:
        raise UserInputError(f"{option} {address.text}: expected an address without a search (?...).".strip())
    return address


def parse_search(text: str) -> tuple[ArchiveAddress, StudySearch]:
    """Parse an address with a search.

    Raises:
        UserInputError: The address or the search has another form. A search without any key is refused: it
            would take every study of the archive.
    """
    address, query = _split(text, "")
    found: dict[str, list[str]] = {}
    for part in filter(None, query.split("&")):
        key, equals, value = part.partition("=")
        value = unquote(value).strip()
        if key not in KEYS or not equals or not value:
            raise UserInputError(
                f"{address.text}: expected searches KEY=VALUE with the keys {', '.join(KEYS)}; received the "
                f"key {key!r}{'' if value else ' without a value'}. Example: {EXAMPLE}"
            )
        if key in found and key not in _SEVERAL:
            raise UserInputError(f"{address.text}: expected {key} once; received it several times.")
        found.setdefault(key, []).extend(value.split(",") if key in _SEVERAL else [value])
    if not set(found) - {"Modality"}:
        raise UserInputError(
            f"{address.text}: expected which studies to take, by StudyInstanceUID, PatientID, "
            f"AccessionNumber or StudyDate; received none of them. Example: {EXAMPLE}"
        )
    for key in ("StudyInstanceUID", "SeriesInstanceUID"):
        for uid in found.get(key, ()):
            if not is_uid(uid):
                raise UserInputError(f"{address.text}: {key}: expected a DICOM UID; received {uid!r}.")
    for modality in found.get("Modality", ()):
        if not _CODE.fullmatch(modality):
            raise UserInputError(
                f"{address.text}: Modality: expected a code such as CT or MR; received {modality!r}."
            )
    if "SeriesInstanceUID" in found and "StudyInstanceUID" not in found:
        raise UserInputError(
            f"{address.text}: SeriesInstanceUID: expected the StudyInstanceUID of its study beside it."
        )
    return address, StudySearch(
        tuple(dict.fromkeys(found.get("StudyInstanceUID", ()))),
        tuple(dict.fromkeys(found.get("SeriesInstanceUID", ()))),
        found.get("PatientID", [""])[0],
        found.get("AccessionNumber", [""])[0],
        tuple(dict.fromkeys(found.get("Modality", ()))),
        _date_range(address.text, found["StudyDate"][0]) if "StudyDate" in found else None,
    )


def _split(text: str, option: str) -> tuple[ArchiveAddress, str]:
    """Return (address, text of the search). No message repeats what may be a password."""
    parts = urlsplit(text)
    where = f"{option} {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".strip()
    if "@" in parts.netloc:
        raise UserInputError(
            f"{where}: expected no user and password in the address, where other users of this machine "
            f"could read them. Use the file netrc, or the variables that docs/how-to/pacs.md names."
        )
    if parts.scheme not in SCHEMES or not parts.hostname or not parts.path.strip("/") or parts.fragment:
        raise UserInputError(
            f"{where}: expected dicomweb://HOST/PATH, where PATH is that of the archive's DICOMweb service "
            f"(dicom-web for Orthanc, dcm4chee-arc/aets/NAME/rs for dcm4chee)."
        )
    try:
        parts.port  # noqa: B018  raises for what is no number
    except ValueError as error:
        raise UserInputError(f"{where}: {error}.") from error
    path = parts.path.rstrip("/")
    return ArchiveAddress(
        f"{parts.scheme}://{parts.netloc}{path}",
        f"{SCHEMES[parts.scheme]}://{parts.netloc}{path}",
        parts.hostname,
        parts.scheme == "dicomweb",
    ), parts.query


def _date_range(where: str, text: str) -> tuple[str, str]:
    """Return (first, last) of YYYYMMDD, YYYYMMDD-YYYYMMDD, YYYYMMDD- or -YYYYMMDD (PS3.4 C.2.2.2.5)."""
    first, dash, last = text.partition("-")
    days = (first, last) if dash else (first, first)
    try:
        for day in filter(None, days):
            if len(day) != len("YYYYMMDD"):
                raise ValueError
            datetime.datetime.strptime(day, "%Y%m%d")
        if not any(days) or (all(days) and days[0] > days[1]):
            raise ValueError
    except ValueError:
        raise UserInputError(
            f"{where}: StudyDate: expected YYYYMMDD, or a range YYYYMMDD-YYYYMMDD, YYYYMMDD- or -YYYYMMDD; "
            f"received {text!r}."
        ) from None
    return days
