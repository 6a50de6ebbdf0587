"""The one way to start a task, and the supervision that decides whether it starts again.

A supervised component that raises ``TryAgain`` is repeated with jittered exponential back-off; ``OwnerMustAct`` is
repeated too, at the longest wait, because the owner may act at any time. Every other exception is a bug and passes
through: it ends the task tree, and the service manager restarts the process.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from edged.base.clock import SECOND, Clock
from edged.base.errors import OwnerMustAct, TryAgain

log = logging.getLogger(__name__)


class Backoff:
    """Waits between tries: doubling from `first` to `longest` seconds, each drawn from the upper half at random.

    The jitter keeps a fleet that failed together from coming back together.
    """

    def __init__(self, first: float = 1.0, longest: float = 30.0, draw: Callable[[], float] = random.random) -> None:
        self._first = first
        self._longest = longest
        self._draw = draw
        self._next = first

    def next_wait(self) -> float:
        """Seconds to wait before the next try."""
        wait, self._next = self._next, min(self._next * 2, self._longest)
        return wait * (0.5 + self._draw() / 2)

    def longest_wait(self) -> float:
        """Seconds to wait where only the owner can help; the following tries stay at the longest wait."""
        self._next = self._longest
        return self.next_wait()

    def reset(self) -> None:
        """Begin anew at the shortest wait, after a healthy period."""
        self._next = self._first


async def supervise(
    name: str,
    run: Callable[[], Awaitable[None]],
    clock: Clock,
    *,
    backoff: Backoff | None = None,
    healthy_after: float = 60.0,
    on_error: Callable[[TryAgain | OwnerMustAct], None] | None = None,
) -> None:
    """Run `run` again and again until it returns; see the module's text for which errors are repeated.

    `healthy_after` is how many seconds a run must have lasted for the back-off to begin anew.
    """
    backoff = backoff or Backoff()
    while True:
        started = clock.monotonic_us()
        try:
            return await run()
        except (TryAgain, OwnerMustAct) as error:
            if on_error is not None:
                on_error(error)
            if clock.monotonic_us() - started >= healthy_after * SECOND:
                backoff.reset()
            wait = backoff.longest_wait() if isinstance(error, OwnerMustAct) else backoff.next_wait()
            log.warning("%s failed, again in %.1f s: [%s] %s", name, wait, error.code, error)
        await clock.sleep(wait)


def spawn(name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start a task outside a TaskGroup. The caller owns its end: cancel and await it (see `cancel`)."""
    return asyncio.create_task(work, name=name)


async def cancel(*tasks: asyncio.Task[None]) -> None:
    """Cancel `tasks` and wait until they have ended; errors they ended with are logged, not raised."""
    for task in tasks:
        task.cancel()
    for task, outcome in zip(tasks, await asyncio.gather(*tasks, return_exceptions=True), strict=True):
        if isinstance(outcome, Exception):
            log.error("%s ended with an error", task.get_name(), exc_info=outcome)


class Progress:
    """Which vital tasks have made progress lately: what the watchdog asks before it feeds systemd."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._limits: dict[str, int] = {}
        self._beats: dict[str, int] = {}

    def expect(self, name: str, within_seconds: float) -> Callable[[], None]:
        """Register a vital task; returns the function it calls whenever it has made progress."""
        self._limits[name] = round(within_seconds * SECOND)
        self._beats[name] = self._clock.monotonic_us()

        def beat() -> None:
            self._beats[name] = self._clock.monotonic_us()

        return beat

    def stalled(self) -> list[str]:
        """Names of vital tasks that have been silent for longer than they promised."""
        now = self._clock.monotonic_us()
        return sorted(name for name, limit in self._limits.items() if now - self._beats[name] > limit)
