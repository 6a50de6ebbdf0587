"""Compares volumes and index, a camera-day folder at a time, so that the index equals the disk (I7).

A row whose file is gone becomes MISSING, with a ledger entry: footage never vanishes silently. A MISSING row whose
file is back is SEALED again, with an entry too. A file the index does not know is a stray: reported, never deleted.
A segment caught by a crash between unlink and forgetting is still DOOMED: the sweep completes the step; it is not
missing.

A folder that was found equal is not read again before it changes (archive/compared.py): so a start looks at one date a
folder instead of at millions of names.

Nothing is concluded from a folder that cannot be read, or from a volume that does not show its identity after the
folder was read: an unmounted disk must not turn everything on it into missing footage.

Runs beside intake and sweep. A file is published before its row is made and unlinked after its row is doomed; so a
folder is listed first, and whatever then looks missing is looked at once more, and marked only while still SEALED.
"""

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NamedTuple

from edged.archive import compared
from edged.archive.database import Database
from edged.archive.day_folders import DayFolder, changed, list_folders, list_names, still_gone
from edged.archive.layout import SEGMENTS, parse_segment_path, segment_name, utc
from edged.archive.ledger import LedgerKind, append
from edged.archive.schema import DOOMED, MISSING, SEALED, STREAM_NO
from edged.archive.segments import STREAM_OF, SegmentKey, set_state, state_of_file
from edged.archive.told import Told
from edged.archive.volumes import Volume, prove
from edged.base.clock import DAY, MINUTE, SECOND, Clock
from edged.base.worker import Worker
from edged.model import StreamKind

log = logging.getLogger(__name__)

# Younger files may not be journalled or indexed yet: a segment lasts a minute, and its line follows at once.
SETTLED_US = 10 * MINUTE
REMEMBERED_AT_ONCE = 50  # folders: some ten milliseconds
STRAYS_NAMED = 1000  # a lost journal can leave millions; all are counted


class Stray(NamedTuple):
    """A file under a volume's segments that no row knows."""

    volume: str
    file: PurePosixPath  # below the volume


@dataclass(slots=True)
class Reconciled:
    """What one run found. `folders` were read, `unchanged` did not have to be; `skipped` names volumes about which
    nothing was concluded, with the reason."""

    folders: int = 0
    unchanged: int = 0
    missing: int = 0
    deleted: int = 0  # gone lawfully, as a ledger knows that came back from a volume; the sweep completes them
    found: int = 0  # were missing, are back
    stray_count: int = 0
    strays: list[Stray] = field(default_factory=list)  # the first STRAYS_NAMED
    unreadable: list[str] = field(default_factory=list)  # "<volume>: <folder>", nothing concluded about them
    skipped: dict[str, str] = field(default_factory=dict)


class _Skip(Exception):
    """Carries the reason why nothing more is concluded about a volume."""


class _Known(NamedTuple):
    """A row, by what the comparison needs of it."""

    key: SegmentKey
    state: int
    keep_until_us: int


async def reconcile(
    database: Database,
    volumes: Sequence[Volume],
    clock: Clock,
    *,
    settle: Callable[[], Awaitable[object]] | None = None,
    on_progress: Callable[[], None] = lambda: None,
) -> Reconciled:
    """Walk all volumes once. `settle` (Intake.catch_up) is awaited before a file is called a stray."""
    result = Reconciled()
    before_us = clock.wall_us() - SETTLED_US
    for volume in volumes:
        worker = Worker(f"reconcile-{volume.id}")
        try:
            walk = _Walk(database, volume, worker, clock, result)
            strays = [file for file in await walk.run(on_progress) if _settled(file, before_us)]
            if strays and settle is not None:
                await settle()
            for file in strays:
                if await database.read(state_of_file, volume.no, file) is None:
                    result.stray_count += 1
                    if len(result.strays) < STRAYS_NAMED:
                        result.strays.append(Stray(volume.id, file))
        except _Skip as reason:
            result.skipped[volume.id] = str(reason)
            log.error("volume %s: not compared with the index: %s", volume.id, reason)
        finally:
            worker.shutdown(wait=False)
    if result.missing:
        log.error("%d segments are indexed but gone from their volumes; see the ledger", result.missing)
    if result.stray_count:
        log.warning("%d files are on the volumes but not in the index; they are left alone", result.stray_count)
    return result


