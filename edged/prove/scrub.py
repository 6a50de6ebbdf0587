"""Reads every segment again within so many days and compares it with the hash under which it was recorded.

Evenly, at idle priority, without filling the page cache; the place reached is durable, so a restart goes on there. A
file that is altered, unreadable or gone is a ledger entry and a finding that stays until the file is sound again.
Nothing is deleted for it and no expected hash is ever changed. A volume that does not show its identity before and
after a read tells nothing about its files.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from edged.archive import fixity
from edged.archive.database import Database
from edged.archive.fixity import Found
from edged.archive.segments import SegmentRow, segment_file
from edged.archive.volumes import Volume, prove
from edged.base.clock import SECOND, Clock
from edged.base.gently import idle_thread, sha256_of
from edged.base.worker import Worker
from edged.prove.pace import bytes_per_second, credit_after, wait_s

log = logging.getLogger(__name__)

LONGEST_WAIT_S = 60.0  # then the rate is looked at again: footage comes and goes
AWAY_S = 60.0


class Scrub:
    """Use `run` beside everything else, and `now` for what somebody asks; `close` ends the volumes' threads."""

    def __init__(self, database: Database, clock: Clock, volumes: Sequence[Volume], within_s: float) -> None:
        self._database = database
        self._clock = clock
        self._within_s = within_s
        self._volumes = {volume.no: volume for volume in volumes if not volume.fenced}
        self._workers: dict[int, Worker] = {}
        self.read_bytes = 0  # since this controller started

    async def run(self) -> None:
        """Read on until cancelled, each volume by itself."""
        async with asyncio.TaskGroup() as group:
            for volume in self._volumes.values():
                group.create_task(self._loop(volume), name=f"scrub:{volume.id}")

    def close(self) -> None:
        """End the threads, without waiting for a disk that hangs."""
        for worker in self._workers.values():
            worker.shutdown(wait=False)
        self._workers.clear()

    async def now(self, rows: Iterable[SegmentRow], on_progress: Callable[[], None] = lambda: None) -> dict[str, str]:
        """Read these segments at once; by segment id what was found, or why nothing can be said."""
        told: dict[str, str] = {}
        for row in rows:
            volume = self._volumes.get(row.volume)
            found = await self._look(volume, row) if volume is not None else None
            told[str(row.key)] = found.value if found is not None else "its volume is away"
            on_progress()
        return told

    async def _loop(self, volume: Volume) -> None:
        credit, then = 0.0, self._clock.monotonic_us()
        while True:
            row = await self._database.read(fixity.next_segment, volume.no)
            if row is None:
                if not await self._database.write(fixity.begin_round, volume.no, self._clock.wall_us()):
                    await self._clock.sleep(LONGEST_WAIT_S)
                continue
            total = sum(each.bytes for each in await self._database.read(fixity.progress) if each.volume == volume.id)
            rate = bytes_per_second(total, self._within_s)
            now = self._clock.monotonic_us()
            credit, then = credit_after(credit, (now - then) / SECOND, rate, row.bytes), now
            if wait := wait_s(credit, rate, row.bytes, LONGEST_WAIT_S):
                await self._clock.sleep(wait)
                continue
            if await self._look(volume, row) is None:
                await self._clock.sleep(AWAY_S)
                continue
            credit -= row.bytes
            await self._database.write(fixity.passed, volume.no, row)

    async def _look(self, volume: Volume, row: SegmentRow) -> Found | None:
        """Read one segment and enter what was found; None where the disk is not the volume's."""
        found = await self._worker(volume).run(examine, volume, row)
        if found is None:
            return None
        self.read_bytes += row.bytes if found in (Found.SOUND, Found.ALTERED) else 0
        if await self._database.write(fixity.note, row, found, volume.id, self._clock.wall_us()):
            if found is Found.SOUND:
                log.warning("segment %s on volume %s is sound again", row.key, volume.id)
            else:
                log.error(
                    "segment %s on volume %s is %s: it is not what was recorded. It stays as it is; check the disk,"
                    " and keep it as evidence",
                    row.key,
                    volume.id,
                    found.value,
                )
        return found

    def _worker(self, volume: Volume) -> Worker:
        if volume.no not in self._workers:
            worker = self._workers[volume.no] = Worker(f"scrub-{volume.id}")
            worker.submit(idle_thread)
        return self._workers[volume.no]


def examine(volume: Volume, row: SegmentRow) -> Found | None:
    """What lies where `row` says, compared with its hash; None where nothing can be concluded. Blocks."""
    if prove(volume):
        return None
    try:
        digest, length = sha256_of(volume.path / segment_file(row))
        found = Found.SOUND if (digest, length) == (row.sha256, row.bytes) else Found.ALTERED
    except FileNotFoundError:
        found = Found.GONE
    except OSError:
        found = Found.UNREADABLE
    return None if prove(volume) else found
