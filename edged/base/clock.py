"""The only place that reads a clock.

Two clocks, never mixed: the wall clock labels (UTC, may jump), the monotonic clock measures durations (counts
suspend, starts anew at boot). Both are integer microseconds. Whoever decides takes ``now`` as an argument; whoever
acts is handed a ``Clock``.
"""

import asyncio
import heapq
import itertools
import time
from pathlib import Path
from typing import Protocol

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class Clock(Protocol):
    """Time as an object, for the parts that act."""

    def wall_us(self) -> int:
        """Microseconds since 1970-01-01 UTC. May step in either direction."""

    def monotonic_us(self) -> int:
        """Microseconds since boot, counting suspend. Never steps; comparable only within one boot."""

    def boot_id(self) -> str:
        """Names the boot that `monotonic_us` counts from."""

    async def sleep(self, seconds: float) -> None:
        """Wait at least `seconds` of monotonic time."""


class SystemClock:
    """The machine's own clocks (CLOCK_REALTIME and CLOCK_BOOTTIME)."""

    def __init__(self) -> None:
        boot_id = Path("/proc/sys/kernel/random/boot_id")
        self._boot_id = boot_id.read_text().strip() if boot_id.exists() else "unknown"

    def wall_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic_us(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000

    def boot_id(self) -> str:
        return self._boot_id

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that moves only when told to: the test's clock, held to the same contract as the real one.

    `advance` moves both clocks and wakes the sleepers whose time has come; `step_wall` moves the wall clock alone, as
    an operator or NTP does; `reboot` starts the monotonic clock anew.
    """

    def __init__(self, wall_us: int = 1_790_000_000 * SECOND, monotonic_us: int = 1000 * SECOND) -> None:
        self._wall = wall_us
        self._monotonic = monotonic_us
        self._boots = itertools.count(1)
        self._boot_id = f"boot-{next(self._boots)}"
        self._order = itertools.count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    def wall_us(self) -> int:
        return self._wall

    def monotonic_us(self) -> int:
        return self._monotonic

    def boot_id(self) -> str:
        return self._boot_id

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        wake_at = self._monotonic + max(0, round(seconds * SECOND))
        heapq.heappush(self._sleepers, (wake_at, next(self._order), woken))
        self._wake()
        await woken

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass on both clocks; negative is refused (time does not run backwards: use `step_wall`)."""
        if seconds < 0:
            raise ValueError("a monotonic clock never runs backwards; use step_wall to move the wall clock")
        passed = round(seconds * SECOND)
        self._wall += passed
        self._monotonic += passed
        self._wake()

    def step_wall(self, seconds: float) -> None:
        """Step the wall clock alone, forwards or backwards."""
        self._wall += round(seconds * SECOND)

    def reboot(self, off_seconds: float = 0) -> None:
        """Power off for `off_seconds`, then boot: a new boot id and a monotonic clock that starts near zero."""
        self._wall += round(off_seconds * SECOND)
        self._monotonic = SECOND
        self._boot_id = f"boot-{next(self._boots)}"

    def _wake(self) -> None:
        while self._sleepers and self._sleepers[0][0] <= self._monotonic:
            _, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
