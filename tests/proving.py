"""A box for tests of proofs: tests.retaining's house with a ledger that is told hour by hour, signed and mirrored."""

import datetime as dt
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edged.archive.indexing import index_facts
from edged.archive.segments import SegmentKey
from edged.base.clock import HOUR, MINUTE, SECOND
from edged.model import Cause, Fact, StreamDown, StreamKind, StreamUp
from edged.prove.bundle import Day, gather_day, write_bundle
from edged.prove.desk import ProofDesk
from edged.prove.hours import Hours
from edged.prove.key import open_key
from edged.prove.proofs import entry_line
from edged.prove.verify_retention import Report, verify_bundle
from tests.retaining import START_US, House, house

ORIGIN = "edged/test-site/nvr"
CAMERA = "cam-1"
DATE = dt.date(2026, 11, 2)
DAY_US = START_US + 16 * HOUR  # 00:00 of DATE in Shanghai


@dataclass
class Box:
    """One recorder with its proofs. `unread` names volumes whose journals cannot be read now."""

    house: House
    proofs: ProofDesk
    hours: Hours
    unread: set[str]

    async def until(self, at_us: int) -> None:
        """Let time pass up to `at_us`; the retention clock follows in steps it believes."""
        while (left := at_us - self.house.clock.wall_us()) > 0:
            self.house.clock.advance(min(left, 12 * HOUR) / SECOND)
            await self.house.tick()

    async def record(self, start_us: int, end_us: int, step_us: int = 10 * MINUTE) -> list[SegmentKey]:
        """Segments without a break."""
        return [
            await self.house.record(CAMERA, min(at + step_us, end_us), length_us=min(step_us, end_us - at))
            for at in range(start_us, end_us, step_us)
        ]

    async def facts(self, *facts: Fact) -> None:
        """What a journal tells beside segments."""
        await self.house.database.write(index_facts, 1, facts, self.house.stamper, self.house.law.tz)

    async def up(self, at_us: int) -> None:
        """The stream came up; a gap after this has no cause of its own."""
        await self.facts(StreamUp(camera=CAMERA, stream=StreamKind.MAIN, at_us=at_us, mono_us=1, boot_id="boot-1"))

    async def down(self, at_us: int, cause: Cause, until_us: int) -> None:
        """A feed lost for a while, with its cause."""
        await self.facts(
            StreamDown(
                camera=CAMERA,
                stream=StreamKind.MAIN,
                at_us=at_us + SECOND,
                mono_us=1,
                boot_id="boot-1",
                cause=cause,
                last_frame_us=at_us,
                code="REC-001",
            )
        )
        await self.up(until_us)

    async def bundle(self, folder: Path, date: dt.date = DATE) -> Path:
        """The proof of a day in a folder."""
        return _write(folder, await self.proofs.prove_day(CAMERA, StreamKind.MAIN, date))

    async def lying_bundle(self, folder: Path, lie: Callable[[Day, list[dict[str, Any]]], Day]) -> Path:
        """What a recorder would give out that has the key and lies: `lie` is told the day and its entries' bodies."""

        def make(connection: sqlite3.Connection) -> dict[str, str]:
            zone, now_us = self.house.law.tz, self.house.clock.wall_us()
            day = gather_day(connection, CAMERA, StreamKind.MAIN, DATE, zone, {})
            bodies = [json.loads(entry_line(connection, seq)) for seq in sorted(day.entries)]
            return write_bundle(connection, lie(day, bodies), self.proofs.key, "", now_us)

        return _write(folder, await self.house.database.write(make))

    async def told(self, kind: str) -> list[dict[str, Any]]:
        """The bodies of all ledger entries of one kind."""
        rows = await self.house.sql("SELECT body FROM ledger WHERE kind = ? ORDER BY seq", kind)
        return [json.loads(row["body"]) for row in rows]

    def check(self, folder: Path, *, files: bool = True) -> Report:
        """What an inspector finds who has the key, the bundle and, perhaps, the disk."""
        volumes = [each.volume.path for each in self.house.volumes]
        return verify_bundle(folder, volumes if files else [], [self.proofs.key.pem.encode()])


@asynccontextmanager
async def box(path: Path, *, adopt: bool = True, **options: Any) -> AsyncIterator[Box]:
    """A box in an empty folder, its camera adopted at START_US."""
    async with house(path, **options) as built:
        key = open_key(path, ORIGIN)
        volumes = [each.volume for each in built.volumes]
        proofs = ProofDesk(built.database, built.clock, key, volumes, "nvr", built.law)
        unread: set[str] = set()

        async def settled() -> None:
            """There are no journals: facts enter the index directly."""

        hours = Hours(built.database, built.clock, settled, lambda: unread)
        try:
            await built.tick()
            if adopt:
                await built.camera(CAMERA)
            yield Box(built, proofs, hours, unread)
        finally:
            proofs.close()


def _write(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def edit(path: Path, old: str, new: str) -> None:
    """Replace text in a file, which must be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{old!r} is not in {path.name}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def spoil(path: Path, at: int) -> None:
    """Flip one bit of one byte of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))
