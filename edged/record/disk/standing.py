"""How a volume stands: fenced and why, or well and for how long. Decides only; the time is always an argument.

A volume that fails is given up at once and opened anew. Streams come back to it when it has been well for a while, and
each failure that follows soon upon another makes that while twice as long: a disk that comes and goes must not tear
its cameras' footage every few seconds.
"""

from edged.base.clock import SECOND

PROBATION_US = 5 * SECOND  # how long a volume that had failed must be well before streams come back to it
LONGEST_PROBATION_US = 600 * SECOND  # well for longer than this, and what was before is forgotten
NOT_OPENED = "the disk has not answered yet"


class Standing:
    """Of one volume; written by its own thread alone, read by any. `reason` is why it is fenced, "" where it is not."""

    __slots__ = ("_failures", "_trusted_from_us", "_well_since_us", "full", "reason")

    def __init__(self) -> None:
        self.reason = NOT_OPENED
        self.full = False  # it is fenced because it has no room
        self._failures = 0  # in close succession
        self._well_since_us = self._trusted_from_us = 0

    @property
    def has_failed(self) -> bool:
        """Whether it has lately failed: then that it can be opened proves nothing yet."""
        return self._failures > 0

    def trusted(self, now_us: int) -> bool:
        """Whether streams may come (back) to it."""
        return not self.reason and now_us >= self._trusted_from_us

    def opened(self, now_us: int) -> None:
        """It can be written to."""
        probation_us = 0
        if self._failures:
            probation_us = min(PROBATION_US << min(self._failures - 1, 20), LONGEST_PROBATION_US)
        self._well_since_us, self._trusted_from_us = now_us, now_us + probation_us
        self.full = False
        self.reason = ""  # the last to change: from here on others ask whether it is trusted

    def failed(self, reason: str, now_us: int, *, full: bool) -> bool:
        """It cannot be written to, or not be opened; returns whether that, or why, is news."""
        if not self.reason:
            if now_us - self._well_since_us > LONGEST_PROBATION_US:
                self._failures = 0
            self._failures += 1
        news = reason != self.reason
        self.reason, self.full = reason, full
        return news
