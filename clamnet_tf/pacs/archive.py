"""Search, fetch and store in an archive over DICOMweb (QIDO-RS, WADO-RS, STOW-RS; PS3.18) with
dicomweb-client.

Requests are repeated while the archive cannot be reached or is busy. That is safe for storing too, because
an object that is sent again has the same UIDs. What the archive answers is checked against what was asked
for: a study that does not match, a missing or a foreign image is an error, never a smaller result.
"""

import json
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf.errors import DataError, EnvironmentFailure, ServerFailure
from clamnet_tf.files import writing
from clamnet_tf.pacs.address import ArchiveAddress, StudySearch, is_uid
from clamnet_tf.pacs.failures import translated
from clamnet_tf.serving.retrying import WAITS_SECONDS, attempt

TIMEOUT_SECONDS = (10.0, 120.0)  # to connect, and between two pieces of an answer
_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"
_MODALITY, _MODALITIES, _DATE, _PATIENT, _ACCESSION = (
    "00080060",
    "00080061",
    "00080020",
    "00100020",
    "00080050",
)
_DESCRIPTION = "0008103E"
_PIECE, _WHOLE = 1 << 20, 1 << 40  # bytes of an answer that are read at once; never in pieces when sending
_STORED_BEFORE = 0x0111  # failure reason "duplicate SOP instance" (PS3.7 C.5.8)
_RESERVED = re.compile(r"[^A-Za-z0-9._~*?-]")  # what the query of a URL holds as %.. alone (RFC 3986)
_AS_STORED = (("application/dicom", "*"),)


@dataclass(frozen=True)
class ArchivedSeries:
    """Name a series of an archive.

    Attributes:
        study: StudyInstanceUID.
        series: SeriesInstanceUID.
        modality: Modality; "" when the archive does not say.
        description: SeriesDescription; "" when the archive does not say.
        instances: SOPInstanceUIDs, sorted.
    """

    study: str
    series: str
    modality: str
    description: str
    instances: tuple[str, ...]


def require_dicomweb_client():
    """Return the class DICOMwebClient. Raises EnvironmentFailure when dicomweb-client is not installed."""
    try:
        from dicomweb_client.api import DICOMwebClient
    except ImportError:
        raise EnvironmentFailure(
            "Archives need the package dicomweb-client, which is not installed. Run: pip install "
            "'clamnet-tf[pacs]'"
        ) from None
    return DICOMwebClient


