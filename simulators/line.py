"""The way of one RTP stream's packets to the client: what firmware does to them, and what is lost, moved or doubled.

Every packet is a framed one (`$`, channel, length, RTP). Decides only; the dice are the camera's own, seeded.
"""

import struct
from dataclasses import dataclass, field

from simulators.feed import Feed
from simulators.mischief import Mischief
from simulators.packets import Burst

_LONGEST_HOLD = 3  # packets that overtake a held one
_GARBAGE_SHARE = 0.05
_EXTENSION = bytes.fromhex("bede000110a50000")  # one-byte header extensions (RFC 8285 section 4.2), one of two bytes


@dataclass(slots=True)
class TrackRecord:
    """What one track of a session was sent, and what was done to it on the way; packets unless it says otherwise.

    `dropped` never left, `reordered` came behind one to three later ones, `duplicated` went twice, `delayed` went late
    but in order, `unsent` were still on their way when the session ended, `send_errors` the kernel refused (UDP).
    `packets` counts sequence numbers used. `units` are frames, audio packets or documents, counted from `first_unit`.
    """

    ssrc: int = 0
    packets: int = 0
    octets: int = 0
    dropped: int = 0
    reordered: int = 0
    duplicated: int = 0
    delayed: int = 0
    unsent: int = 0
    send_errors: int = 0
    ssrc_changes: int = 0
    garbage_bytes: int = 0
    units: int = 0
    first_unit: int | None = None
    last_unit: int | None = None
    receiver_reports: int = 0
    reported_lost: int | None = None
    reported_highest: int | None = None


@dataclass(slots=True)
class Line:
    """One track's way. `interleaved`: garbage may stand between packets."""

    feed: Feed
    mischief: Mischief
    record: TrackRecord
    interleaved: bool
    _held: list[tuple[int, bytes]] = field(default_factory=list)
    """Packets held back, each with how many more are to overtake it."""

    def carry(self, burst: Burst) -> Burst:
        """What of these packets goes out now, with those held back earlier whose turn has come."""
        lost = self.feed.lose(len(burst.starts))
        self.record.dropped += len(lost)
        if not (lost or self._held or self.mischief.touches_packets):
            return burst
        sent: list[bytes] = []
        for position, packet in enumerate(burst.packets()):
            if position not in lost:
                self._carry_one(self._dress(packet), sent)
        return Burst.of(sent)

    def end(self) -> None:
        """The session is over: what is still held will never be sent."""
        self.record.unsent += len(self._held)
        self._held.clear()

    def _carry_one(self, packet: bytes, sent: list[bytes]) -> None:
        chance, shares = self.mischief.draw.random, self.mischief.shares
        if shares["reorder"] and chance() < shares["reorder"]:
            self._held.append((self.mischief.draw.randint(1, _LONGEST_HOLD), packet))
            return
        sent.append(packet)
        if shares["duplicate"] and chance() < shares["duplicate"]:
            self.record.duplicated += 1
            sent.append(packet)
        if self._held:
            self._held = [(left - 1, held) for left, held in self._held]
            freed = [held for left, held in self._held if left <= 0]
            self._held = [(left, held) for left, held in self._held if left > 0]
            self.record.reordered += len(freed)
            sent += freed
        if self.interleaved and "garbage" in self.mischief.quirks and chance() < _GARBAGE_SHARE:
            sent[-1] += self._garbage()

    def _dress(self, packet: bytes) -> bytes:
        quirks = self.mischief.quirks
        body = bytearray(packet[4:])
        if "no-marker" in quirks:
            body[1] &= 0x7F
        if "extension" in quirks:
            body[0] |= 0x10
            body[12:12] = _EXTENSION
        if "padding" in quirks:
            size = self.mischief.draw.randint(1, 12)
            body[0] |= 0x20
            body += bytes(size - 1) + bytes((size,))
        return packet[:2] + struct.pack(">H", len(body)) + body

    def _garbage(self) -> bytes:
        """Bytes that are no packet: a reader finds its way back at the next `$`, of which there is none in them."""
        draw = self.mischief.draw
        stray = draw.choice(
            (
                draw.randbytes(draw.randint(1, 40)).replace(b"$", b"#"),
                b"\r\n\r\n",
                b"RTSP/1.0 200 OK\r\nCSeq: 4000000000\r\n\r\n",
            )
        )
        self.record.garbage_bytes += len(stray)
        return stray
