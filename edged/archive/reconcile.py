"""Compares volumes and index, a camera-day folder at a time, so that the index equals the disk (I7).

A row whose file is gone becomes MISSING, with a ledger entry: footage never vanishes silently. A MISSING row whose
file is back is SEALED again, with an entry too. A file the index does not know is a stray: reported, never deleted.
A segment caught by a crash between unlink and forgetting is still DOOMED: `leftover_doomed` hands it to the sweep,
which completes the step; it is not missing.

A folder that was found equal is not read again before it changes (archive/compared.py): so a start looks at one date a
folder instead of at millions of names.

Nothing is concluded from a folder that cannot be read, or from a volume that does not show its identity after the
folder was read: an unmounted disk must not turn everything on it into missing footage.

Runs beside intake and sweep. A file is published before its row is made and unlinked after its row is doomed; so a
folder is listed first, and whatever then looks missing is looked at once more, and marked only while still SEALED.
"""

import datetime as dt
import logging
import os
import re
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NamedTuple

from edged.archive import compared
from edged.archive.database import Database
from edged.archive.layout import PART, SEGMENTS, parse_segment_path, segment_path, utc
from edged.archive.ledger import LedgerKind, append
from edged.archive.schema import DOOMED, MISSING, SEALED, STREAM_NO
from edged.archive.segments import STREAM_OF, SegmentKey, SegmentRow, doomed
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
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


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


class _Day(NamedTuple):
    """One folder: a camera's stream on one UTC day."""

    camera: str
    stream: StreamKind
    day: int  # days since 1970-01-01

    @property
    def folder(self) -> PurePosixPath:
        return segment_path(self.camera, self.stream, self.day * DAY, 0, 0).parent

    @property
    def key(self) -> compared.FolderKey:
        return compared.FolderKey(self.camera, STREAM_NO[self.stream], self.day)


class _Known(NamedTuple):
    start_us: int
    run: int
    seq: int
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
            strays = await _volume(database, volume, worker, clock, before_us, result, on_progress)
            if strays and settle is not None:
                await settle()
            for file in strays:
                if not await database.read(_is_known, volume.no, file):
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


def leftover_doomed(connection: sqlite3.Connection, limit: int = 1000) -> list[SegmentRow]:
    """Segments marked doomed and not yet forgotten: what a crash left for the sweep to complete."""
    return doomed(connection, limit)


async def _volume(
    database: Database,
    volume: Volume,
    worker: Worker,
    clock: Clock,
    before_us: int,
    result: Reconciled,
    on_progress: Callable[[], None],
) -> list[PurePosixPath]:
    """Compare one volume; returns files without a row. Raises _Skip."""
    _must_be(await worker.run(prove, volume))
    try:
        on_disk, odd = await worker.run(_list_days, volume)
    except OSError as error:
        raise _Skip(f"its {SEGMENTS} folder cannot be read ({error.strerror})") from error
    indexed: set[_Day] = set()
    for camera, stream in await database.read(_streams, volume.no):
        indexed |= await database.read(_indexed_days, camera, stream)
    remembered = await database.read(compared.remembered, volume.no, clock.wall_us())
    days = await worker.run(_changed, volume, sorted(on_disk | indexed), remembered)
    result.unchanged += len(on_disk | indexed) - len(days)
    strays = odd
    equal: list[compared.Equal] = []
    for day in days:
        try:
            changed_ns = await worker.run(compared.date_of, volume.path / day.folder)
            names = await worker.run(_list_folder, volume, day)
        except OSError as error:
            result.unreadable.append(f"{volume.id}: {day.folder}")
            log.error("volume %s: a camera-day folder cannot be read (%s)", volume.id, error.strerror)
            continue
        rows = {_name(row): row for row in await database.read(_rows, volume.no, day)}
        gone = [row for name, row in rows.items() if row.state == SEALED and name not in names]
        back = [row for name, row in rows.items() if row.state == MISSING and name in names]
        if gone:
            gone = await worker.run(_still_gone, volume, day, gone)
        if gone or back:
            _must_be(await worker.run(prove, volume))
            now_us = clock.wall_us()
            if gone:
                deleted, gone = await database.write(_doom_announced, volume, day, gone)
                result.deleted += deleted
            result.missing += await database.write(_mark, volume, day, gone, SEALED, MISSING, now_us)
            result.found += await database.write(_mark, volume, day, back, MISSING, SEALED, now_us)
        unknown = names - rows.keys()
        strays += [day.folder / name for name in sorted(unknown) if _settled(day, name, before_us)]
        if not (gone or back or unknown) and compared.settled(changed_ns, clock.wall_us()):
            equal.append(compared.Equal(day.key, changed_ns, len(rows), clock.wall_us()))
        if len(equal) >= REMEMBERED_AT_ONCE:
            await database.write(compared.remember, volume.no, equal)
            equal.clear()
        result.folders += 1
        on_progress()
    if equal:
        await database.write(compared.remember, volume.no, equal)
    return strays