class Archive:
    """Talk to one archive.

    Args:
        address: Address of the archive.
        session: requests.Session with its credentials.
        timeout: Seconds to connect, and between two pieces of an answer.
        waits: Seconds to wait before each further attempt.
    """

    def __init__(self, address: ArchiveAddress, session, *, timeout=TIMEOUT_SECONDS, waits=WAITS_SECONDS):
        client_class = require_dicomweb_client()
        self.address, self._waits = address, waits
        self._reader, self._sender = (
            client_class(address.url, session, chunk_size=size, timeout=timeout) for size in (_PIECE, _WHOLE)
        )
        for client in (self._reader, self._sender):
            client.set_http_retry_params(retry=False)  # `attempt` repeats, also broken downloads

    def studies(self, search: StudySearch) -> list[str]:
        """Return the StudyInstanceUIDs that match, sorted.

        Some archives do not decode %20, %26 and the like in a search and then find nothing. In that case the
        search is repeated with the wild card ? for those characters, and its answers are selected here.

        Raises:
            ServerFailure: The archive cannot be reached, refuses, or answers with studies that do not match.
        """
        filters = {"PatientID": search.patient, "AccessionNumber": search.accession}
        if search.date:
            filters["StudyDate"] = search.date[0] if len(set(search.date)) == 1 else "-".join(search.date)
        filters = {key: value for key, value in filters.items() if value}
        found: dict[str, None] = {}
        for study in search.studies or ("",):
            for modality in search.modalities or ("",):
                more = {"StudyInstanceUID": study, "ModalitiesInStudy": modality}
                asked = {**filters, **{key: value for key, value in more.items() if value}}
                rows = self._search(self._reader.search_for_studies, asked)
                loose = {key: _RESERVED.sub("?", value) for key, value in asked.items()}
                if not rows and loose != asked:
                    found_loosely = self._search(self._reader.search_for_studies, loose)
                    rows = [row for row in found_loosely if _is_wanted_patient(row, search)]
                for row in rows:
                    self._check_study(row, search, study, modality)
                    found[self._uid(row, _STUDY)] = None
        return sorted(found)

    def series(
        self, study: str, search: StudySearch, modalities: tuple[str, ...] = ()
    ) -> list[ArchivedSeries]:
        """Return the series of a study with their instances, in the order of their UIDs.

        Args:
            study: StudyInstanceUID.
            search: What is wanted.
            modalities: Modalities to take when the search names none; (): all.
        """
        wanted, found = search.modalities or modalities, []
        for row in self._search(self._reader.search_for_series, {}, study):
            series, modality = self._uid(row, _SERIES), _value(row, _MODALITY)
            if (search.series and series not in search.series) or (
                wanted and modality and modality not in wanted
            ):
                continue
            rows = self._search(self._reader.search_for_instances, {}, study, series)
            instances = tuple(sorted({self._uid(instance, _INSTANCE) for instance in rows}))
            found.append(ArchivedSeries(study, series, modality, _value(row, _DESCRIPTION), instances))
        return sorted(found, key=lambda each: each.series)

    def fetch(self, series: ArchivedSeries, folder: Path) -> None:
        """Write the images of a series into a folder as <SOPInstanceUID>.dcm, with one of them in memory.

        The archive sends them as they are stored, without a change of their compression.

        Raises:
            DataError: The archive does not give all images of the series.
            ServerFailure: The archive cannot be reached or refuses.
        """
        missing = set(series.instances)
        self._call(f"series {series.series}", lambda: self._receive(series, folder, missing))
        for instance in sorted(missing):  # some archives leave out what they cannot send together
            self._call(
                f"image {instance}", lambda instance=instance: self._one(series, instance, folder, missing)
            )
        if missing:
            raise DataError(
                f"series {series.series}: the archive lists {len(series.instances)} images and sent "
                f"{len(series.instances) - len(missing)}. A part of a series is not marked; run the same "
                f"command again when the archive has all of it."
            )

    def store(self, path: Path) -> None:
        """Store the DICOM object of a file; an object that the archive has already is left there.

        Raises:
            DataError: The archive refuses this object.
            ServerFailure: The archive cannot be reached, or does not confirm the object.
        """
        import pydicom

        dataset = pydicom.dcmread(path)
        instance = str(dataset.SOPInstanceUID)
        answer = self._call(
            f"result {path.name}",
            lambda: self._sender.store_instances([dataset], study_instance_uid=str(dataset.StudyInstanceUID)),
        )
        for item in answer.get("FailedSOPSequence") or ():
            reason = int(item.get("FailureReason") or 0)
            if reason != _STORED_BEFORE:
                raise DataError(
                    f"{self.address.text}: the archive refuses the result {path.name} (failure reason "
                    f"{reason:04X}H). Look into the log of the archive."
                )
        confirmed = {str(item.ReferencedSOPInstanceUID) for item in answer.get("ReferencedSOPSequence") or ()}
        if instance not in confirmed and not self._search(
            self._reader.search_for_instances,
            {"SOPInstanceUID": instance},
            str(dataset.StudyInstanceUID),
            str(dataset.SeriesInstanceUID),
        ):
            raise ServerFailure(
                f"{self.address.text}: the archive does not confirm the result {path.name} and does not "
                f"list it. Look into the log of the archive."
            )

    def _call(self, what: str, call):
        """Return `call()`, repeated while the archive is busy; other errors of it are translated."""

        def once():
            with warnings.catch_warnings(), translated(self.address, what):
                warnings.simplefilter("ignore")  # about values of headers, which are copied unchanged
                return call()

        return attempt(once, self.address.text, self._waits)

    def _search(self, method, filters: dict[str, str], *uids: str) -> list[dict]:
        """Return all rows of a search; archives may give them in pages.

        The search ends with a page that brings nothing new, so an archive that ignores the offset does not
        make it endless.
        """
        rows: dict[str, dict] = {}
        while True:
            page = self._call(
                "search",
                lambda: method(*uids, search_filters=dict(filters), offset=len(rows) or None),
            )
            before = len(rows)
            rows |= {json.dumps(row, sort_keys=True): row for row in page if isinstance(row, dict)}
            if len(rows) == before:
                return list(rows.values())

    def _uid(self, row: dict, tag: str) -> str:
        """Return a UID of a row. It becomes a name of files, so anything else is refused."""
        if not is_uid(uid := _value(row, tag)):
            raise ServerFailure(
                f"{self.address.text}: expected answers with a UID in ({tag[:4]},{tag[4:]}); received "
                f"{uid[:80]!r}."
            )
        return uid

    def _check_study(self, row: dict, search: StudySearch, study: str, modality: str) -> None:
        """Raise ServerFailure when a study is not what was asked for: archives may ignore keys."""
        first, last = search.date or ("", "")
        date = _value(row, _DATE).replace(".", "")
        matches = {
            "StudyInstanceUID": not study or _value(row, _STUDY) == study,
            "PatientID": not search.patient or _fits(_value(row, _PATIENT), search.patient),
            "AccessionNumber": not search.accession or _fits(_value(row, _ACCESSION), search.accession),
            "StudyDate": not search.date or (date >= first and (not last or date <= last)),
            "Modality": not modality or _MODALITIES not in row or modality in _values(row, _MODALITIES),
        }
        for key, fits in matches.items():
            if not fits:
                raise ServerFailure(
                    f"{self.address.text}: the archive answers a search for {key} with a study of another "
                    f"{key}; it seems not to support that key. Search by StudyInstanceUID."
                )

    def _receive(self, series: ArchivedSeries, folder: Path, missing: set[str]) -> None:
        for dataset in self._reader.iter_series(series.study, series.series, media_types=_AS_STORED):
            _write(dataset, folder, missing)

    def _one(self, series: ArchivedSeries, instance: str, folder: Path, missing: set[str]) -> None:
        dataset = self._reader.retrieve_instance(
            series.study, series.series, instance, media_types=_AS_STORED
        )
        _write(dataset, folder, missing)


