"""Opening the index: what is refused and how it says so, steps of the schema, and one transaction a write."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from edged.archive import database
from edged.archive.database import FOLD_AT, FOLD_AT_IN_BULK, BadDatabase, Database, open_database
from edged.archive.schema import STEPS
from tests.archive_kit import put_hold, put_rows


def shape_of(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    return [
        tuple(row) for row in connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY 1, 2")
    ]


def test_a_fresh_index_equals_one_that_took_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = open_database(tmp_path / "fresh.db")
    for count in range(1, len(STEPS) + 1):
        monkeypatch.setattr(database, "STEPS", STEPS[:count])
        migrated = open_database(tmp_path / "migrated.db")
        assert migrated.execute("PRAGMA user_version").fetchone()[0] == count
        if count < len(STEPS):
            migrated.close()
    assert shape_of(migrated) == shape_of(fresh) != []
    fresh.close()
    migrated.close()


def test_sqlite_takes_no_sound_table_for_damaged(tmp_path: Path) -> None:
    """PRAGMA quick_check of SQLite 3.40 reads a key in another order than the columns as NULL; a rebuild would then
    believe that the index is lost and not see how far it reaches."""
    index = open_database(tmp_path / "index.db")
    tables = [name for (name,) in index.execute("SELECT name FROM sqlite_schema WHERE sql LIKE '%WITHOUT ROWID%'")]
    assert "hold_camera" in tables
    for table in tables:
        keys = [row["pk"] for row in index.execute(f"PRAGMA table_info({table})")]
        keyed = sum(1 for key in keys if key)
        assert keys[:keyed] == list(range(1, keyed + 1)), table
    put_rows(index)
    put_hold(index)
    assert index.execute("PRAGMA quick_check").fetchone()[0] == "ok"
    index.close()


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    first = open_database(tmp_path / "index.db")
    shape = shape_of(first)
    first.execute("INSERT INTO meta VALUES ('k', 'v')")
    first.close()
    again = open_database(tmp_path / "index.db")
    assert shape_of(again) == shape
    assert again.execute("SELECT value FROM meta").fetchone()[0] == "v"
    again.close()


def test_a_step_that_fails_leaves_the_index_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_database(tmp_path / "index.db").close()
    monkeypatch.setattr(database, "STEPS", (*STEPS, "CREATE TABLE half (x) STRICT, WITHOUT ROWID"))
    with pytest.raises(BadDatabase):
        open_database(tmp_path / "index.db")
    monkeypatch.setattr(database, "STEPS", (*STEPS, "CREATE TABLE first (x); INSERT INTO nowhere VALUES (1)"))
    with pytest.raises(BadDatabase):
        open_database(tmp_path / "index.db")
    monkeypatch.undo()
    connection = open_database(tmp_path / "index.db")
    assert connection.execute("PRAGMA user_version").fetchone()[0] == len(STEPS)
    assert not connection.execute("SELECT 1 FROM sqlite_schema WHERE name IN ('half', 'first')").fetchall()
    connection.close()


def test_an_index_of_a_newer_edged_is_refused_and_left_alone(tmp_path: Path) -> None:
    connection = open_database(tmp_path / "index.db")
    connection.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    connection.close()
    with pytest.raises(BadDatabase, match=r"index\.db has schema 2, this edged knows up to 1; run the newer edged"):
        open_database(tmp_path / "index.db")


def test_another_program_s_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "index.db")
    other.execute("CREATE TABLE recipes (x)")
    other.commit()
    other.close()
    before = (tmp_path / "index.db").read_bytes()
    with pytest.raises(BadDatabase, match="is not an index of edged"):
        open_database(tmp_path / "index.db")
    assert (tmp_path / "index.db").read_bytes() == before


@pytest.mark.parametrize("damage", ["text", "header", "schema page"])
def test_a_damaged_file_is_refused_with_what_to_do(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "index.db"
    open_database(path).close()
    content = bytearray(path.read_bytes())
    if damage == "text":
        content = bytearray(b"not a database at all\n" * 500)
    elif damage == "header":
        content[:16] = bytes(16)
    else:
        content[100:4096] = b"\xff" * 3996
    path.write_bytes(content)
    with pytest.raises(BadDatabase, match="edged archive rebuild makes a new one"):
        open_database(path)


def test_an_index_that_cannot_be_reached_is_not_called_damaged(tmp_path: Path) -> None:
    """Nobody is told to move away a file that may be sound."""
    with pytest.raises(BadDatabase, match="state_dir exists") as refusal:
        open_database(tmp_path / "nowhere" / "index.db")
    assert "move it away" not in str(refusal.value)


async def test_a_write_is_whole_or_not_at_all(tmp_path: Path) -> None:
    index = Database(tmp_path / "index.db")

    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO meta VALUES ('half', '1')")
        raise LookupError("in the middle")

    with pytest.raises(LookupError):
        await index.write(half)

    def keys(connection: sqlite3.Connection) -> list[str]:
        return [row[0] for row in connection.execute("SELECT key FROM meta")]

    assert await index.read(keys) == []
    index.close()


async def test_a_commit_folds_few_pages_into_the_index_and_a_bulk_what_is_left(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    index = Database(path)

    def enter(connection: sqlite3.Connection, first: int) -> None:
        rows = [(f"{number:06d}", "x" * 3000) for number in range(first, first + 20)]
        connection.executemany("INSERT INTO meta VALUES (?, ?)", rows)  # a page each

    def ever_in_log() -> int:
        return path.with_name("index.db-wal").stat().st_size // 4096

    for number in range(50):
        await index.write(enter, number * 20)
    assert ever_in_log() < FOLD_AT + 100
    async with index.in_bulk():
        for number in range(50, 100):
            await index.write(enter, number * 20)
        async with index.in_bulk():
            pass
        await index.write(enter, 2000)
        assert 1000 < ever_in_log() < FOLD_AT_IN_BULK
    folded = shutil.copy(path, tmp_path / "without-its-log.db")
    assert sqlite3.connect(folded).execute("SELECT count(*) FROM meta").fetchone() == (2020,)
    assert await index.read(lambda connection: connection.execute("PRAGMA wal_autocheckpoint").fetchone()[0]) == FOLD_AT
    index.close()
