"""One session of a camera, from SETUP to TEARDOWN: its tracks, what they are sent, and the account of it.

Decides only: it hands out packets, the connection sends them.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from simulators import hostile, metadata
from simulators.auth import DigestGate
from simulators.feed import Feed
from simulators.line import Line, TrackRecord
from simulators.mischief import Mischief
from simulators.packets import CLOCK_RATE_HZ, Burst
from simulators.route import Interleaved, Route
from simulators.rtp_track import REPORT_INTERVAL_US, Track
from simulators.sdp import AUDIO, METADATA, VIDEO

_RECORDS_KEPT = 1000


@dataclass(slots=True)
class PlayRecord:
    """What one PLAY session was sent; times in microseconds UTC, counters as in the SEI.

    `dropped_packets` is the sum over the tracks. `transport` is tcp, udp or tls.
    """

    session: str
    stream: str
    started_us: int
    ended_us: int | None = None
    ended_by: str | None = None
    first: int | None = None
    last: int | None = None
    frames: int = 0
    dropped_packets: int = 0
    transport: str = "tcp"
    tracks: dict[str, TrackRecord] = field(default_factory=dict)
    giant_bytes: int = 0


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
    mischief: Mischief
    served: tuple[str, ...] = ("tcp",)
    """The transports that SETUP takes: tcp (interleaved), udp."""
    slots: int | None = None
    spread: bool = False
    powered: bool = True
    refusing: bool = False
    records: list[PlayRecord] = field(default_factory=list)
    open: "set[Session]" = field(default_factory=set)
    abandoned: list[int] = field(default_factory=list)
    """Until when the slots of sessions that ended without TEARDOWN stay taken, where they are sticky."""
    slow_clients: int = 0
    timeouts: int = 0
    slots_refused: int = 0

    def slots_taken(self) -> int:
        """How many sessions the camera believes to be open."""
        now_us = self.now_us()
        self.abandoned = [until_us for until_us in self.abandoned if until_us > now_us]
        return len(self.open) + len(self.abandoned)

    def has_slot(self) -> bool:
        """Whether one more session is taken; a refusal is counted."""
        if self.slots is None or self.slots_taken() < self.slots:
            return True
        self.slots_refused += 1
        return False


class Session:
    """One client's claim on one stream, and its RTP streams once it plays."""

    def __init__(self, state: RtspState, stream: str) -> None:
        self.state = state
        self.stream = stream
        self.id = f"{state.draw.getrandbits(48):012x}"
        self.tracks: dict[str, Track] = {}
        self.next_counter: int | None = None
        self.record: PlayRecord | None = None
        self._giant: Iterator[list[bytes]] | None = None
        self._giant_ticks = 0
        state.open.add(self)

    def add_track(self, kind: str, route: Route) -> Track:
        """Send this kind of media too, once playing."""
        state, record = self.state, TrackRecord()
        sound = state.feed.sound
        rate_hz = sound.clock_rate_hz if kind == AUDIO and sound else CLOCK_RATE_HZ
        line = Line(state.feed, state.mischief, record, isinstance(route, Interleaved))
        self.tracks[kind] = track = Track(kind, rate_hz, route, line, record, state.draw)
        return track

    def begin(self, transport: str) -> None:
        """Start at the next keyframe, sound and documents with what comes next."""
        feed, now_us = self.state.feed, self.state.now_us()
        self.next_counter = feed.keyframe_after(feed.newest(now_us))
        self.record = PlayRecord(self.id, self.stream, now_us, transport=transport)
        self.record.tracks = {kind: track.record for kind, track in self.tracks.items()}
        self.state.records.append(self.record)
        del self.state.records[:-_RECORDS_KEPT]
        for track in self.tracks.values():
            if track.kind == AUDIO:
                track.next_unit = max(0, feed.newest_sound(now_us) + 1)
            elif track.kind == METADATA:
                track.next_unit = feed.newest_document(now_us) + 1
            track.begin(self.first_ticks(track), now_us)

    def first_ticks(self, track: Track) -> int:
        """The media clock's reading of the first thing this track will be sent."""
        feed = self.state.feed
        if track.kind == VIDEO:
            return feed.ticks(self.next_counter or 0)
        if track.kind == AUDIO:
            return feed.sound_ticks(track.next_unit)
        return feed.ticks_at(feed.document_us(track.next_unit))

    def end(self, by: str) -> None:
        """Close the record; playing stops."""
        for track in self.tracks.values():
            track.line.end()
        if self.record is not None and self.record.ended_us is None:
            self._sum_up()
            self.record.ended_us = self.state.now_us()
            self.record.ended_by = by
        self.next_counter = None
        if self in self.state.open:
            self.state.open.discard(self)
            if by != "teardown" and "sticky-slots" in self.state.mischief.quirks:
                self.state.abandoned.append(self.state.now_us() + int(self.state.session_timeout_s * 1e6))

    def video(self, counter: int) -> tuple[Track, Burst] | None:
        """What to send for this frame: nothing before the session's turn or while the feed is stalled."""
        feed, record, track = self.state.feed, self.record, self.tracks.get(VIDEO)
        if self.next_counter is None or record is None or counter < self.next_counter:
            return None
        if feed.stalled:
            self.next_counter = feed.keyframe_after(counter)
            return None
        if track is None:
            return None
        if "giant-nal" in self.state.mischief.quirks and record.frames and (giant := self._giant_piece(track, counter)):
            return track, giant
        template = feed.frame(counter)
        burst = track.frame(template, feed.mark(counter), feed.ticks(counter))
        self._sum_up()
        if not burst.starts:
            return None
        record.first = counter if record.first is None else record.first
        record.last = counter
        record.frames += 1
        return track, burst

    def rest(self, now_us: int) -> Iterator[tuple[Track, Burst]]:
        """Sound and documents that have come up by now."""
        feed = self.state.feed
        if self.next_counter is None:
            return
        if (track := self.tracks.get(AUDIO)) is not None and feed.sound is not None:
            newest = feed.newest_sound(now_us)
            for counter in range(track.next_unit, newest + 1):
                if not feed.stalled:
                    payload, ticks = feed.sound.payload(feed.sound_mark(counter)), feed.sound_ticks(counter)
                    yield track, track.unit([payload], feed.sound.payload_type, ticks, counter)
            track.next_unit = max(track.next_unit, newest + 1)
        if (track := self.tracks.get(METADATA)) is not None:
            newest = feed.newest_document(now_us)
            for counter in range(track.next_unit, newest + 1):
                at_us = feed.document_us(counter)
                parts = metadata.payloads(counter, feed.camera, at_us)
                yield track, track.unit(parts, metadata.PAYLOAD_TYPE, feed.ticks_at(at_us), counter)
            track.next_unit = max(track.next_unit, newest + 1)
        self._sum_up()

    def reports(self, now_us: int) -> Iterator[tuple[Track, Burst]]:
        """A sender report every five seconds, also while stalled: only the encoder is stuck, not the network."""
        if self.next_counter is None:
            return
        for track in self.tracks.values():
            if now_us >= track.next_report_us:
                track.next_report_us = now_us + REPORT_INTERVAL_US
                ticks = self.state.feed.ticks_at(now_us, track.clock_rate_hz)
                yield track, track.report(now_us + self.state.clock_offset_us, ticks, self.state.name)

    def _giant_piece(self, track: Track, counter: int) -> Burst | None:
        """The next part of a NAL unit that is far too large, or None once it is over."""
        if self._giant is None:
            self._giant = hostile.giant_nal(self.state.feed.clip.spec.codec)
            self._giant_ticks = self.state.feed.ticks(counter)  # one unit, one time
        payloads = next(self._giant, None)
        if payloads is None or self.record is None:
            return None
        self.record.giant_bytes += sum(map(len, payloads))
        burst = track.raw(payloads, hostile.GIANT_PAYLOAD_TYPE, self._giant_ticks, marker=False)
        return burst if burst.starts else None

    def _sum_up(self) -> None:
        if self.record is not None:
            self.record.dropped_packets = sum(track.record.dropped for track in self.tracks.values())