def _must_be(reason: str) -> None:
    if reason:
        raise _Skip(reason)


def _list_days(volume: Volume) -> tuple[set[_Day], list[PurePosixPath]]:
    """The camera-day folders on the disk, and what lies among them that is none. Raises OSError."""
    days: set[_Day] = set()
    odd: list[PurePosixPath] = []
    try:
        folders = sorted(os.listdir(volume.path / SEGMENTS))
    except FileNotFoundError:  # nothing was recorded here yet, or all of it is gone: the rows will tell
        return days, odd
    for folder in folders:
        camera, _, kind = folder.partition("~")
        below = PurePosixPath(SEGMENTS, folder)
        if kind not in ("", StreamKind.SUB) or not (volume.path / below).is_dir():
            odd.append(below)
            continue
        for date in sorted(os.listdir(volume.path / below)):
            day = _parse_date(date)
            if day is None:
                odd.append(below / date)
            else:
                days.add(_Day(camera, StreamKind(kind or "main"), day))
    return days, odd


def _changed(volume: Volume, days: list[_Day], remembered: Mapping[compared.FolderKey, int]) -> list[_Day]:
    """The days whose folders have to be read."""

    def known(day: _Day) -> bool:
        try:
            return compared.date_of(volume.path / day.folder) == remembered.get(day.key)
        except OSError:
            return False  # to be read, and said to be unreadable

    return [day for day in days if not known(day)]


def _parse_date(text: str) -> int | None:
    if not _DATE.fullmatch(text):
        return None
    try:
        return dt.date.fromisoformat(text).toordinal() - dt.date(1970, 1, 1).toordinal()
    except ValueError:
        return None


def _list_folder(volume: Volume, day: _Day) -> set[str]:
    """The names of sealed files and of anything odd; open segments are left out. Raises OSError."""
    try:
        return {name for name in os.listdir(volume.path / day.folder) if not name.endswith(PART)}
    except FileNotFoundError:
        return set()


def _still_gone(volume: Volume, day: _Day, rows: list[_Known]) -> list[_Known]:
    gone = []
    for row in rows:
        try:
            os.lstat(volume.path / day.folder / _name(row))
        except FileNotFoundError:
            gone.append(row)
        except OSError:
            continue  # the disk does not answer, which is not the answer "gone"
    return gone


def _name(row: _Known) -> str:
    second = row.start_us // SECOND % 86400
    return f"{second // 3600:02}{second // 60 % 60:02}{second % 60:02}Z-{row.run}-{row.seq}.mp4"


def _settled(day: _Day, name: str, before_us: int) -> bool:
    parsed = parse_segment_path(day.folder / name)
    return parsed is None or parsed.start_s * SECOND < before_us


def _streams(connection: sqlite3.Connection, volume_no: int) -> list[tuple[str, StreamKind]]:
    rows = connection.execute(
        "SELECT camera.id, stream FROM total JOIN camera ON camera.no = total.camera WHERE total.volume = ?"
        " ORDER BY camera.id, stream",
        (volume_no,),
    )
    return [(camera, STREAM_OF[stream]) for camera, stream in rows]


