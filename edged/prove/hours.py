"""Tells the ledger about every camera-hour once it is complete, and again when something about it comes late.

Two things make an hour due. A fact or a segment indexed for it does, however late (intake marks it in the same
transaction). And time passing does, because an hour without a single fact is a gap that must be on record too; for
that the retention clock is asked, which no dead battery can send years ahead.

An hour of a camera whose volume cannot be read waits for it, but not longer than a day.
"""

import json
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import NamedTuple

from edged.archive import coverage
from edged.archive.database import Database
from edged.archive.indexing import floor_of
from edged.archive.ledger import LedgerKind, about, append, hour_topic
from edged.archive.roster import Camera, cameras, get
from edged.archive.schema import STREAM_NO
from edged.base.clock import DAY, HOUR, MINUTE, Clock
from edged.base.spans import Span
from edged.model import CameraState, Floor, StreamKind
from edged.prove.hour_record import Before, HourSegment, begins_in_gap, hour_record

log = logging.getLogger(__name__)

EVERY_SECONDS = 60.0
# After its end an hour's last segment is still open for a minute, and its line still to be read.
SETTLED_US = 5 * MINUTE
WAIT_FOR_VOLUME_US = DAY
# A camera adopted under a clock that stood in 1970 does not owe half a century of empty hours.
LOOK_BACK_HOURS = 400 * 24
HOURS_AT_ONCE = 8  # in one transaction: some ten milliseconds


class StreamHours(NamedTuple):
    """The hours of one stream that are to be told, in order; all before `first` need no telling of their own."""

    camera: str
    camera_no: int
    stream: StreamKind
    first: int
    hours: list[int]


