"""Attempts to shorten retention from outside the sweep: the index's file, the volumes, the configuration, the clock.

What none of this can prevent, because root owns the machine, and how it shows:

- dropping the triggers and deleting rows while the daemon is stopped: the guards are put back at the start and the
  ledger says so; the rows are missed by the hours' records, which name every segment with its hash (`prove day`:
  MISSING_UNEXPLAINED), and a row whose file is still there is a stray.
- switching triggers off for one connection (SQLITE_DBCONFIG_ENABLE_TRIGGER): as if they had been dropped for it, and
  it shows the same way.
- rewriting the ledger itself: signed heads kept elsewhere (MQTT, paper) contradict it (tests/scenario/
  test_prove_operator.py, LAW.md section 12, 29).
- deleting files, or the whole disk, and a hold's links with them: FOOTAGE_MISSING at the next comparison, a finding of
  the scrub, MISSING_UNEXPLAINED in the day's proof; the row stays, and stays held.
- setting the retention clock ahead in the file, where triggers are off: it is put back to where the ledger saw it
  (test_attempts_unguarded.py).
"""

import json
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from edged.archive import roster
from edged.archive.database import BadDatabase, Database, open_database
from edged.archive.intake import Intake
from edged.archive.reconcile import reconcile
from edged.archive.segments import SegmentKey
from edged.archive.volumes import open_volumes
from edged.base.clock import DAY, MINUTE
from edged.law.packs import load_packs, shipped_packs
from edged.law.site import SiteLaw
from edged.retain.stamp import Stamper
from tests.archive_kit import sealed, write_journal
from tests.retaining import PLENTY, START_US, House, house

YOUNG_DAYS = 5  # of a floor of thirty


async def box_with_footage(built: House) -> tuple[SegmentKey, SegmentKey]:
    """Two cameras with young footage; the first is held."""
    for camera in ("cam-a", "cam-b"):
        await built.camera(camera)
    await built.tick()
    keys = await built.record("cam-a"), await built.record("cam-b")
    await built.hold("cam-a", start_us=0)
    built.clock.advance(YOUNG_DAYS * 86_400)
    await built.tick()
    return keys


async def nothing_went(built: House, *keys: SegmentKey) -> None:
    """After a pass of the sweep both rows and both files are there, as they were."""
    assert (await built.one_pass()).erased == 0
    for key in keys:
        row = await built.row(key)
        assert row is not None
        assert row.keep_until_us >= key.start_us + MINUTE + 30 * DAY
        assert built.file(key).exists()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM segment",
        "UPDATE segment SET state = 2",
        "UPDATE segment SET keep_until_us = 0",
        "UPDATE segment SET keep_until_us = keep_until_us - 1",
        "UPDATE segment SET end_us = start_us",
        "UPDATE segment SET sha256 = zeroblob(32)",
        "UPDATE floor SET days = 1",
        "UPDATE segment SET floor = 9",
        "UPDATE segment SET keep_until_us = 0, state = 2",
        "DELETE FROM floor",
        "UPDATE hold SET end_us = start_us + 1",
        "UPDATE hold SET release1_by = 'x', release1_us = 1",
        "UPDATE hold SET released_us = 1, release2_by = 'x', release1_by = 'y', release1_us = 1",
        "DELETE FROM hold",
        "DELETE FROM hold_camera",
        "UPDATE ledger SET body = '{}'",
        "DELETE FROM ledger",
        "DELETE FROM retention_clock",
        "UPDATE retention_clock SET retention_us = retention_us - 1",
        "UPDATE retention_clock SET retention_us = retention_us + 3456000000000",
        "UPDATE retention_clock SET retention_us = retention_us + 3456000000000, mono_us = 0, boot_id = 'x'",
        "DELETE FROM camera",
        "DELETE FROM volume",
        "UPDATE volume SET id = 'another'",
        "UPDATE volume SET uuid = 'another'",
        "UPDATE camera SET state = 'found'",
        "INSERT OR REPLACE INTO floor SELECT no, 1, rules FROM floor",
        "INSERT OR REPLACE INTO retention_clock SELECT one, retention_us + 1, mono_us, boot_id, wall_us FROM"
        " retention_clock",
        "INSERT OR REPLACE INTO camera (no, id, source, state, place, found_us) SELECT no, id, source, 'removed',"
        " 'other', 0 FROM camera",
        "UPDATE OR REPLACE hold SET id = 'another'",
        "UPDATE OR REPLACE segment SET start_us = (SELECT min(start_us) FROM segment), camera = 1",
        "UPDATE camera SET state = 'removed' WHERE id = 'cam-a'",
    ],
)
async def test_i1_i2_i3_plain_sql_on_the_file_is_refused(tmp_path: Path, statement: str) -> None:
    """A connection of its own, with none of the settings that the daemon gives its own."""
    async with house(tmp_path) as built:
        keys = await box_with_footage(built)
        connection = sqlite3.connect(tmp_path / "index.sqlite")
        try:
            before = list(connection.iterdump())
            with pytest.raises(sqlite3.IntegrityError):
                connection.execute(statement)
            connection.rollback()
            assert list(connection.iterdump()) == before
        finally:
            connection.close()
        await nothing_went(built, *keys)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT OR REPLACE INTO segment SELECT camera, stream, start_us, run, seq, end_us, end_us + 86400000000 * 31,"
        " floor, volume, 1, 1, 1, 0, codec, 1, 1, 0, 1, zeroblob(32) FROM segment",
        "REPLACE INTO hold SELECT no, id, case_ref, authority, document, 9000000000000000, NULL, placed_by, placed_us,"
        " NULL, NULL, NULL, NULL, NULL FROM hold",
    ],
)
async def test_i1_i2_replace_on_a_foreign_connection_changes_nothing(tmp_path: Path, statement: str) -> None:
    """Where recursive_triggers is off, REPLACE meets no delete guard."""
    async with house(tmp_path) as built:
        keys = await box_with_footage(built)
        connection = sqlite3.connect(tmp_path / "index.sqlite")
        try:
            before = list(connection.iterdump())
            assert connection.execute(statement).rowcount == 0
            connection.commit()
            assert list(connection.iterdump()) == before
        finally:
            connection.close()
        await nothing_went(built, *keys)


