"""What the index knows about single segments: rows by camera and span, their files, their ids, and totals.

A segment's id is ``<camera>/<stream>/<start_us>-<run>-<seq>``: stable, sortable within a stream, and enough to find
row and file.
"""

import datetime as dt
import functools
import re
import sqlite3
import zoneinfo
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from edged.archive import meta
from edged.archive.layout import parse_segment_path, segment_path
from edged.archive.schema import SEALED, STREAM_NO
from edged.base.clock import HOUR, MINUTE, SECOND
from edged.base.errors import Refused
from edged.base.spans import Span
from edged.model import StreamKind

STREAM_OF = {no: StreamKind(name) for name, no in STREAM_NO.items()}
# meta: how far before an instant a segment, or a loss, that holds it may begin. Intake keeps both.
LONGEST_SEGMENT = "longest_segment_us"
LONGEST_LOSS = "longest_loss_us"
_ID = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)/(main|sub)/(\d{1,18})-(\d{1,18})-(\d{1,18})", re.ASCII)
_FROM = "FROM segment JOIN camera ON camera.no = segment.camera"
# One row of the table `segment`; its values are key_values(key).
BY_KEY = (
    "segment.camera = (SELECT no FROM camera WHERE id = ?) AND segment.stream = ? AND segment.start_us = ?"
    " AND segment.run = ? AND segment.seq = ?"
)


class BadSegmentId(Refused):
    """A text is not a segment's id."""

    code = "ARC-030"
    hint = "an id looks like CAMERA/main/START-RUN-SEQ, with numbers for the last three"


class SegmentKey(NamedTuple):
    """What names one segment."""

    camera: str
    stream: StreamKind
    start_us: int
    run: int
    seq: int

    def __str__(self) -> str:
        return f"{self.camera}/{self.stream.value}/{self.start_us}-{self.run}-{self.seq}"


class SegmentRow(NamedTuple):
    """One indexed segment. `camera`, `floor` and `volume` are row numbers; `state` is SEALED, MISSING or DOOMED.

    A tuple in the order of the columns selected, because a camera-day has 1,440 of them.
    """

    camera_id: str
    camera: int
    stream: StreamKind
    start_us: int
    run: int
    seq: int
    end_us: int
    keep_until_us: int
    floor: int
    volume: int
    bytes: int
    frames: int
    keyframes: int
    lost: int
    codec: str
    width: int
    height: int
    recovered: bool
    state: int
    sha256: str  # lower-case hex

    @property
    def key(self) -> SegmentKey:
        return SegmentKey(self.camera_id, self.stream, self.start_us, self.run, self.seq)

    @property
    def span(self) -> Span:
        return Span(self.start_us, self.end_us)


_COLUMNS = "camera.id, " + ", ".join(f"segment.{name}" for name in SegmentRow._fields[1:])
_OF_ONE_STREAM = ", ".join(SegmentRow._fields[3:])  # for many rows: what they share is not read once a row


class Total(NamedTuple):
    """Sealed, present segments of one stream on one volume."""

    camera: str
    stream: StreamKind
    volume: int
    segments: int
    bytes: int


def parse_id(text: str) -> SegmentKey:
    """The key that `text` writes. Raises BadSegmentId."""
    match = _ID.fullmatch(text)
    if match is None:
        raise BadSegmentId("not a segment's id")
    return SegmentKey(match[1], StreamKind(match[2]), int(match[3]), int(match[4]), int(match[5]))


def key_values(key: SegmentKey) -> tuple[str, int, int, int, int]:
    """What BY_KEY asks for."""
    return key.camera, STREAM_NO[key.stream], key.start_us, key.run, key.seq


def segment_file(row: SegmentRow) -> PurePosixPath:
    """The segment's file below its volume."""
    return segment_path(row.camera_id, row.stream, row.start_us, row.run, row.seq)


