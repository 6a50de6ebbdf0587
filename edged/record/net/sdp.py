"""What an SDP (RFC 4566) says about the tracks edged records: one of video, and one of audio where it is wanted. Pure.

Cameras put attributes in any order, repeat them, leave blanks behind numbers and invent media types: only what is
needed is read, and everything else (metadata, further tracks) is passed over.
"""

import base64
import binascii
import re
from dataclasses import dataclass, field
from enum import StrEnum

from edged.record.errors import BadStream

CLOCK_RATE = 90_000  # the only rate that video has over RTP (RFC 6184, 8.2.1; 7798, 7.1; 2435, 4)


class Codec(StrEnum):
    """What edged records, named as in ``a=rtpmap``."""

    H264 = "H264"
    H265 = "H265"
    JPEG = "JPEG"
    AAC = "MPEG4-GENERIC"
    PCMU = "PCMU"
    PCMA = "PCMA"


_VIDEO = {"H264": Codec.H264, "H265": Codec.H265, "HEVC": Codec.H265, "JPEG": Codec.JPEG}
_AUDIO = {"MPEG4-GENERIC": Codec.AAC, "PCMU": Codec.PCMU, "PCMA": Codec.PCMA}
_STATIC = {0: ("PCMU", 8000), 8: ("PCMA", 8000), 26: ("JPEG", CLOCK_RATE)}  # RFC 3551, 6: they need no rtpmap


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """The first video track of a presentation that can be recorded."""

    control: str | None  # as written, relative or absolute
    session_control: str | None
    payload_type: int
    parameter_sets: tuple[bytes, ...]  # of the codec's sprop parameters; may be empty
    codec: Codec = Codec.H264
    clock_rate: int = CLOCK_RATE  # as the camera says
    size: tuple[int, int] = (0, 0)  # pixels, where the description says it


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """The first audio track that can be recorded."""

    control: str | None
    payload_type: int
    codec: Codec
    clock_rate: int
    channels: int
    config: bytes = b""  # AAC's AudioSpecificConfig; may be empty
    size_length: int = 13  # bits of an AAC frame's size, and of its index (RFC 3640, 3.3.6)
    index_length: int = 3


@dataclass(slots=True)
class _Encoding:
    name: str
    rate: int
    channels: int


@dataclass(slots=True)
class _Media:
    kind: str
    payload_types: list[int]
    control: str | None = None
    size: tuple[int, int] = (0, 0)
    encodings: dict[int, _Encoding] = field(default_factory=dict)
    formats: dict[int, dict[str, str]] = field(default_factory=dict)


def find_video(text: bytes) -> VideoTrack:
    """The video track to record. Raises BadStream where there is none, naming the codecs found instead."""
    session_control, media = _parse(text)
    others = []
    for one in media:
        if one.kind != "video":
            continue
        for payload_type in one.payload_types:
            encoding = _encoding(one, payload_type)
            codec = _VIDEO.get(encoding.name.upper())
            if codec is None:
                others.append(encoding.name)
                continue
            parameters = one.formats.get(payload_type, {})
            if codec is Codec.H265 and parameters.get("sprop-max-don-diff", "0") != "0":
                raise BadStream("the camera sends H.265 in an order that has to be undone (sprop-max-don-diff)")
            sets = _parameter_sets(codec, parameters)
            return VideoTrack(one.control, session_control, payload_type, sets, codec, encoding.rate, one.size)
    # A codec's name is the camera's own text: only short plain words are quoted.
    named = ", ".join(codec for codec in others if re.fullmatch(r"[A-Za-z0-9.-]{1,16}", codec))
    raise BadStream(f"the stream has no H.264, H.265 or JPEG video ({named or 'nothing else either'})")


