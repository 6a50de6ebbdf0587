"""What is entered once is not entered over: REPLACE on a connection that fires no delete triggers for it.

Every case runs twice, as in test_archive_guards.py: with the guard nothing changes, without it the same statement
changes the index, so a guard that guards nothing shows itself.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from edged.archive.database import open_database
from edged.base.clock import DAY, MINUTE
from tests.archive_kit import T0, TOLD_FIRST, TOLD_RELEASE, execute_all, put_hold, put_rows
from tests.unit.test_archive_guards import LEDGER_ROWS, OTHER_HOLD, OUTAGE, OUTAGE_ROWS

SEGMENT = (
    "segment VALUES ({camera}, 0, {start}, 1, {seq}, {end}, {keep}, 1, 1, 1, 25, 1, 0, 'avc1', 640, 360, 0, 1,"
    " randomblob(32))"
)
SAME = SEGMENT.format(camera=1, start=T0, seq=0, end=T0 + MINUTE, keep=T0 + 33 * DAY)
SAME_IN_WORDS = SAME.replace("VALUES (1,", "VALUES ('1',")
OTHER_SEGMENT = SEGMENT.format(camera=1, start=T0 + DAY, seq=1, end=T0 + DAY + MINUTE, keep=T0 + 40 * DAY)
CAMERA = (
    "INSERT {how} INTO camera (no, id, source, state, place, found_us, endpoint_reference)"
    " VALUES ({no}, '{id}', 'static', 'removed', 'other', 0, {endpoint})"
)
HOLD = (
    "INSERT {how} INTO hold (no, id, case_ref, authority, document, start_us, placed_by, placed_us)"
    " VALUES ({no}, '{id}', 'c', 'a', 'd', 9000000000000000, 'ann', 0)"
)
ENDPOINT = "UPDATE camera SET endpoint_reference = 'urn:1' WHERE no = 1"
CLOSED = "UPDATE outage SET state = 'closed', closed_us = 9 WHERE no = 1"
SECOND_OUTAGE = OUTAGE.format(how="", t0=50).replace("'out-1'", "'out-2'").replace("VALUES (1,", "VALUES (2,")
INTAKE_ROW = "INSERT INTO intake VALUES (1, 'j', 100)"


class Replace(NamedTuple):
    guard: str
    statement: str
    before: tuple[str, ...] = ()


REPLACES = {
    "I1 a segment": Replace("segment_once", f"INSERT OR REPLACE INTO {SAME}"),
    "I1 a segment, in short": Replace("segment_once", f"REPLACE INTO {SAME}"),
    "I1 a segment, its number as text": Replace("segment_once", f"REPLACE INTO {SAME_IN_WORDS}"),
    "I1 a segment by an upsert": Replace(
        "segment_once", f"INSERT INTO {SAME} ON CONFLICT DO UPDATE SET codec = 'none'"
    ),
    "I1 a segment from a select": Replace(
        "segment_once",
        "REPLACE INTO segment SELECT camera, stream, start_us, run, seq, end_us, keep_until_us, floor,"
        " volume, 1, 1, 1, 0, codec, 1, 1, 1, 1, randomblob(32) FROM segment",
    ),
    "I1 a segment by another one's move": Replace(
        "segment_identity_guard",
        f"UPDATE OR REPLACE segment SET start_us = {T0}, end_us = {T0 + MINUTE}, seq = 0 WHERE seq = 1",
        (f"INSERT INTO {OTHER_SEGMENT}",),
    ),
    "I1 a floor": Replace("floor_once", "INSERT OR REPLACE INTO floor VALUES (1, 1, '[]')"),
    "I1 a floor by its content": Replace(
        "floor_once", "INSERT OR REPLACE INTO floor SELECT 9, days, rules FROM floor WHERE no = 1"
    ),
    "I1 a floor's number": Replace(
        "floor_fixed", "UPDATE OR REPLACE floor SET no = 1 WHERE no = 2", ("INSERT INTO floor VALUES (2, 5, '[]')",)
    ),
    "I1 a volume": Replace("volume_once", "REPLACE INTO volume VALUES (1, 'disk-a', 'another', 0)"),
    "I1 a volume by its id": Replace("volume_once", "REPLACE INTO volume VALUES (9, 'disk-a', 'another', 0)"),
    "I1 a volume by its uuid": Replace("volume_once", "REPLACE INTO volume VALUES (9, 'disk-b', 'uuid-a', 0)"),
    "I3 how far a journal was read": Replace("intake_once", "REPLACE INTO intake VALUES (1, 'j', 0)", (INTAKE_ROW,)),
    "I2 a camera": Replace("camera_once", CAMERA.format(how="OR REPLACE", no=1, id="cam-1", endpoint="NULL")),
    "I2 a camera by its id": Replace("camera_once", CAMERA.format(how="OR REPLACE", no=9, id="cam-1", endpoint="NULL")),
    "I2 a camera by its endpoint": Replace(
        "camera_once", CAMERA.format(how="OR REPLACE", no=9, id="cam-9", endpoint="'urn:1'"), (ENDPOINT,)
    ),
    "I2 a camera by another one's endpoint": Replace(
        "camera_endpoint_once",
        "UPDATE OR REPLACE camera SET endpoint_reference = 'urn:1' WHERE no = 2",
        (ENDPOINT, CAMERA.format(how="", no=2, id="cam-2", endpoint="NULL")),
    ),
    "I2 a camera by another one's id": Replace(
        "camera_identity_guard",
        "UPDATE OR REPLACE camera SET id = 'cam-1' WHERE no = 2",
        (CAMERA.format(how="", no=2, id="cam-2", endpoint="NULL"),),
    ),
    "I2 a hold": Replace("hold_once", HOLD.format(how="OR REPLACE", no=1, id="hold-1")),
    "I2 a hold by its id": Replace("hold_once", HOLD.format(how="OR REPLACE", no=7, id="hold-1")),
    "I2 a hold by another one's id": Replace(
        "hold_release_guard", "UPDATE OR REPLACE hold SET id = 'hold-1' WHERE no = 2", (OTHER_HOLD,)
    ),
    "I2 a hold's camera by another hold's": Replace(
        "hold_camera_fixed",
        "UPDATE OR REPLACE hold_camera SET hold = 1 WHERE hold = 2",
        (OTHER_HOLD, "INSERT INTO hold_camera (hold, camera) VALUES (2, 1)"),
    ),
    "I10 the retention clock": Replace(
        "retention_clock_once", "INSERT OR REPLACE INTO retention_clock VALUES (1, 0, 0, 'b', 0)"
    ),
    "I3 a ledger entry": Replace(
        "ledger_append", "INSERT OR REPLACE INTO ledger VALUES (2, 1, 'daemon_start', '[]', zeroblob(32))", LEDGER_ROWS
    ),
    "I3 a ledger entry's number": Replace(
        "ledger_fixed", "UPDATE OR REPLACE ledger SET seq = 1 WHERE seq = 2", LEDGER_ROWS
    ),
    "I3 the tree": Replace(
        "ledger_node_append",
        "INSERT OR REPLACE INTO ledger_node VALUES (4, 0, randomblob(32))",
        (*LEDGER_ROWS, "INSERT INTO ledger_node VALUES (4, 0, zeroblob(32))"),
    ),
    "I3 a signed head": Replace(
        "ledger_checkpoint_append",
        "INSERT OR REPLACE INTO ledger_checkpoint VALUES (5, 1, 'other')",
        (*LEDGER_ROWS, "INSERT INTO ledger_checkpoint VALUES (5, 1, 'head')"),
    ),
    "I5 an outage": Replace("outage_once", OUTAGE.format(how="OR REPLACE", t0=77), OUTAGE_ROWS[:1]),
    "I5 an open outage by a second": Replace(
        "outage_once", SECOND_OUTAGE.replace("INSERT", "INSERT OR REPLACE"), OUTAGE_ROWS[:1]
    ),
    "I5 an open outage by a closed one": Replace(
        "outage_reopened",
        "UPDATE OR REPLACE outage SET closed_us = NULL WHERE no = 1",
        (OUTAGE_ROWS[0], CLOSED, SECOND_OUTAGE),
    ),
    "I5 a report": Replace(
        "outage_report_once", "INSERT OR REPLACE INTO outage_report VALUES (1, 'repair_unit', 9, 'x', 9)", OUTAGE_ROWS
    ),
    "I5 an outage's history": Replace(
        "outage_event_once", "INSERT OR REPLACE INTO outage_event VALUES (1, 1, 9, 'x', '', '')", OUTAGE_ROWS
    ),
}


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A connection with none of the settings that edged gives its own."""
    own = open_database(tmp_path / "index.db")
    put_rows(own)
    put_hold(own)
    own.close()
    connection = sqlite3.connect(tmp_path / "index.db", isolation_level=None)
    assert connection.execute("PRAGMA recursive_triggers").fetchone() == (0,)
    assert connection.execute("PRAGMA foreign_keys").fetchone() == (0,)
    yield connection
    connection.close()


