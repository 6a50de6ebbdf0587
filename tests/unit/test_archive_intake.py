"""Journals -> index: every line once, whatever the batch, the restart or the state of the file."""

import asyncio
import logging
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from edged.archive import intake as intake_module
from edged.archive import roster, segments
from edged.archive.database import Database
from edged.archive.indexing import Stamped
from edged.archive.intake import Intake
from edged.archive.journal import BadLine, decode, encode
from edged.archive.volumes import Volume, open_volumes
from edged.base.clock import DAY, MINUTE, ManualClock
from edged.base.errors import EdgedError
from edged.base.spans import Span
from edged.base.tasks import cancel, spawn
from edged.model import Cause, Fact, SegmentSealed, StreamKind, StreamUp
from tests.archive_kit import (
    SHANGHAI,
    T0,
    down,
    execute_all,
    recorder_start,
    row_of_segments,
    sealed,
    stamp,
    told_going,
    up,
    write_journal,
)


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "index.db")
    yield database
    database.close()


@pytest.fixture
async def disk(tmp_path: Path, index: Database) -> Volume:
    return (await new_volumes(index, tmp_path, "disk-a"))[0]


async def new_volumes(index: Database, tmp_path: Path, *names: str) -> list[Volume]:
    for name in names:
        (tmp_path / name).mkdir(exist_ok=True)
    return await index.write(open_volumes, [(name, tmp_path / name) for name in names], T0)


def follow(index: Database, *volumes: Volume, beat: Callable[[], None] = lambda: None) -> Intake:
    return Intake(index, ManualClock(), volumes, stamp, SHANGHAI, beat)


async def rows(index: Database, statement: str) -> list[tuple[Any, ...]]:
    def select(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in connection.execute(statement)]

    return await index.read(select)


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_facts_become_rows_and_the_camera_day(index: Database, disk: Volume) -> None:
    facts = row_of_segments(3)
    path = write_journal(disk.path, [recorder_start(T0 - 5), up(T0), *facts, down(T0 + 3 * MINUTE, Cause.CLOSED)])
    assert await follow(index, disk).catch_up() == 6
    row = (await index.read(segments.segments_in, "cam-1", StreamKind.MAIN, _all()))[1]
    assert (row.start_us, row.end_us, row.sha256) == (facts[1].start_us, facts[1].end_us, facts[1].sha256)
    assert row.keep_until_us == stamp(facts[1]).keep_until_us
    assert (row.volume, row.codec, row.width, row.height, row.frames) == (disk.no, "avc1.64001f", 640, 360, 25)
    assert await rows(index, "SELECT days, rules FROM floor") == [(30, '["art-x"]')]
    assert await rows(index, "SELECT kind, at_us, cause, detail FROM fact ORDER BY at_us") == [
        ("recorder_start", T0 - 5, None, "nvr/1"),
        ("stream_up", T0, None, "nvr"),
        ("stream_down", T0 + 3 * MINUTE, "closed", "REC-001"),
    ]
    day = segments.local_day(T0, SHANGHAI)
    assert await rows(index, "SELECT day, segments, bytes, frames FROM camera_day") == [(day, 3, 3000, 75)]
    assert await rows(index, "SELECT file, offset FROM intake") == [
        ("journal/nvr/2026-09-21.ndjson", path.stat().st_size)
    ]
    assert (await index.read(roster.get, "cam-1")).adopted_us == T0


def _all() -> Span:
    return Span(0, T0 + DAY)


async def test_a_line_counts_on_the_civil_day_it_ends(index: Database, disk: Volume) -> None:
    midnight = T0 - T0 % DAY + 16 * 60 * MINUTE  # 00:00 at Shanghai
    write_journal(disk.path, [sealed(start_us=midnight - MINUTE, length_us=MINUTE - 1), sealed(start_us=midnight - 9)])
    await follow(index, disk).catch_up()
    before = segments.local_day(midnight - 1, SHANGHAI)
    assert await rows(index, "SELECT day, segments FROM camera_day") == [(before, 1), (before + 1, 1)]


async def test_a_torn_last_line_waits_for_its_end(index: Database, disk: Volume) -> None:
    first, second = row_of_segments(2)
    line = encode(second)
    write_journal(disk.path, [first, line[:100]])
    intake = follow(index, disk)
    assert await intake.catch_up() == 1
    assert await intake.catch_up() == 0
    write_journal(disk.path, [line[100:]])
    assert await intake.catch_up() == 1
    assert await rows(index, "SELECT count(*) FROM segment") == [(2,)]
    assert intake.bad_lines == 0


