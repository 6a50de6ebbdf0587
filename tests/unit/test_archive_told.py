"""A lost index rebuilt under a smaller law, or after a wrong clock: what the ledger has told is not undercut (I1)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edged.archive.database import Database
from edged.archive.indexing import Indexed, index_facts
from edged.archive.ledger import LedgerKind, append
from edged.archive.roster import cameras
from edged.archive.segments import SegmentKey, find_segment
from edged.base.clock import DAY, HOUR, MINUTE, SECOND
from edged.law.counting import keep_until_us
from edged.model import OwnRule, SegmentSealed, Situation
from edged.prove.restore import restore_ledger
from edged.retain.doom import Grounds, doom_due
from edged.retain.holds import list_holds
from edged.retain.replay import replay
from edged.retain.stamp import Stamper
from tests.proving import CAMERA, DAY_US, Box, box

OTHER = Situation("other", (), OwnRule())  # fifteen days in Jilin, where listed places have thirty


class Told:
    """One box, and what its recorder wrote about every segment."""

    def __init__(self, site: Box) -> None:
        self.site = site
        self.facts: list[SegmentSealed] = []

    def key(self, number: int) -> SegmentKey:
        fact = self.facts[number]
        return SegmentKey(CAMERA, fact.stream, fact.start_us, fact.run, fact.seq)

    async def record(self, count: int) -> None:
        house = self.site.house
        for _ in range(count):
            fact = house.sealed(CAMERA, house.clock.wall_us())
            await house.index(fact)
            self.facts.append(fact)
            house.clock.advance(60)

    async def tell(self) -> None:
        """The hours are told, and what is told is signed and copied."""
        house = self.site.house
        house.clock.advance(2 * 3600)
        await house.tick()
        await self.site.hours.one_pass()
        await self.site.proofs.finish()

    async def keep_until(self) -> list[tuple[int, int]]:
        found = []
        for number in range(len(self.facts)):
            row = await self.site.house.row(self.key(number))
            assert row is not None
            found.append((row.floor.days, row.keep_until_us))
        return found

    @asynccontextmanager
    async def lost(self, path: Path) -> AsyncIterator[Database]:
        """A new index whose ledger came back from the volume."""
        fresh = Database(path / "fresh.sqlite")
        try:
            house = self.site.house
            folders = [(each.volume.id, each.volume.path) for each in house.volumes]
            back = await restore_ledger(fresh, folders, "nvr", self.site.proofs.key, house.clock.wall_us())
            assert back is not None
            while await fresh.write(replay, house.law.tz):
                pass
            yield fresh
        finally:
            fresh.close()

    async def index_again(self, fresh: Database, *, absent: frozenset[SegmentKey] = frozenset()) -> Indexed:
        """The journal read anew, in the situation of a place that must keep less."""
        house = self.site.house
        stamp = Stamper(house.law, house.clock, OTHER)
        return await fresh.write(index_facts, 1, self.facts, stamp, house.law.tz, "nvr", absent)

    async def compare(self, fresh: Database) -> None:
        for number, (_, kept_us) in enumerate(await self.keep_until()):
            row = await fresh.read(find_segment, self.key(number))
            assert row is not None
            assert row.keep_until_us >= kept_us


@pytest.fixture
async def told(tmp_path: Path) -> AsyncIterator[Told]:
    async with box(tmp_path) as site:
        await site.until(DAY_US)
        yield Told(site)


async def test_i1_a_floor_on_record_is_not_undercut_by_a_smaller_one_of_today(told: Told, tmp_path: Path) -> None:
    await told.record(3)
    await told.tell()
    assert {days for days, _ in await told.keep_until()} == {30}
    async with told.lost(tmp_path) as fresh:
        assert (await told.index_again(fresh)).segments == 3
        await told.compare(fresh)


async def test_i1_an_hour_in_which_the_law_changed_undercuts_none_of_its_segments(told: Told, tmp_path: Path) -> None:
    """Some of the hour's footage entered under ninety days, some under thirty: each keeps its own."""
    house = told.site.house
    await house.camera(CAMERA, designations=("key_target",))
    await told.record(2)
    await house.camera(CAMERA, designations=())
    await told.record(2)
    await told.tell()
    assert [days for days, _ in await told.keep_until()] == [90, 90, 30, 30]
    async with told.lost(tmp_path) as fresh:
        assert (await told.index_again(fresh)).segments == 4
        await told.compare(fresh)


async def test_i1_a_floor_that_was_raised_meanwhile_stays_raised(told: Told, tmp_path: Path) -> None:
    house = told.site.house
    await told.record(3)
    await told.tell()
    await house.camera(CAMERA, designations=("key_target",))
    await house.one_pass()
    await told.site.proofs.finish()
    assert {days for days, _ in await told.keep_until()} == {90}
    async with told.lost(tmp_path) as fresh:
        await told.index_again(fresh)
        await told.compare(fresh)


async def test_i1_what_no_hour_tells_of_yet_is_raised_as_well(told: Told, tmp_path: Path) -> None:
    house = told.site.house
    await told.record(2)
    await house.camera(CAMERA, designations=("key_target",))
    await house.one_pass()
    await told.site.proofs.finish()
    async with told.lost(tmp_path) as fresh:
        await told.index_again(fresh)
        await told.compare(fresh)