def _try(connection: sqlite3.Connection, statement: str) -> bool:
    """Whether the statement changed anything."""
    before = list(connection.iterdump())
    with contextlib.suppress(sqlite3.IntegrityError):
        connection.execute(statement)
    return list(connection.iterdump()) != before


@pytest.mark.parametrize("name", REPLACES)
def test_replace_changes_nothing(stranger: sqlite3.Connection, name: str) -> None:
    """I1, I2, I3, I5, I10."""
    for statement in REPLACES[name].before:
        stranger.execute(statement)
    assert not _try(stranger, REPLACES[name].statement)


@pytest.mark.parametrize("name", REPLACES)
def test_without_its_guard_replace_gets_through(stranger: sqlite3.Connection, name: str) -> None:
    for statement in REPLACES[name].before:
        stranger.execute(statement)
    stranger.execute(f"DROP TRIGGER {REPLACES[name].guard}")
    assert _try(stranger, REPLACES[name].statement)


def test_every_guard_of_what_is_entered_once_is_tried(stranger: sqlite3.Connection) -> None:
    names = {
        name for (name,) in stranger.execute("SELECT name FROM sqlite_schema WHERE name LIKE '%^_once' ESCAPE '^'")
    }
    # A hold's camera has no column besides its key: what would replace it is the same again.
    assert names - {"hold_camera_once"} <= {each.guard for each in REPLACES.values()}


def test_a_hold_s_camera_entered_again_wants_no_further_links(stranger: sqlite3.Connection) -> None:
    stranger.execute("DELETE FROM held_due")
    assert not _try(stranger, "INSERT OR REPLACE INTO hold_camera VALUES (1, 1)")
    stranger.execute("DROP TRIGGER hold_camera_once")
    assert _try(stranger, "INSERT OR REPLACE INTO hold_camera VALUES (1, 1)")


def test_one_person_is_not_two_where_checks_are_ignored(stranger: sqlite3.Connection) -> None:
    """I2: PRAGMA ignore_check_constraints leaves the guard."""
    execute_all(stranger, *TOLD_FIRST, *TOLD_RELEASE)
    stranger.execute("UPDATE hold SET release1_by = 'ann', release1_us = 1")
    stranger.execute("PRAGMA ignore_check_constraints = ON")
    for second in ("'ann'", "' ANN '", "NULL"):
        assert not _try(stranger, f"UPDATE hold SET release2_by = {second}, released_us = 2")
    stranger.execute("DROP TRIGGER hold_release_guard")
    assert _try(stranger, "UPDATE hold SET release2_by = 'ann', released_us = 2")
