"""Who a device is, whatever its address. Decides only.

A camera is its endpoint reference together with its serial number. Either alone lies now and then: references are
copied from one flash image to many devices, or drawn anew at every boot; serial numbers are missing, or the same
placeholder for a whole make. So the rule is: when in doubt, two cameras. A camera mistaken for another would put one
place's footage under another's name; a camera counted twice is a nuisance that somebody sees.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from edged.discover.found import Change, Known
from edged.discover.port import Profile
from edged.discover.wsd import at_host, plain_id

_DOMAIN = b"edged camera id v1\0"  # never changes: camera ids are in file names, the index and the ledger
_PLACEHOLDERS = frozenset(("unknown", "none", "null", "n/a", "na", "default", "serialnumber", "123456", "1234567890"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighted:
    """What is to be told apart. `stream_uri` and `profiles` are None where they could not be asked."""

    endpoint_reference: str = field(repr=False)
    serial: str = field(repr=False)
    address: str = field(repr=False)
    firmware: str | None = field(default=None, repr=False)
    profiles: tuple[Profile, ...] | None = field(default=None, repr=False)
    stream_uri: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Match:
    """`camera_id` is "" where nothing identifies the device. `disputed`: another camera holds its reference."""

    change: Change
    camera_id: str
    differs: tuple[str, ...] = ()
    disputed: bool = False


def usable_serial(serial: str) -> str:
    """The serial number as it is compared, or "" where it is a placeholder rather than a number of this device."""
    plain = serial.strip().lower()
    return "" if len(plain) < 4 or len(set(plain)) == 1 or plain in _PLACEHOLDERS else plain


def new_id(endpoint_reference: str, serial: str = "") -> str:
    """The id of a camera first seen now: stable, opaque, 12 characters; "" where there is nothing to make it from.

    From the endpoint reference alone where there is one, so that a camera whose login is still missing has the id it
    will keep. Give both only for a clone.
    """
    parts = (plain_id(endpoint_reference).encode(), usable_serial(serial).encode())
    if not any(parts):
        return ""
    digest = hashlib.sha256(_DOMAIN + parts[0] + b"\0" + parts[1]).digest()
    return "c-" + base64.b32encode(digest)[:10].decode().lower()


def match(seen: Sighted, known: Sequence[Known]) -> Match:
    """Which known camera `seen` is, if any, and what changed about it."""
    reference, serial = plain_id(seen.endpoint_reference), usable_serial(seen.serial)
    if not reference and not serial:
        return Match(Change.NEW, "")
    claimants = [k for k in known if reference and plain_id(k.endpoint_reference) == reference]
    camera = _first(claimants, serial) if serial else next(iter(claimants), None)
    if camera is None:
        camera = next((k for k in claimants if not usable_serial(k.serial)), None)
    if camera is None and serial:
        camera = _by_serial(seen, reference, serial, known)
    if camera is not None:
        return _compare(seen, camera, disputed=bool(claimants) and camera not in claimants)
    if claimants:
        return Match(Change.CLONE, new_id(reference, serial), disputed=True)
    fresh = new_id(reference) if reference else new_id("", serial)
    # A camera may hold this id although nothing else of it matches: its roster row lost the reference it was made from.
    holder = next((k for k in known if k.camera_id == fresh), None)
    if holder is None:
        return Match(Change.NEW, fresh)
    return Match(Change.NEW, new_id(reference, serial)) if serial else _compare(seen, holder, disputed=False)


def _first(cameras: Sequence[Known], serial: str) -> Known | None:
    return next((k for k in cameras if usable_serial(k.serial) == serial), None)


def _by_serial(seen: Sighted, reference: str, serial: str, known: Sequence[Known]) -> Known | None:
    """The known camera with this serial number, where nothing speaks against it being the same device."""
    namesakes = [k for k in known if usable_serial(k.serial) == serial]
    # Both gave a reference and they differ: one device only if it also stands at the same address (a reference drawn
    # anew at boot). Otherwise one side was asked directly, without WS-Discovery, and has none.
    agreeing = [k for k in namesakes if not reference or not k.endpoint_reference or k.address == seen.address != ""]
    if len(agreeing) == 1:
        return agreeing[0]
    return next((k for k in agreeing if k.address == seen.address), None)


def _compare(seen: Sighted, camera: Known, *, disputed: bool) -> Match:
    differs = []
    if not disputed and seen.endpoint_reference:
        old = plain_id(camera.endpoint_reference)
        if old and old != plain_id(seen.endpoint_reference):
            differs.append("endpoint_reference")
    for name in ("firmware", "profiles"):
        then, now = getattr(camera, name), getattr(seen, name)
        if then is not None and now is not None and then != now:
            differs.append(name)
    if camera.stream_uri is not None and seen.stream_uri is not None and _elsewhere(camera.stream_uri, seen.stream_uri):
        differs.append("stream_uri")
    moved = bool(camera.address) and camera.address != seen.address
    change = Change.MOVED if moved else Change.CHANGED if differs else Change.SAME
    return Match(change, camera.camera_id, (*(["address"] if moved else []), *differs), disputed)


def _elsewhere(then: str, now: str) -> bool:
    """Whether two stream URLs differ in more than the host, which moves with the camera."""
    try:
        return at_host(then, "host") != at_host(now, "host")
    except ValueError:
        return then != now
