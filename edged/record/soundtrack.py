"""One session's audio: collected between the video's fragments, and placed beside the frames. No clock.

Both tracks are placed by their own timestamps; what ties them together is arrival. Over a segment or two, the packet
that was held up least says how far a track's time lies from the host's, so audio and video part by less than a tick.
"""

from edged.base.clock import SECOND
from edged.record.mp4.fmp4 import Sample, SoundRun
from edged.record.mp4.formats import AudioFormat
from edged.record.net.rtp import signed_ticks
from edged.record.quirks import OnQuirk, Quirk

SOUND_LIMIT = 1024 * 1024  # bytes collected between two fragments; two seconds of AAC are under 100 KiB
JUMP_US = 10 * SECOND  # a step of the timestamps that parts from arrival by more is the camera's clock jumping


class LeastDelay:
    """By how much a track's arrival lies behind its own time at the least, over the last one or two segments."""

    __slots__ = ("_before", "_now")

    def __init__(self) -> None:
        self._before: int | None = None
        self._now: int | None = None

    def note(self, delay_us: int) -> None:
        """A packet arrived that much later than its own time."""
        if self._now is None or delay_us < self._now:
            self._now = delay_us

    def settle(self) -> None:
        """A segment begins: what is older than the last one no longer counts, for clocks drift."""
        self._before, self._now = self._now, None

    def least(self) -> int | None:
        """None where nothing arrived."""
        known = [delay for delay in (self._before, self._now) if delay is not None]
        return min(known, default=None)


class Soundtrack:
    """The audio of one session."""

    def __init__(self, sound: AudioFormat, on_quirk: OnQuirk) -> None:
        self.format = sound
        self._on_quirk = on_quirk
        self._delay = LeastDelay()
        self._stamp: int | None = None
        self._position = 0  # ticks since the session's first frame of sound
        self._mono_us = 0
        # what is collected
        self._times: list[int] = []
        self._ticks: list[int] = []
        self._frames: list[bytes] = []
        self._size = 0
        # the open segment
        self._shift: int | None = None  # ticks from the session's time to the file's
        self._next = 0  # the earliest time in the file that is free

    def add(self, timestamp: int, ticks: int, data: bytes, mono_us: int) -> None:
        """Take one frame of sound, which lasts `ticks`."""
        rate = self.format.rate
        if self._stamp is not None:
            step = signed_ticks(timestamp, self._stamp)
            waited_us = mono_us - self._mono_us
            if abs(step * SECOND // rate - waited_us) > JUMP_US:
                step = waited_us * rate // SECOND
                self._shift = None
                self._on_quirk(Quirk.TIMESTAMP_JUMP)
            self._position += step
        self._stamp, self._mono_us = timestamp, mono_us
        self._delay.note(mono_us - (self._position + ticks) * SECOND // rate)
        if self._size + len(data) > SOUND_LIMIT:
            self._on_quirk(Quirk.AUDIO_UNUSABLE)
            return
        self._times.append(self._position)
        self._ticks.append(ticks)
        self._frames.append(data)
        self._size += len(data)

    def begin_segment(self) -> None:
        """A file begins; what was collected before belongs to none."""
        self._delay.settle()
        self._drop()
        self._shift, self._next = None, 0

    def take(self, zero_us: int) -> SoundRun | None:
        """What was collected, for the next fragment of the file whose time zero is `zero_us` on the monotonic clock."""
        least_us = self._delay.least()
        if not self._times or least_us is None:
            return None
        if self._shift is None:
            self._shift = (least_us - zero_us) * self.format.rate // SECOND
        times: list[int] = []
        following = self._next
        for time in self._times:
            following = max(time + self._shift, following)
            times.append(following)
            following += 1
        self._next = times[-1] + self._ticks[-1]
        ends = [*times[1:], self._next]
        samples = [
            Sample(end - time, len(frame), True) for time, end, frame in zip(times, ends, self._frames, strict=True)
        ]
        run = SoundRun(times[0], samples, b"".join(self._frames))
        self._drop()
        return run

    def _drop(self) -> None:
        self._times, self._ticks, self._frames = [], [], []
        self._size = 0
