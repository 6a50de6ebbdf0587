"""Catching up, and one day's sweep with footage coming in meanwhile: nothing may hold intake up for long.

Real journals, the real stamp, the real sweep; only the files that it deletes are not there, which an unlink counts as
gone. The same is asked of a rule change that raises every floor.
"""

import asyncio
import contextlib
import hashlib
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import TypeVar

from edged.archive import roster
from edged.archive.intake import Intake
from edged.archive.journal import encode
from edged.archive.layout import journal_path
from edged.archive.ledger import LedgerKind, lines
from edged.archive.volumes import Space, Volume, open_volumes
from edged.base.clock import DAY, HOUR, MINUTE, ManualClock
from edged.base.worker import Worker
from edged.config.records import RetentionConfig
from edged.law.site import SiteLaw
from edged.model import SegmentSealed, Situation, StreamKind
from edged.retain.disk import SweptVolume
from edged.retain.gate import Gate
from edged.retain.raising import raise_floors
from edged.retain.stamp import Stamper
from edged.retain.sweep import Sweep
from edged.retain.timekeeping import tick
from tests.bench.archive_made import CAMERAS, CODEC, RECORDER, Made, camera_id, site_law
from tests.bench.archive_steps import TimedDatabase
from tests.bench.figures import figure, note

T = TypeVar("T")

AWAY_MINUTES = 1440  # of all cameras, to catch up with
RAISING_S = 20.0
EVERY_S = 0.02  # between two looks at the journal
LINES = 8  # that each of them finds
DELAY_S = 0.05
BATCH = RetentionConfig().batch


class _Box:
    """The parts under test on one index, and the journal that its recorder would write."""

    def __init__(self, box: Made, database: TimedDatabase, clock: ManualClock, law: SiteLaw, volume: Volume) -> None:
        self.database, self.clock, self.law = database, clock, law
        self.stamper = Stamper(law, clock, Situation("listed"))
        self.intake = Intake(database, clock, [volume], self.stamper, law.tz)
        self._worker = Worker("swept")
        swept = SweptVolume(volume, self._worker, 0)
        plenty = Space(2**45, 2**44)
        self.sweep = Sweep(
            database, clock, law, [swept], Gate(), ntp=lambda: True, batch=BATCH, every_s=600, space=lambda _: plenty
        )
        self._facts = self._recorded(box.end_us)
        self._journal = box.disk / journal_path(RECORDER, box.end_us)
        self._journal.parent.mkdir(parents=True, exist_ok=True)

    def record(self, count: int) -> None:
        """The recorder seals segments: so many more lines."""
        with self._journal.open("ab") as file:
            file.writelines(encode(next(self._facts)) for _ in range(count))

    def close(self) -> None:
        self.intake.close()
        self._worker.shutdown()

    def _recorded(self, start_us: int) -> Iterator[SegmentSealed]:
        number = 0
        while True:
            at_us, camera = start_us + number // CAMERAS * MINUTE, number % CAMERAS + 1
            number += 1
            yield SegmentSealed(
                camera=camera_id(camera),
                stream=StreamKind.MAIN,
                start_us=at_us,
                end_us=at_us + MINUTE,
                run=13,
                seq=number,
                bytes=30_000_000,
                frames=1500,
                keyframes=30,
                codec=CODEC[0],
                width=CODEC[1],
                height=CODEC[2],
                sha256=hashlib.sha256(b"%d" % number).hexdigest(),
                lost_packets=0,
                recovered=False,
                boot_id="boot-1",
                start_mono_us=number,
            )


async def sweep(made: Made) -> list[bool]:
    """Catch up with a day, then sweep one, then raise every floor."""
    async with _open(made) as box:
        met = await _catch_up(box)
        note("intake alone")
        quiet = await _beside(box, _for_a_while())
        met.append(figure("archive_intake_quiet_worst", quiet[-1], "s"))
        met += await _sweep(made, box, quiet)
        met += await _raise(box, quiet)
    return met


@contextlib.asynccontextmanager
async def _open(made: Made) -> AsyncIterator[_Box]:
    database = TimedDatabase(made.index)
    database.forget()
    (volume,) = await database.write(open_volumes, [("disk-0", made.disk)], made.end_us)
    box = _Box(made, database, ManualClock(made.end_us + AWAY_MINUTES * MINUTE), site_law(), volume)
    try:
        yield box
    finally:
        box.close()
        database.close()


