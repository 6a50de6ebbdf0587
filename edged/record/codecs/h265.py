"""What H.265 parameter sets say (ITU-T H.265, 7.3.2.2), and the MP4 sample entry that is made of them. Pure."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from edged.record.codecs.bits import Bits, without_emulation
from edged.record.errors import BadStream
from edged.record.mp4.boxes import box
from edged.record.mp4.formats import VideoFormat
from edged.record.mp4.sample_entry import hevc_codec, visual_entry

PICTURE_LAST = 31  # NAL unit types up to here carry picture (7.4.2.2)
KEY_FIRST, KEY_LAST = 16, 23  # where decoding can begin: BLA, IDR, CRA and what is reserved beside them
OPEN_KEYS = (16, 21)  # BLA_W_LP and CRA: pictures that are shown before may be in want of others (RASL, table 7-1)
VPS, SPS, PPS = 32, 33, 34
_PROFILE_SIZE = 12  # bytes of general profile, tier and level


@dataclass(frozen=True, slots=True)
class Picture:
    """What a player must know before it decodes. `profile` is the general profile, tier and level, 12 bytes."""

    profile: bytes
    layers: int  # temporal sub-layers, 1 to 7
    nested: int
    chroma_format: int
    bit_depth_luma: int
    bit_depth_chroma: int
    width: int  # pixels, cropping applied
    height: int


def unit_type(first: int) -> int:
    """The type of a NAL unit whose first byte is `first` (7.3.1.2)."""
    return first >> 1 & 63


def picture_parameter_set_id(nal: bytes) -> int:
    """The id that a picture parameter set goes by (7.3.2.3.1). Raises BadStream."""
    return Bits(without_emulation(nal[2:9]), "picture parameter set").unsigned()


def parse_sps(nal: bytes) -> Picture:
    """The meaning of a sequence parameter set, NAL header included. Raises BadStream where it has none."""
    if len(nal) < 16 or len(nal) > 4096 or unit_type(nal[0]) != SPS:
        raise BadStream("the camera's sequence parameter set is damaged")
    payload = without_emulation(nal[2:])
    bits = Bits(payload, "sequence parameter set")
    bits.take(4)  # the id of its VPS
    layers, nested = bits.take(3) + 1, bits.take(1)
    bits.take(8 * _PROFILE_SIZE)
    _skip_sub_layers(bits, layers)
    bits.unsigned()  # its id
    chroma = bits.unsigned()
    separate = bits.take(1) if chroma == 3 else 0
    width, height = bits.unsigned(), bits.unsigned()
    if bits.take(1):
        # 6.2: the conformance window counts in chroma samples
        unit_x = 2 if chroma in (1, 2) and not separate else 1
        unit_y = 2 if chroma == 1 and not separate else 1
        width -= unit_x * (bits.unsigned() + bits.unsigned())
        height -= unit_y * (bits.unsigned() + bits.unsigned())
    luma_depth, chroma_depth = 8 + bits.unsigned(), 8 + bits.unsigned()
    if not (0 < width <= 16384 and 0 < height <= 16384 and chroma <= 3 and luma_depth <= 15 and chroma_depth <= 15):
        raise BadStream("the camera's sequence parameter set describes an impossible picture")
    profile = payload[1 : 1 + _PROFILE_SIZE]
    return Picture(profile, layers, nested, chroma, luma_depth, chroma_depth, width, height)


def describe(vps: bytes, sps: bytes, pps: Sequence[bytes]) -> VideoFormat:
    """The track that these begin: ``hvc1`` with ``hvcC`` (14496-15, 8.3.3.1 and 8.4.1). Raises BadStream."""
    picture = parse_sps(sps)
    config = b"\1" + picture.profile
    config += struct.pack(
        ">HBBBBHB",
        0xF000,  # no statement about spatial segmentation
        0xFC,  # nor about parallel decoding
        0xFC | picture.chroma_format,
        0xF8 | (picture.bit_depth_luma - 8),
        0xF8 | (picture.bit_depth_chroma - 8),
        0,  # nor about the frame rate
        picture.layers << 3 | picture.nested << 2 | 3,  # lengths of four bytes
    )
    arrays = ((VPS, (vps,)), (SPS, (sps,)), (PPS, tuple(pps)))
    config += bytes([len(arrays)])
    for kind, sets in arrays:
        config += struct.pack(">BH", 0x80 | kind, len(sets))  # complete: a change begins another segment
        config += b"".join(struct.pack(">H", len(one)) + one for one in sets)
    entry = visual_entry(b"hvc1", picture.width, picture.height, box(b"hvcC", config))
    return VideoFormat(hevc_codec(config), picture.width, picture.height, entry)


def _skip_sub_layers(bits: Bits, layers: int) -> None:
    """The rest of profile_tier_level (7.3.3)."""
    present = [(bits.take(1), bits.take(1)) for _ in range(layers - 1)]
    if present:
        bits.take(2 * (8 - len(present)))
    for profile, level in present:
        bits.take(88 * profile + 8 * level)
