"""What ONVIF replies say: zeep's values turned into edged's. Decides only.

Values come from an untrusted camera, lenient parsing may leave any of them out, and firmware fills the rest with
surprises: each function takes what it can use and raises AttributeError, TypeError, ValueError or LookupError where
nothing can be used; the caller reports that as a camera that speaks oddly.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from edged.discover.port import DeviceIdentity, Profile

MEDIA = "http://www.onvif.org/ver10/media/wsdl"
_CODEC = re.compile(r"[A-Z0-9][A-Z0-9._-]{0,15}")
_REFUSAL = re.compile(
    rb"NotAuthorized|FailedAuthentication|InvalidSecurity|not\s+authorized|unauthorized", re.IGNORECASE
)
_LONGEST_TEXT = 256
_MOST_PROFILES = 256
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def refuses_login(status: int, content: bytes) -> bool:
    """Whether a reply means "log in first" or "wrong login".

    Firmware says so by 401 or 403 with any body, or by a fault (ONVIF Core 5.9: ter:NotAuthorized; WS-Security:
    FailedAuthentication) with status 200, 400 or 500.
    """
    if status in (401, 403):
        return True
    return b"Fault" in content and _REFUSAL.search(content) is not None


def utc_us(reply: Any) -> int | None:
    """GetSystemDateAndTime: the camera's UTC time in microseconds, whole seconds; None where it tells local time alone.

    Local time is not converted: zone texts in the field are too often wrong to accuse or sign by.
    """
    told = reply.UTCDateTime
    if told is None:
        return None
    date, time = told.Date, told.Time
    # A second of 60 is a leap second, and some firmware counts hours to 24: adding takes both.
    moment = datetime(int(date.Year), int(date.Month), int(date.Day), tzinfo=UTC) + timedelta(
        hours=int(time.Hour), minutes=int(time.Minute), seconds=int(time.Second)
    )
    return (moment - _EPOCH) // timedelta(microseconds=1)


def identity(reply: Any) -> DeviceIdentity:
    """GetDeviceInformation."""
    return DeviceIdentity(
        manufacturer=_text(reply.Manufacturer),
        model=_text(reply.Model),
        firmware=_text(reply.FirmwareVersion),
        serial=_text(reply.SerialNumber),
    )


def services(reply: Any) -> tuple[tuple[str, str], ...]:
    """GetServices: pairs of namespace and address."""
    return tuple((str(service.Namespace).strip(), str(service.XAddr).strip()) for service in _items(reply))


def capabilities(reply: Any) -> tuple[tuple[str, str], ...]:
    """GetCapabilities, the older way: the media service alone matters here."""
    media = reply.Media
    return ((MEDIA, str(media.XAddr).strip()),) if media is not None and media.XAddr else ()


def profiles1(reply: Any) -> tuple[Profile, ...]:
    """Media1 GetProfiles. `Encoding` is taken as text: cameras write H265 there, which its enumeration lacks."""
    return tuple(_profile(item, item.VideoEncoderConfiguration) for item in _items(reply))


def profiles2(reply: Any) -> tuple[Profile, ...]:
    """Media2 GetProfiles."""
    return tuple(
        _profile(item, item.Configurations.VideoEncoder if item.Configurations is not None else None)
        for item in _items(reply)
    )


def stream_uri1(reply: Any) -> str:
    """Media1 GetStreamUri."""
    return str(reply.Uri).strip()


def stream_uri2(reply: Any) -> str:
    """Media2 GetStreamUri."""
    return str(reply if isinstance(reply, str) else reply.Uri).strip()


def at_port_of(address: str, other: str) -> str:
    """`address` with the scheme, host and port of `other`; its path and query stay."""
    origin = urlsplit(other)
    return urlsplit(address)._replace(scheme=origin.scheme, netloc=origin.netloc).geturl()


def _items(reply: Any) -> Iterable[Any]:
    """The repeated part of a reply; zeep gives None for an empty one."""
    if reply is None:
        return ()
    if not isinstance(reply, list):
        raise TypeError("not a list")
    return reply[:_MOST_PROFILES]


def _profile(item: Any, encoder: Any) -> Profile:
    if not item.token:
        raise ValueError("a profile without a token cannot be asked for its stream")
    if encoder is None:
        return Profile(token=str(item.token), name=_text(item.Name), codec="", width=0, height=0)
    codec = _text(encoder.Encoding).upper()
    rate, size = encoder.RateControl, encoder.Resolution
    return Profile(
        token=str(item.token),
        name=_text(item.Name),
        # Free text from a camera ends in sentences that are logged: only what looks like a codec's name passes.
        codec=codec if _CODEC.fullmatch(codec) else "OTHER" if codec else "",
        width=_number(size.Width) if size is not None else 0,
        height=_number(size.Height) if size is not None else 0,
        fps=float(rate.FrameRateLimit or 0) if rate is not None else 0.0,
        bitrate_kbps=_number(rate.BitrateLimit) if rate is not None else 0,
    )


def _number(value: Any) -> int:
    return max(0, int(value)) if value is not None else 0


def _text(value: Any) -> str:
    """One line of printable text."""
    return "".join(c for c in str(value).strip() if c.isprintable())[:_LONGEST_TEXT] if value is not None else ""
