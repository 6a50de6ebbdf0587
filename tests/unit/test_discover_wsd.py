"""WS-Discovery messages: what real cameras send, what hostile ones might, and that reading never raises."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edged.discover.wsd import (
    PROBE_TYPES,
    at_host,
    build_probe,
    device_service,
    host_of,
    plain_id,
    read_announcement,
)

ENVELOPE = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"'
    ' xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
    ' xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"'
    ' xmlns:dn="http://www.onvif.org/ver10/network/wsdl">'
    "<e:Header><a:MessageID>uuid:answer-1</a:MessageID><a:RelatesTo>{relates_to}</a:RelatesTo></e:Header>"
    "<e:Body>{body}</e:Body></e:Envelope>"
)
DEVICE = (
    "<a:EndpointReference><a:Address>urn:uuid:0000-AB</a:Address></a:EndpointReference>"
    "<d:Types>dn:NetworkVideoTransmitter tds:Device</d:Types><d:Scopes>onvif://www.onvif.org/name/x</d:Scopes>"
    "<d:XAddrs>http://192.0.2.9/onvif/device_service http://[fe80::1]/onvif/device_service</d:XAddrs>"
    "<d:MetadataVersion>7</d:MetadataVersion>"
)


def matches(device: str = DEVICE, relates_to: str = "urn:uuid:probe-1", *, envelope: str = ENVELOPE) -> bytes:
    body = f"<d:ProbeMatches><d:ProbeMatch>{device}</d:ProbeMatch></d:ProbeMatches>"
    return envelope.format(relates_to=relates_to, body=body).encode()


def test_a_probe_match_is_read() -> None:
    announcement = read_announcement(matches())
    assert announcement is not None
    assert announcement.kind == "ProbeMatches"
    assert announcement.relates_to == "probe-1"
    [device] = announcement.devices
    assert device.endpoint_reference == "urn:uuid:0000-AB"
    assert device.types == ("NetworkVideoTransmitter", "Device")
    assert device.xaddrs == ("http://192.0.2.9/onvif/device_service", "http://[fe80::1]/onvif/device_service")
    assert device.metadata_version == 7


@pytest.mark.parametrize("kind", ["Hello", "Bye"])
def test_hello_and_bye_are_read(kind: str) -> None:
    announcement = read_announcement(ENVELOPE.format(relates_to="", body=f"<d:{kind}>{DEVICE}</d:{kind}>").encode())
    assert announcement is not None
    assert announcement.kind == kind
    assert announcement.devices[0].metadata_version == 7


@pytest.mark.parametrize(
    "datagram",
    [
        pytest.param(matches(envelope=ENVELOPE.replace(" xmlns:d=", " xmlns:unused=")), id="undeclared prefix"),
        pytest.param(matches(envelope=ENVELOPE.replace("ws/2005/04", "ws/2O05/04")), id="broken namespace"),
        pytest.param(matches() + b"\x00\x00 padding", id="content after the root"),
        pytest.param(b"\xef\xbb\xbf" + matches(), id="byte order mark"),
        pytest.param(matches(envelope=ENVELOPE.replace("2003/05/soap-envelope", "soap/envelope")), id="SOAP 1.1"),
    ],
)
def test_oddities_of_real_cameras_are_tolerated(datagram: bytes) -> None:
    announcement = read_announcement(datagram)
    assert announcement is not None
    assert announcement.devices[0].endpoint_reference == "urn:uuid:0000-AB"


@pytest.mark.parametrize(
    "datagram",
    [
        pytest.param(matches().replace(b"?>", b"?><!DOCTYPE x [<!ENTITY a 'b'>]>", 1), id="document type"),
        pytest.param(matches("<x>" * 40 + "</x>" * 40), id="too deep"),
        pytest.param(matches("<x/>" * 3000), id="too many elements"),
        pytest.param(matches(DEVICE + " " * 70_000), id="larger than a datagram"),
        pytest.param(matches()[:-60], id="cut off"),
        pytest.param(build_probe("urn:uuid:1", PROBE_TYPES[0]), id="somebody's probe"),
        pytest.param(b"<html><body>hello</body></html>", id="not an envelope"),
        pytest.param(b"", id="empty"),
    ],
)
def test_what_is_no_announcement_is_none(datagram: bytes) -> None:
    assert read_announcement(datagram) is None


@pytest.mark.parametrize(
    ("xaddrs", "kept"),
    [
        ("", ()),
        ("ftp://192.0.2.9/ soap.udp://192.0.2.9 file://192.0.2.9/etc/passwd", ()),
        ("http:///onvif http://192.0.2.9:99999/ http://192.0.2.9:0/ http://[::1/", ()),
        ("https://192.0.2.9:8443/onvif\n\t", ("https://192.0.2.9:8443/onvif",)),
    ],
)
def test_only_usable_service_addresses_are_kept(xaddrs: str, kept: tuple[str, ...]) -> None:
    announcement = read_announcement(matches(f"<d:XAddrs>{xaddrs}</d:XAddrs>"))
    assert announcement is not None
    assert announcement.devices[0].xaddrs == kept


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: matches(text)))
@example(b'<?xml version="1.0" encoding="nonsense"?><a/>')
@example(b"<\x00a\x00/\x00>\x00")
@example(matches("<d:MetadataVersion>\u0663</d:MetadataVersion>"))
@example(matches(f"<d:MetadataVersion>{'9' * 5000}</d:MetadataVersion>"))
def test_reading_never_raises(datagram: bytes) -> None:
    announcement = read_announcement(datagram)
    assert announcement is None or announcement.kind in ("ProbeMatches", "Hello", "Bye")


@given(st.integers(min_value=0, max_value=len(matches()) - 1), st.binary(max_size=4))
def test_a_damaged_announcement_never_raises(place: int, damage: bytes) -> None:
    whole = matches()
    announcement = read_announcement(whole[:place] + damage + whole[place + len(damage) :])
    for device in announcement.devices if announcement is not None else ():
        assert device_service("192.0.2.1", device.xaddrs)


@pytest.mark.parametrize("form", ["urn:uuid:AB-1", "uuid:ab-1", "ab-1", " URN:UUID:ab-1\n", "urn:ab-1"])
def test_references_are_compared_in_one_form(form: str) -> None:
    assert plain_id(form) == "ab-1"


def test_a_device_is_asked_only_where_it_answered_from() -> None:
    """Whatever it says, a stale address, loopback or a third party is never spoken to."""
    said = (
        "http://203.0.113.5:8000/onvif/device_service",
        "http://127.0.0.1/onvif/device_service",
        "http://[fe80::1]/onvif/device_service",
        "http://192.0.2.9:8899/onvif/device_service",
    )
    assert device_service("192.0.2.9", said) == (
        "http://192.0.2.9:8899/onvif/device_service",
        "http://192.0.2.9:8000/onvif/device_service",
        "http://192.0.2.9/onvif/device_service",
    )
    assert device_service("192.0.2.9", ()) == ("http://192.0.2.9/onvif/device_service",)


@pytest.mark.parametrize(
    ("url", "moved"),
    [
        ("rtsp://192.0.2.9:554/a?b=1&c=2", "rtsp://[2001:db8::1]:554/a?b=1&c=2"),
        ("rtsp://user:p%40ss@192.0.2.9/a", "rtsp://[2001:db8::1]/a"),
        ("rtsp://[fe80::2]:8999/ture.sdp?real_stream", "rtsp://[2001:db8::1]:8999/ture.sdp?real_stream"),
    ],
)
def test_a_url_at_another_host_keeps_all_but_host_and_login(url: str, moved: str) -> None:
    assert at_host(url, "2001:db8::1") == moved
    assert host_of(moved) == "2001:db8::1"


@pytest.mark.parametrize("url", ["", "rtsp://", "/path", "rtsp://host:port/", "http://[::1"])
def test_a_url_without_a_host_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        at_host(url, "192.0.2.1")


def test_i9_an_announcement_shows_nothing_confidential() -> None:
    shown = repr(read_announcement(matches()))
    assert "192.0.2.9" not in shown
    assert "0000-AB" not in shown
    assert "name/x" not in shown
