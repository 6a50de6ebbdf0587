"""Attempts to shorten retention where the index's own guards do not see them: with triggers switched off, or dropped.

SQLite lets whoever writes the file switch its triggers off (SQLITE_DBCONFIG_ENABLE_TRIGGER) or drop them and put them
back. So what a deletion goes by has a witness besides: the ledger, of which signed heads are kept elsewhere.

Guards that were taken out, one at a time, and what fails then:

    retain/clock.py believed                      ..._set_ahead_is_not_believed
    timekeeping.py: never less than none unproven ..._no_note_lets_the_clock_take_over_more_than_it_may
    timekeeping.py _first_word                    ..._one_person_does_not_confirm_for_two
    doom.py: a candidate as the ledger knows it   ..._a_date_that_was_lowered_is_put_back
    doom.py: what no entry announces is spared    ..._what_was_doomed_without_an_entry_is_spared
    sweep.py: put_back_holds before every pass    ..._a_hold_that_was_taken_away_is_in_force_again
    evidence.py _believed_holds                   the same, at its first look at the links
    evidence.py _announced                        ..._the_last_name_of_what_neither_index_nor_ledger_knows_stays
    sweep.py: keep_guards before every pass       ..._guards_dropped_while_it_runs_are_put_back_before_the_next_pass
    guards.py: all folders are compared again     the same, where the rows come back
    house.py: index_passed_over                   ..._rows_that_were_deleted_come_back_from_the_journals
    sweep.py: a foreign ledger                    test_every_file.py ..._a_second_edged_on_the_same_disk_...

The triggers themselves are taken out one by one in tests/unit/test_archive_guards.py and test_archive_once.py.
"""

import json
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edged.archive.database import BadDatabase
from edged.archive.ledger import LedgerKind
from edged.archive.segments import SegmentKey
from edged.archive.volumes import Space
from edged.base.clock import DAY, HOUR, MINUTE
from edged.retain.timekeeping import confirm, read_state, reading
from tests.law_box import Box, World
from tests.retaining import PLENTY, START_US, House, house

FAR_DAYS = 400


def unguarded(index: Path, *statements: str) -> None:
    """Carry out `statements` with every trigger dropped, and put back to the letter: nothing of it is left to see."""
    connection = sqlite3.connect(index, isolation_level=None)
    try:
        guards = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        connection.execute("BEGIN IMMEDIATE")
        for name, _ in guards:
            connection.execute(f"DROP TRIGGER {name}")
        assert sum(connection.execute(statement).rowcount for statement in statements) > 0
        for _, text in guards:
            connection.execute(text)
        connection.execute("COMMIT")
    finally:
        connection.close()


@pytest.fixture
async def lagging(tmp_path: Path) -> AsyncIterator[tuple[House, SegmentKey]]:
    """The wall clock was set ahead by more than a year; nobody vouches for it, so the retention clock lags as much."""
    async with house(tmp_path, ntp=False) as built:
        await built.camera("cam-a")
        await built.tick()
        key = await built.record("cam-a")
        built.clock.advance(DAY // 10**6)
        await built.tick()
        built.clock.step_wall(FAR_DAYS * 86_400)
        await built.tick()
        yield built, key


AHEAD = f"retention_us = retention_us + {100 * DAY}"


@pytest.mark.parametrize("over_a_boot", [False, True])
@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE retention_clock SET {AHEAD}",
        "UPDATE retention_clock SET retention_us = wall_us",
        f"UPDATE retention_clock SET mono_us = mono_us - {100 * DAY}",
        f"UPDATE retention_clock SET {AHEAD}, mono_us = mono_us + {100 * DAY}",
        f"UPDATE retention_clock SET {AHEAD}, boot_id = 'another'",
        f"UPDATE retention_clock SET wall_us = wall_us - {100 * DAY}",
        f"UPDATE meta SET value = '{{\"unproven_us\":-{100 * DAY}}}' WHERE key = 'retention_clock'",
        "DELETE FROM retention_clock",
    ],
)
async def test_i1_i10_a_retention_clock_set_ahead_is_not_believed(
    lagging: tuple[House, SegmentKey], statement: str, *, over_a_boot: bool
) -> None:
    built, key = lagging
    before = await built.database.read(read_state)
    assert before is not None
    unguarded(built.path / "index.sqlite", statement)
    ran = HOUR
    if over_a_boot:
        built.clock.reboot()
        ran += built.clock.monotonic_us()
    built.clock.advance(3600)
    report = await built.one_pass()
    assert report.erased == 0
    assert built.file(key).exists(), "I1"
    assert report.time.retention_us <= before.retention_us + ran + HOUR + MINUTE
    built.clock.advance(20 * 86_400)
    assert (await built.one_pass()).erased == 0
    built.clock.advance(20 * 86_400)
    assert (await built.one_pass()).erased == 1, "the sweep works: nothing else kept the footage"