def find_audio(text: bytes) -> AudioTrack | None:
    """The audio track to record; None where there is none that can be."""
    for one in _parse(text)[1]:
        if one.kind != "audio":
            continue
        for payload_type in one.payload_types:
            encoding = _encoding(one, payload_type)
            codec = _AUDIO.get(encoding.name.upper())
            if codec is None or not 0 < encoding.rate < 1 << 20 or not 0 < encoding.channels <= 8:
                continue
            if codec is not Codec.AAC:
                return AudioTrack(one.control, payload_type, codec, encoding.rate, encoding.channels)
            track = _aac(one, payload_type, encoding)
            if track is not None:
                return track
    return None


def _aac(media: _Media, payload_type: int, encoding: _Encoding) -> AudioTrack | None:
    """RFC 3640, 3.3: only the modes in which frames come in order, each behind its size."""
    parameters = media.formats.get(payload_type, {})
    if not parameters.get("mode", "AAC-hbr").upper().startswith("AAC-"):
        return None
    lengths = [parameters.get(name, usual) for name, usual in (("sizelength", "13"), ("indexlength", "3"))]
    if not all(re.fullmatch(r"\d{1,2}", length) for length in lengths):
        return None
    try:
        config = bytes.fromhex(parameters.get("config", ""))
    except ValueError:
        config = b""
    return AudioTrack(
        media.control,
        payload_type,
        Codec.AAC,
        encoding.rate,
        encoding.channels,
        config[:64],
        int(lengths[0]),
        int(lengths[1]),
    )


def _parse(text: bytes) -> tuple[str | None, list[_Media]]:
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
    return session_control, media


def _parse_media(value: str) -> _Media:
    words = value.split()
    numbers = [int(word) for word in words[3:] if word.isascii() and word.isdigit() and len(word) <= 3]
    return _Media(words[0] if words else "", [number for number in numbers if number < 128])


def _add_attribute(media: _Media, name: str, value: str) -> None:
    if name == "control":
        media.control = media.control or value or None
        return
    if name == "x-dimensions" and (found := re.fullmatch(r"(\d{1,5})\s*,\s*(\d{1,5})", value)):
        media.size = int(found[1]), int(found[2])
        return
    words = value.split(None, 1)
    number = words[0] if words else ""
    if not (number.isascii() and number.isdigit() and len(number) <= 3):
        return
    rest = words[1] if len(words) > 1 else ""
    if name == "rtpmap":
        known = media.encodings.get(int(number))
        if known is None or known.name.upper() not in _VIDEO | _AUDIO:
            media.encodings[int(number)] = _parse_encoding(rest)
    elif name == "fmtp":
        media.formats.setdefault(int(number), _parse_format(rest))


def _parse_encoding(value: str) -> _Encoding:
    parts = [part.strip() for part in value.split("/")]
    numbers = [int(part) if re.fullmatch(r"[0-9]{1,7}", part) else 0 for part in parts[1:3]]
    return _Encoding(parts[0], numbers[0] if numbers else 0, numbers[1] if len(numbers) > 1 else 1)


def _parse_format(value: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for parameter in value.split(";"):
        name, _, content = parameter.strip().partition("=")
        found.setdefault(name.strip().lower(), content.strip())
    return found


def _encoding(media: _Media, payload_type: int) -> _Encoding:
    known = media.encodings.get(payload_type)
    if known is None:
        name, rate = _STATIC.get(payload_type, ("unnamed", 0))
        known = _Encoding(name, rate, 1)
    return known


def _parameter_sets(codec: Codec, parameters: dict[str, str]) -> tuple[bytes, ...]:
    names = {Codec.H264: ("sprop-parameter-sets",), Codec.H265: ("sprop-vps", "sprop-sps", "sprop-pps")}
    sets = []
    for name in names.get(codec, ()):
        for piece in parameters.get(name, "").split(","):
            try:
                sets.append(base64.b64decode(piece.strip() + "=" * (-len(piece.strip()) % 4), validate=True))
            except (binascii.Error, ValueError):
                continue  # a damaged set in the SDP does not matter: the stream repeats them before keyframes
    return tuple(one for one in sets if one)
