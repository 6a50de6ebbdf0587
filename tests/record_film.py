"""A short real film as RTP over RTSP's interleaved frames, and what the recorder's pure parts make of it."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edged.model import Cause
from edged.record.buffers import FrameBuffer, Shelf
from edged.record.codecs.audio import AudioReceiver
from edged.record.codecs.tracks import audio_format, video_receiver
from edged.record.interleaved import InterleavedReader, OnPacket
from edged.record.mp4.formats import VideoFormat
from edged.record.net.rtp import us_to_ticks
from edged.record.net.rtsp_message import Message
from edged.record.net.sdp import AudioTrack, Codec, VideoTrack
from edged.record.quirks import Quirk
from edged.record.segmenter import Lengths, Segmenter
from edged.record.sink import SegmentEnd, SegmentStart
from simulators.clip import Clip, make_clip
from simulators.film import ClipSpec
from simulators.packets import Mark, render

TYPE = 96
SECOND = 1_000_000
START_US = 1_790_000_000 * SECOND
START_MONO_US = 5_000 * SECOND
FRAME_TICKS = 3600


JPEG_TYPE = 26
AUDIO_CHANNEL = 2
_CODECS = {"h264": Codec.H264, "h265": Codec.H265, "mjpeg": Codec.JPEG}


def film(gop: int = 25, codec: str = "h264", bframes: int = 0, open_gop: bool = False) -> Clip:
    size = (320, 184) if codec == "mjpeg" else (320, 180)
    bitrate = 3_000_000 if codec == "mjpeg" else 300_000
    return make_clip(
        ClipSpec(
            width=size[0], height=size[1], gop=gop, bitrate=bitrate, codec=codec, bframes=bframes, open_gop=open_gop
        )
    )


def track_of(clip: Clip, sets: Sequence[bytes] | None = None) -> VideoTrack:
    """The track that a description of `clip` gives, with these parameter sets or its own."""
    codec = _CODECS[clip.spec.codec]
    own = tuple(one for one in (clip.vps, clip.sps, clip.pps) if one)
    payload_type = JPEG_TYPE if codec is Codec.JPEG else TYPE
    return VideoTrack(None, None, payload_type, own if sets is None else tuple(sets), codec)


@dataclass(slots=True)
class Shown:
    """One frame on the wire."""

    counter: int
    data: bytes
    key: bool
    stamp: int


def show(clip: Clip, count: int, *, first: int = 0, sequence: int = 65_000, stamp: int = 0xFFFF_0000) -> list[Shown]:
    """`count` frames; sequence numbers and timestamps wrap within the first seconds."""
    shown = []
    for counter in range(first, first + count):
        template = clip.frames[counter % len(clip.frames)]
        age = clip.ages[counter % len(clip.frames)] if clip.ages else 0
        ticks = (stamp + (counter - first - age) * FRAME_TICKS) & 0xFFFF_FFFF
        mark = Mark(counter, START_US + counter * 40_000, 1)
        data = render(template, mark, sequence=sequence & 0xFFFF, timestamp=ticks, ssrc=7, channel=0)
        sequence += len(template.starts)
        shown.append(Shown(counter, bytes(data), template.is_keyframe, ticks))
    return shown


def packet(
    payload: bytes, *, number: int, stamp: int, marker: bool = False, channel: int = 0, kind: int = TYPE, ssrc: int = 7
) -> bytes:
    """One interleaved RTP packet."""
    rtp = struct.pack(">BBHII", 0x80, kind | marker << 7, number & 0xFFFF, stamp & 0xFFFF_FFFF, ssrc) + payload
    return struct.pack(">BBH", 0x24, channel, len(rtp)) + rtp


@dataclass(slots=True)
class Unit:
    """An access unit as the depacketizer gave it out."""

    data: bytes
    timestamp: int
    key: bool
    arrived_us: int

    def nals(self) -> list[bytes]:
        found, at = [], 0
        while at < len(self.data):
            size = int.from_bytes(self.data[at : at + 4], "big")
            found.append(self.data[at + 4 : at + 4 + size])
            at += 4 + size
        assert at == len(self.data)
        return found


class Receiver:
    """Interleaved bytes in any portions; units, reports and messages out."""

    def __init__(self, sets: Sequence[bytes] = (), codec: Codec = Codec.H264) -> None:
        self.units: list[Unit] = []
        self.messages: list[Message] = []
        self.reports: list[bytes] = []
        self.buffer = FrameBuffer(Shelf())
        self.quirks: set[Quirk] = set()
        track = VideoTrack(None, None, TYPE, tuple(sets), codec)
        self.video = video_receiver(track, self.buffer, self._unit, self.quirks.add)
        self._reader = InterleavedReader(
            self.video, TYPE, 0, {1: self._report}, on_message=self._message, on_quirk=self.quirks.add
        )
        self._rest = b""

    def feed(self, data: bytes, at_us: int = START_US) -> None:
        data = self._rest + data
        done = self._reader.feed(memoryview(data), 0, len(data), at_us, at_us)
        self._rest = data[done:]

    @property
    def rest(self) -> int:
        return len(self._rest)

    def _unit(self, start: int, timestamp: int, key: bool, wall_us: int, mono_us: int) -> None:
        self.units.append(Unit(bytes(self.buffer.view[start : self.buffer.fill]), timestamp, key, wall_us))
        self.buffer.fill = start

    def _report(self, data: memoryview, start: int, stop: int, wall_us: int, mono_us: int) -> None:
        self.reports.append(bytes(data[start:stop]))

    def _message(self, message: Message) -> None:
        self.messages.append(message)


@dataclass(slots=True)
class Tape:
    """One segment as the sink received it."""

    start: SegmentStart
    video: VideoFormat
    codec: str
    pieces: list[bytes] = field(default_factory=list)
    ends_us: list[int] = field(default_factory=list)
    end: SegmentEnd | None = None

    def write_to(self, path: Path) -> Path:
        path.write_bytes(b"".join(self.pieces) + (self.end.index if self.end is not None else b""))
        return path


@dataclass(slots=True)
class LossSaid:
    start_us: int
    end_us: int
    cause: Cause
    packets: int
    frames: int


class Recording:
    """The pure recorder: a receiver whose units go to a segmenter, whose decisions go to tapes.

    Arrival is `arrives_us` for the wall clock; the monotonic clock is told apart by `clock_offset_us`.
    """

    def __init__(
        self,
        clip: Clip,
        *,
        segment_s: float = 60.0,
        fragment_s: float = 2.0,
        stagger: float = 1.0,
        sets: Sequence[bytes] | None = None,
        audio: AudioTrack | None = None,
    ) -> None:
        self.tapes: list[Tape] = []
        self.losses: list[LossSaid] = []
        self.run = 1
        self.full = False
        self.clock_offset_us = 0
        self._rest = b""
        self.buffer = FrameBuffer(Shelf())
        track = track_of(clip, sets)
        self.quirks: list[Quirk] = []
        self.video = video_receiver(track, self.buffer, self._unit, self.quirk)
        lengths = Lengths(us_to_ticks(round(segment_s * SECOND)), us_to_ticks(round(fragment_s * SECOND)))
        self.segmenter = Segmenter(self, lengths, stagger, START_US, audio_format(audio, self.quirk))
        others: dict[int, OnPacket] = {}
        if audio is not None:
            self.audio = AudioReceiver(audio, self.segmenter.sound, self.quirk)
            others[AUDIO_CHANNEL] = self.audio.packet
        self._reader = InterleavedReader(
            self.video, track.payload_type, 0, others, on_message=lambda message: None, on_quirk=self.quirk
        )

    def play(self, shown: Sequence[Shown], start_us: int = START_US, every_us: int = 40_000) -> int:
        """Each frame arrives whole, one after another; returns the arrival after the last."""
        at_us = start_us
        for frame in shown:
            self.feed(frame.data, at_us)
            at_us += every_us
        return at_us

    def feed(self, data: bytes, at_us: int) -> None:
        mono_us = at_us - START_US + START_MONO_US + self.clock_offset_us
        data = self._rest + data
        self._rest = data[self._reader.feed(memoryview(data), 0, len(data), at_us, mono_us) :]
        if self.segmenter.overdue(mono_us):
            self.segmenter.flush(self.video.take_ready())

    def finish(self, now_us: int = START_US + 3600 * SECOND) -> list[Tape]:
        self.segmenter.finish(self.video.take_ready(), now_us)
        return self.tapes

    def _unit(self, start: int, timestamp: int, key: bool, wall_us: int, mono_us: int) -> None:
        self.segmenter.unit(self.buffer, start, timestamp, key, wall_us, mono_us, self.video.format, self.video.entry)

    def quirk(self, quirk: Quirk) -> None:
        if quirk not in self.quirks:
            self.quirks.append(quirk)

    def begin(self, start: SegmentStart, video: VideoFormat, codec: str) -> None:
        self.tapes.append(Tape(start, video, codec))

    def write(self, head: bytes, body: memoryview, end_us: int) -> bool:
        if self.full:
            return False
        self.tapes[-1].pieces.append(head + bytes(body))
        self.tapes[-1].ends_us.append(end_us)
        return True

    def end(self, end: SegmentEnd) -> None:
        self.tapes[-1].end = end

    def loss(self, start_us: int, end_us: int, cause: Cause, packets: int, frames: int) -> None:
        # Told again with the same beginning it is the same loss, as in the index.
        self.losses = [
            one for one in self.losses if (one.start_us, one.cause, one.packets > 0) != (start_us, cause, packets > 0)
        ]
        self.losses.append(LossSaid(start_us, end_us, cause, packets, frames))

    def current_run(self) -> int:
        return self.run

    def lost_packets(self) -> int:
        return self.video.lost
