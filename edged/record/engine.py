"""The heartbeat of the recorder: every session is drained on one tick.

Draining on a tick rather than on each readiness event reads larger pieces, some 50 KiB of a 4 Mbit/s camera at once,
and needs no poll; it took a third off the CPU per camera. Labels may be late by the tick for it.
"""

import asyncio
import logging
from collections.abc import Callable

from edged.base.clock import SECOND, Clock
from edged.record.disk.runs import RunCounter
from edged.record.errors import BadStream, StreamFailed
from edged.record.session import SCRATCH_BYTES, Session

log = logging.getLogger(__name__)
TICK_SECONDS = 0.1
CLOCK_TOLERANCE_US = 2 * SECOND


class Engine:
    """Drains the sessions entered into it until they fail; also notices that the clocks have parted."""

    def __init__(self, clock: Clock, runs: RunCounter) -> None:
        self._clock = clock
        self._runs = runs
        self.run = runs.take()  # of the segments that begin now
        self._parted_us = clock.wall_us() - clock.monotonic_us()
        self._live: dict[Session, asyncio.Future[StreamFailed]] = {}
        self._scratch = memoryview(bytearray(SCRATCH_BYTES))

    async def drain_until_failure(self, session: Session) -> StreamFailed:
        """Keep `session` drained; returns why it ended."""
        failed: asyncio.Future[StreamFailed] = asyncio.get_running_loop().create_future()
        self._live[session] = failed
        try:
            return await failed
        finally:
            self._live.pop(session, None)

    async def tick_for_ever(self, beat: Callable[[], None]) -> None:
        """`beat` is called after every tick: what the service manager's watchdog is fed by."""
        while True:
            began = self._clock.monotonic_us()
            self.tick()
            beat()
            spent = self._clock.monotonic_us() - began
            await self._clock.sleep(max(TICK_SECONDS - spent / SECOND, 0.005))

    def tick(self) -> None:
        """Drain every session once."""
        clock, scratch = self._clock, self._scratch
        self._compare_clocks()
        for session, failed in list(self._live.items()):
            if failed.done():
                continue
            try:
                session.drain(scratch, clock.wall_us(), clock.monotonic_us())
            except StreamFailed as error:
                failed.set_result(error)
            except Exception:
                # A bug that one camera's bytes wake must not end the recording of all the others.
                log.exception("a session failed in an unforeseen way")
                failed.set_result(BadStream("what the camera sent was not foreseen; see the log"))

    def _compare_clocks(self) -> None:
        parted_us = self._clock.wall_us() - self._clock.monotonic_us()
        if abs(parted_us - self._parted_us) > CLOCK_TOLERANCE_US:
            self.run = self._runs.take()
            log.warning(
                "the wall clock moved by %.1f s against the monotonic clock: run %d begins",
                (parted_us - self._parted_us) / SECOND,
                self.run,
            )
            self._parted_us = parted_us
        elif self.run < self._runs.least:  # a volume was opened that had seen it
            self.run = self._runs.take()