def _indexed_days(connection: sqlite3.Connection, camera: str, stream: StreamKind) -> set[_Day]:
    """The UTC days of one stream that have rows: a step from day to day, never over the rows of one."""
    days: set[_Day] = set()
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
        days.add(_Day(camera, stream, day))
        at_us = (day + 1) * DAY


def _rows(connection: sqlite3.Connection, volume_no: int, day: _Day) -> list[_Known]:
    rows = connection.execute(
        "SELECT start_us, run, seq, state, keep_until_us FROM segment"
        " WHERE camera = (SELECT no FROM camera WHERE id = ?) AND stream = ? AND start_us >= ? AND start_us < ?"
        " AND volume = ?",
        (day.camera, STREAM_NO[day.stream], day.day * DAY, (day.day + 1) * DAY, volume_no),
    )
    return [_Known(*row) for row in rows]


def _is_known(connection: sqlite3.Connection, volume_no: int, file: PurePosixPath) -> bool:
    name = parse_segment_path(file)
    if name is None:
        return False
    row = connection.execute(
        "SELECT 1 FROM segment WHERE camera = (SELECT no FROM camera WHERE id = ?) AND stream = ?"
        " AND start_us >= ? AND start_us < ? AND run = ? AND seq = ? AND volume = ?",
        (
            name.camera,
            STREAM_NO[name.stream],
            name.start_s * SECOND,
            (name.start_s + 1) * SECOND,
            name.run,
            name.seq,
            volume_no,
        ),
    ).fetchone()
    return row is not None


def _doom_announced(
    connection: sqlite3.Connection, volume: Volume, day: _Day, rows: list[_Known]
) -> tuple[int, list[_Known]]:
    """Take out what a restored ledger has on record as deleted: an old copy of the index still has the row.

    The sweep completes it. Where the guards do not let it go yet (the copy's retention clock stands before the floor,
    a hold was placed since) it is MISSING until they do; no ledger entry calls it so. Returns how many, and the others.
    """
    told, left = Told(connection), []
    for row in rows:
        if not (told and told.deleted(SegmentKey(day.camera, day.stream, row.start_us, row.run, row.seq))):
            left.append(row)
            continue
        for state in (DOOMED, MISSING):
            try:
                _set_state(connection, day, row, SEALED, state)
                break
            except sqlite3.IntegrityError:
                continue
    return len(rows) - len(left), left


def _mark(
    connection: sqlite3.Connection, volume: Volume, day: _Day, rows: list[_Known], old: int, new: int, now_us: int
) -> int:
    """Move rows from one state to the other, with one ledger entry for the camera-day that names each segment."""
    moved = [row for row in rows if _set_state(connection, day, row, old, new)]
    if moved:
        append(
            connection,
            now_us,
            LedgerKind.FOOTAGE_MISSING if new == MISSING else LedgerKind.FOOTAGE_FOUND,
            {
                "camera": day.camera,
                "stream": day.stream.value,
                "volume": volume.id,
                "day": f"{utc(day.day * DAY):%Y-%m-%d}",
                "keep_until_us": max(row.keep_until_us for row in moved),
                "segments": [str(SegmentKey(day.camera, day.stream, row.start_us, row.run, row.seq)) for row in moved],
            },
        )
    return len(moved)


def _set_state(connection: sqlite3.Connection, day: _Day, row: _Known, old: int, new: int) -> bool:
    """Move one row; False where it is not in state `old` any more. Raises sqlite3.IntegrityError (I1, I2)."""
    changed = connection.execute(
        "UPDATE segment SET state = ? WHERE camera = (SELECT no FROM camera WHERE id = ?) AND stream = ?"
        " AND start_us = ? AND run = ? AND seq = ? AND state = ?",
        (new, day.camera, STREAM_NO[day.stream], row.start_us, row.run, row.seq, old),
    )
    return bool(changed.rowcount)
