"""The sample entries of an MP4 file: what a decoder must know before the first sample. Written, and read back. Pure."""

import struct

from edged.record.mp4.boxes import Damaged, box, descend, full_box

_ES, _DECODER_CONFIG, _DECODER_INFO, _SL_CONFIG = 3, 4, 5, 6  # descriptor tags (ISO/IEC 14496-1, 7.2.2.1)


def visual_entry(kind: bytes, width: int, height: int, *parts: bytes) -> bytes:
    """A VisualSampleEntry (14496-12, 12.1.3) at 72 dpi."""
    head = struct.pack(">6xH16xHHIIIH32xHH", 1, width, height, 0x480000, 0x480000, 0, 1, 24, 0xFFFF)
    return box(kind, head, *parts)


def audio_entry(kind: bytes, rate: int, channels: int, *parts: bytes) -> bytes:
    """An AudioSampleEntry (14496-12, 12.2.3) of 16-bit sound; `rate` in hertz."""
    return box(kind, struct.pack(">6xH8xHH4xI", 1, channels, 16, rate << 16 if rate < 1 << 16 else 0), *parts)


def aac_entry(config: bytes, rate: int, channels: int) -> bytes:
    """``mp4a`` with ``esds`` around an AudioSpecificConfig (14496-14, 5.6; 14496-1, 7.2.6)."""
    decoder = struct.pack(">BB3xII", 0x40, 0x15, 0, 0) + _descriptor(_DECODER_INFO, config)  # MPEG-4 audio, a stream
    stream = struct.pack(">HB", 0, 0) + _descriptor(_DECODER_CONFIG, decoder) + _descriptor(_SL_CONFIG, b"\2")
    return audio_entry(b"mp4a", rate, channels, full_box(b"esds", 0, 0, _descriptor(_ES, stream)))


def avc_codec(configuration: bytes) -> str:
    """The codec's name after RFC 6381 for an ``avcC``."""
    profile, compatibility, level = configuration[1:4]
    return f"avc1.{profile:02x}{compatibility:02x}{level:02x}"


def hevc_codec(configuration: bytes) -> str:
    """The codec's name for an ``hvcC`` (14496-15, E.3)."""
    first = configuration[1]
    compatibility = int.from_bytes(configuration[2:6], "big")
    reversed_bits = int(f"{compatibility:032b}"[::-1], 2)
    space, tier, profile = ("", "A", "B", "C")[first >> 6], "LH"[first >> 5 & 1], first & 31
    constraints = "".join(f".{byte:X}" for byte in configuration[6:12].rstrip(b"\0"))
    return f"hvc1.{space}{profile}.{reversed_bits:X}.{tier}{configuration[12]}{constraints}"


def aac_codec(config: bytes) -> str:
    """The codec's name for an AudioSpecificConfig (RFC 6381, 3.3: object type in hex, audio object type decimal)."""
    kind = config[0] >> 3
    if kind == 31:
        kind = 32 + ((config[0] & 7) << 3 | config[1] >> 5)
    return f"mp4a.40.{kind}"


def read_entry(kind: bytes, entry: bytes) -> tuple[str, int, int]:
    """(codec, width, height) of a sample entry's body, as edged writes them; sound has no size. Raises Damaged."""
    try:
        if kind in (b"avc1", b"hvc1", b"jpeg"):
            width, height = struct.unpack_from(">HH", entry, 24)
            if kind == b"avc1":
                return avc_codec(descend(entry[78:], b"avcC")), width, height
            if kind == b"hvc1":
                return hevc_codec(descend(entry[78:], b"hvcC")), width, height
            return "jpeg", width, height
        if kind == b"mp4a":
            stream = _open(_ES, descend(entry[28:], b"esds")[4:])[3:]
            return aac_codec(_open(_DECODER_INFO, _open(_DECODER_CONFIG, stream)[13:])), 0, 0
        if kind in (b"ulaw", b"alaw"):
            return kind.decode(), 0, 0
    except (struct.error, IndexError, ValueError):
        raise Damaged from None
    raise Damaged


def _descriptor(tag: int, body: bytes) -> bytes:
    return bytes([tag, len(body)]) + body  # never as long as 128 bytes here, so one byte of length is enough


def _open(tag: int, content: bytes) -> bytes:
    if content[0] != tag or content[1] > len(content) - 2:
        raise Damaged
    return content[2 : 2 + content[1]]
