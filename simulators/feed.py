"""What a camera films and hears and how it goes wrong: counters, times, and the faults of the media path.

The camera films from the day it is made, whether anybody looks or not: frame n is sent n / fps after its start, so a
hole in a recording shows as a jump of the counter. Frames are counted in the order they are sent; with B-frames that
is the decoding order, and a frame was captured a few frames' time before its turn. Decides only; the time is always
an argument.
"""

import random
from dataclasses import dataclass

from simulators import metadata
from simulators.clip import Clip
from simulators.packets import CLOCK_RATE_HZ, FrameTemplate, Mark
from simulators.sound import Sound


@dataclass(slots=True)
class Feed:
    """One camera's endless film. `started_us` is when frame 0 was captured (microseconds UTC)."""

    clip: Clip
    camera: int
    started_us: int
    draw: random.Random
    stalled: bool = False
    drop_share: float = 0.0
    """The share of packets lost, 0 to 1."""
    jump_ticks: int = 0
    """How far the RTP clock was pushed, in 1/90000 s."""
    sound: Sound | None = None
    metadata: bool = False
    _next_clip: Clip | None = None
    _next_from: int = 0

    def newest(self, now_us: int) -> int:
        """The counter of the last frame due at `now_us`."""
        return (now_us - self.started_us) * self.clip.spec.fps // 1_000_000

    def captured_us(self, counter: int) -> int:
        """When frame `counter` is due, rounded up so that `newest` at that time is `counter`; without B-frames this is
        also when it was captured.
        """
        return self.started_us - (-counter * 1_000_000 // self.clip.spec.fps)

    def frame(self, counter: int) -> FrameTemplate:
        """The packets of this frame. Counters only grow: a switch of films that has been reached is done."""
        if self._next_clip is not None and counter >= self._next_from:
            self.clip, self._next_clip = self._next_clip, None
        return self.clip.frames[counter % len(self.clip.frames)]

    def switch(self, clip: Clip, after: int) -> None:
        """Show another film of the same rhythm from the first keyframe later than `after`."""
        self._next_clip, self._next_from = clip, self.keyframe_after(after)

    def keyframe_after(self, counter: int) -> int:
        """The first keyframe later than `counter`."""
        gop, frames = self.clip.spec.gop, self.clip.frames
        if self.clip.spec.open_gop:
            ahead = range(counter + 1, counter + 1 + len(frames))
            return next(number for number in ahead if frames[number % len(frames)].is_keyframe)
        return (counter // gop + 1) * gop

    def mark(self, counter: int) -> Mark:
        """What the SEI of this frame says."""
        return Mark(counter, self.captured_us(self._shows(counter)), self.camera)

    def ticks(self, counter: int) -> int:
        """The frame's presentation time on the RTP clock, before the session's random offset (RFC 3550 section 5.1)."""
        return self._shows(counter) * CLOCK_RATE_HZ // self.clip.spec.fps + self.jump_ticks

    def ticks_at(self, now_us: int, clock_rate_hz: int = CLOCK_RATE_HZ) -> int:
        """An RTP clock's reading at `now_us`, which a sender report pairs with the wall clock."""
        pushed = self.jump_ticks * clock_rate_hz // CLOCK_RATE_HZ
        return (now_us - self.started_us) * clock_rate_hz // 1_000_000 + pushed

    def lose(self, packets: int) -> set[int]:
        """The positions, among this many packets, of those lost on the way."""
        if not self.drop_share:
            return set()
        return {n for n in range(packets) if self.draw.random() < self.drop_share}

    def newest_sound(self, now_us: int) -> int:
        """The counter of the last audio packet all heard at `now_us`; below 0 before the first."""
        if self.sound is None:
            return -1
        heard = (now_us - self.started_us) * self.sound.clock_rate_hz // 1_000_000
        return heard // self.sound.samples - 1

    def sound_mark(self, counter: int) -> Mark:
        """What the audio packet says: when its first sample was heard."""
        assert self.sound is not None
        at_us = self.started_us + counter * self.sound.samples * 1_000_000 // self.sound.clock_rate_hz
        return Mark(counter, at_us, self.camera)

    def sound_ticks(self, counter: int) -> int:
        """The audio packet's time on its own RTP clock."""
        assert self.sound is not None
        pushed = self.jump_ticks * self.sound.clock_rate_hz // CLOCK_RATE_HZ
        return counter * self.sound.samples + pushed

    def newest_document(self, now_us: int) -> int:
        """The counter of the last metadata document written at `now_us`."""
        return (now_us - self.started_us) // metadata.INTERVAL_US

    def document_us(self, counter: int) -> int:
        """When this document was written."""
        return self.started_us + counter * metadata.INTERVAL_US

    def _shows(self, counter: int) -> int:
        """Which frame's time this frame shows: its own, or an earlier one with B-frames."""
        ages = self.clip.ages
        return counter - ages[counter % len(ages)] if ages else counter
