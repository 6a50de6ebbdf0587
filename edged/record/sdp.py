"""What an SDP (RFC 4566) says about the one video stream edged records. Pure.

Cameras put attributes in any order, repeat them, leave blanks behind numbers and invent media types: only what is
needed is read, and everything else is passed over.
"""

import base64
import binascii
import re
from dataclasses import dataclass

from edged.record.errors import BadStream

CLOCK_RATE = 90_000  # RFC 6184, 8.2.1: the only rate H.264 has over RTP


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """The first H.264 track of a presentation."""

    control: str | None  # as written, relative or absolute
    session_control: str | None
    payload_type: int
    parameter_sets: tuple[bytes, ...]  # sprop-parameter-sets (RFC 6184, 8.1); may be empty


@dataclass(slots=True)
class _Media:
    kind: str
    payload_types: list[int]
    control: str | None = None
    codecs: dict[int, str] | None = None
    formats: dict[int, str] | None = None


def find_video(text: bytes) -> VideoTrack:
    """The H.264 track to record. Raises BadStream where there is none, naming the codecs found instead."""
    media: list[_Media] = []
    session_control: str | None = None
    for line in text.decode("utf-8", "replace").splitlines():
        key, _, value = line.strip().partition("=")
        if key == "m":
            media.append(_parse_media(value))
        elif key == "a":
            name, _, rest = value.partition(":")
            if name.strip() == "control" and not media:
                session_control = rest.strip() or None
            elif media:
                _add_attribute(media[-1], name.strip(), rest.strip())
    others = []
    for one in media:
        if one.kind != "video":
            continue
        for payload_type in one.payload_types:
            codec = (one.codecs or {}).get(payload_type, "unnamed")
            if codec.upper() == "H264":
                sets = _parameter_sets((one.formats or {}).get(payload_type, ""))
                return VideoTrack(one.control, session_control, payload_type, sets)
            others.append(codec)
    # A codec's name is the camera's own text: only short plain words are quoted.
    named = ", ".join(codec for codec in others if re.fullmatch(r"[A-Za-z0-9.-]{1,16}", codec))
    raise BadStream(f"the stream has no H.264 video ({named or 'nothing else either'})")


def _parse_media(value: str) -> _Media:
    words = value.split()
    numbers = [int(word) for word in words[3:] if word.isascii() and word.isdigit() and len(word) <= 3]
    return _Media(words[0] if words else "", [number for number in numbers if number < 128])


def _add_attribute(media: _Media, name: str, value: str) -> None:
    if name == "control":
        media.control = media.control or value or None
        return
    number, _, rest = value.partition(" ")
    if not (number.isascii() and number.isdigit() and len(number) <= 3):
        return
    if name == "rtpmap":
        media.codecs = {int(number): rest.strip().partition("/")[0], **(media.codecs or {})}
    elif name == "fmtp":
        media.formats = {int(number): rest.strip(), **(media.formats or {})}


def _parameter_sets(format_parameters: str) -> tuple[bytes, ...]:
    for parameter in format_parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name.strip().lower() != "sprop-parameter-sets":
            continue
        sets = []
        for piece in value.split(","):
            try:
                sets.append(base64.b64decode(piece.strip() + "=" * (-len(piece.strip()) % 4), validate=True))
            except (binascii.Error, ValueError):
                continue  # a damaged set in the SDP does not matter: the stream repeats them before keyframes
        return tuple(one for one in sets if one)
    return ()
