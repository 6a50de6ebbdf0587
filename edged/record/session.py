"""One playing session: drained on every tick, kept alive, watched for frames. Fresh for every connection.

Nothing half-broken is repaired in place: whatever goes wrong ends the session, and the stream opens another.
"""

import contextlib
import secrets
from collections.abc import Callable

from edged.base.clock import SECOND
from edged.record.buffers import FrameBuffer, Shelf
from edged.record.codecs.audio import AudioReceiver
from edged.record.codecs.tracks import video_receiver
from edged.record.errors import BadStream, Closed, Stalled, StreamFailed, VolumeFenced
from edged.record.interleaved import InterleavedReader, OnPacket
from edged.record.net.connection import Connection
from edged.record.net.rtp import CLOCK, sender_report
from edged.record.net.rtsp_message import Message
from edged.record.net.udp import UdpLane
from edged.record.quirks import OnQuirk, Quirk
from edged.record.segmenter import Segmenter

STALL_US = 10 * SECOND  # without a whole frame
KEYFRAME_US = 120 * SECOND  # smart codecs stretch their GOPs to a minute; none stretches them further
SCRATCH_BYTES = 1024 * 1024 + 128 * 1024  # one read, in front of which the rest of the last one fits
_ROUNDS = 2  # reads of one socket on one tick, so that a flood from one camera does not starve the others
_MESSAGE_LIMIT = 200  # on one tick; a camera says something every half minute
_OUTGOING_LIMIT = 64 * 1024


class Counters:
    """What one stream received since the recorder process started; outlives sessions and changes of its assignment."""

    __slots__ = (
        "bytes",
        "frames",
        "keyframes",
        "last_frame_us",
        "lost_packets",
        "packets",
        "quirks",
        "segments",
        "sessions",
    )

    def __init__(self) -> None:
        self.quirks: set[Quirk] = set()
        self.bytes = self.frames = self.keyframes = self.lost_packets = self.packets = self.sessions = 0
        self.segments = 0  # begun
        self.last_frame_us: int | None = None  # arrival of the last whole frame


