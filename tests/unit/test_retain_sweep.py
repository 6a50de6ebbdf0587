"""The sweep: deletes what it must or may, with its reason in the ledger first, and refuses everything else (I1, I3)."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from edged.archive.deletions import named
from edged.archive.layout import segment_path
from edged.archive.ledger import LedgerKind
from edged.archive.schema import DOOMED, MISSING, SEALED
from edged.archive.segments import set_state
from edged.archive.volumes import Space
from edged.base.clock import HOUR, MINUTE, SECOND
from edged.base.tasks import cancel, spawn
from edged.retain import doom
from edged.retain.disk import unlink
from edged.retain.doom import Grounds, doom_due, forget
from edged.retain.sweep import GuardRefused
from edged.retain.verdict import SegmentFacts, Verdict, judge
from tests.retaining import START_US, house


def days(count: float) -> float:
    return count * 86400


async def test_a_listed_place_keeps_thirty_days_then_deletes_within_its_grace_and_says_why(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        key = await box.record("cam-a")  # 2026-11-01 08:00 in Shanghai: free from 12-02 00:00, due on 12-05 00:00
        await box.tick()
        box.clock.advance(days(33) + 16 * 3600 - 1)
        report = await box.one_pass()
        assert (report.erased, report.examined) == (0, 0)
        assert box.file(key).exists()
        box.clock.advance(1)
        report = await box.one_pass()
        assert (report.erased, report.bytes) == (1, 40)
        assert not box.file(key).exists()
        assert await box.row(key) is None
        (entry,) = await box.told(LedgerKind.SEGMENTS_DELETED)
        assert named(entry.body) == [(key, START_US)]
        assert entry.body["rules"] == ["order-799/17", "order-799/17-delete"]
        assert entry.body["floor_days"] == 30
        assert "order-799/17-delete demands" in entry.body["because"]
        (day,) = await box.sql("SELECT * FROM camera_day")
        assert (day["segments"], day["deleted_segments"], day["deleted_bytes"]) == (1, 1, 40)
        assert [tuple(row) for row in await box.sql("SELECT segments, bytes FROM total")] == [(0, 0)]


async def test_jilins_fifteen_days_go_only_for_space_and_not_a_day_early(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a", "other")
        key = await box.record("cam-a")
        await box.tick()
        box.free = Space(2**40, 990)
        box.clock.advance(days(15) + 16 * 3600 - 1)
        report = await box.one_pass()
        assert "nothing on it may be deleted" in report.pressed["disk-0"]
        assert box.file(key).exists()
        box.clock.advance(1)
        box.free = Space(2**40, 1000)
        assert (await box.one_pass()).erased == 0
        box.free = Space(2**40, 999)
        assert (await box.one_pass()).erased == 1
        (entry,) = await box.told(LedgerKind.SEGMENTS_DELETED)
        assert (entry.body["action"], entry.body["rules"]) == ("may_erase", ["jilin-236/21-2"])


async def test_space_is_made_oldest_first_across_cameras_and_only_as_much_as_needed(tmp_path: Path) -> None:
    async with house(tmp_path, jurisdiction="lhasa", batch=2) as box:
        disk = box.volumes[0].volume.path

        def real_use(path: Path) -> Space:
            used = sum(file.stat().st_size for file in disk.rglob("*.mp4"))
            return Space(10_000, 1000 + 40 * 10 - 40 * 5 - used)

        box.space = real_use
        await box.camera("cam-a", "other")
        await box.camera("cam-b", "other")
        keys = [await box.record("cam-a" if n % 2 else "cam-b", START_US + n * HOUR) for n in range(10)]
        await box.tick()
        box.clock.advance(days(32))
        report = await box.one_pass()
        assert report.pressed == {}
        assert [box.file(key).exists() for key in keys] == [False] * 5 + [True] * 5


async def test_nothing_more_is_deleted_before_freed_space_is_seen(tmp_path: Path) -> None:
    async with house(tmp_path, batch=1, free=Space(2**40, 0)) as box:
        await box.camera("cam-a", "other")
        for n in range(5):
            await box.record("cam-a", START_US + n * MINUTE)
        await box.tick()
        box.clock.advance(days(20))
        report = await box.one_pass()
        assert report.erased == 1
        assert "not seen yet" in report.pressed["disk-0"]


async def test_i1_a_full_disk_with_everything_below_its_floor_loses_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, free=Space(2**40, 0)) as box:
        await box.camera("cam-a")
        keys = [await box.record("cam-a", START_US + n * MINUTE) for n in range(5)]
        await box.tick()
        box.clock.advance(days(29))
        report = await box.one_pass()
        assert report.erased == 0
        assert "below the reserve" in report.pressed["disk-0"]
        assert all(box.file(key).exists() for key in keys)


async def test_one_cameras_growth_never_spends_anothers_floor(tmp_path: Path) -> None:
    async with house(tmp_path, free=Space(2**40, 0)) as box:
        await box.camera("cam-a", "other")
        await box.camera("cam-b", "listed")
        small, big = await box.record("cam-b"), await box.record("cam-a", size=5000)
        await box.tick()
        box.clock.advance(days(17))
        await box.one_pass()
        assert box.file(small).exists()
        assert not box.file(big).exists()


async def test_i10_nothing_is_deleted_while_the_retention_clock_is_not_trusted(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        key = await box.record("cam-a")
        await box.tick()
        box.clock.advance(days(40))
        await box.tick()
        box.clock.step_wall(-days(3))
        report = await box.one_pass()
        assert "before the retention clock" in report.refused
        assert box.file(key).exists()
        box.clock.step_wall(days(3))
        assert (await box.one_pass()).erased == 1


async def test_i10_a_wall_clock_forty_days_ahead_deletes_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, ntp=False) as box:
        await box.camera("cam-a")
        key = await box.record("cam-a")
        await box.tick()
        box.clock.step_wall(days(40))
        report = await box.one_pass()
        assert report.erased == 0
        assert box.file(key).exists()


async def test_i1_footage_labelled_by_a_dead_battery_is_kept_its_full_time(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        await box.record("cam-a")
        await box.tick()
        box.clock.advance(3600)
        await box.tick()
        box.clock.reboot()
        true_time = box.clock.wall_us()
        box.clock.step_wall(-true_time / SECOND + 100)
        box.run_no += 1
        fresh = await box.record("cam-a")
        assert fresh.start_us < 0 + HOUR
        assert (await box.one_pass()).refused
        box.clock.step_wall(true_time / SECOND - 100)
        assert (await box.one_pass()).erased == 0
        box.clock.advance(days(30))
        await box.one_pass()
        assert box.file(fresh).exists()
        box.clock.advance(days(5))
        await box.one_pass()
        assert not box.file(fresh).exists()


async def test_a_volume_that_cannot_show_its_identity_is_left_alone_and_the_others_are_not(tmp_path: Path) -> None:
    async with house(tmp_path, volumes=2) as box:
        await box.camera("cam-a")
        here, there = await box.record("cam-a"), await box.record("cam-a", START_US + HOUR, volume=1)
        await box.tick()
        box.clock.advance(days(40))
        identity = box.volumes[1].volume.path / "VOLUME.json"
        identity.rename(identity.with_suffix(".away"))
        report = await box.one_pass()
        assert report.erased == 1
        assert "VOLUME.json is missing" in report.skipped["disk-1"]
        assert not box.file(here).exists()
        assert box.file(there, 1).exists()
        identity.with_suffix(".away").rename(identity)
        assert (await box.one_pass()).erased == 1


async def test_a_volume_whose_statistics_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    async with house(tmp_path, free=None) as box:
        await box.camera("cam-a")
        key = await box.record("cam-a")
        await box.tick()
        box.clock.advance(days(40))
        report = await box.one_pass()
        assert (report.erased, report.examined) == (0, 1)
        assert "cannot be read" in report.skipped["disk-0"]
        assert box.file(key).exists()


async def test_i3_the_ledger_entry_is_there_before_the_file_goes_and_a_crash_in_between_is_completed(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        before_unlink, after_unlink = await box.record("cam-a"), await box.record("cam-a", START_US + HOUR)
        await box.tick()
        box.clock.advance(days(40))
        await box.tick()
        grounds = Grounds(law=box.law, clock_trusted=True, proven=frozenset({"disk-0"}))
        await box.database.write(doom_due, "cam-a", 0, grounds, 100, box.clock.wall_us())
        assert len(await box.told(LedgerKind.SEGMENTS_DELETED)) == 2
        assert box.file(before_unlink).exists()
        box.file(after_unlink).unlink()
        report = await box.one_pass()
        assert report.erased == 2
        assert [await box.row(key) for key in (before_unlink, after_unlink)] == [None, None]
        assert not box.file(before_unlink).exists()
        assert len(await box.told(LedgerKind.SEGMENTS_DELETED)) == 2


async def test_an_unlink_that_fails_is_said_and_tried_again(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        key = await box.record("cam-a")
        await box.tick()
        box.clock.advance(days(40))
        file = box.file(key)
        file.unlink()
        file.mkdir()  # unlink(2) refuses a folder, to root as well
        report = await box.one_pass()
        assert report.erased == 0
        assert list(report.failed) == [str(key)]
        row = await box.row(key)
        assert row is not None
        assert row.state == DOOMED
        file.rmdir()
        assert (await box.one_pass()).erased == 1


async def test_a_disk_changed_between_the_look_and_the_unlink_loses_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        key = await box.record("cam-a")
        (box.volumes[0].volume.path / "VOLUME.json").unlink()
        files = [segment_path(*key)]
        done = await unlink(box.volumes[0], files, lambda: False)
        assert done.gone == set()
        assert "VOLUME.json is missing" in done.failed[files[0]]
        assert box.file(key).exists()


async def test_a_missing_segment_past_its_floor_is_forgotten_and_the_ledger_says_it_was_missing(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        key = await box.record("cam-a")
        box.file(key).unlink()
        await box.database.write(set_state, key, SEALED, MISSING)
        await box.tick()
        box.clock.advance(days(40))
        assert (await box.one_pass()).erased == 1
        (entry,) = await box.told(LedgerKind.SEGMENTS_DELETED)
        assert entry.body["file"] == "missing"


async def test_i1_i2_where_the_verdict_is_wrong_the_database_refuses_and_no_file_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard of the verdict is taken out; the trigger has to hold, and the sweep has to say so."""

    def careless(facts: SegmentFacts, **kwargs: Any) -> Verdict:
        return judge(facts, **(kwargs | {"held_by": (), "retention_us": 2**62}))

    async with house(tmp_path) as box:
        await box.camera("cam-a")
        await box.camera("cam-b")
        held = await box.record("cam-a")
        await box.hold("cam-a", start_us=0)
        await box.tick()
        box.clock.advance(days(40))
        monkeypatch.setattr(doom, "judge", careless)
        with pytest.raises(GuardRefused, match="I2: the segment is under an evidence hold"):
            await box.one_pass()
        assert box.file(held).exists()
        assert await box.told(LedgerKind.SEGMENTS_DELETED) == []
        await box.release("hold-1")
        assert (await box.one_pass()).erased == 1


