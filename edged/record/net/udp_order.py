"""Putting the UDP packets of one track back into order. No sockets, no clock.

A packet that is ahead of the one expected waits: until what is missing arrives, until the window's time is over, or
until too much waits. What is still missing then is lost, and is counted where it is seen missing, in the depacketizer;
a packet that comes after that, or twice, is left out.
"""

from dataclasses import dataclass

from edged.record.net.rtp import steps_between

WINDOW_US = 200_000  # how long to wait; a switch that takes two ways differs by a few milliseconds, Wi-Fi by more
WINDOW_PACKETS = 512  # over a tenth of a second of the fastest camera
WINDOW_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Held:
    """A packet that waits, with when it arrived."""

    data: bytes
    wall_us: int
    mono_us: int


class Window:
    """The window of one track. While `waiting` is empty, a packet of `source` numbered `expected` is next."""

    __slots__ = ("_bytes", "_other", "expected", "restarts", "source", "useless", "waiting")

    def __init__(self) -> None:
        self.source: int | None = None
        self.expected = 0
        self.waiting: dict[int, Held] = {}  # by sequence number, in the order of arrival
        self.useless = 0  # packets that came twice, too late or from nobody
        self.restarts = 0  # times that counting began anew, with `source` and `expected` as they are now
        self._bytes = 0
        self._other: tuple[int, int, Held] | None = None  # a first packet of what may be another source, or count

    def place(self, source: int, number: int, packet: Held) -> list[Held]:
        """Take any packet; returns those whose turn it now is."""
        if self.source is None:
            return self._begin(source, number, [packet])
        step = steps_between(self.expected, number) if source == self.source else None
        if step is None:
            return self._place_other(source, number, packet)
        if step < 0 or number in self.waiting:
            self.useless += 1
            return []
        self.waiting[number] = packet
        self._bytes += len(packet.data)
        if step == 0:
            return self._release()
        ready: list[Held] = []
        while len(self.waiting) > WINDOW_PACKETS or self._bytes > WINDOW_BYTES:
            ready += self._give_up()
        return ready

    def expire(self, mono_us: int) -> list[Held]:
        """The packets that have waited long enough, and those before them; what is missing in between is given up."""
        ready: list[Held] = []
        while self.waiting and mono_us - next(iter(self.waiting.values())).mono_us >= WINDOW_US:
            ready += self._give_up()
        return ready

    def flush(self) -> list[Held]:
        """Everything that waits, at the end of the session."""
        ready: list[Held] = []
        while self.waiting:
            ready += self._give_up()
        return ready

    def _begin(self, source: int, number: int, packets: list[Held]) -> list[Held]:
        self.source, self.expected = source, (number + 1) & 0xFFFF
        self.restarts += 1
        return packets

    def _place_other(self, source: int, number: int, packet: Held) -> list[Held]:
        """Another source, or a number far from any expected: believed once a second one bears it out (RFC 3550, A.1).

        A single stray packet must not end the count of those that belong here.
        """
        other, self._other = self._other, (source, (number + 1) & 0xFFFF, packet)
        if other is None or other[:2] != (source, number):
            self.useless += other is not None
            return []
        self._other = None
        return [*self.flush(), *self._begin(source, number, [other[2], packet])]

    def _give_up(self) -> list[Held]:
        expected = self.expected
        self.expected = min(self.waiting, key=lambda number: (number - expected) & 0xFFFF)
        return self._release()

    def _release(self) -> list[Held]:
        """The waiting packets that follow without a gap.

        Each counts as arrived when the first of all that wait did: it was sent before those, and times never go back.
        """
        ready: list[Held] = []
        while self.expected in self.waiting:
            first = next(iter(self.waiting.values()))
            packet = self.waiting.pop(self.expected)
            self._bytes -= len(packet.data)
            ready.append(Held(packet.data, first.wall_us, first.mono_us))
            self.expected = (self.expected + 1) & 0xFFFF
        return ready
