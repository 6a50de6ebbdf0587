"""Frames as prebuilt RTP packets: what a session patches at send time is a few numbers, never a copy made by hand.

Each access unit of a clip is packetized once (RFC 6184: STAP-A for the parameter sets, single NAL units, FU-A for
what exceeds the MTU), already framed for RTSP interleaving (RFC 2326 section 10.12). To send it, `render` copies the
buffer and writes sequence number, timestamp, SSRC and the SEI in place.

The SEI is user_data_unregistered (H.264 D.1.7) under `SEI_UUID`. Its numbers are ASCII hexadecimal of fixed length, so
that no value can ever need an emulation prevention byte (H.264 7.4.1.1) and patching stays a plain overwrite.
"""

import struct
from dataclasses import dataclass
from uuid import UUID

SEI_UUID = UUID("e5d6c1b2-4a3f-4c7d-9b8e-7f6a5d4c3b21")  # our own, random, without a zero byte
MTU_BYTES = 1400  # RTP payload: fits an Ethernet frame with room for a tunnel, as real cameras choose
CLOCK_RATE_HZ = 90_000  # RFC 6184 section 5.1
PAYLOAD_TYPE = 96

NAL_NON_IDR, NAL_IDR, NAL_SEI, NAL_SPS, NAL_PPS, NAL_AUD = 1, 5, 6, 7, 8, 9
_STAP_A, _FU_A = 24, 28
_MARK_BYTES = 16 + 16 + 4  # counter, capture time and camera number as hexadecimal digits
_SEI_PAYLOAD_BYTES = 16 + _MARK_BYTES
_PATCH = struct.Struct(">HII")  # sequence number, timestamp, SSRC: neighbours in the RTP header
_SR = struct.Struct(">BBHIIIIII")
_NTP_EPOCH_S = 2_208_988_800  # seconds from 1900 to 1970


@dataclass(frozen=True, slots=True)
class Mark:
    """What the SEI of one access unit says: which frame, captured when (microseconds UTC), by which camera."""

    counter: int
    capture_us: int
    camera: int


@dataclass(frozen=True, slots=True)
class FrameTemplate:
    """One access unit as interleaved packets on channel 0; `starts` are the offsets of the `$` of each packet."""

    data: bytes
    starts: tuple[int, ...]
    mark_at: int
    is_keyframe: bool
    payload_bytes: int


def sei_nal() -> bytes:
    """The SEI NAL unit with its numbers zeroed."""
    body = bytes((NAL_SEI, 5, _SEI_PAYLOAD_BYTES)) + SEI_UUID.bytes + b"0" * _MARK_BYTES
    return body + b"\x80"


def read_mark(nal: bytes) -> Mark | None:
    """The mark in one NAL unit, or None where the unit is not our SEI. Raises ValueError where ours is damaged."""
    if len(nal) < 3 + _SEI_PAYLOAD_BYTES or nal[0] & 0x1F != NAL_SEI or nal[1] != 5:
        return None
    if nal[3:19] != SEI_UUID.bytes:
        return None
    digits = nal[19 : 19 + _MARK_BYTES]
    return Mark(int(digits[:16], 16), int(digits[16:32], 16), int(digits[32:], 16))


def build_template(nals: list[bytes], *, is_keyframe: bool) -> FrameTemplate:
    """Packetize one access unit. `nals` holds parameter sets (if any) and slices; the SEI is put in between."""
    parameter_sets = [nal for nal in nals if nal[0] & 0x1F in (NAL_SPS, NAL_PPS)]
    slices = [nal for nal in nals if nal[0] & 0x1F in (NAL_NON_IDR, NAL_IDR)]
    sei = sei_nal()
    payloads: list[bytes] = []
    if parameter_sets:
        units = [*parameter_sets, sei]
        reference = max(nal[0] & 0x60 for nal in units)
        payloads.append(bytes((reference | _STAP_A,)) + b"".join(struct.pack(">H", len(u)) + u for u in units))
    else:
        payloads.append(sei)
    for nal in slices:
        payloads.extend(_fragments(nal))
    data, starts = bytearray(), []
    for number, payload in enumerate(payloads):
        marker = 0x80 if number == len(payloads) - 1 else 0
        starts.append(len(data))
        data += struct.pack(">cBH", b"$", 0, 12 + len(payload))
        data += struct.pack(">BBHII", 0x80, marker | PAYLOAD_TYPE, 0, 0, 0)
        data += payload
    mark_at = data.index(SEI_UUID.bytes) + 16
    return FrameTemplate(bytes(data), tuple(starts), mark_at, is_keyframe, sum(map(len, payloads)))


def _fragments(nal: bytes) -> list[bytes]:
    """The NAL unit whole, or cut into FU-A pieces (RFC 6184 section 5.8)."""
    if len(nal) <= MTU_BYTES:
        return [nal]
    indicator, kind = nal[0] & 0x60 | _FU_A, nal[0] & 0x1F
    pieces = [nal[at : at + MTU_BYTES - 2] for at in range(1, len(nal), MTU_BYTES - 2)]
    last = len(pieces) - 1
    return [
        bytes((indicator, kind | (0x80 if n == 0 else 0) | (0x40 if n == last else 0))) + piece
        for n, piece in enumerate(pieces)
    ]


def render(template: FrameTemplate, mark: Mark, *, sequence: int, timestamp: int, ssrc: int, channel: int) -> bytearray:
    """The packets of one frame for one session; `sequence` is the number of its first packet (modulo 2**16)."""
    data = bytearray(template.data)
    data[template.mark_at : template.mark_at + _MARK_BYTES] = b"%016x%016x%04x" % (
        mark.counter,
        mark.capture_us,
        mark.camera,
    )
    patch = _PATCH.pack_into
    for start in template.starts:
        patch(data, start + 6, sequence, timestamp, ssrc)
        sequence = sequence + 1 & 0xFFFF
    if channel:
        for start in template.starts:
            data[start + 1] = channel
    return data


def without_packets(template: FrameTemplate, data: bytearray, lost: set[int]) -> bytearray:
    """`data` without the packets of these positions; their sequence numbers stay used, so a receiver can count."""
    ends = (*template.starts[1:], len(data))
    kept = bytearray()
    for position, (start, end) in enumerate(zip(template.starts, ends, strict=True)):
        if position not in lost:
            kept += data[start:end]
    return kept


def sender_report(
    *, ssrc: int, wall_us: int, timestamp: int, packets: int, octets: int, channel: int, name: str
) -> bytes:
    """An interleaved RTCP sender report with its CNAME (RFC 3550 sections 6.4.1 and 6.5)."""
    seconds, rest_us = divmod(wall_us, 1_000_000)
    report = _SR.pack(
        0x80,
        200,
        6,
        ssrc,
        seconds + _NTP_EPOCH_S & 0xFFFFFFFF,
        (rest_us << 32) // 1_000_000,
        timestamp & 0xFFFFFFFF,
        packets & 0xFFFFFFFF,
        octets & 0xFFFFFFFF,
    )
    cname = name.encode()
    items = bytes((1, len(cname))) + cname + b"\x00"
    items += b"\x00" * (-len(items) % 4)
    described = struct.pack(">BBHI", 0x81, 202, 1 + len(items) // 4, ssrc) + items
    compound = report + described
    return struct.pack(">cBH", b"$", channel, len(compound)) + compound
