"""A fleet's one clock: true time, whatever the wall clock does meanwhile."""

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timebase:
    """True time in microseconds UTC, told by the monotonic clock from one reading of the wall clock."""

    wall_us: int
    monotonic_s: float

    def now_us(self) -> int:
        """The time now."""
        return self.wall_us + round((asyncio.get_running_loop().time() - self.monotonic_s) * 1e6)

    def loop_time(self, at_us: int) -> float:
        """The event loop's clock at this time."""
        return self.monotonic_s + (at_us - self.wall_us) / 1e6