async def test_i10_no_note_lets_the_clock_take_over_more_than_it_may(lagging: tuple[House, SegmentKey]) -> None:
    built, key = lagging
    before = await built.database.read(read_state)
    assert before is not None
    note = json.dumps({"unproven_us": -100 * DAY})
    unguarded(built.path / "index.sqlite", f"UPDATE meta SET value = '{note}' WHERE key = 'retention_clock'")
    built.clock.step_wall(50 * 86_400)
    report = await built.one_pass()
    assert report.time.retention_us <= before.retention_us + HOUR
    assert report.erased == 0
    assert built.file(key).exists()


async def test_i10_that_it_was_set_ahead_is_told(
    lagging: tuple[House, SegmentKey], caplog: pytest.LogCaptureFixture
) -> None:
    built, _ = lagging
    before = await built.told(LedgerKind.CLOCK_EVENT)
    unguarded(built.path / "index.sqlite", f"UPDATE retention_clock SET {AHEAD}")
    report = await built.one_pass()
    (event,) = (await built.told(LedgerKind.CLOCK_EVENT))[len(before) :]
    assert "had been set by somebody else" in event.body["event"]
    assert event.body["retention_before_us"] - event.body["retention_us"] == 100 * DAY
    assert event.body["retention_us"] == report.time.retention_us
    assert "the retention clock was not where the ledger saw it last" in caplog.text
    await built.one_pass()
    assert await built.told(LedgerKind.CLOCK_EVENT) == [*before, event], "it is told once"


async def test_i10_the_ledger_hears_every_hour_of_running_time_where_the_clock_stands(tmp_path: Path) -> None:
    async with house(tmp_path, ntp=False) as built:
        for _ in range(17):
            await built.tick()
            built.clock.advance(600)
        await built.tick()
        readings = await built.told(LedgerKind.CLOCK_READING)
        assert [entry.body["retention_us"] - START_US for entry in readings] == [HOUR, 2 * HOUR]
        built.clock.reboot()
        await built.tick()
        assert len(await built.told(LedgerKind.CLOCK_READING)) == 3, "and at once after a boot"


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[tuple[Box, str, SegmentKey, SegmentKey]]:
    """A controller whose disk is full, a hold over the first of two cameras, and a segment of each in the ledger."""
    world = World(tmp_path)
    async with world.box() as box:
        box.house.sweep._space = lambda _: Space(2**40, 0)
        await box.sweep()
        held, young = await box.record("cam-a"), await box.record("cam-b")
        hold = await box.hold("cam-a", held.start_us)
        world.clock.advance(2 * 3600)
        assert await box.house.hours.one_pass() > 0
        world.clock.advance(5 * 86_400)
        await box.house.evidence.keep_step()
        yield box, hold, held, young


LOWERED = [
    "UPDATE segment SET keep_until_us = 0",
    "UPDATE segment SET keep_until_us = end_us + 86400000000, floor = (SELECT max(no) FROM floor)",
    "UPDATE floor SET days = 1",
]