async def test_i1_i2_i3_the_triggers_refuse_each_forbidden_move(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        key = await box.record("cam-a")
        with pytest.raises(sqlite3.IntegrityError, match="I1"):  # before the first tick as well
            await box.database.write(set_state, key, SEALED, DOOMED)
        await box.tick()
        with pytest.raises(sqlite3.IntegrityError, match="I1"):
            await box.database.write(set_state, key, SEALED, DOOMED)
        with pytest.raises(sqlite3.IntegrityError, match="I3"):
            await box.sql("DELETE FROM segment")
        with pytest.raises(sqlite3.IntegrityError, match="I1"):
            await box.sql("UPDATE segment SET keep_until_us = keep_until_us - 1")
        box.clock.advance(days(40))
        await box.tick()
        await box.hold("cam-a", start_us=0)
        with pytest.raises(sqlite3.IntegrityError, match="I2"):
            await box.database.write(set_state, key, SEALED, DOOMED)


async def test_forgetting_asks_again_and_skips_what_came_under_a_hold(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        key = await box.record("cam-a")
        await box.tick()
        box.clock.advance(days(40))
        await box.tick()
        grounds = Grounds(law=box.law, clock_trusted=True, proven=frozenset({"disk-0"}))
        done = await box.database.write(doom_due, "cam-a", 0, grounds, 100, box.clock.wall_us())
        box.file(key).unlink()
        await box.hold("cam-a", start_us=0)
        assert await box.database.write(forget, done.segments, grounds) == 0
        assert await box.row(key) is not None


async def test_a_pass_is_many_small_transactions(tmp_path: Path) -> None:
    async with house(tmp_path, batch=3) as box:
        await box.camera("cam-a")
        for n in range(10):
            await box.record("cam-a", START_US + n * MINUTE)
        await box.tick()
        box.clock.advance(days(40))
        report = await box.one_pass()
        assert (report.erased, report.examined, report.bytes) == (10, 10, 400)


async def test_run_sweeps_again_and_again_at_its_interval(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        task = spawn("sweep", box.sweep.run())
        async with asyncio.timeout(20):
            while not box.reports:
                await asyncio.sleep(0.001)
            key = await box.record("cam-a")
            while box.file(key).exists():  # forty days in steps of one pass, as fast as the passes go
                seen = len(box.reports)
                box.clock.advance(86400)
                while len(box.reports) == seen:
                    await asyncio.sleep(0.001)
        await cancel(task)
        assert sum(report.erased for report in box.reports) == 1
        assert all(report.time.trusted for report in box.reports)
