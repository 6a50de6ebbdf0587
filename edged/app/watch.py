"""Listens to the recorder processes once a second and lets the outage desk judge what it hears."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from edged.app.dealing import process_of
from edged.base.clock import SECOND, Clock
from edged.base.tasks import Backoff, supervise
from edged.model import RecorderStatus, VolumeStatus
from edged.outage.desk import OutageDesk
from edged.record.status import follow_status

LOOK_SECONDS = 1.0
# Status comes once a second; after three missed ones a recorder is taken for gone.
GONE_US = 3 * SECOND


class Watch:
    """Hears the recorder processes on their `sockets`, by process id, the first of which is the recorder's own."""

    def __init__(self, clock: Clock, sockets: Mapping[str, Path]) -> None:
        self._clock = clock
        self._sockets = dict(sockets)
        self._heard: dict[str, tuple[RecorderStatus, int]] = {}  # and when, monotonic

    def latest(self) -> RecorderStatus | None:
        """What the processes that are there say, as one; None where none is."""
        return merge([status for process in self._sockets if (status := self.latest_of(process)) is not None])

    def latest_of(self, process: str) -> RecorderStatus | None:
        """What one process said last, or None once it has been silent for too long."""
        status, at_mono_us = self._heard.get(process, (None, 0))
        return status if self._clock.monotonic_us() - at_mono_us <= GONE_US else None

    def complete(self) -> bool:
        """Whether every process is there."""
        return all(self.latest_of(process) is not None for process in self._sockets)

    def reaches(self, camera: str) -> bool:
        """Whether the process that records `camera` is there."""
        return self.latest_of(process_of(camera, tuple(self._sockets))) is not None

    async def listen(self) -> None:
        """Follow every status socket until cancelled; a recorder that is not there is tried again and again."""
        async with asyncio.TaskGroup() as group:
            for process, socket in self._sockets.items():
                group.create_task(self._listen_to(process, socket), name=f"status:{process}")

    async def judge(self, desk: OutageDesk, beat: Callable[[], None]) -> None:
        """Have the desk look once a second until cancelled; `beat` tells the watchdog."""
        while True:
            await desk.observe(self.latest(), self.reaches)
            beat()
            await self._clock.sleep(LOOK_SECONDS)

    async def _listen_to(self, process: str, socket: Path) -> None:
        async def follow() -> None:
            async for status in follow_status(socket):
                self._heard[process] = status, self._clock.monotonic_us()

        await supervise(f"status of recorder {process}", follow, self._clock, backoff=Backoff(0.2, 1))


def merge(statuses: list[RecorderStatus]) -> RecorderStatus | None:
    """The statuses of several processes as that of one recorder, named after the first; None where there are none.

    A volume is well only where it is well for all that write to it; the times are those of the newest word.
    """
    if len(statuses) <= 1:
        return statuses[0] if statuses else None
    first, newest = statuses[0], max(statuses, key=lambda status: status.mono_us)
    volumes: dict[str, VolumeStatus] = {}
    for status in statuses:
        for one in status.volumes:
            known = volumes.get(one.volume)
            volumes[one.volume] = one if known is None else _both(known, one)
    return RecorderStatus(
        recorder=first.recorder,
        pid=first.pid,
        version=first.version,
        run=max(status.run for status in statuses),
        boot_id=first.boot_id,
        started_us=min(status.started_us for status in statuses),
        at_us=newest.at_us,
        mono_us=newest.mono_us,
        generation=max(status.generation for status in statuses),
        streams=tuple(stream for status in statuses for stream in status.streams),
        volumes=tuple(volumes.values()),
    )


def _both(a: VolumeStatus, b: VolumeStatus) -> VolumeStatus:
    return VolumeStatus(
        volume=a.volume,
        ok=a.ok and b.ok,
        reason=a.reason or b.reason,
        queued_bytes=a.queued_bytes + b.queued_bytes,
        written_bytes=a.written_bytes + b.written_bytes,
        overflows=a.overflows + b.overflows,
    )
