"""One PLAY session of a camera: its place in RTP's number space, what it is sent, and the account of it.

Decides only: it hands out bytes, the connection writes them.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from simulators.auth import DigestGate
from simulators.feed import Feed
from simulators.packets import render, sender_report, without_packets

_REPORT_INTERVAL_US = 5_000_000
_RECORDS_KEPT = 1000


@dataclass(slots=True)
class PlayRecord:
    """What one PLAY session was sent; times in microseconds UTC, counters as in the SEI."""

    session: str
    stream: str
    started_us: int
    ended_us: int | None = None
    ended_by: str | None = None
    first: int | None = None
    last: int | None = None
    frames: int = 0
    dropped_packets: int = 0


@dataclass(slots=True)
class RtspState:
    """What all connections of one camera share."""

    feed: Feed
    gate: DigestGate
    draw: random.Random
    now_us: Callable[[], int]
    """True time: when frames are captured and sessions began."""
    clock_offset_us: int
    """How wrong the camera's own clock is; sender reports tell its time."""
    session_timeout_s: float
    max_behind_bytes: int
    on_play: Callable[[], None]
    name: str
    powered: bool = True
    refusing: bool = False
    records: list[PlayRecord] = field(default_factory=list)
    slow_clients: int = 0
    timeouts: int = 0


class Session:
    """One client's claim on one stream, from SETUP to TEARDOWN, and its RTP stream once it plays."""

    def __init__(self, state: RtspState, stream: str, channels: tuple[int, int]) -> None:
        self.state = state
        self.stream = stream
        self.channels = channels
        self.id = f"{state.draw.getrandbits(48):012x}"
        self.ssrc = state.draw.getrandbits(32)
        self.sequence = state.draw.getrandbits(16)
        self.tick_base = state.draw.getrandbits(32)
        self.next_counter: int | None = None
        self.record: PlayRecord | None = None
        self.packets = 0
        self.octets = 0
        self.next_report_us = 0

    def begin(self) -> None:
        """Start at the next keyframe."""
        now_us = self.state.now_us()
        self.next_counter = self.state.feed.keyframe_after(self.state.feed.newest(now_us))
        self.record = PlayRecord(self.id, self.stream, now_us)
        self.state.records.append(self.record)
        del self.state.records[:-_RECORDS_KEPT]
        self.next_report_us = now_us

    def end(self, by: str) -> None:
        """Close the record; playing stops."""
        if self.record is not None and self.record.ended_us is None:
            self.record.ended_us = self.state.now_us()
            self.record.ended_by = by
        self.next_counter = None

    def timestamp(self, ticks: int) -> int:
        """A reading of the RTP clock as this session tells it."""
        return (self.tick_base + ticks) & 0xFFFFFFFF

    def bytes_for(self, counter: int) -> bytes | bytearray:
        """What to send for this frame: nothing before the session's turn or while the feed is stalled."""
        feed, record = self.state.feed, self.record
        if self.next_counter is None or record is None or counter < self.next_counter:
            return b""
        if feed.stalled:
            self.next_counter = feed.keyframe_after(counter)
            return b""
        template = feed.frame(counter)
        data = render(
            template,
            feed.mark(counter),
            sequence=self.sequence,
            timestamp=self.timestamp(feed.ticks(counter)),
            ssrc=self.ssrc,
            channel=self.channels[0],
        )
        self.sequence = self.sequence + len(template.starts) & 0xFFFF
        self.packets += len(template.starts)
        self.octets += template.payload_bytes
        lost = feed.lose(len(template.starts))
        if lost:
            record.dropped_packets += len(lost)
            data = without_packets(template, data, lost)
            if not data:
                return data
        record.first = counter if record.first is None else record.first
        record.last = counter
        record.frames += 1
        return data

    def report_if_due(self, now_us: int) -> bytes:
        """A sender report every five seconds, also while stalled: only the encoder is stuck, not the network."""
        if self.next_counter is None or now_us < self.next_report_us:
            return b""
        self.next_report_us = now_us + _REPORT_INTERVAL_US
        return sender_report(
            ssrc=self.ssrc,
            wall_us=now_us + self.state.clock_offset_us,
            timestamp=self.timestamp(self.state.feed.ticks_at(now_us)),
            packets=self.packets,
            octets=self.octets,
            channel=self.channels[1],
            name=self.state.name,
        )