class Session:
    """Feeds what `connection` receives to `segmenter`; `counters` belong to the stream and go on across sessions.

    Frames grow in buffers of `shelf`. `fenced` says why no volume can be written to, "" where one can.
    """

    def __init__(
        self,
        connection: Connection,
        segmenter: Segmenter,
        counters: Counters,
        fenced: Callable[[], str],
        shelf: Shelf,
        now_mono_us: int,
        on_quirk: OnQuirk,
    ) -> None:
        playing = connection.playing
        self._sock = connection.sock
        self._client = connection.client
        self._segmenter = segmenter
        self._counters = counters
        self._fenced = fenced
        self.video = video_receiver(playing.video, FrameBuffer(shelf), self._unit, on_quirk)
        self.audio: AudioReceiver | None = None
        video_lane, *audio_lanes = playing.lanes
        others: dict[int, OnPacket] = {video_lane.rtcp_channel: self._rtcp}
        rates = [CLOCK]
        if playing.audio is not None and audio_lanes:
            self.audio = AudioReceiver(playing.audio, segmenter.sound, on_quirk)
            others[audio_lanes[0].rtp_channel] = self.audio.packet
            others[audio_lanes[0].rtcp_channel] = _pass_over
            rates.append(playing.audio.clock_rate)
        self._reader = InterleavedReader(
            self.video,
            playing.video.payload_type,
            video_lane.rtp_channel,
            others,
            on_message=self._message,
            on_quirk=on_quirk,
        )
        own, name = secrets.randbits(32), secrets.token_hex(12)
        pairs = {pair.ports: pair for pair in connection.ports}
        self._lanes = [
            UdpLane(
                pairs[lane.own_ports],
                lane,
                connection.peer,
                self._reader.feed,
                now_mono_us,
                own=own,
                name=name,
                rate=rate,
            )
            for lane, rate in zip(playing.lanes, rates, strict=True)
            if lane.own_ports is not None
        ]
        self._early = connection.early
        self._rest = b""
        self._ping_every_us = playing.timeout_seconds * SECOND // 2
        self._next_ping_us = now_mono_us + self._ping_every_us
        self._outgoing = b""
        self._frame_mono_us = now_mono_us
        self._no_keyframe_since_us: int | None = now_mono_us
        self._packets_counted = self._lost_counted = 0
        self._messages = 0
        self._left = False  # the volume, since the last tick

    def drain(self, scratch: memoryview, now_us: int, now_mono_us: int) -> None:
        """Take what has arrived. `scratch` is anybody's between calls. Raises StreamFailed: the session is over."""
        if reason := self._fenced():
            raise VolumeFenced(f"the volume is fenced: {reason}")
        if self._left:
            # What waits is taken on the next tick, so that its label is later than the failure that explains the gap.
            self._left = False
            return
        self._messages = 0
        try:
            # First what the media ports hold: the connection's end is the session's.
            self._drain_lanes(scratch, now_us, now_mono_us)
            self._drain_connection(scratch, now_us, now_mono_us)
        except Closed:
            self._drain_lanes(scratch, now_us, now_mono_us)
            raise
        self._count()
        if self._segmenter.overdue(now_mono_us):
            self._segmenter.flush(self.video.take_ready())
        self._check_times(now_mono_us)
        if self._outgoing or now_mono_us >= self._next_ping_us:
            self._speak(now_mono_us)

    def leave_volume(self) -> None:
        """The volume of the open segment has failed: what was collected for it is lost, a keyframe begins another."""
        self._left = True
        self._segmenter.flush(self.video.take_ready())

    def finish(self, now_us: int) -> None:
        """The session is over: what was received in whole frames goes to disk."""
        for lane in self._lanes:
            with contextlib.suppress(StreamFailed):
                lane.flush()
        self._count()
        self._segmenter.finish(self.video.take_ready(), now_us)

    def lost_packets(self) -> int:
        """Of all tracks, since the session began."""
        return self.video.lost + (self.audio.lost if self.audio is not None else 0)

    def _drain_lanes(self, scratch: memoryview, now_us: int, now_mono_us: int) -> None:
        for lane in self._lanes:
            self._counters.bytes += lane.drain(scratch, now_us, now_mono_us)

    def _drain_connection(self, scratch: memoryview, now_us: int, now_mono_us: int) -> None:
        if self._early:
            early, self._early = memoryview(self._early), b""
            self._rest = bytes(early[self._reader.feed(early, 0, len(early), now_us, now_mono_us) :])
        rest = self._rest
        kept = len(rest)
        if kept:
            scratch[:kept] = rest
        for _ in range(_ROUNDS):
            try:
                count = self._sock.recv_into(scratch[kept:])
            except BlockingIOError:
                break
            except OSError as error:
                raise Closed(f"the connection broke ({error.strerror})") from None
            if count == 0:
                raise Closed("the camera ended the connection")
            self._counters.bytes += count
            end = kept + count
            self._rest = b""
            done = self._reader.feed(scratch, 0, end, now_us, now_mono_us)
            rest = self._rest = bytes(scratch[done:end])
            kept = len(rest)
            if end < len(scratch):
                break
            scratch[:kept] = rest

    def _unit(self, start: int, timestamp: int, key: bool, wall_us: int, mono_us: int) -> None:
        counters, video = self._counters, self.video
        counters.frames += 1
        counters.last_frame_us = wall_us
        self._frame_mono_us = mono_us
        if key:
            counters.keyframes += 1
            self._no_keyframe_since_us = None
        self._segmenter.unit(video.buffer, start, timestamp, key, wall_us, mono_us, video.format, video.entry)

    def _count(self) -> None:
        counters, audio = self._counters, self.audio
        packets = self.video.packets + (audio.packets if audio is not None else 0)
        lost = self.lost_packets()
        counters.packets += packets - self._packets_counted
        counters.lost_packets += lost - self._lost_counted
        self._packets_counted, self._lost_counted = packets, lost

    def _check_times(self, now_mono_us: int) -> None:
        if now_mono_us - self._frame_mono_us > STALL_US:
            if self._lanes and not self.video.packets:
                raise Stalled(
                    f"no packet came over UDP for {STALL_US // SECOND} s",
                    hint="let UDP from the camera through, or set the stream's transport to tcp",
                )
            raise Stalled(f"no whole frame for {STALL_US // SECOND} s")
        since = self._no_keyframe_since_us
        if since is not None and now_mono_us - since > KEYFRAME_US:
            raise BadStream(f"no keyframe for {KEYFRAME_US // SECOND} s", hint="shorten the camera's I-frame interval")

    def _rtcp(self, data: memoryview, start: int, stop: int, wall_us: int, mono_us: int) -> None:
        report = sender_report(data, start, stop)
        if report is not None:
            self._segmenter.sender_report(*report)

    def _message(self, message: Message) -> None:
        self._messages += 1
        if self._messages > _MESSAGE_LIMIT:
            raise BadStream("the camera floods the recorder with messages")
        self._outgoing += self._client.on_message(message)

    def _speak(self, now_mono_us: int) -> None:
        if now_mono_us >= self._next_ping_us:
            self._outgoing += self._client.keep_alive()
            self._next_ping_us = now_mono_us + self._ping_every_us
        try:
            self._outgoing = self._outgoing[self._sock.send(self._outgoing) :]
        except BlockingIOError:
            pass
        except OSError as error:
            raise Closed(f"the connection broke ({error.strerror})") from None
        if len(self._outgoing) > _OUTGOING_LIMIT:
            raise Stalled("the camera no longer reads")


def _pass_over(data: memoryview, start: int, stop: int, wall_us: int, mono_us: int) -> None:
    """RTCP of the audio track: only the video's clock is kept beside the labels."""