def local_day(at_us: int, zone: zoneinfo.ZoneInfo) -> int:
    """The civil day of `at_us` at the site, as a proleptic ordinal: the day that ``camera_day`` counts by."""
    return _day_of_minute(at_us // MINUTE, zone)


@functools.lru_cache(5000)
def _day_of_minute(minute: int, zone: zoneinfo.ZoneInfo) -> int:
    """Civil days begin on whole minutes; intake asks for every segment."""
    return dt.datetime.fromtimestamp(minute * 60, zone).toordinal()


def find_segment(connection: sqlite3.Connection, key: SegmentKey) -> SegmentRow | None:
    """The row of this key, whatever its state, or None."""
    rows = _rows(
        connection,
        f"SELECT {_COLUMNS} {_FROM} WHERE {BY_KEY}",
        key_values(key),
    )
    return rows[0] if rows else None


def state_of_file(connection: sqlite3.Connection, volume_no: int, file: PurePosixPath) -> int | None:
    """The state of the segment that the index has in this file of a volume; None where it knows of none."""
    name = parse_segment_path(file)
    if name is None:
        return None
    first_us = name.start_s * SECOND  # a name tells the start in whole seconds
    row = connection.execute(
        "SELECT state FROM segment WHERE camera = (SELECT no FROM camera WHERE id = ?) AND stream = ?"
        " AND start_us >= ? AND start_us < ? AND run = ? AND seq = ? AND volume = ?",
        (name.camera, STREAM_NO[name.stream], first_us, first_us + SECOND, name.run, name.seq, volume_no),
    ).fetchone()
    return None if row is None else int(row["state"])


def set_state(connection: sqlite3.Connection, key: SegmentKey, before: int, after: int) -> bool:
    """Move one segment from one state to another; False where it is no longer in `before`.

    Raises sqlite3.IntegrityError where the guards do not let it go (I1, I2).
    """
    # The states as they are: for one that is bound SQLite asks at every call whether segment_doomed, the index of one
    # state, would do, by compiling the statement and all its guards anew.
    moved = connection.execute(
        f"UPDATE segment SET state = {after:d} WHERE {BY_KEY} AND state = {before:d}", key_values(key)
    )
    return moved.rowcount == 1


def segments_in(
    connection: sqlite3.Connection,
    camera_id: str,
    stream: StreamKind,
    span: Span,
    *,
    after: SegmentKey | None = None,
    limit: int = 1500,
) -> list[SegmentRow]:
    """Up to `limit` segments that share an instant with `span`, by start, in any state.

    Page with `after` = the key of the last row seen; the default holds a camera-day of one-minute segments.
    """
    first = (span.start_us - longest_us(connection, LONGEST_SEGMENT), -1, -1)
    if after is not None:
        first = max(first, (after.start_us, after.run, after.seq))
    cursor = connection.cursor()
    cursor.row_factory = None
    found = cursor.execute("SELECT no FROM camera WHERE id = ?", (camera_id,)).fetchone()
    if found is None:
        return []
    (camera,) = found
    rows = cursor.execute(
        f"SELECT {_OF_ONE_STREAM} FROM segment WHERE camera = ? AND stream = ? AND (start_us, run, seq) > (?, ?, ?)"
        " AND start_us < ? AND end_us > ? ORDER BY start_us, run, seq LIMIT ?",
        (camera, STREAM_NO[stream], *first, span.end_us, span.start_us, limit),
    )
    head = (camera_id, camera, stream)
    return [_row(head, row) for row in rows]


def next_sealed(
    connection: sqlite3.Connection, volume_no: int, after: tuple[int, int, int, int, int]
) -> SegmentRow | None:
    """The first sealed segment of a volume behind a key of row numbers: camera, stream, start, run, seq."""
    rows = _rows(
        connection,
        f"SELECT {_COLUMNS} {_FROM} WHERE (segment.camera, stream, start_us, run, seq) > (?, ?, ?, ?, ?)"
        f" AND segment.volume = ? AND segment.state = {SEALED}"
        " ORDER BY segment.camera, stream, start_us, run, seq LIMIT 1",
        (*after, volume_no),
    )
    return rows[0] if rows else None


def begin_by_camera(connection: sqlite3.Connection, stream: StreamKind) -> dict[str, int]:
    """By camera where its first segment still indexed begins; cameras without one are left out."""
    rows = connection.execute(
        "SELECT id, (SELECT start_us FROM segment WHERE camera = camera.no AND stream = ? ORDER BY start_us LIMIT 1)"
        " AS begin FROM camera",
        (STREAM_NO[stream],),
    )
    return {camera_id: begin for camera_id, begin in rows if begin is not None}


def oldest(connection: sqlite3.Connection, camera_id: str, stream: StreamKind) -> SegmentRow | None:
    """The stream's first segment still indexed, or None."""
    return _end_of_stream(connection, camera_id, stream, "ASC")


def newest(connection: sqlite3.Connection, camera_id: str, stream: StreamKind) -> SegmentRow | None:
    """The stream's last segment, or None."""
    return _end_of_stream(connection, camera_id, stream, "DESC")


def totals(connection: sqlite3.Connection) -> list[Total]:
    """What is sealed and present, per stream and volume; one small table, never a count of segments."""
    rows = connection.execute(
        "SELECT camera.id, stream, total.volume, segments, bytes FROM total JOIN camera ON camera.no = total.camera"
        " ORDER BY camera.id, stream, total.volume"
    )
    return [Total(camera, STREAM_OF[stream], volume, count, size) for camera, stream, volume, count, size in rows]


def longest_us(connection: sqlite3.Connection, key: str) -> int:
    """The longest segment or loss ever indexed, never less than an hour."""
    return max(HOUR, int(meta.read(connection, key) or 0))


def _rows(connection: sqlite3.Connection, sql: str, values: Iterable[object]) -> list[SegmentRow]:
    """What `sql` selects as _COLUMNS."""
    cursor = connection.cursor()
    cursor.row_factory = None  # plain tuples: half the time of a day's rows
    return [_row((row[0], row[1], STREAM_OF[row[2]]), row[3:]) for row in cursor.execute(sql, tuple(values))]


def _row(head: tuple[str, int, StreamKind], others: tuple[Any, ...]) -> SegmentRow:
    """`others` are the other columns in their order, as the database has them."""
    return SegmentRow._make(head + others[:-3] + (others[-3] != 0, others[-2], others[-1].hex()))


def _end_of_stream(connection: sqlite3.Connection, camera_id: str, stream: StreamKind, order: str) -> SegmentRow | None:
    rows = _rows(
        connection,
        f"SELECT {_COLUMNS} {_FROM} WHERE segment.camera = (SELECT no FROM camera WHERE id = ?) AND stream = ?"
        f" ORDER BY start_us {order}, run {order}, seq {order} LIMIT 1",
        (camera_id, STREAM_NO[stream]),
    )
    return rows[0] if rows else None