BAD_LINES = {
    "torn, then ended": encode(sealed())[:80] + b"\n",
    "not json": b"camera at 192.0.2.7 password=hunter2\n",
    "zeroes": bytes(4000) + b"\n",
    "not an object": b"[1,2]\n",
    "unknown kind": b'{"v":1,"kind":"weather"}\n',
    "newer version": encode(sealed()).replace(b'"v":1', b'"v":2'),
    "text for a number": encode(sealed()).replace(b'"frames":25', b'"frames":"25"'),
    "a number with a fraction": encode(sealed()).replace(b'"frames":25', b'"frames":2.5'),
    "a boolean for a number": encode(sealed()).replace(b'"frames":25', b'"frames":true'),
    "more than a database holds": encode(sealed()).replace(b'"frames":25', b'"frames":99999999999999999999'),
    "a field is missing": encode(sealed()).replace(b'"frames":25,', b""),
    "ends before it begins": encode(sealed(length_us=-1)),
    "beyond calendars": encode(sealed(start_us=10**18)),
    "before 1970": encode(sealed(start_us=-5)),
    "a camera that is a path": encode(sealed("../../etc")),
    "a hash too short": encode(sealed(sha256="ab")),
    "a cause nobody knows": encode(down(T0, Cause.CLOSED)).replace(b'"closed"', b'"gremlins"'),
}


