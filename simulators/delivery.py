"""How a connection's bytes leave: at once, spread over a frame's time, late, byte by byte, or without end.

Packets keep their order whatever holds them up; answers to requests go between packets, never into one.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from itertools import pairwise

from simulators.mischief import Mischief
from simulators.packets import Burst
from simulators.route import UdpPair
from simulators.rtp_track import Track

_SLICE_S = 0.004  # how often a spread frame's next packets go; a wake-up per packet would cost more and look no better
_SPREAD_SHARE = 0.9  # of the frame interval: the last packets are out before the next frame comes
_PUMP_S = 0.002
_PUMP_BELOW = 256 * 1024
_TRICKLE_BACKLOG = 4096  # bytes waiting for each one more segment per turn: a stream must not fall behind for ever


class Delivery:
    """What leaves through one connection. `too_slow` is called when more than `max_behind_bytes` wait to be read."""

    def __init__(
        self, transport: asyncio.Transport, mischief: Mischief, max_behind_bytes: int, too_slow: Callable[[], None]
    ) -> None:
        self._transport = transport
        self._mischief = mischief
        self._max_behind_bytes = max_behind_bytes
        self._too_slow = too_slow
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[float, Track, Burst]] = deque()
        self._last_due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._pump: asyncio.TimerHandle | None = None
        self._trickling = bytearray()
        self._trickle_handle: asyncio.Handle | None = None

    def answer(self, data: bytes) -> None:
        """Send an answer now."""
        self._write(data)

    def media(self, track: Track, burst: Burst, spread_s: float = 0.0, due_s: float | None = None) -> None:
        """Send packets, over this many seconds from `due_s` (the loop's time; None: now) on, and late where the
        network is slow. 0 seconds: all at once.
        """
        delay_us = self._mischief.delay_us
        if not spread_s and not delay_us and not self._waiting:
            self._send(track, burst)
            return
        # From when they were due, not from now: cameras that are due together share the loop's wake-ups.
        due = self._loop.time() if due_s is None else due_s
        if delay_us:
            held_s = self._mischief.draw.uniform(0, delay_us) / 1e6
            track.record.delayed += len(burst.starts)
            due += held_s
        slices = _cut(burst, max(1, int(spread_s * _SPREAD_SHARE / _SLICE_S)))
        for number, part in enumerate(slices):
            self._last_due = max(self._last_due, due + number * spread_s * _SPREAD_SHARE / len(slices))
            self._waiting.append((self._last_due, track, part))
        self._flush()

    def control(self, track: Track, report: Burst) -> None:
        """Send RTCP now."""
        if isinstance(track.route, UdpPair):
            track.record.send_errors += track.route.send_control(report)
        else:
            self._write(report.data)

    def pump(self, pieces: Iterator[bytes]) -> None:
        """Send these as fast as the client reads, until they end or it leaves."""
        while self._transport.get_write_buffer_size() < _PUMP_BELOW:
            piece = next(pieces, None)
            if piece is None or self._transport.is_closing():
                return
            self._write(piece)
        self._pump = self._loop.call_later(_PUMP_S, self.pump, pieces)

    def end_session(self) -> None:
        """Forget what waits: its session is over."""
        for _, track, burst in self._waiting:
            track.record.unsent += len(burst.starts)
        self._waiting.clear()
        self._last_due = 0.0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Stop every clock."""
        self.end_session()
        if self._pump is not None:
            self._pump.cancel()
            self._pump = None
        if self._trickle_handle is not None:
            self._trickle_handle.cancel()
            self._trickle_handle = None
        self._trickling.clear()

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._loop.time()
        while self._waiting and self._waiting[0][0] <= now:
            _, track, burst = self._waiting.popleft()
            self._send(track, burst)
        if self._waiting:
            self._timer = self._loop.call_at(self._waiting[0][0], self._flush)

    def _send(self, track: Track, burst: Burst) -> None:
        if isinstance(track.route, UdpPair):
            track.record.send_errors += track.route.send(burst)
        elif burst.starts:
            self._write(burst.data)

    def _write(self, data: bytes | bytearray | memoryview) -> None:
        transport = self._transport
        if transport.is_closing():
            return
        if self._trickling or "one-byte-segments" in self._mischief.quirks:
            self._trickling += data
            if self._trickle_handle is None:
                self._trickle()
        else:
            transport.write(data)
        if transport.get_write_buffer_size() + len(self._trickling) > self._max_behind_bytes:
            self._too_slow()

    def _trickle(self) -> None:
        """One byte to a segment, and one segment to a turn of the loop, so that a reader can see each by itself."""
        self._trickle_handle = None
        for _ in range(1 + len(self._trickling) // _TRICKLE_BACKLOG):
            if self._transport.is_closing():
                self._trickling.clear()
            if not self._trickling:
                return
            self._transport.write(self._trickling[:1])
            del self._trickling[:1]
        self._trickle_handle = self._loop.call_soon(self._trickle)


def _cut(burst: Burst, pieces: int) -> list[Burst]:
    """The burst in at most this many parts of whole packets, as even as can be."""
    count = len(burst.starts)
    pieces = min(pieces, count)
    if pieces <= 1:
        return [burst]
    view = memoryview(burst.data)
    bounds = [number * count // pieces for number in range(pieces + 1)]
    parts = []
    for first, last in pairwise(bounds):
        start = burst.starts[first]
        end = burst.starts[last] if last < count else len(view)
        parts.append(Burst(view[start:end], [at - start for at in burst.starts[first:last]]))
    return parts