@dataclass(slots=True)
class _Walk:
    """The comparison of one volume with the index; what it finds is added to `result`."""

    database: Database
    volume: Volume
    worker: Worker
    clock: Clock
    result: Reconciled

    async def run(self, on_progress: Callable[[], None]) -> list[PurePosixPath]:
        """Compare folder by folder; returns files without a row. Raises _Skip."""
        await self._prove()
        folders, unknown = await self._to_read()
        equal: list[compared.Equal] = []
        for folder in folders:
            try:
                changed_ns = await self.worker.run(compared.date_of, self.volume.path / folder.path)
                names = await self.worker.run(list_names, self.volume, folder)
            except OSError as error:
                self.result.unreadable.append(f"{self.volume.id}: {folder.path}")
                log.error("volume %s: a camera-day folder cannot be read (%s)", self.volume.id, error.strerror)
                continue
            rows = await self.database.read(_rows, self.volume.no, folder)
            moved = await self._move(folder, names, rows)
            strangers = names - rows.keys()
            unknown += [folder.path / name for name in sorted(strangers)]
            if not (moved or strangers) and compared.settled(changed_ns, self.clock.wall_us()):
                equal.append(compared.Equal(folder.key, changed_ns, len(rows), self.clock.wall_us()))
            if len(equal) >= REMEMBERED_AT_ONCE:
                await self.database.write(compared.remember, self.volume.no, equal)
                equal.clear()
            self.result.folders += 1
            on_progress()
        if equal:
            await self.database.write(compared.remember, self.volume.no, equal)
        return unknown

    async def _to_read(self) -> tuple[list[DayFolder], list[PurePosixPath]]:
        """The folders that are not known to be equal, on the disk or in the index alone; and what is no folder."""
        try:
            folders, odd = await self.worker.run(list_folders, self.volume)
        except OSError as error:
            raise _Skip(f"its {SEGMENTS} folder cannot be read ({error.strerror})") from error
        for camera, stream in await self.database.read(_streams, self.volume.no):
            folders |= await self.database.read(_indexed_days, camera, stream)
        remembered = await self.database.read(compared.remembered, self.volume.no, self.clock.wall_us())
        to_read = await self.worker.run(changed, self.volume, sorted(folders), remembered)
        self.result.unchanged += len(folders) - len(to_read)
        return to_read, odd

    async def _move(self, folder: DayFolder, names: set[str], rows: dict[str, _Known]) -> bool:
        """Bring the rows' states into line with the names in their folder; whether any was out of it."""
        lost = {name: row for name, row in rows.items() if row.state == SEALED and name not in names}
        if lost:
            gone = await self.worker.run(still_gone, self.volume, folder, lost)
            lost = {name: row for name, row in lost.items() if name in gone}
        back = [row for name, row in rows.items() if row.state == MISSING and name in names]
        if not (lost or back):
            return False
        await self._prove()
        now_us = self.clock.wall_us()
        missing = await self.database.write(_take_out_announced, list(lost.values())) if lost else []
        self.result.deleted += len(lost) - len(missing)
        self.result.missing += await self.database.write(_mark, self.volume, missing, SEALED, MISSING, now_us)
        self.result.found += await self.database.write(_mark, self.volume, back, MISSING, SEALED, now_us)
        return True

    async def _prove(self) -> None:
        if reason := await self.worker.run(prove, self.volume):
            raise _Skip(reason)


def _settled(file: PurePosixPath, before_us: int) -> bool:
    parsed = parse_segment_path(file)
    return parsed is None or parsed.start_s * SECOND < before_us


def _streams(connection: sqlite3.Connection, volume_no: int) -> list[tuple[str, StreamKind]]:
    rows = connection.execute(
        "SELECT camera.id, stream FROM total JOIN camera ON camera.no = total.camera WHERE total.volume = ?"
        " ORDER BY camera.id, stream",
        (volume_no,),
    )
    return [(camera, STREAM_OF[stream]) for camera, stream in rows]


def _indexed_days(connection: sqlite3.Connection, camera: str, stream: StreamKind) -> set[DayFolder]:
    """The UTC days of one stream that have rows: a step from day to day, never over the rows of one."""
    days: set[DayFolder] = set()
    at_us = 0
    while True:
        row = connection.execute(
            "SELECT start_us FROM segment WHERE camera = (SELECT no FROM camera WHERE id = ?) AND stream = ?"
            " AND start_us >= ? ORDER BY start_us LIMIT 1",
            (camera, STREAM_NO[stream], at_us),
        ).fetchone()
        if row is None:
            return days
        day = row["start_us"] // DAY
        days.add(DayFolder(camera, stream, day))
        at_us = (day + 1) * DAY


def _rows(connection: sqlite3.Connection, volume_no: int, folder: DayFolder) -> dict[str, _Known]:
    """The rows of one folder, by the names of their files."""
    rows = connection.execute(
        "SELECT start_us, run, seq, state, keep_until_us FROM segment"
        " WHERE camera = (SELECT no FROM camera WHERE id = ?) AND stream = ? AND start_us >= ? AND start_us < ?"
        " AND volume = ?",
        (folder.camera, STREAM_NO[folder.stream], folder.day * DAY, (folder.day + 1) * DAY, volume_no),
    )
    return {
        segment_name(start_us, run, seq): _Known(
            SegmentKey(folder.camera, folder.stream, start_us, run, seq), state, keep_until_us
        )
        for start_us, run, seq, state, keep_until_us in rows
    }


def _take_out_announced(connection: sqlite3.Connection, rows: Sequence[_Known]) -> list[_Known]:
    """Take out what a restored ledger has on record as deleted: an old copy of the index still has the row.

    The sweep completes it. Where the guards do not let it go yet (the copy's retention clock stands before the floor,
    a hold was placed since) it is MISSING until they do; no ledger entry calls it so. Returns the others.
    """
    told, left = Told(connection), []
    for row in rows:
        if not (told and told.deleted(row.key)):
            left.append(row)
            continue
        for state in (DOOMED, MISSING):
            try:
                set_state(connection, row.key, SEALED, state)
                break
            except sqlite3.IntegrityError:
                continue
    return left


def _mark(
    connection: sqlite3.Connection, volume: Volume, rows: Sequence[_Known], old: int, new: int, now_us: int
) -> int:
    """Move rows of one camera-day from one state to the other, with one ledger entry that names each segment."""
    moved = [row for row in rows if set_state(connection, row.key, old, new)]
    if moved:
        first = moved[0].key
        append(
            connection,
            now_us,
            LedgerKind.FOOTAGE_MISSING if new == MISSING else LedgerKind.FOOTAGE_FOUND,
            {
                "camera": first.camera,
                "stream": first.stream.value,
                "volume": volume.id,
                "day": f"{utc(first.start_us):%Y-%m-%d}",
                "keep_until_us": max(row.keep_until_us for row in moved),
                "segments": [str(row.key) for row in moved],
            },
        )
    return len(moved)