async def test_i1_i2_guards_that_were_dropped_are_put_back_and_named(tmp_path: Path) -> None:
    async with house(tmp_path) as built:
        await box_with_footage(built)
    path = tmp_path / "index.sqlite"
    connection = sqlite3.connect(path)
    wanted = set(connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"))
    connection.execute("DROP TRIGGER segment_forget_guard")
    connection.execute("DROP TRIGGER segment_doom_guard")
    connection.execute("CREATE TRIGGER segment_doom_guard BEFORE UPDATE OF state ON segment BEGIN SELECT 1; END")
    connection.execute("CREATE TRIGGER helper AFTER INSERT ON hold BEGIN DELETE FROM held_due; END")
    connection.commit()
    connection.close()
    names: list[str] = []
    connection = open_database(path, names)
    assert names == ["helper", "segment_doom_guard", "segment_forget_guard"]
    found = {tuple(row) for row in connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")}
    assert found == wanted
    for statement in ("UPDATE segment SET state = 2", "DELETE FROM segment"):
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(statement)
    connection.close()
    names.clear()
    open_database(path, names).close()
    assert names == []


def test_an_index_with_other_tables_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    open_database(path).close()
    connection = sqlite3.connect(path)
    connection.execute("ALTER TABLE hold RENAME TO hold_before")
    connection.execute("CREATE TABLE hold (no INTEGER PRIMARY KEY, released_us INTEGER)")
    connection.commit()
    connection.close()
    with pytest.raises(BadDatabase, match="another hold than this edged makes; edged archive rebuild"):
        open_database(path)


async def test_i3_what_is_past_its_floor_goes_by_no_other_way_than_the_sweep(tmp_path: Path) -> None:
    """Doomed by plain SQL it would be unlinked without an entry; so the index asks the ledger for one."""
    async with house(tmp_path, free=PLENTY) as built:
        keys = await box_with_footage(built)
        built.clock.advance(30 * 86_400)
        await built.tick()
        row = await built.row(keys[1])
        assert row is not None
        assert row.keep_until_us < built.clock.wall_us()
        connection = sqlite3.connect(tmp_path / "index.sqlite")
        for statement in ("UPDATE segment SET state = 2 WHERE camera = 2", "DELETE FROM segment WHERE camera = 2"):
            with pytest.raises(sqlite3.IntegrityError, match="I3"):
                connection.execute(statement)
        connection.close()
        assert built.file(keys[1]).exists()
        built.clock.advance(3 * 86_400)
        assert (await built.one_pass()).erased == 1, "by the sweep it goes"


async def journal_says(built: House, key: SegmentKey, **changes: Any) -> None:
    """A second line about a segment that is indexed already, written into a journal by hand."""
    volume = built.volumes[0].volume
    row = await built.row(key)
    assert row is not None
    told = {**key._asdict(), "end_us": row.end_us, "bytes": row.bytes, "sha256": row.sha256, **changes}
    write_journal(volume.path, [sealed(**told)], key.start_us)


async def earlier_end(built: House, key: SegmentKey) -> None:
    await journal_says(built, key, end_us=key.start_us + 1)


async def other_content(built: House, key: SegmentKey) -> None:
    await journal_says(built, key, sha256="0" * 64, bytes=1)


async def a_way_out(built: House, key: SegmentKey) -> None:
    """A camera whose name leads out of the volume; encode() writes it, decode() refuses it."""
    await journal_says(built, key, camera="../../cam-a")
    await journal_says(built, key, camera="..")


async def a_link_among_the_segments(built: House, key: SegmentKey) -> None:
    """A link that leads from one camera's folder to the file of another."""
    link = built.file(key).with_name("000000Z-9-9.mp4")
    link.symlink_to(built.file(key))
    folder = built.file(key).parent.parent.with_name("cam-z")
    folder.symlink_to(built.file(key).parent.parent)


async def another_identity(built: House, key: SegmentKey) -> None:
    """The volume's own file says that it is another disk: nothing on it is deleted or concluded."""
    file = built.volumes[0].volume.path / "VOLUME.json"
    file.write_text(json.dumps({**json.loads(file.read_bytes()), "uuid": "another"}))


Attempt = Callable[[House, SegmentKey], Awaitable[None]]


@pytest.mark.parametrize(
    "attempt", [earlier_end, other_content, a_way_out, a_link_among_the_segments, another_identity]
)
async def test_i1_i2_what_is_written_to_a_volume_shortens_nothing(tmp_path: Path, attempt: Attempt) -> None:
    async with house(tmp_path) as built:
        keys = await box_with_footage(built)
        rows = [await built.row(key) for key in keys]
        for key in keys:
            await attempt(built, key) if attempt is not a_link_among_the_segments or key is keys[0] else None
        volumes = [each.volume for each in built.volumes]
        intake = Intake(built.database, built.clock, volumes, built.stamper, built.law.tz)
        await intake.catch_up()
        intake.close()
        await reconcile(built.database, volumes, built.clock)
        assert [await built.row(key) for key in keys] == rows
        await nothing_went(built, *keys)
        built.clock.advance(40 * 86_400)
        await built.one_pass()
        assert built.file(keys[0]).exists(), "I2: the held one stays past its floor, too"


async def test_i1_a_smaller_law_does_not_reach_back(tmp_path: Path) -> None:
    """Another jurisdiction, another place, the operator's own minimum taken back: stamped footage keeps its date."""
    async with house(tmp_path) as built:
        keys = await box_with_footage(built)
        rows = [await built.row(key) for key in keys]
        for jurisdiction in ("weihai", "nowhere"):
            smaller = SiteLaw(load_packs(shipped_packs()), jurisdiction, "Asia/Shanghai", 0)
            built.law = smaller
            built.stamper = Stamper(smaller, built.clock, built.stamper._default)
            built.__post_init__()
            for camera in ("cam-a", "cam-b"):
                await built.sql("UPDATE camera SET place = 'other', designations = '[]' WHERE id = ?", camera)
            assert (await built.one_pass()).erased == 0
            for key, before in zip(keys, rows, strict=True):
                row = await built.row(key)
                assert row is not None
                assert before is not None
                assert row.keep_until_us >= before.keep_until_us
        await nothing_went(built, *keys)


async def test_i2_a_held_camera_is_neither_removed_nor_adopted_again(tmp_path: Path) -> None:
    async with house(tmp_path) as built:
        keys = await box_with_footage(built)
        with pytest.raises(roster.CameraHeld):
            await built.database.write(roster.remove, "cam-a", START_US, "somebody")
        await built.database.write(roster.remove, "cam-b", START_US, "somebody")  # its footage keeps its floor
        await nothing_went(built, *keys)


async def test_i1_a_volume_dropped_from_the_configuration_keeps_what_it_holds(tmp_path: Path) -> None:
    async with house(tmp_path, volumes=2) as built:
        keys = await box_with_footage(built)
        configured = [("disk-1", built.volumes[1].volume.path)]
        await built.database.write(open_volumes, configured, built.clock.wall_us())
        built.clock.advance(60 * 86_400)
        dropped = built.volumes.pop(0)
        built.__post_init__()
        assert (await built.one_pass()).erased == 0
        built.volumes.insert(0, dropped)
        assert all(built.file(key).exists() for key in keys)
        assert await built.row(keys[0]) is not None


async def test_i1_a_copy_of_another_disk_is_not_taken_for_it(tmp_path: Path) -> None:
    """An index that was lost meets a volume whose files were deleted: they are missing, not lawfully gone."""
    async with house(tmp_path) as built:
        keys = await box_with_footage(built)
        for key in keys:
            await journal_says(built, key)
            built.file(key).unlink()
        fresh = Database(tmp_path / "fresh.sqlite")
        try:
            configured = [(built.volumes[0].volume.id, built.volumes[0].volume.path)]
            volumes = await fresh.write(open_volumes, configured, built.clock.wall_us())
            intake = Intake(fresh, built.clock, volumes, built.stamper, built.law.tz)
            await intake.catch_up()
            intake.close()
            found = await reconcile(fresh, volumes, built.clock)
            assert (found.missing, found.deleted) == (2, 0)
        finally:
            fresh.close()
        shutil.rmtree(tmp_path / "disk-0" / "segments")
        assert (await reconcile(built.database, [built.volumes[0].volume], built.clock)).missing == 2