def _write(dataset, folder: Path, missing: set[str]) -> None:
    """Write an image that is still missing; one that came after the search is left for the next run."""
    instance = str(dataset.get("SOPInstanceUID", ""))
    if instance not in missing:
        return
    path = folder / f"{instance}.dcm"
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)
    missing.discard(instance)


def _is_wanted_patient(row: dict, search: StudySearch) -> bool:
    """Return whether a study has the PatientID and the AccessionNumber of a search."""
    wanted = {_PATIENT: search.patient, _ACCESSION: search.accession}
    return all(not pattern or _fits(_value(row, tag), pattern) for tag, pattern in wanted.items())


def _fits(value: str, pattern: str) -> bool:
    """Return whether a value fits a search, where * and ? are wild cards (PS3.4 C.2.2.2.4)."""
    expression = "".join({"*": ".*", "?": "."}.get(sign, re.escape(sign)) for sign in pattern)
    return re.fullmatch(expression, value, re.DOTALL) is not None


def _values(row: dict, tag: str) -> list[str]:
    """Return the values of an attribute in the DICOM JSON model (PS3.18 F.2) as texts."""
    element = row.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return [str(value) for value in values if value is not None] if isinstance(values, list) else []


def _value(row: dict, tag: str) -> str:
    return next(iter(_values(row, tag)), "")
