"""RTCP receiver reports (RFC 3550, 6.4.2) for one RTP stream over UDP. No sockets, no clock.

Cameras use them to see that somebody still listens: several end a UDP session that sends none. What they report is
true: losses are counted behind the reordering window, jitter is measured with the kernel's time of arrival.
"""

import struct

from edged.base.clock import SECOND

_SENDER_REPORT, _RECEIVER_REPORT, _DESCRIPTION = 200, 201, 202
_CNAME = 1
_BLOCK = struct.Struct(">IIIIII")
_MOST_LOST = 0x7FFFFF  # the cumulative number is a signed 24-bit one


class Reception:
    """What was received of one source. `own` is this receiver's SSRC, `name` its random CNAME (RFC 7022)."""

    def __init__(self, own: int, name: str) -> None:
        self._own = own
        self._name = name.encode()
        self._source: int | None = None
        self._first = self._highest = 0  # sequence numbers, extended by their wraps
        self._received = 0
        self._before = (0, 0)  # expected and received at the last report
        self._jitter = 0.0  # in ticks
        self._transit: int | None = None
        self._report: tuple[int, int] | None = None  # middle of the sender report's NTP time; its monotonic arrival

    def begin(self, source: int, number: int) -> None:
        """A source begins with the packet of this sequence number, which is yet to be counted."""
        self._source = source
        self._first, self._highest = number, number - 1
        self._received, self._before = 0, (0, 0)
        self._jitter, self._transit, self._report = 0.0, None, None

    def count(self, packets: int, last: int) -> None:
        """`packets` more were received in order, the last of them with this sequence number."""
        self._received += packets
        self._highest += (last - self._highest) & 0xFFFF

    def arrived(self, timestamp: int, ticks: int) -> None:
        """The first packet of a picture with this timestamp arrived at `ticks` (of the same rate, from anywhere).

        The other packets of a picture share its timestamp, and would only measure how the camera spreads them.
        """
        transit = (ticks - timestamp) & 0xFFFF_FFFF
        if self._transit is not None:
            change = (transit - self._transit + 0x8000_0000 & 0xFFFF_FFFF) - 0x8000_0000
            self._jitter += (abs(change) - self._jitter) / 16
        self._transit = transit

    def take_report(self, data: memoryview, mono_us: int) -> None:
        """A compound packet of the camera's: remember when its sender report came."""
        start, stop = 0, len(data)
        while stop - start >= 4:
            size = 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
            if data[start] >> 6 != 2 or start + size > stop:
                return
            if data[start + 1] == _SENDER_REPORT and size >= 28:
                self._report = int.from_bytes(data[start + 10 : start + 14], "big"), mono_us
                return
            start += size

    def report(self, mono_us: int) -> bytes:
        """The compound packet that is due now: a receiver report and who sends it."""
        blocks = b"" if self._source is None else self._block(self._source, mono_us)
        head = struct.pack(">BBHI", 0x80 | bool(blocks), _RECEIVER_REPORT, 1 + len(blocks) // 4, self._own)
        item = bytes((_CNAME, len(self._name))) + self._name + b"\0"
        item += b"\0" * (-len(item) % 4)
        return head + blocks + struct.pack(">BBHI", 0x81, _DESCRIPTION, 1 + len(item) // 4, self._own) + item

    def _block(self, source: int, mono_us: int) -> bytes:
        expected = self._highest - self._first + 1
        lost = expected - self._received
        interval = expected - self._before[0]
        lost_now = interval - (self._received - self._before[1])
        self._before = expected, self._received
        fraction = min(255, lost_now * 256 // interval) if interval > 0 and lost_now > 0 else 0
        lost = max(-_MOST_LOST, min(_MOST_LOST, lost)) & 0xFFFFFF
        last, delay = 0, 0
        if self._report is not None:
            last = self._report[0]
            delay = max(0, mono_us - self._report[1]) * 65536 // SECOND & 0xFFFF_FFFF
        jitter = min(int(self._jitter), 0xFFFF_FFFF)
        return _BLOCK.pack(source, fraction << 24 | lost, self._highest & 0xFFFF_FFFF, jitter, last, delay)
