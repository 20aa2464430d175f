"""Addresses of archives: what is accepted, and what is refused with which words. No network."""

import pytest
import requests

from clamnet_tf.errors import UserInputError
from clamnet_tf.pacs.address import StudySearch, is_archive, parse_archive, parse_search
from clamnet_tf.pacs.credentials import SOURCE, open_session, unprotected


def test_a_search_is_read():
    address, search = parse_search(
        "dicomweb://pacs.example:8443/dicom-web/?PatientID=A%26B%20C&StudyDate=20240101-"
        "&Modality=CT,MR&Modality=DX"
    )
    assert address.url == "https://pacs.example:8443/dicom-web" and address.encrypted
    assert search == StudySearch(patient="A&B C", modalities=("CT", "MR", "DX"), date=("20240101", "")), (
        "percent signs are decoded"
    )
    address, search = parse_search("dicomweb+http://127.0.0.1:8042/dicom-web?StudyInstanceUID=1.2.3,1.2.4")
    assert address.url == "http://127.0.0.1:8042/dicom-web" and search.studies == ("1.2.3", "1.2.4")
    assert parse_search("dicomweb://h/p?PatientID=A+B")[1].patient == "A+B", "a plus sign is a plus sign"
    assert parse_search("dicomweb://h/p?StudyDate=20240229")[1].date == ("20240229", "20240229")
    assert is_archive("dicomweb://h/p") and not is_archive("folder/dicomweb") and not is_archive("http://h/p")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dicomweb://h/p", "expected which studies to take"),
        ("dicomweb://h/p?Modality=CT", "expected which studies to take"),
        ("dicomweb://h/p?PatientName=X", "received the key 'PatientName'"),
        ("dicomweb://h/p?PatientID=", "without a value"),
        ("dicomweb://h/p?PatientID=1&PatientID=2", "expected PatientID once"),
        ("dicomweb://h/p?StudyInstanceUID=../../etc", "expected a DICOM UID"),
        ("dicomweb://h/p?SeriesInstanceUID=1.2", "expected the StudyInstanceUID"),
        ("dicomweb://h/p?PatientID=1&Modality=ct", "expected a code such as CT"),
        ("dicomweb://h/p?StudyDate=20240230", "expected YYYYMMDD"),
        ("dicomweb://h/p?StudyDate=20240202-20240201", "expected YYYYMMDD"),
        ("dicomweb://h/p?StudyDate=-", "expected YYYYMMDD"),
        ("dicomweb://h?PatientID=1", "where PATH is that of the archive's DICOMweb service"),
        ("dicomweb://h:port/p?PatientID=1", "dicomweb://h:port/p: "),
    ],
)
def test_what_is_refused(text, words):
    with pytest.raises(UserInputError) as caught:
        parse_search(text)
    assert words in str(caught.value)


def test_no_password_in_the_address_and_none_in_the_message():
    with pytest.raises(UserInputError) as caught:
        parse_search("dicomweb://jane:secret@h/p?PatientID=1")
    assert "expected no user and password" in str(caught.value) and "secret" not in str(caught.value)
    with pytest.raises(UserInputError, match="--send dicomweb://h/p: expected an address without a search"):
        parse_archive("dicomweb://h/p?PatientID=1", "--send")


def authorization(session, url):
    return session.prepare_request(requests.Request("GET", url)).headers.get("Authorization")


def test_credentials_come_from_the_environment_or_netrc(monkeypatch, tmp_path):
    address = parse_archive("dicomweb://pacs.example/dicom-web")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine pacs.example login jane password secret\n")
    netrc.chmod(0o600)
    for name in ("TOKEN", "USER", "PASSWORD", "CERTIFICATE"):
        monkeypatch.delenv(SOURCE + name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    assert authorization(open_session(address), address.url) is None
    monkeypatch.setenv("NETRC", str(netrc))
    assert authorization(open_session(address), address.url) == "Basic amFuZTpzZWNyZXQ="
    assert authorization(open_session(address), "https://other.example/") is None
    monkeypatch.setenv(SOURCE + "TOKEN", "abc")
    assert authorization(open_session(address), address.url) == "Bearer abc", "netrc does not replace it"
    monkeypatch.setenv(SOURCE + "USER", "joe")
    with pytest.raises(UserInputError, match="received both"):
        open_session(address)
    monkeypatch.delenv(SOURCE + "TOKEN")
    with pytest.raises(UserInputError, match="received only one"):
        open_session(address)
    monkeypatch.setenv(SOURCE + "PASSWORD", "ü")
    assert authorization(open_session(address), address.url) == "Basic am9lOsO8", "UTF-8"
    monkeypatch.setenv(SOURCE + "CERTIFICATE", str(tmp_path / "no.pem"))
    with pytest.raises(UserInputError, match="there is no such file"):
        open_session(address)


def test_a_connection_without_tls_is_said():
    assert unprotected(parse_archive("dicomweb://pacs.example/p")) == ""
    assert unprotected(parse_archive("dicomweb+http://127.0.0.1/p")) == ""
    assert "without TLS" in unprotected(parse_archive("dicomweb+http://pacs.example/p"))
