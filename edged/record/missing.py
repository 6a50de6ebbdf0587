"""What of one session is missing and not yet said: lost packets and refused frames, until a fact answers for them.

Pure. Every packet that the session counts as lost is in exactly one loss fact: of the segment whose frames are short
of it, or, where none was open, of the time in between (I4).
"""

from collections.abc import Callable

from edged.model import Cause

OnLoss = Callable[[int, int, Cause, int, int], None]  # from, to, cause, packets, frames


class Missing:
    """`began_us` is when the session began; times are wall clock microseconds UTC."""

    __slots__ = ("_frames", "_lost", "_refused_from_us", "_said", "_say", "outside_from_us")

    def __init__(self, say: OnLoss, began_us: int) -> None:
        self._say = say
        self._lost = 0  # packets, as of the last frame taken: those lost since are missing from a frame to come
        self._said = 0  # of these, the ones that a segment or a fact answers for
        self.outside_from_us = began_us  # where no segment is open: since when
        self._refused_from_us: int | None = None
        self._frames = 0

    # --- packets -----------------------------------------------------------------------------------------------------

    def lost(self, packets: int) -> None:
        """So many are lost since the session began, as of a frame that was taken."""
        self._lost = packets

    def take(self) -> int:
        """Packets lost since the last time; whoever asks answers for them."""
        lost, self._said = self._lost - self._said, self._lost
        return lost

    def say_lost(self, until_us: int) -> None:
        """No segment is open, and none answers for what was lost: before the first keyframe, behind the last frame."""
        if lost := self.take():
            self._say(min(self.outside_from_us, until_us), until_us, Cause.LOSS, lost, 0)
            self.outside_from_us = until_us  # two losses with one beginning would be one

    # --- frames ------------------------------------------------------------------------------------------------------

    def refused(self, begun_us: int, frames: int) -> None:
        """The volume had no room for `frames`; what was stored before them ended at `begun_us`."""
        if self._refused_from_us is None:
            self._refused_from_us = begun_us
        self._frames += frames

    def passed_over(self) -> None:
        """A frame came while no segment was open: the price of a refusal, if there was one."""
        self._frames += self._refused_from_us is not None

    def say_refused(self, until_us: int) -> None:
        """Frames are stored again from `until_us` on, or never will be."""
        if self._refused_from_us is not None:
            from_us, self._refused_from_us = self._refused_from_us, None
            self._say(from_us, max(from_us, until_us), Cause.DISK, 0, self._frames)
            self._frames = 0