async def _catch_up(box: _Box) -> list[bool]:
    count = AWAY_MINUTES * CAMERAS
    note(f"catching up with {count:,} segments")
    box.record(count)
    box.stamper.follow((await tick(box.database, box.clock, lambda: True)).retention_us)
    began, busy = time.perf_counter(), time.process_time()
    await box.intake.catch_up()
    took, busy = time.perf_counter() - began, time.process_time() - busy
    assert box.intake.indexed_segments == count
    return [
        figure("archive_intake_catching_up", count / took, "segments/s", 20_000, least=True),
        figure("archive_intake_catching_up_cpu", count / busy, "segments/s of processor time", 20_000, least=True),
    ]


async def _sweep(made: Made, box: _Box, quiet: list[float]) -> list[bool]:
    # Of the first day 30 days under Order 799 art. 17 and three of grace have passed, of the second not yet.
    box.clock.advance((made.start_us + 34 * DAY + HOUR - box.clock.wall_us()) / 1e6)
    note("sweeping one day")
    box.database.forget()

    async def until_done() -> int:
        erased = 0
        while (report := await box.sweep.one_pass()).erased:
            erased += report.erased
        return erased

    began = time.perf_counter()
    done: list[int] = []

    async def work() -> None:
        done.append(await until_done())

    latencies = await _beside(box, work())
    took = time.perf_counter() - began
    longest = box.database.longest()
    size, count = await box.database.read(_deletions)
    assert done[0] == count > 0
    return [
        figure("archive_sweep_segments", done[0], "segments"),
        figure("archive_sweep", done[0] / took, "segments/s"),
        figure("archive_intake_delayed_by_sweep", latencies[-1] - quiet[len(quiet) // 2], "s", DELAY_S),
        figure("archive_intake_delayed_by_sweep_p99", latencies[-len(latencies) // 100] - quiet[len(quiet) // 2], "s"),
        figure("archive_sweep_longest_step_cpu", longest, "s", DELAY_S),
        figure("ledger_bytes_per_deleted_segment", size / count, "bytes"),
    ]


async def _raise(box: _Box, quiet: list[float]) -> list[bool]:
    note("raising every floor")

    def designate(connection: sqlite3.Connection) -> None:
        for number in range(1, CAMERAS + 1):
            roster.situate(connection, camera_id(number), Situation("listed", ("key_target",)))

    await box.database.write(designate)
    box.database.forget()
    raised = asyncio.create_task(raise_floors(box.database, box.law, box.clock.wall_us()))

    async def some() -> None:
        await asyncio.wait([raised], timeout=RAISING_S)

    began = time.perf_counter()
    latencies = await _beside(box, some())
    took = time.perf_counter() - began
    raised.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await raised
    longest = box.database.longest()
    count = await box.database.read(_raised)
    return [
        figure("archive_raising", count / took, "segments/s"),
        figure("archive_intake_delayed_by_raising", latencies[-1] - quiet[len(quiet) // 2], "s", DELAY_S),
        figure("archive_raising_longest_step_cpu", longest, "s", DELAY_S),
    ]


async def _beside(box: _Box, work: Awaitable[None]) -> list[float]:
    """How long each look at the journal took while `work` ran: sorted seconds."""
    took: list[float] = []
    task = asyncio.ensure_future(work)
    while not task.done():
        box.record(LINES)
        began = time.perf_counter()
        await box.intake.catch_up()
        took.append(time.perf_counter() - began)
        await asyncio.sleep(EVERY_S)
    await task
    return sorted(took)


async def _for_a_while() -> None:
    await asyncio.sleep(5)


def _deletions(connection: sqlite3.Connection) -> tuple[int, int]:
    """The bytes and the segments of the ledger's deletions, as its copies have them."""
    size = count = after = 0
    while told := lines(connection, after, 1000):
        after += len(told)
        for line in told:
            if b'"kind":"segments_deleted"' in line:
                size += len(line) + 1
                count += len(json.loads(line)["body"]["segments"])
    return size, count


def _raised(connection: sqlite3.Connection) -> int:
    count: int = connection.execute(
        "SELECT coalesce(sum(json_extract(body, '$.segments')), 0) FROM ledger WHERE kind = ?",
        (LedgerKind.FLOOR_RAISED.value,),
    ).fetchone()[0]
    return count