@pytest.mark.parametrize("statement", LOWERED)
async def test_i1_a_date_that_was_lowered_is_put_back(
    box: tuple[Box, str, SegmentKey, SegmentKey], statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    built, _, _, young = box
    before = await built.row(young)
    assert before is not None
    unguarded(built.index, "INSERT INTO floor VALUES (99, 1, '[]')", statement, "UPDATE segment SET keep_until_us = 0")
    assert (await built.sweep()).erased == 0
    assert built.file(young).exists(), "I1"
    row = await built.row(young)
    assert row is not None
    assert (row.floor.days, row.keep_until_us) == (30, before.keep_until_us)
    # Where the floor's own row was changed, the law raises it before the ledger is asked.
    assert ("had a date in the index before the one that the ledger tells" in caplog.text) == ("segment" in statement)
    built.world.clock.advance(40 * 86_400)
    assert (await built.sweep()).erased == 1, "past its floor it goes"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE hold SET release1_by = 'x', release1_us = 1, release2_by = 'y', released_us = 2",
        "UPDATE hold SET release1_by = 'x', release1_us = 1",
        "DELETE FROM hold",
        "DELETE FROM hold_camera",
        "UPDATE hold SET start_us = start_us + 86400000000",
        "UPDATE hold SET end_us = start_us + 1",
        "UPDATE hold_camera SET camera = 2",
    ],
)
async def test_i2_a_hold_that_was_taken_away_is_in_force_again(
    box: tuple[Box, str, SegmentKey, SegmentKey], statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    built, hold, held, _ = box
    before = await built.asked("holds", "list")
    unguarded(built.index, statement)
    await built.house.evidence.keep_step()
    link = built.volume / "held" / hold / built.file(held).relative_to(built.volume)
    assert link.exists(), "nothing is taken away before the ledger was asked"
    built.world.clock.advance(60 * 86_400)
    moved = statement.endswith("camera = 2")
    assert (await built.sweep()).erased == (0 if moved else 1), "the other camera's, past its floor, where not held too"
    assert built.file(held).exists(), "I2"
    assert f"evidence holds {hold} were not in the index as the ledger tells" in caplog.text
    await built.house.evidence.keep_step()
    after = await built.asked("holds", "list")
    assert after == before or moved
    links = built.volume / "held" / hold
    assert (links / "hold.json").exists()
    assert (links / built.file(held).relative_to(built.volume)).exists()
    (told,) = [entry for entry in await built.told(LedgerKind.HOLD_EXTENDED) if entry.body["hold"] == hold]
    assert told.body["restored"] is True


async def test_i3_what_was_doomed_without_an_entry_is_spared(box: tuple[Box, str, SegmentKey, SegmentKey]) -> None:
    built, _, _, young = box
    built.world.clock.advance(60 * 86_400)
    built.house.sweep._space = lambda _: PLENTY
    unguarded(built.index, "UPDATE segment SET state = 2 WHERE camera = 2")
    report = await built.sweep()
    (spared,) = await built.told(LedgerKind.SEGMENT_SPARED)
    assert spared.body["because"] == "no entry of the ledger announces that it goes"
    # Spared first; then it goes as the law demands, by an entry.
    assert (report.spared, report.erased) == (1, 1)
    (entry,) = await built.told(LedgerKind.SEGMENTS_DELETED)
    assert entry.seq > spared.seq
    assert await built.row(young) is None


async def test_i2_the_last_name_of_what_neither_index_nor_ledger_knows_stays(
    box: tuple[Box, str, SegmentKey, SegmentKey],
) -> None:
    """The row and the file were taken away, and then two people release the hold: the link is all that is left."""
    built, hold, held, _ = box
    unguarded(built.index, "DELETE FROM segment WHERE camera = 1")
    link = built.volume / "held" / hold / built.file(held).relative_to(built.volume)
    built.file(held).unlink()
    for person in ("ann lee", "bob chen"):
        assert (await built.edged("holds", "release", hold, "--by", person))[0] == 0
    await built.house.evidence.keep_step()
    assert link.exists()


@pytest.mark.parametrize("statement", ["DELETE FROM segment", "DELETE FROM segment WHERE camera = 1"])
async def test_i1_i2_rows_that_were_deleted_come_back_from_the_journals(
    box: tuple[Box, str, SegmentKey, SegmentKey], statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Files that no row knows are never deleted; the journals are read again for them."""
    built, _, *keys = box
    rows = [await built.row(key) for key in keys]
    unguarded(built.index, statement)
    assert (await built.sweep()).erased == 0
    assert (await built.house.compare()).strays == []
    assert "were on the volumes and in their journals, but not in the index" in caplog.text
    for key, row in zip(keys, rows, strict=True):
        now = await built.row(key)
        assert now is not None
        assert row is not None
        assert (now.floor, now.keep_until_us) == (row.floor, row.keep_until_us)
    built.world.clock.advance(60 * 86_400)
    await built.sweep()
    assert built.file(keys[0]).exists(), "I2"


async def test_i1_what_intake_was_made_to_pass_over_is_found(box: tuple[Box, str, SegmentKey, SegmentKey]) -> None:
    built, *_ = box
    disks, built.house.intake._volumes = built.house.intake._volumes, []  # it is behind
    await built.record("cam-b")  # begins a journal file and is its first line
    unread = await built.record("cam-b", built.world.clock.wall_us() + 5 * MINUTE)
    built.house.intake._volumes = disks
    (journal,) = [file for file in built.volume.glob("journal/*/*.ndjson") if _names(file, unread)]
    below, size = journal.relative_to(built.volume), journal.stat().st_size
    connection = sqlite3.connect(built.index)  # setting it ahead looks like reading: no guard can tell
    connection.execute("INSERT INTO intake VALUES (1, ?, ?)", (str(below), size))
    connection.commit()
    connection.close()
    built.world.clock.advance(HOUR // 10**6)
    await built.house.intake.catch_up()
    assert await built.row(unread) is None
    assert (await built.sweep()).erased == 0
    assert (await built.house.compare()).strays == []
    row = await built.row(unread)
    assert row is not None
    assert row.keep_until_us >= row.end_us + 30 * DAY
    built.world.clock.advance(29 * 86_400)
    assert (await built.sweep()).erased == 1, "what was recorded days before it"
    assert built.file(unread).exists()


def _names(journal: Path, key: SegmentKey) -> bool:
    return f'"seq":{key.seq},' in journal.read_text()


async def test_guards_dropped_while_it_runs_are_put_back_before_the_next_pass(
    box: tuple[Box, str, SegmentKey, SegmentKey],
) -> None:
    built, _, held, young = box
    for folder in built.volume.glob("segments/*/*"):
        os.utime(folder, (0, 0))  # long settled: remembered as equal, and not read again
    await built.house.compare()
    assert await built.sql("SELECT 1 FROM compared")
    connection = sqlite3.connect(built.index)
    wanted = set(connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"))
    connection.execute("DROP TRIGGER segment_forget_guard")
    connection.execute("DELETE FROM segment")
    connection.execute("CREATE TRIGGER helper AFTER INSERT ON ledger BEGIN DELETE FROM held_due; END")
    connection.commit()
    connection.close()
    assert (await built.sweep()).erased == 0
    (entry,) = await built.told(LedgerKind.GUARDS_PUT_BACK)
    assert entry.body == {"guards": ["helper", "segment_forget_guard"]}
    assert {
        tuple(row) for row in await built.sql("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
    } == wanted
    assert (await built.house.compare()).strays == []
    assert await built.row(held) is not None
    assert await built.row(young) is not None
    await built.sweep()
    assert len(await built.told(LedgerKind.GUARDS_PUT_BACK)) == 1


async def test_tables_that_are_not_edged_s_end_every_deletion(box: tuple[Box, str, SegmentKey, SegmentKey]) -> None:
    built, _, *keys = box
    connection = sqlite3.connect(built.index)
    connection.execute("ALTER TABLE hold RENAME COLUMN released_us TO freed_us")
    connection.commit()
    connection.close()
    built.world.clock.advance(60 * 86_400)
    with pytest.raises(BadDatabase, match="another hold than this edged makes; edged archive rebuild"):
        await built.sweep()
    assert all(built.file(key).exists() for key in keys)


async def test_i10_one_person_does_not_confirm_for_two(lagging: tuple[House, SegmentKey]) -> None:
    """A first word that nobody spoke, noted in the index, past its guards even: no entry of the ledger has it."""
    built, key = lagging
    await built.database.write(confirm, "person-a", reading(built.clock))
    (spoken,) = await built.sql("SELECT value FROM meta WHERE key = 'retention_confirmation'")
    for forged in (int(spoken["value"]) - 1, 99, None, '{"by": "x"}'):
        unguarded(
            built.path / "index.sqlite",
            f"UPDATE meta SET value = '{json.dumps(forged)}' WHERE key = 'retention_confirmation'",
        )
        assert await built.database.write(confirm, "person-b", reading(built.clock)) is None
    assert (await built.one_pass()).erased == 0
    assert built.file(key).exists()
