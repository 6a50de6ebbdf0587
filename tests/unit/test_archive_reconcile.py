"""I7: the index equals the disk; what vanished is said, what is unknown is left alone, what is unsure is not judged."""

import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pytest

from edged.archive.database import Database
from edged.archive.indexing import index_facts
from edged.archive.ledger import LedgerKind, entries
from edged.archive.reconcile import Reconciled, reconcile
from edged.archive.schema import DOOMED, MISSING, SEALED
from edged.archive.volumes import Volume, open_volumes
from edged.base.clock import DAY, MINUTE, ManualClock
from edged.model import SegmentSealed, StreamKind
from edged.retain.rows import doomed_segments
from tests.archive_kit import SHANGHAI, T0, execute_all, row_of_segments, sealed, stamp, told_going, write_files

NOW = T0 + 3 * DAY


class House(NamedTuple):
    database: Database
    volume: Volume
    facts: list[SegmentSealed]
    files: list[Path]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Two cameras, one with a sub stream, over two UTC days, on one volume."""
    index = Database(tmp_path / "index.db")
    (tmp_path / "disk").mkdir()
    (volume,) = await index.write(open_volumes, [("disk-a", tmp_path / "disk")], T0)
    facts = [
        *row_of_segments(5),
        *row_of_segments(5, start_us=T0 + DAY, run=2),
        *row_of_segments(5, "cam-2"),
        sealed("cam-2", stream=StreamKind.SUB),
    ]
    await index.write(index_facts, volume.no, facts, stamp, SHANGHAI)
    yield House(index, volume, facts, write_files(volume.path, facts))
    index.close()


async def walk(house: House, **options: Any) -> Reconciled:
    return await reconcile(house.database, [house.volume], ManualClock(NOW), **options)


async def states(house: House) -> list[int]:
    def select(connection: sqlite3.Connection) -> list[int]:
        return [row[0] for row in connection.execute("SELECT state FROM segment")]

    return await house.database.read(select)


async def kinds(house: House) -> list[str]:
    return [entry.kind.value for entry in await house.database.read(entries)][1:]


async def test_nothing_to_say_where_index_and_disk_agree(house: House) -> None:
    beats: list[int] = []
    result = await walk(house, on_progress=lambda: beats.append(1))
    assert result == Reconciled(folders=4)
    assert len(beats) == 4
    assert await kinds(house) == []


async def test_i4_missing_files_become_missing_rows_with_a_ledger_entry_per_camera_day(house: House) -> None:
    house.files[1].unlink()
    house.files[3].unlink()
    shutil.rmtree(house.files[7].parent)
    result = await walk(house)
    assert (result.missing, result.stray_count) == (7, 0)
    assert sorted(await states(house)) == [SEALED] * 9 + [MISSING] * 7
    first, second = (await house.database.read(entries))[1:]
    assert (first.kind, first.at_us) == (LedgerKind.FOOTAGE_MISSING, NOW)
    assert first.body == {
        "camera": "cam-1",
        "stream": "main",
        "volume": "disk-a",
        "day": "2026-09-21",
        "keep_until_us": house.facts[3].end_us + 32 * DAY,
        "segments": [f"cam-1/main/{house.facts[i].start_us}-1-{i}" for i in (1, 3)],
    }
    assert len(second.body["segments"]) == 5
    # said once, not at every start
    assert (await walk(house)).missing == 0
    assert len(await kinds(house)) == 2


async def test_footage_that_is_back_is_sealed_again(house: House) -> None:
    content = house.files[0].read_bytes()
    house.files[0].unlink()
    await walk(house)
    house.files[0].write_bytes(content)
    assert (await walk(house)).found == 1
    assert set(await states(house)) == {SEALED}
    assert await kinds(house) == ["footage_missing", "footage_found"]


def unmount(volume: Volume) -> None:
    shutil.rmtree(volume.path)
    volume.path.mkdir()


def vanish(volume: Volume) -> None:
    shutil.rmtree(volume.path)


def swap(volume: Volume) -> None:
    unmount(volume)
    (volume.path / "VOLUME.json").write_text('{"v":1,"volume":"disk-a","uuid":"another"}')


def block(volume: Volume) -> None:
    shutil.rmtree(volume.path / "segments")
    (volume.path / "segments").write_text("a file where a folder was")


@pytest.mark.parametrize("fault", [unmount, vanish, swap, block])
async def test_i7_an_unsure_volume_marks_nothing_missing(house: House, fault: Callable[[Volume], None]) -> None:
    fault(house.volume)
    result = await walk(house)
    assert list(result.skipped) == ["disk-a"]
    assert (result.missing, set(await states(house))) == (0, {SEALED})
    assert await kinds(house) == []


async def test_of_another_disk_no_file_is_called_a_stray_and_no_folder_equal(house: House) -> None:
    """Where nothing is missing either: the identity is asked before anything is looked at."""
    (house.volume.path / "VOLUME.json").write_text('{"v":1,"volume":"disk-a","uuid":"another"}')
    (house.files[0].parent / "120000Z-7-7.mp4").write_bytes(b"of the other disk")
    result = await walk(house)
    assert list(result.skipped) == ["disk-a"]
    assert (result.folders, result.unchanged, result.stray_count) == (0, 0, 0)


async def test_a_fenced_volume_marks_nothing_missing(house: House) -> None:
    shutil.rmtree(house.volume.path / "segments")
    fenced = Volume("disk-a", house.volume.no, house.volume.uuid, house.volume.path, "wrong disk")
    result = await reconcile(house.database, [fenced], ManualClock(NOW))
    assert result.skipped == {"disk-a": "wrong disk"}
    assert set(await states(house)) == {SEALED}


@pytest.mark.parametrize("unmounted_at", range(1, 5))
async def test_i7_a_disk_that_goes_while_it_is_walked_marks_nothing_missing(house: House, unmounted_at: int) -> None:
    """The identity is asked after the folder was read: what an empty mount point does not hold is not missing."""
    beats = 0

    def beat() -> None:
        nonlocal beats
        beats += 1
        if beats == unmounted_at - 1:
            unmount(house.volume)

    if unmounted_at == 1:
        unmount(house.volume)
    result = await walk(house, on_progress=beat)
    assert (result.missing, list(result.skipped)) == (0, ["disk-a"])
    assert set(await states(house)) == {SEALED}


async def test_a_folder_that_cannot_be_read_is_named_and_not_judged(house: House) -> None:
    folder = house.files[0].parent
    shutil.rmtree(folder)
    folder.write_text("a file where a folder was")
    result = await walk(house)
    assert result.unreadable == ["disk-a: segments/cam-1/2026-09-21"]
    assert (result.missing, set(await states(house))) == (0, {SEALED})


async def test_strays_are_named_and_never_touched(house: House) -> None:
    unknown = write_files(house.volume.path, [sealed("cam-3"), sealed(start_us=T0 + 9 * MINUTE, seq=9)])
    foreign = house.files[0].with_name("notes.txt")
    foreign.write_text("x")
    odd = house.volume.path / "segments" / "readme"
    odd.write_text("x")
    open_part = house.files[0].with_name("141320Z-1-7.mp4.part")
    open_part.write_text("x")
    result = await walk(house)
    assert {stray.file for stray in result.strays} == {
        PurePosixPath(path.relative_to(house.volume.path)) for path in (*unknown, foreign, odd)
    }
    assert result.stray_count == 4
    assert all(path.exists() for path in (*unknown, foreign, odd, open_part))
    assert set(await states(house)) == {SEALED}


async def test_what_was_just_sealed_or_is_indexed_meanwhile_is_no_stray(house: House) -> None:
    young = sealed(start_us=NOW - 5 * MINUTE, seq=50)
    late = sealed(start_us=T0 + 10 * MINUTE, seq=51)
    write_files(house.volume.path, [young, late])

    async def settle() -> None:
        await house.database.write(index_facts, house.volume.no, [late], stamp, SHANGHAI)

    assert (await walk(house, settle=settle)).stray_count == 0


async def test_a_deletion_cut_between_unlink_and_forget_is_handed_to_the_sweep(house: House) -> None:
    """I3, I7: a doomed row whose file is gone is not missing footage, and is not forgotten here."""

    def doom(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO retention_clock VALUES (1, ?, 0, 'boot-1', ?)", (T0 + 99 * DAY, T0 + 99 * DAY))
        execute_all(connection, *told_going(), *told_going(T0 + MINUTE, seq=1))
        connection.execute("UPDATE segment SET state = 2 WHERE camera = 1 AND run = 1 AND seq < 2")

    await house.database.write(doom)
    house.files[0].unlink()
    result = await walk(house)
    assert (result.missing, result.stray_count) == (0, 0)
    left = await house.database.read(doomed_segments, 10)
    assert [(row.key.camera, row.key.seq, row.state) for row in left] == [("cam-1", 0, DOOMED), ("cam-1", 1, DOOMED)]


async def test_a_segment_doomed_while_it_is_walked_is_not_called_missing(house: House) -> None:
    """The sweep unlinks after dooming; the mark asks for the state again inside its transaction."""
    house.files[0].unlink()

    def doom(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO retention_clock VALUES (1, ?, 0, 'boot-1', ?)", (T0 + 99 * DAY, T0 + 99 * DAY))
        execute_all(connection, *told_going())
        connection.execute("UPDATE segment SET state = 2 WHERE camera = 1 AND run = 1 AND seq = 0")

    class SweepsFirst(Database):
        """The real index, where a deletion gets its transaction in just before the first mark."""

        swept = False

        async def write(self, act: Any, *args: Any, **kwargs: Any) -> Any:
            if not self.swept:
                self.swept = True
                await super().write(doom)
            return await super().write(act, *args, **kwargs)

    house.database.close()
    index = SweepsFirst(house.volume.path.parent / "index.db")
    result = await reconcile(index, [house.volume], ManualClock(NOW))
    assert (index.swept, result.missing) == (True, 0)
    assert len(await index.read(doomed_segments, 10)) == 1
    index.close()


async def test_a_segment_published_and_indexed_while_it_is_walked_is_not_called_missing(house: House) -> None:
    """A folder is listed before its rows are asked for, so a newer row's file is looked at once more."""
    newer = sealed(start_us=T0 + 10 * MINUTE, seq=60)

    class PublishesLate(Database):
        """The real index, where a segment arrives between the listing of its folder and the question for its rows."""

        arrived = False

        async def read(self, query: Any, *args: Any, **kwargs: Any) -> Any:
            if query.__name__ == "_rows" and not self.arrived:
                self.arrived = True
                write_files(house.volume.path, [newer])
                await super().write(index_facts, house.volume.no, [newer], stamp, SHANGHAI)
            return await super().read(query, *args, **kwargs)

    house.database.close()
    index = PublishesLate(house.volume.path.parent / "index.db")
    result = await reconcile(index, [house.volume], ManualClock(NOW))
    assert (index.arrived, result.missing, result.stray_count) == (True, 0, 0)
    index.close()
