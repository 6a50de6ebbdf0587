"""Decides what goes into which fragment and which segment, and when each begins and ends. No clock, no disk.

Time. The host's wall clock at the arrival of a segment's first frame labels the segment; within it, RTP timestamps
place the frames. A camera's clock may therefore drift, jump or wrap without moving a label by more than a segment can
drift. Because sockets are drained on a tick, a label may be late by at most that tick (100 ms).

Where the stream goes on, a segment ends exactly where the next begins. Where it does not, it ends with its last frame,
whose duration is taken to be that of the frame before.
"""

from dataclasses import dataclass, field

from edged.base.clock import SECOND
from edged.model import Cause
from edged.record.buffers import FrameBuffer
from edged.record.missing import Missing
from edged.record.mp4.fmp4 import SyncPoint, fragment_head, indexed_keys, init_segment, random_access
from edged.record.mp4.formats import AudioFormat, Entry, VideoFormat
from edged.record.net.rtp import CLOCK, signed_ticks, ticks_to_us, us_to_ticks
from edged.record.quirks import Quirk
from edged.record.sink import SegmentEnd, SegmentStart, Sink
from edged.record.soundtrack import LeastDelay, Soundtrack
from edged.record.timeline import MediaTime, lay_out

FIRST_FRAGMENT = CLOCK // 2  # the first fragment of a session goes out early, so that the status tells the truth soon
FRAGMENT_BYTES = 4 * 1024 * 1024  # at most this much of a stream is in memory before it is handed to the disk
FRAGMENT_FRAMES = 1000
LATE_FLUSH_US = SECOND // 2  # a fragment waits this much longer than its length for a camera that sends slowly
RUN_AHEAD_US = SECOND  # how far media time may lead arrival before arrival is believed for the end
LONG_GOP = 10 * CLOCK  # keyframes further apart than this are worth knowing about
PRFT_SIZE = 32


@dataclass(slots=True)
class Lengths:
    """Limits in 90 kHz ticks, shared by all streams so that a new assignment reaches the running ones."""

    segment: int
    fragment: int


@dataclass(slots=True)
class _Segment:
    start: SegmentStart
    time: int  # media time of its first frame
    stamp: int  # the camera's timestamp of its first frame
    video: VideoFormat
    codec: str
    target: int
    is_open: bool  # what is shown before its first frame cannot be decoded
    left_out: int = 0  # frames of that kind
    lost: int = 0  # packets that its fragments are short of
    lost_from_us: int | None = None
    held: tuple[int, int] = (0, 0)  # where no frame came for longest without the timestamps saying so, and for how long
    points: list[SyncPoint] = field(default_factory=list)
    decoded: int = -1  # decoding time of its last frame handed out
    length: int = 0  # bytes handed out
    sequence: int = 0
    frames: int = 0
    keyframes: int = 0
    end_us: int = 0  # end of its last frame handed out


