"""A larger floor raises what is there, a smaller one never reaches back (LAW.md section 12, items 6, 7 and 9)."""

import datetime as dt
from pathlib import Path

import pytest

from edged.archive.ledger import LedgerKind
from edged.archive.segments import SegmentKey
from edged.archive.volumes import Space
from edged.base.clock import DAY, MINUTE, SECOND
from edged.law.counting import keep_until_us
from edged.law.site import SiteLaw
from edged.retain import raising
from edged.retain.raising import raise_floors
from edged.retain.timekeeping import tick
from tests.lawbook import entry, with_entries
from tests.retaining import START_US, House, house


async def floor_days(box: House, key: SegmentKey) -> int:
    row = await box.row(key)
    assert row is not None
    return row.floor.days


async def test_a_camera_that_turns_out_to_stand_in_a_listed_place_keeps_its_old_footage_thirty_days(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a", "other")
        old = await box.record("cam-a")
        assert await floor_days(box, old) == 15
        await box.camera("cam-a", "listed")
        new = await box.record("cam-a", START_US + MINUTE)
        assert await raise_floors(box.database, box.law, box.clock.wall_us()) == 1
        assert [await floor_days(box, key) for key in (old, new)] == [30, 30]
        rows = [await box.row(key) for key in (old, new)]
        assert rows[0] is not None
        assert rows[1] is not None
        assert rows[0].keep_until_us == rows[1].keep_until_us
        (entry,) = await box.told(LedgerKind.FLOOR_RAISED)
        assert entry.body == {"camera": "cam-a", "days": 30, "rules": ["order-799/17"], "segments": 1}


async def test_i1_a_lower_floor_never_touches_old_footage(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a", "listed")
        old = await box.record("cam-a")
        await raise_floors(box.database, box.law, box.clock.wall_us())
        await box.camera("cam-a", "other")
        assert await raise_floors(box.database, box.law, box.clock.wall_us()) == 0
        assert await floor_days(box, old) == 30
        assert await floor_days(box, await box.record("cam-a", START_US + MINUTE)) == 15
        await box.camera("cam-a", "listed")
        assert await raise_floors(box.database, box.law, box.clock.wall_us()) == 1


async def test_i1_a_wall_clock_years_ahead_ends_no_trial(tmp_path: Path) -> None:
    """The wall clock says 2036, and by it the longer trial is over; the retention clock knows that it has begun."""
    async with house(tmp_path) as box:
        await box.camera("cam-a", "other")
        await box.tick()
        key = await box.record("cam-a")
        trial = with_entries(entry(value=40, valid_to=dt.date(2027, 1, 1)), entry(id="test/2", value=15))
        law = SiteLaw(trial, "x", "Asia/Shanghai", 3)
        box.ntp = False
        box.clock.step_wall(10 * 365 * 86400)
        time = await tick(box.database, box.clock, lambda: False)
        assert await raise_floors(box.database, law, *law.today(box.clock.wall_us(), time.retention_us)) == 1
        assert await floor_days(box, key) == 40


async def test_it_goes_page_by_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raising, "PAGE", 3)
    async with house(tmp_path) as box:
        await box.camera("cam-a", "other")
        keys = [await box.record("cam-a", START_US + n * MINUTE) for n in range(7)]
        await box.camera("cam-a", "listed")
        assert await raise_floors(box.database, box.law, box.clock.wall_us()) == 7
        assert [await floor_days(box, key) for key in keys] == [30] * 7
        assert [entry.body["segments"] for entry in await box.told(LedgerKind.FLOOR_RAISED)] == [3, 3, 1]
        assert await raise_floors(box.database, box.law, box.clock.wall_us()) == 0


async def test_what_needs_no_raising_is_passed_in_short_steps_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raising, "LOOKED_AT", 3)
    async with house(tmp_path) as box:
        await box.camera("cam-a", "listed")
        for n in range(7):
            await box.record("cam-a", START_US + n * MINUTE)
        await box.camera("cam-a", "other")
        last = await box.record("cam-a", START_US + 10 * MINUTE)
        await box.camera("cam-a", "listed")
        assert await raise_floors(box.database, box.law, box.clock.wall_us()) == 1
        assert await floor_days(box, last) == 30


