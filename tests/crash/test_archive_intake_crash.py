"""I7: SIGKILL what indexes, at any moment, again and again: no row twice, none missing, offset with rows."""

import random
import select
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

from edged.archive.database import open_database, transact
from edged.archive.journal import decode
from edged.archive.volumes import open_volumes
from edged.base.clock import MINUTE
from edged.base.spans import Span, union
from edged.model import Cause, Fact, SegmentSealed
from tests.archive_kit import T0, down, sealed, up, write_journal

KILLS = 12
# Says "go" when it begins and "done" once it has caught up, then follows until it is killed.
CHILD = """
import asyncio, sys
from pathlib import Path
from edged.archive.database import Database
from edged.archive.intake import Intake
from edged.archive.volumes import open_volumes
from edged.base.clock import SystemClock
from tests.archive_kit import SHANGHAI, T0, stamp

async def main():
    index = Database(Path(sys.argv[1]))
    volumes = await index.write(open_volumes, [("disk-a", Path(sys.argv[2]))], T0)
    assert not volumes[0].fenced, volumes[0].fenced
    intake = Intake(index, SystemClock(), volumes, stamp, SHANGHAI)
    print("go", flush=True)
    await intake.catch_up()
    print("done", flush=True)
    await intake.run()

asyncio.run(main())
"""


def start(root: Path, index: Path, disk: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(index), str(disk)], cwd=root, stdout=subprocess.PIPE, text=True
    )
    wait_for(child, "go")
    return child


def wait_for(child: subprocess.Popen[str], word: str) -> None:
    assert child.stdout is not None
    ready, _, _ = select.select([child.stdout], [], [], 60)
    assert ready, f"the child did not say {word} within a minute"
    assert child.stdout.readline().strip() == word


def kill(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGKILL)
    child.wait(30)
    assert child.stdout is not None
    child.stdout.close()


def check(index: Path, journal: Path, lines: list[bytes]) -> int:
    """Rows, coverage, days and totals are exactly those of the lines up to the stored offset; returns how many."""
    connection = open_database(index)
    try:
        row = connection.execute("SELECT offset FROM intake").fetchone()
        offset: int = row["offset"] if row else 0
        consumed = journal.read_bytes()[:offset]
        count = consumed.count(b"\n")
        assert consumed == b"".join(lines[:count])
        facts = [decode(line) for line in lines[:count]]
        segments = [fact for fact in facts if isinstance(fact, SegmentSealed)]
        stored = connection.execute(
            "SELECT camera.id, start_us, run, seq, sha256 FROM segment JOIN camera ON camera.no = segment.camera"
        )
        assert sorted(map(tuple, stored)) == sorted(
            (fact.camera, fact.start_us, fact.run, fact.seq, bytes.fromhex(fact.sha256)) for fact in segments
        )
        assert one(connection, "SELECT count(*) FROM fact") == len(facts) - len(segments)
        assert one(connection, "SELECT coalesce(sum(segments), 0) FROM camera_day") == len(segments)
        assert one(connection, "SELECT coalesce(sum(bytes), 0) FROM total") == sum(fact.bytes for fact in segments)
        for camera in {fact.camera for fact in segments}:
            spans = connection.execute(
                "SELECT start_us, end_us FROM coverage WHERE camera = (SELECT no FROM camera WHERE id = ?)"
                " ORDER BY start_us",
                (camera,),
            )
            assert [Span(*span) for span in spans] == union(
                Span(fact.start_us, fact.end_us) for fact in segments if fact.camera == camera
            )
        assert one(connection, "PRAGMA integrity_check") == "ok"
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        return count
    finally:
        connection.close()


def one(connection: sqlite3.Connection, statement: str) -> object:
    return connection.execute(statement).fetchone()[0]


def a_day_of_facts(day: int) -> list[Fact]:
    """400 minutes of four cameras, each with a break in the middle."""
    start_us = T0 + day * 1000 * MINUTE
    facts: list[Fact] = []
    for i in range(400):
        for camera in range(4):
            name, at = f"cam-{camera}", start_us + i * MINUTE
            if i == 200:
                facts += [down(at, Cause.STALLED, name), up(at + MINUTE, name)]
            else:
                facts.append(sealed(name, at, run=day + 1, seq=i))
    return facts


def test_i7_killed_at_any_moment_the_index_is_what_the_offset_says(root: Path, tmp_path: Path) -> None:
    index, disk = tmp_path / "index.db", tmp_path / "disk"
    disk.mkdir()
    connection = open_database(index)
    transact(connection, open_volumes, [("disk-a", disk)], T0)
    connection.close()
    draw = random.Random(1)
    reached = [0]
    journal = write_journal(disk, a_day_of_facts(0))
    for day in range(1, KILLS):
        child = start(root, index, disk)
        # a moment measured by the work itself: while it reads, more is written, and then it is killed
        write_journal(disk, a_day_of_facts(day))
        assert child.stdout is not None
        select.select([child.stdout], [], [], draw.uniform(0, 0.12))
        kill(child)
        reached.append(check(index, journal, journal.read_bytes().splitlines(keepends=True)))
        assert reached[-1] >= reached[-2], "the offset never moves back"
    child = start(root, index, disk)
    wait_for(child, "done")
    kill(child)
    lines = journal.read_bytes().splitlines(keepends=True)
    assert check(index, journal, lines) == len(lines) == KILLS * 1604
    # the kills did hit the middle of the work, not only its ends
    assert len({count for count in reached if 0 < count < len(lines)}) >= 3