class Hours:
    """One pass a minute. `settle` reads the journals up to now; `unread` names the volumes whose journals cannot be."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        settle: Callable[[], Awaitable[object]],
        unread: Callable[[], Collection[str]],
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._settle = settle
        self._unread = unread
        self._on_progress = on_progress

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            await self.one_pass()
            self._on_progress()
            await self._clock.sleep(EVERY_SECONDS)

    async def one_pass(self) -> int:
        """Tell what is due now; returns how many entries that made."""
        now_us = self._clock.wall_us()
        await self._settle()
        told = 0
        await self._database.write(_spread)
        for stream in await self._database.read(due_hours, now_us, frozenset(self._unread())):
            for at in range(0, len(stream.hours), HOURS_AT_ONCE):
                told += await self._database.write(tell, stream, stream.hours[at : at + HOURS_AT_ONCE], now_us)
                self._on_progress()
        return told


def due_hours(connection: sqlite3.Connection, now_us: int, unread: Collection[str]) -> list[StreamHours]:
    """What is to be told at `now_us`, stream by stream; `unread` are ids of volumes that have to be waited for."""
    retention = connection.execute("SELECT retention_us FROM retention_clock").fetchone()
    passed = _complete(min(now_us, retention["retention_us"])) if retention else 0
    marked: dict[tuple[int, int], set[int]] = {}
    for row in connection.execute("SELECT camera, stream, hour FROM hour_due WHERE hour < ?", (_complete(now_us),)):
        marked.setdefault((row["camera"], row["stream"]), set()).add(row["hour"])
    done = {(row["camera"], row["stream"]): row["hour"] for row in connection.execute("SELECT * FROM hour_done")}
    away = {no for no, volume in connection.execute("SELECT no, id FROM volume") if volume in unread}
    found = []
    for camera in cameras(connection):
        for stream, stream_no in STREAM_NO.items():
            key = (camera.no, stream_no)
            hours = marked.get(key, set())
            if key in done or key in marked or (stream == StreamKind.MAIN and camera.adopted_us is not None):
                first = done[key] + 1 if key in done else _first(connection, camera, stream_no)
                first = max(first, passed - LOOK_BACK_HOURS)
                hours |= set(range(first, min(passed, _end(camera, passed))))
            else:
                continue
            if camera.volume in away:
                hours = {hour for hour in hours if hour < _complete(now_us - WAIT_FOR_VOLUME_US)}
            if hours:
                found.append(StreamHours(camera.id, camera.no, StreamKind(stream), first, sorted(hours)))
    return found


def tell(connection: sqlite3.Connection, stream: StreamHours, hours: Iterable[int], now_us: int) -> int:
    """Append the records that the ledger owes for `hours`; returns how many."""
    stream_no = STREAM_NO[stream.stream]
    row = connection.execute(
        "SELECT hour FROM hour_done WHERE camera = ? AND stream = ?", (stream.camera_no, stream_no)
    ).fetchone()
    first = max(stream.first, row["hour"] + 1) if row else stream.first
    told = 0
    for hour in hours:
        record = _tell_one(connection, stream, hour, now_us)
        told += record is not None
        # What ended a long gap may tell why it was one: its earlier hours are told anew, as far as that changes them.
        back = hour - 1
        while record is not None and begins_in_gap(record):
            record = _tell_one(connection, stream, back, now_us, known_only=True)
            told += record is not None
            back -= 1
        connection.execute(
            "DELETE FROM hour_due WHERE camera = ? AND stream = ? AND hour = ?", (stream.camera_no, stream_no, hour)
        )
        if hour == first:
            first += 1
            connection.execute(
                "INSERT INTO hour_done (camera, stream, hour) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET hour = ?3",
                (stream.camera_no, stream_no, hour),
            )
    return told


def tell_owed(connection: sqlite3.Connection, camera: str, stream: StreamKind, hour: int, now_us: int) -> None:
    """Append the record of one hour where the ledger is still owed it, without waiting for its turn.

    Called before any of the hour's footage goes: a record names what the index has, and so must come first (I3).
    """
    key = get(connection, camera).no, STREAM_NO[stream], hour
    if connection.execute("SELECT 1 FROM hour_due WHERE camera = ? AND stream = ? AND hour = ?", key).fetchone():
        tell(connection, StreamHours(camera, key[0], stream, -1, [hour]), [hour], now_us)


def record_of(connection: sqlite3.Connection, camera: str, stream: StreamKind, hour: int) -> Before | None:
    """The record in force of an hour, None where there is none yet."""
    seqs = [seq for _, seq in about(connection, hour_topic(camera, stream.value, hour))]
    if not seqs:
        return None
    row = connection.execute("SELECT body FROM ledger WHERE seq = ?", (seqs[-1],)).fetchone()
    return Before(seqs[-1], json.loads(row["body"]))


def _spread(connection: sqlite3.Connection) -> None:
    """What the recorder itself did concerns every stream: those told of that hour are told again."""
    connection.execute(
        "INSERT INTO hour_due SELECT done.camera, done.stream, due.hour FROM hour_due AS due JOIN hour_done AS done"
        " ON done.hour >= due.hour WHERE due.camera = 0 ON CONFLICT DO NOTHING"
    )
    connection.execute("DELETE FROM hour_due WHERE camera = 0")


def _tell_one(
    connection: sqlite3.Connection, stream: StreamHours, hour: int, now_us: int, *, known_only: bool = False
) -> dict[str, object] | None:
    before = record_of(connection, stream.camera, stream.stream, hour)
    if before is None and known_only:
        return None
    covered = coverage.query(connection, stream.camera, stream.stream, Span(hour * HOUR, (hour + 1) * HOUR))
    segments = _segments(connection, stream.camera_no, STREAM_NO[stream.stream], hour)
    record = hour_record(stream.camera, stream.stream, hour, covered, segments, before)
    if record is not None:
        append(connection, now_us, LedgerKind.CAMERA_HOUR, record)
    return record


def _segments(connection: sqlite3.Connection, camera_no: int, stream_no: int, hour: int) -> list[HourSegment]:
    floors: dict[int, Floor] = {}
    found = []
    for start_us, end_us, run, seq, size, sha256, floor in connection.execute(
        "SELECT start_us, end_us, run, seq, bytes, sha256, floor FROM segment"
        " WHERE camera = ? AND stream = ? AND start_us >= ? AND start_us < ?",
        (camera_no, stream_no, hour * HOUR, (hour + 1) * HOUR),
    ).fetchall():
        if floor not in floors:
            floors[floor] = floor_of(connection, floor)
        found.append(HourSegment(start_us, end_us, run, seq, size, sha256, floors[floor]))
    return found


def _complete(at_us: int) -> int:
    """The first hour that is not complete at `at_us`."""
    return (at_us - SETTLED_US) // HOUR


def _first(connection: sqlite3.Connection, camera: Camera, stream_no: int) -> int:
    row = connection.execute(
        "SELECT start_us FROM coverage WHERE camera = ? AND stream = ? ORDER BY start_us LIMIT 1",
        (camera.no, stream_no),
    ).fetchone()
    since = [at for at in (camera.adopted_us, row and row["start_us"]) if at is not None]
    return min(since) // HOUR if since else 1 << 60


def _end(camera: Camera, passed: int) -> int:
    """Where the hours of a camera end that nobody wants recorded any more: after the one of its removal."""
    if camera.state is CameraState.REMOVED and camera.removed_us is not None:
        return camera.removed_us // HOUR + 1
    return passed
