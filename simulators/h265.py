"""H.265 as RTP packets (RFC 7798): an aggregation packet for the parameter sets, single NAL units, fragmentation.

The mark stands in a prefix SEI (NAL unit type 39, user_data_unregistered, H.265 D.2.7), with the same message as in
H.264. Decides only.
"""

import struct

from simulators.packets import (
    MTU_BYTES,
    PAYLOAD_TYPE,
    SEI_UUID,
    FrameTemplate,
    Mark,
    frame_packets,
    read_sei_message,
    sei_message,
)

NAL_VPS, NAL_SPS, NAL_PPS, NAL_PREFIX_SEI = 32, 33, 34, 39
_FIRST_IRAP, _LAST_IRAP = 16, 23  # pictures that can be started at (H.265 table 7-1)
_LAST_VCL = 31
_AP, _FU = 48, 49


def kind_of(nal: bytes) -> int:
    """nal_unit_type, from the two-byte header (H.265 7.3.1.2)."""
    return nal[0] >> 1 & 0x3F


def is_picture(nal: bytes) -> bool:
    """Whether this is a coded slice."""
    return kind_of(nal) <= _LAST_VCL


def sei_nal() -> bytes:
    """The prefix SEI with its numbers zeroed."""
    return bytes((NAL_PREFIX_SEI << 1, 1)) + sei_message()


def read_mark(nal: bytes) -> Mark | None:
    """The mark in one NAL unit, or None where the unit is not our SEI. Raises ValueError where ours is damaged."""
    return read_sei_message(nal[2:]) if len(nal) > 2 and kind_of(nal) == NAL_PREFIX_SEI else None


def build_template(nals: list[bytes]) -> FrameTemplate:
    """Packetize one access unit. `nals` holds parameter sets (if any) and slices; the SEI is put in between."""
    sets = [nal for nal in nals if kind_of(nal) in (NAL_VPS, NAL_SPS, NAL_PPS)]
    slices = [nal for nal in nals if is_picture(nal)]
    payloads = [_aggregate([*sets, sei_nal()])] if sets else [sei_nal()]
    for nal in slices:
        payloads.extend(_fragments(nal))
    burst = frame_packets(payloads, PAYLOAD_TYPE)
    data = bytes(burst.data)
    is_keyframe = any(_FIRST_IRAP <= kind_of(nal) <= _LAST_IRAP for nal in slices)
    mark_at = data.index(SEI_UUID.bytes) + 16
    return FrameTemplate(data, tuple(burst.starts), mark_at, is_keyframe, sum(map(len, payloads)))


def _aggregate(units: list[bytes]) -> bytes:
    """An aggregation packet without DONL (RFC 7798 section 4.4.2); all units here are of layer 0 and the lowest
    temporal sub-layer.
    """
    return bytes((_AP << 1, 1)) + b"".join(struct.pack(">H", len(unit)) + unit for unit in units)


def _fragments(nal: bytes) -> list[bytes]:
    """The NAL unit whole, or cut into fragmentation units without DONL (RFC 7798 section 4.4.3)."""
    if len(nal) <= MTU_BYTES:
        return [nal]
    head = bytes((nal[0] & 0x81 | _FU << 1, nal[1]))
    room = MTU_BYTES - 3
    pieces = [nal[at : at + room] for at in range(2, len(nal), room)]
    last = len(pieces) - 1
    return [
        head + bytes((kind_of(nal) | (0x80 if n == 0 else 0) | (0x40 if n == last else 0),)) + piece
        for n, piece in enumerate(pieces)
    ]
