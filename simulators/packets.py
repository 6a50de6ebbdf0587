"""Frames as prebuilt RTP packets: what a session patches at send time is a few numbers, never a copy made by hand.

Each access unit of a clip is packetized once (here for RFC 6184: STAP-A for the parameter sets, single NAL units, FU-A
for what exceeds the MTU; `simulators.h265` and `simulators.mjpeg` for the others), already framed for RTSP interleaving
(RFC 2326 section 10.12); over UDP the four bytes of that framing are left out. To send it, `render` copies the buffer
and writes sequence number, timestamp, SSRC and the mark in place.

The SEI is user_data_unregistered (H.264 D.1.7) under `SEI_UUID`. Its numbers are ASCII hexadecimal of fixed length, so
that no value can ever need an emulation prevention byte (H.264 7.4.1.1) and patching stays a plain overwrite.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

SEI_UUID = UUID("e5d6c1b2-4a3f-4c7d-9b8e-7f6a5d4c3b21")  # our own, random, without a zero byte
MTU_BYTES = 1400  # RTP payload: fits an Ethernet frame with room for a tunnel, as real cameras choose
CLOCK_RATE_HZ = 90_000  # RFC 6184 section 5.1
PAYLOAD_TYPE = 96

NAL_NON_IDR, NAL_IDR, NAL_SEI, NAL_SPS, NAL_PPS, NAL_AUD = 1, 5, 6, 7, 8, 9
_STAP_A, _FU_A = 24, 28
_RECOVERY_POINT = 6
MARK_BYTES = 16 + 16 + 4  # counter, capture time and camera number as hexadecimal digits
_SEI_PAYLOAD_BYTES = 16 + MARK_BYTES
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
    write_mark: Callable[[Mark], bytes] | None = None
    """Always the same number of bytes; None: as hexadecimal digits (`digits`)."""


@dataclass(frozen=True, slots=True)
class Burst:
    """Packets on their way, each framed for interleaving; a packet reaches from its start to the next one's."""

    data: bytes | bytearray | memoryview
    starts: Sequence[int]

    def packets(self) -> list[bytes]:
        """Each packet by itself, framing and all."""
        ends = (*self.starts[1:], len(self.data))
        return [bytes(self.data[start:end]) for start, end in zip(self.starts, ends, strict=True)]

    @staticmethod
    def of(packets: Sequence[bytes]) -> "Burst":
        """These framed packets in one buffer."""
        starts, at = [], 0
        for packet in packets:
            starts.append(at)
            at += len(packet)
        return Burst(b"".join(packets), starts)


def digits(mark: Mark) -> bytes:
    """A mark as MARK_BYTES hexadecimal digits."""
    return b"%016x%016x%04x" % (mark.counter, mark.capture_us, mark.camera)


def read_digits(text: bytes) -> Mark:
    """The mark that `digits` wrote. Raises ValueError where these are no digits."""
    return Mark(int(text[:16], 16), int(text[16:32], 16), int(text[32:MARK_BYTES], 16))


def sei_message() -> bytes:
    """The payload of the SEI with its numbers zeroed: type, size, UUID, digits, and the stop bit of the NAL unit."""
    return bytes((5, _SEI_PAYLOAD_BYTES)) + SEI_UUID.bytes + b"0" * MARK_BYTES + b"\x80"


def read_sei_message(message: bytes) -> Mark | None:
    """The mark in what follows an SEI's NAL unit header, or None where it is another SEI's. Raises ValueError where
    ours is damaged.
    """
    if len(message) < 2 + _SEI_PAYLOAD_BYTES or message[0] != 5 or message[2:18] != SEI_UUID.bytes:
        return None
    return read_digits(message[18 : 18 + MARK_BYTES])


def sei_nal() -> bytes:
    """The SEI NAL unit with its numbers zeroed."""
    return bytes((NAL_SEI,)) + sei_message()


def read_mark(nal: bytes) -> Mark | None:
    """The mark in one NAL unit, or None where the unit is not our SEI. Raises ValueError where ours is damaged."""
    return read_sei_message(nal[1:]) if nal and nal[0] & 0x1F == NAL_SEI else None


def is_recovery_point(nal: bytes) -> bool:
    """Whether this is an SEI that begins with a recovery point (H.264 D.1.8), as x264 writes them."""
    return len(nal) > 2 and nal[0] & 0x1F == NAL_SEI and nal[1] == _RECOVERY_POINT


def build_template(nals: list[bytes], *, is_keyframe: bool) -> FrameTemplate:
    """Packetize one access unit. `nals` holds parameter sets, recovery points (if any) and slices; our SEI is put in
    front of the latter two.
    """
    parameter_sets = [nal for nal in nals if nal[0] & 0x1F in (NAL_SPS, NAL_PPS)]
    slices = [nal for nal in nals if nal[0] & 0x1F in (NAL_NON_IDR, NAL_IDR)]
    sei = sei_nal()
    payloads: list[bytes] = []
    recovery_points = [nal for nal in nals if is_recovery_point(nal)]
    if parameter_sets:
        units = [*parameter_sets, sei]
        reference = max(nal[0] & 0x60 for nal in units)
        payloads.append(bytes((reference | _STAP_A,)) + b"".join(struct.pack(">H", len(u)) + u for u in units))
    else:
        payloads.append(sei)
    payloads += recovery_points
    for nal in slices:
        payloads.extend(_fragments(nal))
    burst = frame_packets(payloads, PAYLOAD_TYPE)
    mark_at = bytes(burst.data).index(SEI_UUID.bytes) + 16
    return FrameTemplate(bytes(burst.data), tuple(burst.starts), mark_at, is_keyframe, sum(map(len, payloads)))


def frame_packets(payloads: Sequence[bytes], payload_type: int) -> Burst:
    """RTP packets around these payloads, numbers zeroed, the marker bit on the last one; framed for channel 0."""
    data, starts = bytearray(), []
    for number, payload in enumerate(payloads):
        marker = 0x80 if number == len(payloads) - 1 else 0
        starts.append(len(data))
        data += struct.pack(">cBH", b"$", 0, 12 + len(payload))
        data += struct.pack(">BBHII", 0x80, marker | payload_type, 0, 0, 0)
        data += payload
    return Burst(data, starts)


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
    written = digits(mark) if template.write_mark is None else template.write_mark(mark)
    data[template.mark_at : template.mark_at + len(written)] = written
    number_packets(data, template.starts, sequence=sequence, timestamp=timestamp, ssrc=ssrc, channel=channel)
    return data


def number_packets(
    data: bytearray, starts: Sequence[int], *, sequence: int, timestamp: int, ssrc: int, channel: int
) -> None:
    """Write the numbers of one session into packets; `sequence` is the first one's (modulo 2**16)."""
    patch = _PATCH.pack_into
    for start in starts:
        patch(data, start + 6, sequence, timestamp, ssrc)
        sequence = sequence + 1 & 0xFFFF
    if channel:
        for start in starts:
            data[start + 1] = channel


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
