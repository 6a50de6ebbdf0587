"""Where a stream's frames lie in time: RTP timestamps, believed as long as arrival bears them out. Pure.

Media time counts 90 kHz ticks from the first frame of a session. A camera's timestamps wrap every 13 hours, jump when
its clock is set, and stand still or run at another rate in broken firmware; none of that may stop a recording.
"""

import itertools
from collections.abc import Sequence

from edged.record.mp4.fmp4 import Sample
from edged.record.net.rtp import CLOCK, signed_ticks, us_to_ticks

REORDER = 2 * CLOCK  # frames shown in another order than sent lie closer together than this
JUMP = 5 * CLOCK  # a larger step that arrival does not bear out is the camera's clock jumping
SILENCE = CLOCK // 4  # a step that is this long, and four times the usual one, left frames out
VAGUE = CLOCK  # arrival alone shows no shorter silence: networks hold frames up for part of a second
DRIFT = 10 * CLOCK  # media time and arrival of one segment part by less, unless the camera's clock is useless
USUAL_DURATION = CLOCK // 25


class MediaTime:
    """The media time of one session, frame after frame."""

    def __init__(self) -> None:
        self.time = 0  # of the last frame
        self.peak = 0  # the latest seen: less than it means a frame shown before one that was sent earlier
        self.duration = USUAL_DURATION  # of a frame, going by the last two
        self.mono_us = 0  # arrival of the last frame
        self.silence = 0  # ticks by which the last frame came later than its predecessors led to expect
        self.held = 0  # ticks that passed before the last frame arrived, and that its timestamp knows nothing of
        self.jumped = False  # set with a jump; whoever acts upon it resets it
        self.by_arrival = False  # the timestamps are useless, and place nothing any more
        self._stamp: int | None = None
        self._anchor = (0, 0)  # media time and arrival that belong together

    def advance(self, timestamp: int, mono_us: int) -> bool:
        """Move on to the frame with this RTP timestamp and arrival; returns whether it is shown after all before it."""
        self.silence = self.held = 0
        if self._stamp is None:
            self._stamp, self.mono_us, self._anchor = timestamp, mono_us, (0, mono_us)
            return True
        step = signed_ticks(timestamp, self._stamp)
        waited = us_to_ticks(mono_us - self.mono_us)
        self._stamp, self.mono_us = timestamp, mono_us
        least = SILENCE
        if self.by_arrival:
            least = VAGUE
            step = max(waited, 1) + self.peak - self.time
        elif self._is_jump(step, waited):
            # The clock jumped: go on where arrival says.
            step = max(waited, self.duration) + self.peak - self.time
            self._jump(mono_us)
        elif step <= max(REORDER, 4 * self.duration) and abs(self._ahead(mono_us) + step) > DRIFT:
            self.by_arrival = True  # a clock that stands still or runs at another rate places nothing
            self._jump(mono_us)
        elif waited - step > VAGUE:
            self.held = waited - step
        self.time += step
        if self.time <= self.peak:
            return False
        lead, usual = self.time - self.peak, self.duration
        if lead > max(least, 4 * usual):
            self.silence = lead - usual
        # A camera that went slow is believed step by step; one that was silent for once is not slow.
        # Never more than REORDER: a segment's last frame must not last into a future that may not come.
        self.duration = min(lead, REORDER, 4 * usual if self.silence else REORDER)
        self.peak = self.time
        return True

    def anchor(self) -> None:
        """Measure drift from the last frame on."""
        self._anchor = self.time, self.mono_us

    def _is_jump(self, step: int, waited: int) -> bool:
        """Whether the clock was set while nothing came: the step is none that arrival bears out."""
        if step < -REORDER or (step > JUMP and waited < step // 2):
            return True
        # A frame that is shown before another, or that ends a silence, has not been waited for longer than that.
        return waited - step > VAGUE and (step < 0 or step > max(SILENCE, 4 * self.duration))

    def _ahead(self, mono_us: int) -> int:
        """Ticks by which media time leads arrival since the anchor."""
        time, arrived_us = self._anchor
        return self.time - time - us_to_ticks(mono_us - arrived_us)

    def _jump(self, mono_us: int) -> None:
        self.jumped = True
        self._anchor = self.peak, mono_us


def lay_out(
    times: Sequence[int], sizes: Sequence[int], keys: Sequence[int], first: int, last_duration: int
) -> tuple[list[Sample], list[int]]:
    """One fragment's frames as samples, and their decoding times.

    `times` are times of showing in the order sent, `keys` the numbers of the keyframes among them; no decoding time
    is less than `first`. Decoding times are the times of showing in ascending order: where B-frames make the two
    differ, the sample's shift says by how much. Two frames never share one, whatever the camera says.
    """
    decoding: list[int] = []
    last = first - 1
    for time in sorted(times):
        last = max(time, last + 1)
        decoding.append(last)
    durations = [after - before for before, after in itertools.pairwise(decoding)]
    durations.append(last_duration)
    samples = [
        Sample(duration, size, False, time - decoded)
        for duration, size, time, decoded in zip(durations, sizes, times, decoding, strict=True)
    ]
    for index in keys:
        sample = samples[index]
        samples[index] = Sample(sample.duration, sample.size, True, sample.shift)
    return samples, decoding
