"""RTP and RTCP (RFC 3550) as far as one video stream over TCP needs them. No sockets, no clock."""

import struct

CLOCK = 90_000  # ticks a second of every video payload format edged knows
_NTP_TO_UNIX = 2_208_988_800
_PACKET = struct.Struct(">BBHII")
_REPORT = struct.Struct(">IIII")
_SENDER_REPORT = 200

# RFC 3550, A.1: a larger step forward is a camera that began to count anew, a small step back a packet sent twice.
MAX_DROPOUT = 3000
MAX_MISORDER = 100


def payload_span(
    data: bytes | bytearray | memoryview, start: int, stop: int
) -> tuple[int, int, int, int, int, int] | None:
    """(marker and payload type, sequence number, timestamp, SSRC, payload start, payload stop) of one packet.

    None where the bytes are no RTP packet: over TCP that is the camera's mistake, and costs the packet alone. A packet
    of padding alone has a payload of no bytes.
    """
    if stop - start < 12:
        return None
    first, kind, number, stamp, source = _PACKET.unpack_from(data, start)
    if first >> 6 != 2:
        return None
    at = start + 12 + 4 * (first & 15)
    if first & 0x10:  # header extension
        if at + 4 > stop:
            return None
        at += 4 + 4 * int.from_bytes(data[at + 2 : at + 4], "big")
    if first & 0x20:  # padding, its length in the last byte
        stop -= data[stop - 1]
    return (kind, number, stamp, source, at, stop) if at <= stop else None


def steps_between(expected: int, number: int) -> int | None:
    """How many packets are missing before `number`; negative for one sent twice; None where counting began anew."""
    step = (number - expected) & 0xFFFF
    if step <= MAX_DROPOUT:
        return step
    if step >= 0x10000 - MAX_MISORDER:
        return step - 0x10000
    return None


def signed_ticks(later: int, earlier: int) -> int:
    """`later` minus `earlier` of two 32-bit timestamps, by the shorter way round."""
    return ((later - earlier + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000


def ticks_to_us(ticks: int) -> int:
    """90 kHz ticks as microseconds, rounded down."""
    return ticks * 100 // 9


def us_to_ticks(us: int) -> int:
    """Microseconds as 90 kHz ticks, rounded down."""
    return us * 9 // 100


def sender_report(data: bytes | bytearray | memoryview, start: int, stop: int) -> tuple[int, int] | None:
    """(camera's time in microseconds UTC, RTP timestamp at that time) of the compound packet's sender report.

    None where it holds none, or one without a time (RFC 3550, 6.4.1: zero where the camera has no clock).
    """
    while stop - start >= 8:
        first, kind = data[start], data[start + 1]
        size = 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
        if first >> 6 != 2 or start + size > stop:
            return None
        if kind == _SENDER_REPORT and size >= 28:
            _, seconds, fraction, stamp = _REPORT.unpack_from(data, start + 4)
            if seconds == 0:
                return None
            if seconds < _NTP_TO_UNIX:  # era 1 begins in 2036
                seconds += 1 << 32
            return (seconds - _NTP_TO_UNIX) * 1_000_000 + (fraction * 1_000_000 >> 32), stamp
        start += size
    return None