async def test_i1_a_correction_counts_all_of_a_stretch_anew_in_short_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raising, "PAGE", 2)
    monkeypatch.setattr(raising, "LOOKED_AT", 3)
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        await box.record("cam-a", START_US - DAY)
        await box.tick()
        box.clock.reboot()
        box.ntp = False
        wrong = []
        for _ in range(7):
            box.clock.advance(60)
            wrong.append(await box.record("cam-a"))
        box.clock.step_wall(10 * 86400)
        box.ntp = True
        assert (await box.one_pass()).raised == 7
        rows = [await box.row(key) for key in wrong]
        assert {row and row.keep_until_us for row in rows} == {keep_until_us(box.clock.wall_us(), 30, box.law.tz)}


async def test_i1_footage_that_a_late_clock_labelled_is_counted_from_when_it_was_recorded(tmp_path: Path) -> None:
    """A box without an RTC: off for ten days, it labels as if none had passed, until the time service comes."""
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        true_label = await box.record("cam-a", START_US - DAY)
        await box.tick()
        box.clock.reboot()
        box.ntp = False
        box.clock.advance(600)
        wrong = await box.record("cam-a")
        box.clock.step_wall(10 * 86400)
        box.ntp = True
        report = await box.one_pass()
        assert report.raised == 1
        rows = [await box.row(key) for key in (true_label, wrong)]
        assert rows[0] is not None
        assert rows[1] is not None
        assert rows[0].keep_until_us == keep_until_us(START_US - DAY, 30, box.law.tz)
        assert rows[1].keep_until_us == keep_until_us(box.clock.wall_us(), 30, box.law.tz)
        assert (await box.one_pass()).raised == 0


async def test_i1_a_label_nobody_believed_is_counted_anew_when_the_clock_that_counted_it_lagged(tmp_path: Path) -> None:
    """A box without an RTC, off for forty days: it says 1970, and its retention clock knows nothing of the forty days.

    The controller sees the box only when the recorder has long been recording, and again when the time is right.
    """
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        await box.tick()
        true_us = box.clock.wall_us() + 40 * DAY
        box.clock.reboot()
        box.ntp = False
        box.clock.step_wall(200 - box.clock.wall_us() / SECOND)
        box.clock.advance(3600)
        wrong = await box.record("cam-a")
        recorded_us = true_us + box.clock.monotonic_us()
        row = await box.row(wrong)
        assert row is not None
        assert row.keep_until_us < keep_until_us(recorded_us, 30, box.law.tz)
        box.clock.step_wall((recorded_us - box.clock.wall_us()) / SECOND)
        box.ntp = True
        assert (await box.one_pass()).raised == 1
        row = await box.row(wrong)
        assert row is not None
        assert row.keep_until_us == keep_until_us(recorded_us, 30, box.law.tz)
        assert (await box.one_pass()).raised == 0


async def test_footage_counted_from_later_than_its_label_keeps_that_advantage(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a", "other")
        await box.tick()
        key = await box.record("cam-a", START_US - 100 * DAY)
        before = await box.row(key)
        assert before is not None
        assert before.keep_until_us > START_US + 15 * DAY
        await box.camera("cam-a", "listed")
        await raise_floors(box.database, box.law, box.clock.wall_us())
        after = await box.row(key)
        assert after is not None
        assert after.keep_until_us == before.keep_until_us + 15 * DAY


async def test_the_sweep_raises_before_it_judges(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a", "other")
        key = await box.record("cam-a")
        await box.tick()
        box.clock.advance(20 * 86400)
        await box.camera("cam-a", "listed")
        report = await box.one_pass()
        assert report.raised == 1
        assert box.file(key).exists()


async def test_i1_footage_forty_days_old_is_kept_to_ninety_when_its_camera_becomes_a_key_target(tmp_path: Path) -> None:
    """LAW.md section 12, item 8."""
    async with house(tmp_path) as box:
        await box.camera("cam-a", "other")
        old = await box.record("cam-a")
        box.clock.advance(40 * 86_400)
        await box.camera("cam-a", "other", ("key_target",))
        new = await box.record("cam-a")
        box.free = Space(10**9, 0)  # space is badly needed: past fifteen days it would go
        report = await box.one_pass()
        assert (report.raised, report.erased) == (1, 0)
        assert [await floor_days(box, key) for key in (old, new)] == [90, 90]
        box.clock.advance(52 * 86_400)
        await box.one_pass()
        assert await box.row(old) is None
        assert await box.row(new) is not None
