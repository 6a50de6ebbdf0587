"""A house for tests of retention: the real index, real files on real volumes, the shipped law, and a manual clock."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edged.archive import roster
from edged.archive.database import Database
from edged.archive.deletions import named
from edged.archive.indexing import index_facts
from edged.archive.layout import segment_path
from edged.archive.ledger import Entry, LedgerKind, entries
from edged.archive.segments import SegmentKey
from edged.archive.volumes import Space, open_volumes
from edged.base.clock import MINUTE, SECOND, ManualClock
from edged.base.worker import Worker
from edged.law.packs import load_packs, shipped_packs
from edged.law.site import SiteLaw
from edged.model import Designation, OwnRule, Place, SegmentSealed, Situation, StreamKind
from edged.retain.disk import SweptVolume
from edged.retain.gate import Gate
from edged.retain.holds import Hold, HoldRequest, Holds
from edged.retain.rows import StoredSegment, find_stored
from edged.retain.stamp import Stamper
from edged.retain.sweep import Sweep, SweepReport
from edged.retain.timekeeping import tick
from tests.archive_kit import leave_segment

# 2026-11-01 08:00 in Shanghai.
START_US = 1_793_491_200 * SECOND
PLENTY = Space(2**40, 2**39)


@dataclass
class House:
    """One box. `ntp` is what the kernel would say; `free` the free bytes every volume reports."""

    path: Path
    database: Database
    clock: ManualClock
    law: SiteLaw
    volumes: list[SweptVolume]
    ntp: bool = True
    free: Space | None = PLENTY
    batch: int = 50
    reports: list[SweepReport] = field(default_factory=list)
    run_no: int = 1
    seq: int = 0
    gate: Gate = field(default_factory=Gate)
    space: Callable[[Path], Space | None] | None = None

    def __post_init__(self) -> None:
        self.stamper = Stamper(self.law, self.clock, Situation("listed"))
        self.holds = Holds(self.database, self.clock, self.gate, self.volumes)
        self.sweep = Sweep(
            self.database,
            self.clock,
            self.law,
            self.volumes,
            self.gate,
            ntp=lambda: self.ntp,
            batch=self.batch,
            every_s=600,
            on_pass=self.reports.append,
            space=lambda path: self.space(path) if self.space else self.free,
        )

    async def camera(
        self,
        camera: str,
        place: Place = "listed",
        designations: tuple[Designation, ...] = (),
        own: OwnRule | None = None,
    ) -> None:
        situation = Situation(place, designations, own or OwnRule())
        self.stamper.know(camera, situation)

        def enter(connection: sqlite3.Connection) -> None:
            roster.upsert_found(connection, camera, source="static", situation=situation, at_us=self.clock.wall_us())
            roster.adopt(connection, camera, self.clock.wall_us())

        await self.database.write(enter)

    async def record(
        self, camera: str, end_us: int | None = None, *, length_us: int = MINUTE, volume: int = 0, size: int = 40
    ) -> SegmentKey:
        """One sealed segment as the recorder leaves it: the file first, then the fact in the index."""
        end = self.clock.wall_us() if end_us is None else end_us
        fact = self.sealed(camera, end, length_us=length_us, volume=volume, size=size)
        await self.index(fact, volume=volume)
        return SegmentKey(camera, StreamKind.MAIN, fact.start_us, fact.run, fact.seq)

    def sealed(
        self, camera: str, end: int, *, length_us: int = MINUTE, volume: int = 0, size: int = 40
    ) -> SegmentSealed:
        """A file on the disk, and what the journal is going to say of it."""
        self.seq += 1
        key = SegmentKey(camera, StreamKind.MAIN, end - length_us, self.run_no, self.seq)
        return leave_segment(
            self.volumes[volume].volume.path,
            key,
            end,
            size,
            boot_id=self.clock.boot_id(),
            start_mono_us=max(0, self.clock.monotonic_us() - (self.clock.wall_us() - end) - length_us),
        )

    async def index(self, fact: SegmentSealed, *, volume: int = 0) -> None:
        """What intake does with a line of the journal."""
        no = self.volumes[volume].volume.no
        await self.database.write(index_facts, no, [fact], self.stamper, self.law.tz)

    async def tick(self) -> None:
        self.stamper.follow((await tick(self.database, self.clock, lambda: self.ntp)).retention_us)

    async def one_pass(self) -> SweepReport:
        report = await self.sweep.one_pass()
        self.stamper.follow(report.time.retention_us)
        return report

    async def hold(self, *cameras: str, start_us: int, end_us: int | None = None) -> Hold:
        return await self.holds.place(
            HoldRequest(
                cameras=cameras,
                start_us=start_us,
                end_us=end_us,
                case="case-1",
                authority="authority-1",
                document="letter-1",
                placed_by="person-a",
            )
        )

    async def release(self, hold: str) -> None:
        await self.holds.release(hold, "person-b")
        await self.holds.release(hold, "person-c")

    def file(self, key: SegmentKey, volume: int = 0) -> Path:
        return self.volumes[volume].volume.path / segment_path(*key)

    async def row(self, key: SegmentKey) -> StoredSegment | None:
        return await self.database.read(find_stored, key)

    async def told(self, kind: LedgerKind) -> list[Entry]:
        return [e for e in await self.database.read(entries, 0, 10**6) if e.kind is kind]

    async def deletions(self) -> dict[SegmentKey, Entry]:
        """By segment the newest entry that deleted it, spared or not."""
        told = await self.told(LedgerKind.SEGMENTS_DELETED)
        return {key: entry for entry in told for key, _ in named(entry.body)}

    async def sql(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        return await self.database.write(lambda connection: connection.execute(statement, values).fetchall())


@asynccontextmanager
async def house(
    path: Path,
    *,
    jurisdiction: str = "jilin",
    volumes: int = 1,
    grace_days: int = 3,
    reserve_bytes: int = 1000,
    **options: Any,
) -> AsyncIterator[House]:
    """A box in an empty folder (its disk-0 and so on may be there already), closed at the end."""
    folders = [path / f"disk-{number}" for number in range(volumes)]
    for folder in folders:
        folder.mkdir(exist_ok=True)
    clock = ManualClock(START_US)
    database = Database(path / "index.sqlite")
    configured = [(folder.name, folder) for folder in folders]
    opened = await database.write(open_volumes, configured, clock.wall_us())
    swept = [SweptVolume(volume, Worker(volume.id), reserve_bytes=reserve_bytes) for volume in opened]
    law = SiteLaw(load_packs(shipped_packs()), jurisdiction, "Asia/Shanghai", grace_days)
    try:
        yield House(path, database, clock, law, swept, **options)
    finally:
        for each in swept:
            each.worker.shutdown()
        database.close()
