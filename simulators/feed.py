"""What a camera films and how it goes wrong: counters, times, and the faults of the media path.

The camera films from the day it is made, whether anybody looks or not: frame n is captured at n / fps after its start,
so a hole in a recording shows as a jump of the counter. Decides only; the time is always an argument.
"""

import random
from dataclasses import dataclass

from simulators.clip import Clip
from simulators.packets import CLOCK_RATE_HZ, FrameTemplate, Mark


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

    def newest(self, now_us: int) -> int:
        """The counter of the last frame captured at `now_us`."""
        return (now_us - self.started_us) * self.clip.spec.fps // 1_000_000

    def captured_us(self, counter: int) -> int:
        """When frame `counter` was captured, rounded up so that `newest` at that time is `counter`."""
        return self.started_us - (-counter * 1_000_000 // self.clip.spec.fps)

    def frame(self, counter: int) -> FrameTemplate:
        """The packets of this frame."""
        return self.clip.frames[counter % len(self.clip.frames)]

    def keyframe_after(self, counter: int) -> int:
        """The first keyframe later than `counter`."""
        gop = self.clip.spec.gop
        return (counter // gop + 1) * gop

    def mark(self, counter: int) -> Mark:
        """What the SEI of this frame says."""
        return Mark(counter, self.captured_us(counter), self.camera)

    def ticks(self, counter: int) -> int:
        """The frame's time on the RTP clock, before the session's random offset (RFC 3550 section 5.1)."""
        return counter * CLOCK_RATE_HZ // self.clip.spec.fps + self.jump_ticks

    def ticks_at(self, now_us: int) -> int:
        """The RTP clock's reading at `now_us`, which a sender report pairs with the wall clock."""
        return (now_us - self.started_us) * CLOCK_RATE_HZ // 1_000_000 + self.jump_ticks

    def lose(self, packets: int) -> set[int]:
        """The positions, among this many packets, of those lost on the way."""
        if not self.drop_share:
            return set()
        return {n for n in range(packets) if self.draw.random() < self.drop_share}