async def test_i1_a_label_that_was_not_believed_is_not_believed_now(told: Told, tmp_path: Path) -> None:
    """The wall clock stood five days back while this was recorded: its floor counts from when it was read."""
    house = told.site.house
    await told.record(1)
    await told.tell()
    house.clock.step_wall(-5 * 86_400)
    house.ntp = False
    await house.tick()  # an event: the retention clock did not follow
    house.clock.reboot()
    await told.record(1)
    house.clock.step_wall(5 * 86_400)
    house.ntp = True
    await told.tell()
    async with told.lost(tmp_path) as fresh:
        house.clock.reboot()  # no monotonic clock tells any more
        await told.index_again(fresh)
        await told.compare(fresh)


async def test_i1_a_label_once_doubted_still_counts_where_every_clock_stands_before_it(
    told: Told, tmp_path: Path
) -> None:
    """As the test before, but the index is read anew while the wall clock says 1970."""
    house = told.site.house
    await told.record(1)
    house.clock.step_wall(-5 * 86_400)
    house.ntp = False
    await house.tick()
    house.clock.reboot()
    await told.record(1)
    house.clock.step_wall(5 * 86_400)
    house.ntp = True
    await told.tell()
    async with told.lost(tmp_path) as fresh:
        house.clock.reboot()
        house.clock.step_wall(200 - house.clock.wall_us() / SECOND)
        assert (await told.index_again(fresh)).segments == 2
        for number in range(2):
            row = await fresh.read(find_segment, told.key(number))
            assert row is not None
            assert row.keep_until_us >= keep_until_us(told.facts[number].end_us, 30, house.law.tz)


async def test_i2_a_forged_hold_leads_nowhere_and_a_forged_release_releases_nothing(told: Told, tmp_path: Path) -> None:
    house = told.site.house
    hold = await house.hold(CAMERA, start_us=0)
    await told.tell()
    forged = {"start_us": 0, "end_us": None, "case": "c", "authority": "a", "document": "d", "placed_by": "p"}
    for kind, body in (
        (LedgerKind.HOLD_PLACED, {"hold": "hold-7", "cameras": ["../../etc"], **forged}),
        (LedgerKind.HOLD_PLACED, {"hold": "hold-08", "cameras": [CAMERA], **forged}),
        (LedgerKind.HOLD_RELEASE_FIRST, {"hold": hold.id, "by": "x"}),
        (LedgerKind.HOLD_RELEASED, {"hold": hold.id, "first": "x", "second": "y"}),
        (LedgerKind.CAMERA_REMOVED, {"camera": CAMERA, "by": "x"}),
    ):
        await house.database.write(append, 1, kind, body)
    for mirror in told.site.proofs.mirrors:
        await mirror.catch_up()  # copied, but under no signed head
    async with told.lost(tmp_path) as fresh:
        assert await fresh.read(list_holds, True) == [hold]
        assert [camera.id for camera in await fresh.read(cameras)] == [CAMERA]
        assert (await fresh.read(cameras))[0].state == "adopted"


async def test_i3_what_was_deleted_lawfully_has_no_row_and_is_not_missing(told: Told, tmp_path: Path) -> None:
    house = told.site.house
    await told.record(3)
    await told.tell()
    house.clock.advance(40 * 86_400)
    assert (await house.one_pass()).erased == 3
    await told.site.proofs.finish()
    keys = frozenset(told.key(number) for number in range(3))
    async with told.lost(tmp_path) as fresh:
        done = await told.index_again(fresh, absent=keys)
        assert (done.segments, done.deleted) == (0, 3)
        (day,) = await fresh.read(lambda c: c.execute("SELECT segments, deleted_segments FROM camera_day").fetchall())
        assert tuple(day) == (3, 3)
        (covered,) = await fresh.read(lambda c: c.execute("SELECT start_us, end_us FROM coverage").fetchall())
        assert covered[1] - covered[0] == 3 * MINUTE


async def test_i3_a_deletion_on_record_whose_file_is_there_gets_its_row_back(told: Told, tmp_path: Path) -> None:
    """The power went between the entry and the unlink: what is there is footage."""
    house = told.site.house
    await told.record(1)
    await told.tell()
    house.clock.advance(40 * 86_400)
    await house.tick()
    grounds = Grounds(law=house.law, clock_trusted=True, proven=frozenset({"disk-0"}))
    assert (await house.database.write(doom_due, CAMERA, 0, grounds, 10, house.clock.wall_us())).segments
    await told.site.proofs.finish()
    async with told.lost(tmp_path) as fresh:
        assert (await told.index_again(fresh)).segments == 1


async def test_i3_a_deletion_that_nobody_signed_is_not_believed(told: Told, tmp_path: Path) -> None:
    house = told.site.house
    await told.record(1)
    await told.tell()
    key = told.key(0)
    hour_us = key.start_us // HOUR * HOUR
    segments = [[key.start_us - hour_us, MINUTE, key.run, key.seq]]
    body = {"camera": CAMERA, "stream": "main", "hour_us": hour_us, "segments": segments, "retention_us": 90 * DAY}
    await house.database.write(append, 1, LedgerKind.SEGMENTS_DELETED, body)
    for mirror in told.site.proofs.mirrors:
        await mirror.catch_up()  # copied, but under no signed head
    async with told.lost(tmp_path) as fresh:
        done = await told.index_again(fresh, absent=frozenset({key}))
        assert (done.segments, done.deleted) == (1, 0)
