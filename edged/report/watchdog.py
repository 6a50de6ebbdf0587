"""Feeds systemd's watchdog only while the daemon deserves it, and measures the event loop's lag on the way.

A frozen loop feeds nothing by itself; a loop that runs while a vital task is stuck must not feed either. `judge`
decides, `Watchdog` acts.
"""

import logging
from collections.abc import Callable, Sequence

from edged.base.clock import SECOND, Clock
from edged.base.sdnotify import notify as tell_systemd
from edged.base.sdnotify import watchdog_interval_us
from edged.base.tasks import Progress

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
LAG_SHARE = 4  # a loop late by more than a quarter of the watchdog's interval is not well


def judge(stalled: Sequence[str], lag_us: int, interval_us: int) -> str:
    """Why the watchdog is not to be fed, or "" where it is. `interval_us` is what systemd allows."""
    if stalled:
        return f"no progress from {', '.join(stalled)}"
    if lag_us > interval_us // LAG_SHARE:
        return f"the event loop was {lag_us / SECOND:.1f} s late"
    return ""


class Watchdog:
    """A task of the house; also holds the lag that health and metrics show."""

    def __init__(
        self,
        clock: Clock,
        progress: Progress,
        status: Callable[[], str],
        *,
        notify: Callable[[str], bool] = tell_systemd,
        interval_us: int | None = None,
    ) -> None:
        """`status` gives systemd's status line; `interval_us` replaces what systemd's environment says."""
        self._clock = clock
        self._progress = progress
        self._status = status
        self._notify = notify
        self._interval_us = interval_us if interval_us is not None else watchdog_interval_us()
        self._said = ""
        self._withheld = ""
        self.lag_us = 0  # how late the loop woke this task at the last tick

    async def run(self) -> None:
        """Tick until cancelled: twice or more within systemd's interval, at least once a second."""
        interval = self._interval_us
        tick = TICK_SECONDS if interval is None else min(TICK_SECONDS, interval / SECOND / 2)
        while True:
            before = self._clock.monotonic_us()
            await self._clock.sleep(tick)
            self.lag_us = max(0, self._clock.monotonic_us() - before - round(tick * SECOND))
            self._tick(interval)

    def _tick(self, interval_us: int | None) -> None:
        reason = judge(self._progress.stalled(), self.lag_us, interval_us or 30 * SECOND)
        if reason != self._withheld:
            self._withheld = reason
            if reason:
                log.error("not feeding the watchdog: %s", reason)
            else:
                log.info("feeding the watchdog again")
        if not reason and interval_us is not None:
            self._notify("WATCHDOG=1")
        line = self._status()
        if line != self._said:
            self._said = line
            self._notify(f"STATUS={line}")
