"""Listens to the recorder once a second and lets the outage desk judge what it hears."""

from collections.abc import Callable
from pathlib import Path

from edged.base.clock import SECOND, Clock
from edged.model import RecorderStatus
from edged.outage.desk import OutageDesk
from edged.record.status import follow_status

LOOK_SECONDS = 1.0
# Status comes once a second; after three missed ones the recorder is taken for gone.
GONE_US = 3 * SECOND


class Watch:
    """`latest` is what the recorder said last, or None once it has been silent for too long."""

    def __init__(self, clock: Clock, socket: Path) -> None:
        self._clock = clock
        self._socket = socket
        self._heard: RecorderStatus | None = None
        self._heard_mono_us = 0

    def latest(self) -> RecorderStatus | None:
        """The newest status that still counts."""
        if self._clock.monotonic_us() - self._heard_mono_us > GONE_US:
            return None
        return self._heard

    async def listen(self) -> None:
        """Follow the status socket; for `supervise`. Raises TryAgain when the recorder is not there."""
        async for status in follow_status(self._socket):
            self._heard, self._heard_mono_us = status, self._clock.monotonic_us()

    async def judge(self, desk: OutageDesk, beat: Callable[[], None]) -> None:
        """Have the desk look once a second until cancelled; `beat` tells the watchdog."""
        while True:
            await desk.observe(self.latest())
            beat()
            await self._clock.sleep(LOOK_SECONDS)
