"""What H.264 parameter sets say (ITU-T H.264, 7.3.2.1.1), and the MP4 sample entry that is made of them. Pure."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from edged.record.codecs.bits import Bits, without_emulation
from edged.record.errors import BadStream
from edged.record.mp4.boxes import box
from edged.record.mp4.formats import VideoFormat
from edged.record.mp4.sample_entry import avc_codec, visual_entry

SLICE_FIRST, SLICE_LAST = 1, 5  # NAL unit types that carry picture (7.4.1)
IDR, SEI, SPS, PPS = 5, 6, 7, 8
SEI_BYTES = 1024  # longer messages are somebody's own; a recovery point stands in a few bytes
_RECOVERY_POINT = 6  # payload type (D.1.8)
_WITH_CHROMA = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 144, 244})


@dataclass(frozen=True, slots=True)
class Picture:
    """What a player must know before it decodes."""

    profile: int
    compatibility: int
    level: int
    chroma_format: int
    bit_depth_luma: int
    bit_depth_chroma: int
    width: int  # pixels, cropping applied
    height: int


def parameter_set_id(nal: bytes) -> int:
    """The id that a picture parameter set goes by (7.3.2.2). Raises BadStream."""
    return _bits(nal[1:8]).unsigned()


def parse_sps(nal: bytes) -> Picture:
    """The meaning of a sequence parameter set, NAL header included. Raises BadStream where it has none."""
    if len(nal) < 4 or len(nal) > 4096 or nal[0] & 31 != SPS:
        raise BadStream("the camera's sequence parameter set is damaged")
    bits = _bits(nal[1:])
    profile, compatibility, level = bits.take(8), bits.take(8), bits.take(8)
    bits.unsigned()  # its id
    chroma, luma_depth, chroma_depth, separate = 1, 8, 8, 0
    if profile in _WITH_CHROMA:
        chroma = bits.unsigned()
        if chroma == 3:
            separate = bits.take(1)
        luma_depth, chroma_depth = 8 + bits.unsigned(), 8 + bits.unsigned()
        bits.take(1)
        if bits.take(1):
            _skip_scaling_lists(bits, 8 if chroma != 3 else 12)
    bits.unsigned()  # frame number length
    _skip_order_count(bits)
    bits.unsigned()  # reference frames
    bits.take(1)
    across, down = bits.unsigned() + 1, bits.unsigned() + 1
    frames_only = bits.take(1)
    if not frames_only:
        bits.take(1)
    bits.take(1)
    left = right = top = bottom = 0
    if bits.take(1):
        left, right, top, bottom = bits.unsigned(), bits.unsigned(), bits.unsigned(), bits.unsigned()
    # 7.4.2.1.1: cropping counts in chroma samples, and in field lines where fields may come
    unit_x = 2 if chroma in (1, 2) and not separate else 1
    unit_y = (2 if chroma == 1 and not separate else 1) * (2 - frames_only)
    width = across * 16 - unit_x * (left + right)
    height = down * 16 * (2 - frames_only) - unit_y * (top + bottom)
    if not (0 < width <= 16384 and 0 < height <= 16384 and chroma <= 3 and luma_depth <= 14 and chroma_depth <= 14):
        raise BadStream("the camera's sequence parameter set describes an impossible picture")
    return Picture(profile, compatibility, level, chroma, luma_depth, chroma_depth, width, height)


def recovery_frames(nal: bytes, known: int | None = None) -> int | None:
    """After how many frames all is right when decoding begins behind this SEI (D.2.8): its recovery_frame_cnt.

    `known` where it holds no recovery point.
    """
    payload = without_emulation(nal[1:])
    at = 0
    while at + 2 < len(payload):  # the last byte ends the NAL unit
        numbers = []
        for _ in range(2):  # type and size: bytes of 255 and a last one less than that (7.3.2.3.1)
            number = 0
            while at < len(payload) and payload[at] == 255:
                number += 255
                at += 1
            if at == len(payload):
                return known
            numbers.append(number + payload[at])
            at += 1
        kind, size = numbers
        if kind == _RECOVERY_POINT:
            try:
                return Bits(payload[at : at + size], "recovery point").unsigned()
            except BadStream:
                return known
        at += size
    return known


def describe(sps: bytes, pps: Sequence[bytes]) -> VideoFormat:
    """The track that `sps` and `pps` begin: ``avc1`` with ``avcC`` (14496-15, 5.3.3.1 and 5.4.2). Raises BadStream."""
    picture = parse_sps(sps)
    config = struct.pack(">BBBBBB", 1, picture.profile, picture.compatibility, picture.level, 0xFF, 0xE1)
    config += struct.pack(">H", len(sps)) + sps + bytes([len(pps)])
    config += b"".join(struct.pack(">H", len(one)) + one for one in pps)
    if picture.profile in (100, 110, 122, 144):
        config += bytes(
            [
                0xFC | picture.chroma_format,
                0xF8 | (picture.bit_depth_luma - 8),
                0xF8 | (picture.bit_depth_chroma - 8),
                0,
            ]
        )
    entry = visual_entry(b"avc1", picture.width, picture.height, box(b"avcC", config))
    return VideoFormat(avc_codec(config), picture.width, picture.height, entry)


def _bits(payload: bytes) -> Bits:
    return Bits(without_emulation(payload), "sequence parameter set")


def _skip_scaling_lists(bits: Bits, lists: int) -> None:
    for index in range(lists):
        if not bits.take(1):
            continue
        last = following = 8
        for _ in range(16 if index < 6 else 64):
            if following:
                following = (last + bits.signed()) % 256
            last = following or last


def _skip_order_count(bits: Bits) -> None:
    kind = bits.unsigned()
    if kind == 0:
        bits.unsigned()
    elif kind == 1:
        bits.take(1)
        bits.signed()
        bits.signed()
        count = bits.unsigned()
        if count > 255:
            raise BadStream("the camera's sequence parameter set is damaged")
        for _ in range(count):
            bits.signed()