@pytest.mark.parametrize("name", BAD_LINES)
async def test_a_bad_line_is_counted_skipped_and_never_quoted(
    index: Database, disk: Volume, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """I9 too: nobody knows what a damaged line holds."""
    good = row_of_segments(2)
    write_journal(disk.path, [good[0], BAD_LINES[name], good[1]])
    intake = follow(index, disk)
    with caplog.at_level(logging.INFO):
        assert await intake.catch_up() == 3
    assert intake.bad_lines == 1
    assert await rows(index, "SELECT count(*) FROM segment") == [(2,)]
    assert "1 journal lines cannot be understood" in caplog.text
    assert "hunter2" not in caplog.text
    assert "192.0.2.7" not in caplog.text
    with pytest.raises(BadLine):
        decode(BAD_LINES[name])


async def test_a_stretch_of_zeroes_longer_than_a_chunk_is_one_bad_line(index: Database, disk: Volume) -> None:
    good = row_of_segments(2)
    write_journal(disk.path, [good[0], bytes(3 * intake_module.CHUNK), b"\n", good[1]])
    intake = follow(index, disk)
    await intake.catch_up()
    assert (intake.bad_lines, intake.indexed_segments, intake.stopped) == (1, 2, {})


async def test_lines_told_twice_change_nothing(index: Database, disk: Volume) -> None:
    facts: list[Fact] = [recorder_start(T0), up(T0), *row_of_segments(4), down(T0 + 4 * MINUTE, Cause.STALLED)]
    write_journal(disk.path, facts)
    await follow(index, disk).catch_up()
    tables = ("segment", "coverage", "fact", "camera_day", "total", "camera", "floor", "meta")
    before = [await rows(index, f"SELECT * FROM {table}") for table in tables]
    write_journal(disk.path, facts + facts)
    # All but what is kept of each recorder apart: which of them a stream came up in.
    write_journal(disk.path, [fact for fact in facts if not isinstance(fact, StreamUp)], recorder="other")
    await follow(index, disk).catch_up()
    assert [await rows(index, f"SELECT * FROM {table}") for table in tables] == before


async def test_the_same_segment_with_another_hash_keeps_the_first(
    index: Database, disk: Volume, caplog: pytest.LogCaptureFixture
) -> None:
    write_journal(disk.path, [sealed(), sealed(sha256="f" * 64, bytes=7)])
    await follow(index, disk).catch_up()
    assert await rows(index, "SELECT bytes FROM segment") == [(1000,)]
    assert "another hash" in caplog.text


async def test_overlapping_segments_are_both_kept_as_they_are(index: Database, disk: Volume) -> None:
    """DESIGN 6: a clock that steps back records the same minute twice, and neither interval is shortened."""
    write_journal(disk.path, [sealed(), sealed(start_us=T0 + 10, run=2)])
    await follow(index, disk).catch_up()
    assert await rows(index, "SELECT start_us, end_us FROM segment") == [
        (T0, T0 + MINUTE),
        (T0 + 10, T0 + 10 + MINUTE),
    ]


async def test_batches_files_and_recorders_in_order(
    index: Database, disk: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "LINES", 7)
    monkeypatch.setattr(intake_module, "CHUNK", 5000)
    facts = row_of_segments(100)
    write_journal(disk.path, facts[:60])
    write_journal(disk.path, facts[60:80], T0 + DAY)
    write_journal(disk.path, facts[80:], recorder="spare")
    beats: list[int] = []
    assert await follow(index, disk, beat=lambda: beats.append(1)).catch_up() == 100
    assert len(beats) > 100 / 7
    assert await rows(index, "SELECT count(*), min(start_us), max(end_us) FROM segment") == [
        (100, T0, T0 + 100 * MINUTE)
    ]
    assert await rows(index, "SELECT count(*) FROM coverage") == [(1,)]


async def test_following_sees_what_is_written_while_it_runs(index: Database, disk: Volume) -> None:
    clock = ManualClock()
    intake = Intake(index, clock, [disk], stamp, SHANGHAI)
    task = spawn("intake", intake.run())
    for count, fact in enumerate(row_of_segments(5), start=1):
        write_journal(disk.path, [fact])
        async with asyncio.timeout(10):
            while intake.indexed_segments < count:
                clock.advance(intake_module.POLL_SECONDS)
                await asyncio.sleep(0.005)
    await cancel(task)
    intake.close()
    assert intake.indexed_segments == 5


def vanish(path: Path) -> None:
    path.rename(path.with_suffix(".away"))


def shrink(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def swap(path: Path) -> None:
    path.write_bytes(b"x" * (path.stat().st_size + 100) + b"\n")


def lose_identity(path: Path) -> None:
    (path.parents[2] / "VOLUME.json").unlink()


def unmount(path: Path) -> None:
    shutil.rmtree(path.parents[2])
    path.parents[2].mkdir()


@pytest.mark.parametrize("fault", [vanish, shrink, swap, lose_identity, unmount])
async def test_another_disk_stops_its_volume_alone_and_nothing_is_rewound(
    index: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: Callable[[Path], None]
) -> None:
    volumes = await new_volumes(index, tmp_path, "disk-a", "disk-b")
    path = write_journal(volumes[0].path, row_of_segments(5))
    intake = follow(index, *volumes)
    await intake.catch_up()
    before = await rows(index, "SELECT * FROM intake")
    saved = tmp_path / "saved"
    shutil.copytree(volumes[0].path, saved)
    fault(path)
    write_journal(volumes[1].path, row_of_segments(2, "cam-2"))
    await intake.catch_up()
    assert list(intake.stopped) == ["disk-a"]
    assert "volume disk-a: its journals are not followed" in caplog.text
    assert await rows(index, "SELECT * FROM intake WHERE volume = 1") == before
    assert await rows(index, "SELECT count(*) FROM segment") == [(7,)]
    # a restart comes to the same answer, and the right disk goes on by itself
    again = follow(index, *volumes)
    await again.catch_up()
    assert list(again.stopped) == ["disk-a"]
    shutil.rmtree(volumes[0].path)
    shutil.copytree(saved, volumes[0].path)
    write_journal(volumes[0].path, row_of_segments(6)[5:])
    await again.catch_up()
    assert again.stopped == {}
    assert await rows(index, "SELECT count(*) FROM segment") == [(8,)]


async def test_a_fenced_volume_is_left_alone_and_named(index: Database, disk: Volume) -> None:
    write_journal(disk.path, row_of_segments(2))
    fenced = Volume(disk.id, disk.no, disk.uuid, disk.path, "wrong disk")
    intake = follow(index, fenced)
    assert await intake.catch_up() == 0
    assert intake.stopped == {"disk-a": "wrong disk"}


async def test_a_journal_is_read_on_its_volumes_own_thread(index: Database, disk: Volume) -> None:
    """A disk that hangs must not keep a thread of those that everybody shares, name look-ups among them."""

    class Refusing(ThreadPoolExecutor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            raise AssertionError(f"{fn} is called on a shared thread")

    asyncio.get_running_loop().set_default_executor(Refusing())
    write_journal(disk.path, row_of_segments(2))
    assert await follow(index, disk).catch_up() == 2


async def test_rows_and_offset_are_one_transaction(index: Database, disk: Volume) -> None:
    """I7: where the rows cannot be entered, the offset stays, and nothing of the batch is there."""

    def short(fact: SegmentSealed) -> Stamped:
        good = stamp(fact)
        return good if fact.end_us < T0 + 3 * MINUTE else good._replace(keep_until_us=fact.end_us)

    write_journal(disk.path, row_of_segments(4))
    with pytest.raises(ExceptionGroup) as broken:
        await Intake(index, ManualClock(), [disk], short, SHANGHAI).catch_up()
    assert "I1: the date does not keep the floor it names" in str(broken.value.exceptions[0])
    for table in ("segment", "coverage", "camera_day", "intake", "camera"):
        assert await rows(index, f"SELECT count(*) FROM {table}") == [(0,)]
    assert await follow(index, disk).catch_up() == 4


async def test_two_readers_at_once_index_every_line_once(
    index: Database, disk: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a cancelled wait whose transaction went through: the stored offset decides."""
    monkeypatch.setattr(intake_module, "LINES", 5)
    write_journal(disk.path, row_of_segments(60))
    readers = [follow(index, disk) for _ in range(3)]
    async with asyncio.TaskGroup() as group:
        for reader in readers:
            group.create_task(reader.catch_up())
    assert sum(reader.indexed_segments for reader in readers) == 60
    assert await rows(index, "SELECT sum(segments) FROM camera_day") == [(60,)]


async def test_a_lost_database_is_rebuilt_from_the_journals(index: Database, tmp_path: Path) -> None:
    volumes = await new_volumes(index, tmp_path, "disk-a", "disk-b")
    for i, volume in enumerate(volumes):
        for day in range(3):
            at = T0 + day * DAY
            name = f"cam-{i}"
            facts: list[Fact] = [recorder_start(at, run=day), up(at, name), *row_of_segments(50, name, at, day)]
            write_journal(volume.path, facts, at)
    await follow(index, *volumes).catch_up()
    fresh = Database(tmp_path / "fresh.db")
    again = await new_volumes(fresh, tmp_path, "disk-a", "disk-b")
    assert [volume.uuid for volume in again] == [volume.uuid for volume in volumes]
    await follow(fresh, *again).catch_up()
    # row numbers depend on which volume was quicker; what they stand for does not
    for statement in (
        "SELECT id, start_us, end_us, run, seq, keep_until_us, segment.volume, bytes, sha256"
        " FROM segment JOIN camera ON camera.no = segment.camera",
        "SELECT camera.id, start_us, end_us FROM coverage JOIN camera ON camera.no = coverage.camera",
        "SELECT camera.id, at_us, kind, detail FROM fact LEFT JOIN camera ON camera.no = fact.camera",
        "SELECT id, day, segments, bytes, frames FROM camera_day JOIN camera ON camera.no = camera_day.camera",
        "SELECT id, source, state, place, found_us, adopted_us FROM camera",
        "SELECT * FROM intake",
        "SELECT * FROM meta WHERE key NOT LIKE 'rebuild.%'",
    ):
        rebuilt, lost = await rows(fresh, statement), await rows(index, statement)
        assert sorted(map(repr, rebuilt)) == sorted(map(repr, lost)) != []
    assert await rows(fresh, "SELECT count(*) FROM segment") == [(300,)]
    assert (await fresh.read(roster.get, "cam-1")).state == "adopted"
    fresh.close()


def test_errors_of_the_archive_have_codes() -> None:
    assert issubclass(BadLine, EdgedError)
    assert BadLine("x").code == "ARC-010"


async def test_a_reader_left_behind_brings_nothing_back(index: Database, disk: Volume) -> None:
    """I3: what was indexed, deleted by law and forgotten is not read a second time, and the offset never moves back."""
    facts = row_of_segments(6)
    write_journal(disk.path, facts[:2])
    behind = follow(index, disk)
    await behind.catch_up()
    write_journal(disk.path, facts[2:])
    await follow(index, disk).catch_up()

    def forget(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO retention_clock VALUES (1, ?, 0, 'boot-1', 0)", (T0 + 99 * DAY,))
        execute_all(connection, *told_going(T0 + 3 * MINUTE, seq=3))
        connection.execute("UPDATE segment SET state = 2 WHERE seq = 3")
        connection.execute("DELETE FROM segment WHERE seq = 3")

    await index.write(forget)
    offset = await rows(index, "SELECT offset FROM intake")
    await behind.catch_up()
    assert await rows(index, "SELECT seq FROM segment ORDER BY seq") == [(0,), (1,), (2,), (4,), (5,)]
    assert await rows(index, "SELECT offset FROM intake") == offset
