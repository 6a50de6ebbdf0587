"""ONVIF replies as zeep hands them over: what is taken from them, and what counts as a refused login."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.discover import onvif_reply
from edged.discover.port import DeviceIdentity

FAULT = (
    b"<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>ter:%s</s:Value></s:Subcode></s:Code></s:Fault>"
)


@pytest.mark.parametrize(
    ("status", "content", "refused"),
    [
        (401, b"<html>log in</html>", True),
        (403, b"", True),
        (400, FAULT % b"NotAuthorized", True),
        (200, FAULT % b"NotAuthorized", True),
        (500, b"<s:Fault><s:Reason>The sender is not  authorized</s:Reason></s:Fault>", True),
        (500, b"<f:Fault>wsse:FailedAuthentication</f:Fault>", True),
        (500, FAULT % b"ActionNotSupported", False),
        (200, b"<tt:Name>NotAuthorized</tt:Name>", False),
        (404, b"<html>404</html>", False),
    ],
)
def test_a_refused_login_is_told_from_other_failures(status: int, content: bytes, refused: bool) -> None:
    assert onvif_reply.refuses_login(status, content) is refused


def clock(year: Any, month: Any, day: Any, hour: Any, minute: Any, second: Any) -> SimpleNamespace:
    date = SimpleNamespace(Year=year, Month=month, Day=day)
    return SimpleNamespace(
        UTCDateTime=SimpleNamespace(Date=date, Time=SimpleNamespace(Hour=hour, Minute=minute, Second=second))
    )


def test_a_camera_clock_is_read() -> None:
    assert onvif_reply.utc_us(clock(1970, 1, 2, 0, 0, 1)) == 86_401_000_000
    assert onvif_reply.utc_us(clock(1969, 12, 31, 23, 59, 59)) == -1_000_000
    # A leap second, and an hour 24, are the next minute and the next day.
    assert onvif_reply.utc_us(clock(1970, 1, 1, 23, 59, 60)) == onvif_reply.utc_us(clock(1970, 1, 1, 24, 0, 0))
    assert onvif_reply.utc_us(SimpleNamespace(UTCDateTime=None)) is None


@pytest.mark.parametrize("parts", [(0, 1, 1, 0, 0, 0), (2026, 13, 1, 0, 0, 0), (2026, None, 1, 0, 0, 0)])
def test_an_impossible_clock_is_odd(parts: tuple[Any, ...]) -> None:
    with pytest.raises((TypeError, ValueError)):
        onvif_reply.utc_us(clock(*parts))


def encoder(**parts: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"Encoding": "H264", "Resolution": None, "RateControl": None, **parts})


def profile(token: str | None, video: Any) -> SimpleNamespace:
    return SimpleNamespace(token=token, Name="n", VideoEncoderConfiguration=video)


def test_profiles_are_read_with_what_is_there() -> None:
    size = SimpleNamespace(Width=1920, Height=None)
    rate = SimpleNamespace(FrameRateLimit=12.5, BitrateLimit=None)
    full, bare, none = onvif_reply.profiles1(
        [
            profile("a", encoder(Encoding="h265", Resolution=size, RateControl=rate)),
            profile("b", encoder()),
            profile("c", None),
        ]
    )
    assert (full.codec, full.width, full.height, full.fps, full.bitrate_kbps) == ("H265", 1920, 0, 12.5, 0)
    assert (bare.codec, bare.width) == ("H264", 0)
    assert none.codec == ""
    assert onvif_reply.profiles1(None) == ()


def test_i9_a_codec_is_no_place_to_hide_an_address_in() -> None:
    """The codec is named in messages that are logged; only what looks like one passes."""
    [odd] = onvif_reply.profiles1([profile("a", encoder(Encoding="rtsp://192.0.2.1/x"))])
    assert odd.codec == "OTHER"


@pytest.mark.parametrize("reply", [object(), "text", [profile(None, None)], [object()], {"Profiles": 1}])
def test_profiles_that_are_none_are_odd(reply: Any) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError)):
        onvif_reply.profiles1(reply)


@given(st.text() | st.none())
def test_device_information_is_one_printable_line_or_nothing(text: str | None) -> None:
    told = SimpleNamespace(Manufacturer=text, Model=text, FirmwareVersion=text, SerialNumber=text)
    taken = onvif_reply.identity(told)
    assert taken.model.isprintable()
    assert len(taken.serial) <= 256


def test_i9_an_identity_shows_nothing() -> None:
    assert repr(DeviceIdentity(manufacturer="acme", model="dome", firmware="1", serial="s")) == "DeviceIdentity()"