class Segmenter:
    """One session of one stream, which began at `began_us`.

    `stagger` (0 to 1) shortens its first segment, so that a fleet that started together does not rotate together.
    With `audio`, every segment has a second track.
    """

    def __init__(
        self, sink: Sink, lengths: Lengths, stagger: float, began_us: int, audio: AudioFormat | None = None
    ) -> None:
        self._sink = sink
        self._lengths = lengths
        self._stagger = stagger
        self._segment: _Segment | None = None
        self._first = True  # segment
        self._early = True  # fragment
        self._new_segment_wanted = False
        # the fragment being collected
        self._times: list[int] = []
        self._sizes: list[int] = []
        self._keys: list[int] = []
        self._bytes = 0
        self._reordered = False
        self._opened_mono_us = 0
        self._media = MediaTime()
        self._delay = LeastDelay()
        self._sound = Soundtrack(audio, sink.quirk) if audio is not None else None
        self._last_key: int | None = None
        self._gop = 0
        self._report: tuple[int, int] | None = None
        self._missing = Missing(sink.loss, began_us)

    def unit(
        self,
        buffer: FrameBuffer,
        start: int,
        timestamp: int,
        key: bool,
        wall_us: int,
        mono_us: int,
        video: VideoFormat | None,
        entry: Entry = Entry.CLOSED,
    ) -> None:
        """Take the access unit ``buffer.view[start:buffer.fill]``; what lies before it is the fragment so far.

        `video` is what the track holds as of its last keyframe, None until that is known; `entry` says what kind of
        keyframe this is, if it is one. Leaves in the buffer the fragment that is then being collected.
        """
        in_order = self._advance(timestamp, mono_us)
        if self._sound is not None:
            self._delay.note(mono_us - ticks_to_us(self._media.time))
        if in_order and self._times and self._must_cut(key):
            self._hand_out(buffer.detach(start), self._media.time, self._goes_on(wall_us))
            start = 0
        if key and in_order:
            if entry is Entry.RECOVERY:
                self._sink.quirk(Quirk.NO_IDR)
            if self._last_key is not None:
                self._gop = self._media.time - self._last_key
                if self._gop > LONG_GOP:
                    self._sink.quirk(Quirk.LONG_GOP)
            self._last_key = self._media.time
            if self._segment is not None and self._must_rotate(video, self._segment):
                if self._times:
                    self._hand_out(buffer.detach(start), self._media.time, self._goes_on(wall_us))
                    start = 0
                if self._segment is not None:
                    self._end_segment(self._goes_on(wall_us))
            if self._segment is None and video is not None:
                self._begin_segment(timestamp, video, entry, wall_us, mono_us)
        self._missing.lost(self._sink.lost_packets())
        if self._segment is None:
            self._missing.passed_over()
            buffer.fill = start
            return
        segment = self._segment
        if segment.is_open and self._media.time < segment.time:
            # It is shown before the keyframe that the segment begins with, and cannot be decoded from there on.
            segment.left_out += 1
            buffer.fill = start
            return
        if not self._times:
            self._opened_mono_us = mono_us
        # Players differ about what may be sought; what a file begins with must be.
        if key and (entry is not Entry.RECOVERY or not (segment.frames or self._times)):
            self._keys.append(len(self._times))
        elif not in_order:
            self._reordered = True
            self._sink.quirk(Quirk.B_FRAMES)
        self._times.append(self._media.time)
        size = buffer.fill - start
        self._sizes.append(size)
        self._bytes += size

    def sound(self, timestamp: int, ticks: int, data: bytes, mono_us: int) -> None:
        """Take one frame of audio, which lasts `ticks` of its own clock."""
        if self._sound is not None:
            self._sound.add(timestamp, ticks, data, mono_us)

    def overdue(self, mono_us: int) -> bool:
        """Whether the fragment must not grow or wait any longer, although no frame came to end it; see `flush`."""
        if not self._times:
            return False
        if len(self._times) >= FRAGMENT_FRAMES or self._bytes >= FRAGMENT_BYTES:
            return True
        return mono_us - self._opened_mono_us > ticks_to_us(self._lengths.fragment) + LATE_FLUSH_US

    def flush(self, body: memoryview) -> None:
        """Hand out the fragment collected so far, which is `body`."""
        if self._times:
            self._hand_out(body, None)

    def finish(self, body: memoryview, now_us: int) -> None:
        """The session is over: hand out what is left and end the segment."""
        self.flush(body)
        if self._segment is not None:
            self._end_segment(None)
        self._missing.say_refused(now_us)
        self._missing.lost(self._sink.lost_packets())
        self._missing.say_lost(now_us)

    def sender_report(self, camera_us: int, timestamp: int) -> None:
        """The camera says what its own clock showed at `timestamp`: kept beside the label, never used for it."""
        self._report = camera_us, timestamp

    def _advance(self, timestamp: int, mono_us: int) -> bool:
        """Move the media time to this frame; returns whether it is shown after all before it."""
        media = self._media
        usual, before = media.duration, media.peak
        in_order = media.advance(timestamp, mono_us)
        if media.silence:
            self._note_silence(before + usual, media.silence, usual)
        elif self._segment is not None and media.held > self._segment.held[1]:
            self._segment.held = before + usual, media.held
        if media.jumped:
            # The timestamps before say nothing about those behind: let the next keyframe begin afresh.
            media.jumped = False
            self._delay = LeastDelay()
            self._sink.quirk(Quirk.WRONG_CLOCK_RATE if media.by_arrival else Quirk.TIMESTAMP_JUMP)
            self._new_segment_wanted = True
            self._last_key = self._report = None
        return in_order

    def _note_silence(self, since: int, ticks: int, usual: int) -> None:
        """The camera itself left frames out: the span stays covered, and the journal says that it is thin."""
        if self._segment is not None:
            start_us = self._label(self._segment, since, self._media.mono_us)
            # A camera that claims a longer silence than there was time for has not lost what is yet to come.
            end_us = max(start_us, self._label(self._segment, since + ticks, self._media.mono_us))
            self._sink.loss(start_us, end_us, Cause.LOSS, 0, max(1, ticks // usual))

    def _must_cut(self, key: bool) -> bool:
        span = self._media.time - self._times[0]
        if len(self._times) >= FRAGMENT_FRAMES or self._bytes >= FRAGMENT_BYTES:
            return True
        if self._early and span >= FIRST_FRAGMENT:
            return True
        return span + (self._gop if key else self._media.duration) > self._lengths.fragment

    def _must_rotate(self, video: VideoFormat | None, segment: _Segment) -> bool:
        if video is not segment.video and video != segment.video:
            self._sink.quirk(Quirk.PARAMETERS_CHANGE)
            return True
        if self._new_segment_wanted or segment.start.run != self._sink.current_run():
            return True
        # The last keyframe that keeps the segment within its length, judging the next GOP by the last one.
        return self._media.time - segment.time + self._gop > segment.target

    def _goes_on(self, wall_us: int) -> int | None:
        """Where the stream goes on, if that is told by the clock that the segment began under."""
        same_clock = self._segment is not None and self._segment.start.run == self._sink.current_run()
        return wall_us if same_clock else None

    def _hand_out(self, body: memoryview, next_time: int | None, next_us: int | None = None) -> None:
        """`next_time` and `next_us`: where the frame behind the fragment lies, if one has come."""
        segment = self._segment
        assert segment is not None
        times = self._times
        last_duration = self._media.duration
        if next_time is not None and not self._reordered:
            last_duration = min(next_time - times[-1], max(self._media.duration, CLOCK))
        head, points, end = self._build(segment, last_duration)
        end_mono_us = self._media.mono_us + ticks_to_us(last_duration)
        # What is held against arrival may end before what was held against its own timestamps: nothing is taken back.
        end_us = max(segment.end_us, self._label(segment, end, end_mono_us))
        accepted = self._sink.write(head, body, end_us)
        frames, keyframes = len(times), len(self._keys)
        begun_us = segment.end_us if segment.frames else segment.start.start_us
        self._times, self._sizes, self._keys = [], [], []
        self._bytes, self._reordered, self._early = 0, False, False
        if not accepted:
            # A fragment left out of the middle of a file would tear the pictures behind it: begin anew at a keyframe.
            self._missing.refused(begun_us, frames)
            self._end_segment(None)
            return
        self._missing.say_refused(segment.start.start_us)
        if segment.left_out and not segment.frames:
            self._sink.quirk(Quirk.OPEN_GOP)
            length_us = segment.left_out * ticks_to_us(self._media.duration)
            begins_us = segment.start.start_us
            self._sink.loss(begins_us - length_us, begins_us, Cause.PROTOCOL, 0, segment.left_out)
        segment.points += points
        segment.length += len(head) + len(body)
        segment.sequence += 1
        segment.frames += frames
        segment.keyframes += keyframes
        segment.end_us = end_us
        if lost := self._missing.take():
            segment.lost += lost
            if segment.lost_from_us is None:
                segment.lost_from_us = begun_us
            # Told with each fragment that is short of some, so that a crash leaves no damage unsaid: one loss in all.
            # Where the camera runs ahead of arrival, the next label comes before the end of what was lost here.
            until_us = end_us if next_us is None else max(begun_us, min(end_us, next_us))
            self._sink.loss(segment.lost_from_us, until_us, Cause.LOSS, segment.lost, 0)

    def _build(self, segment: _Segment, last_duration: int) -> tuple[bytes, list[SyncPoint], int]:
        """(everything of the fragment but its samples, where its keyframes are, the media time of its end)."""
        samples, decoding = lay_out(
            [time - segment.time for time in self._times], self._sizes, self._keys, segment.decoded + 1, last_duration
        )
        segment.decoded = decoding[-1]
        sound = self._sound
        init = b""
        if not segment.sequence:
            init = init_segment(segment.video, sound.format if sound is not None else None)
        position = segment.length + len(init) + PRFT_SIZE
        keys = indexed_keys(self._keys, len(samples))
        points = [SyncPoint(decoding[index], position, index + 1) for index in keys]
        wall_us = segment.start.start_us + ticks_to_us(decoding[0])
        run = sound.take(ticks_to_us(segment.time) + (self._delay.least() or 0)) if sound is not None else None
        head = fragment_head(segment.sequence + 1, wall_us, decoding[0], samples, run)
        return init + head, points, max(self._times) + last_duration

    def _label(self, segment: _Segment, time: int, arrived_us: int | None = None) -> int:
        """The wall clock time of a media time of `segment`, never far ahead of its arrival (a monotonic time).

        A camera may begin with a few seconds it had kept; those lie before the label, not in the future.
        """
        elapsed = ticks_to_us(time - segment.time)
        if arrived_us is not None:
            by_arrival = max(1, arrived_us - segment.start.start_mono_us)
            if elapsed - by_arrival > RUN_AHEAD_US:
                elapsed = by_arrival
        return segment.start.start_us + elapsed

    def _begin_segment(self, timestamp: int, video: VideoFormat, entry: Entry, wall_us: int, mono_us: int) -> None:
        start = SegmentStart(wall_us, mono_us, self._sink.current_run())
        target = self._lengths.segment
        if self._first:
            target = round(target * (0.25 + 0.75 * self._stagger))
        self._first = self._new_segment_wanted = False
        self._media.anchor()
        self._missing.say_lost(wall_us)
        codec = video.codec
        if self._sound is not None:
            codec = f"{codec},{self._sound.format.codec}"
            self._sound.begin_segment()
            self._delay.settle()
        self._segment = _Segment(start, self._media.time, timestamp, video, codec, target, entry is not Entry.CLOSED)
        self._sink.begin(start, video, codec)

    def _end_segment(self, next_start_us: int | None) -> None:
        """`next_start_us`: where the stream goes on, under the same clock."""
        segment = self._segment
        assert segment is not None
        self._segment = None
        if not segment.frames:
            return
        offset = None
        if self._report is not None:
            camera_us, timestamp = self._report
            offset = camera_us + ticks_to_us(signed_ticks(segment.stamp, timestamp)) - segment.start.start_us
        end_us = segment.end_us
        if next_start_us is not None and next_start_us > segment.start.start_us:
            end_us = next_start_us
        self._say_held(segment)
        self._missing.outside_from_us = end_us
        self._sink.end(
            SegmentEnd(
                index=random_access(segment.points),
                end_us=end_us,
                frames=segment.frames,
                keyframes=segment.keyframes,
                codec=segment.codec,
                width=segment.video.width,
                height=segment.video.height,
                lost_packets=segment.lost,
                rtcp_offset_us=offset,
            )
        )

    def _say_held(self, segment: _Segment) -> None:
        """The camera stood still, clock and all: its timestamps show no hole, but arrival never caught up with them."""
        since, ticks = segment.held
        arrived_us = self._media.mono_us - segment.start.start_mono_us
        behind = us_to_ticks(arrived_us) - (self._media.peak - segment.time)
        if ticks and 2 * behind > ticks and not self._media.by_arrival:
            start_us = self._label(segment, since)
            frames = max(1, ticks // self._media.duration)
            self._sink.loss(start_us, start_us + ticks_to_us(ticks), Cause.LOSS, 0, frames)
