"""Footage that enters the index long after it was recorded: counted from then, declared, and kept to be looked at."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edged.archive.intake import Intake
from edged.archive.late import LATE_US, late, tell_late
from edged.archive.ledger import LedgerKind
from edged.base.clock import DAY, HOUR, MINUTE
from edged.base.spans import Span
from edged.law.counting import keep_until_us
from edged.law.site import INSPECTION_US
from edged.model import SegmentSealed
from tests.archive_kit import sealed, write_files, write_journal
from tests.retaining import START_US, House, house


@asynccontextmanager
async def following(tmp_path: Path) -> AsyncIterator[tuple[House, Intake]]:
    async with house(tmp_path) as box:
        for camera in ("cam-a", "cam-b"):
            await box.camera(camera)
        await box.tick()
        volumes = [swept.volume for swept in box.volumes]
        intake = Intake(box.database, box.clock, volumes, box.stamper, box.law.tz)
        try:
            yield box, intake
        finally:
            intake.close()


def minute(
    box: House, start_us: int, camera: str = "cam-a", *, seq: int = 0, boot_id: str | None = None
) -> SegmentSealed:
    """A minute as this boot's recorder journals it at `start_us` of the true time."""
    mono = box.clock.monotonic_us() - (box.clock.wall_us() - start_us)
    return sealed(camera, start_us, seq=seq, boot_id=boot_id or box.clock.boot_id(), start_mono_us=mono)


def arrive(box: House, *facts: SegmentSealed) -> None:
    disk = box.volumes[0].volume.path
    write_files(disk, facts)
    write_journal(disk, facts, START_US)


async def kept_until(box: House) -> list[int]:
    return [row["keep_until_us"] for row in await box.sql("SELECT keep_until_us FROM segment ORDER BY start_us")]


async def test_what_comes_late_in_the_same_boot_is_counted_from_when_it_was_recorded(tmp_path: Path) -> None:
    async with following(tmp_path) as (box, intake):
        box.clock.advance(28 * 86400)
        await box.tick()
        arrive(box, minute(box, START_US))
        await intake.catch_up()
        assert await kept_until(box) == [keep_until_us(START_US + MINUTE, 30, box.law.tz)]


async def test_i1_what_comes_late_from_another_boot_is_counted_from_its_arrival(tmp_path: Path) -> None:
    """Nothing tells it from fresh footage that a dead battery labelled: kept longer, never shorter."""
    async with following(tmp_path) as (box, intake):
        box.clock.advance(28 * 86400)
        await box.tick()
        arrive(box, minute(box, START_US, boot_id="another"))
        await intake.catch_up()
        assert await kept_until(box) == [keep_until_us(box.clock.wall_us(), 30, box.law.tz)]


async def test_i1_a_wrong_label_of_this_boot_is_counted_from_when_it_was_recorded(tmp_path: Path) -> None:
    """The clock fell back ten days and was put right before anybody looked; a day has passed since."""
    async with following(tmp_path) as (box, intake):
        box.clock.advance(20 * 86400)
        await box.tick()
        true_us = box.clock.wall_us()
        fact = minute(box, true_us)
        labelled = sealed("cam-a", true_us - 10 * DAY, boot_id=fact.boot_id, start_mono_us=fact.start_mono_us)
        box.clock.advance(86400)
        await box.tick()
        arrive(box, labelled)
        await intake.catch_up()
        assert await kept_until(box) == [keep_until_us(true_us + MINUTE, 30, box.law.tz)]


async def test_past_its_floor_already_it_still_stays_for_a_day(tmp_path: Path) -> None:
    async with following(tmp_path) as (box, intake):
        box.clock.advance(60 * 86400)
        await box.tick()
        arrive(box, minute(box, START_US))
        await intake.catch_up()
        arrived = box.clock.wall_us()
        assert await kept_until(box) == [arrived + INSPECTION_US]
        box.clock.advance(86400 - 1)
        assert (await box.one_pass()).erased == 0
        with pytest.raises(sqlite3.IntegrityError, match="I1: the segment is younger than its floor"):
            await box.sql("UPDATE segment SET state = 2")


async def test_one_entry_for_each_camera_of_a_catch_up_says_what_came_late(tmp_path: Path) -> None:
    async with following(tmp_path) as (box, intake):
        box.clock.advance(10 * 86400)
        await box.tick()
        facts = [minute(box, START_US + n * MINUTE, camera, seq=n) for n in range(3) for camera in ("cam-a", "cam-b")]
        arrive(box, *facts, minute(box, box.clock.wall_us() - HOUR, seq=9))
        await intake.catch_up()
        await intake.catch_up()
        told = await box.told(LedgerKind.FOOTAGE_LATE)
        assert [entry.body for entry in told] == [
            {"camera": camera, "segments": 3, "from_us": START_US, "to_us": START_US + 3 * MINUTE}
            for camera in ("cam-a", "cam-b")
        ]
        found = await box.database.read(late, "cam-b", Span(START_US + MINUTE, START_US + 2 * MINUTE))
        assert found is not None
        assert (found.arrived_us, found.ledger) == (box.clock.wall_us(), told[1].seq)
        assert await box.database.read(late, "cam-a", Span(box.clock.wall_us() - HOUR, box.clock.wall_us())) is None


@pytest.mark.parametrize(("behind", "entries"), [(LATE_US, 0), (LATE_US + 1, 1)])
async def test_a_day_behind_is_not_yet_late(tmp_path: Path, behind: int, entries: int) -> None:
    async with following(tmp_path) as (box, intake):
        box.clock.advance(5 * 86400)
        arrive(box, minute(box, box.clock.wall_us() - behind - MINUTE))
        await intake.catch_up()
        assert len(await box.told(LedgerKind.FOOTAGE_LATE)) == entries


async def test_what_a_controller_noted_before_it_was_killed_is_told_by_the_next(tmp_path: Path) -> None:
    async with following(tmp_path) as (box, intake):
        box.clock.advance(5 * 86400)
        arrive(box, minute(box, START_US))
        await intake.catch_up()
        before = await box.told(LedgerKind.FOOTAGE_LATE)
        await box.sql("INSERT INTO meta VALUES ('late_footage', ?)", f'{{"cam-b":[2,{START_US},{START_US + MINUTE}]}}')
        volumes = [swept.volume for swept in box.volumes]
        successor = Intake(box.database, box.clock, volumes, box.stamper, box.law.tz)
        await successor.catch_up()
        successor.close()
        told = await box.told(LedgerKind.FOOTAGE_LATE)
        assert [entry.body["camera"] for entry in told] == [before[0].body["camera"], "cam-b"]
        assert await box.database.write(tell_late, box.clock.wall_us()) == 0


async def test_a_label_of_1970_is_a_wrong_clock_and_not_late(tmp_path: Path) -> None:
    async with following(tmp_path) as (box, intake):
        arrive(box, sealed("cam-a", 100 * MINUTE))
        await intake.catch_up()
        assert await box.told(LedgerKind.FOOTAGE_LATE) == []
