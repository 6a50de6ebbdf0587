"""What the index knows of reading everything again: whose turn is next, what was found, how far each volume is.

The hash in a segment's row is never changed, and neither row nor file goes for a finding: it is evidence of its own.
"""

import sqlite3
from enum import StrEnum
from typing import NamedTuple

from edged.archive.ledger import LedgerKind, append
from edged.archive.schema import SEALED, STREAM_NO
from edged.archive.segments import STREAM_OF, SegmentKey, SegmentRow, next_sealed

_KEY = "camera, stream, start_us, run, seq"
_BEFORE_ALL = (-1, 0, 0, 0, 0)


class Found(StrEnum):
    """What reading a segment again found."""

    SOUND = "sound"
    ALTERED = "altered"  # another content than was recorded
    UNREADABLE = "unreadable"  # the disk does not give it
    GONE = "gone"  # no file of that name


class Finding(NamedTuple):
    """A segment that is not as it was recorded, and when that was found."""

    segment: str
    volume: str
    found_us: int
    what: Found


class Progress(NamedTuple):
    """How far a volume is: whole rounds done, when the last one ended, and what there is to read."""

    volume: str
    rounds: int
    ended_us: int | None
    segments: int
    bytes: int


def next_segment(connection: sqlite3.Connection, volume_no: int) -> SegmentRow | None:
    """The sealed segment of the volume whose turn it is; None where the round has come to its end."""
    row = connection.execute(f"SELECT {_KEY} FROM scrub WHERE volume = ?", (volume_no,)).fetchone()
    return next_sealed(connection, volume_no, _BEFORE_ALL if row is None else tuple(row))


def begin_round(connection: sqlite3.Connection, volume_no: int, now_us: int) -> bool:
    """The round is done; the next begins with the first segment. False where there was nothing to read."""
    done = connection.execute(
        "UPDATE scrub SET camera = -1, rounds = rounds + 1, ended_us = ?2 WHERE volume = ?1 AND camera >= 0",
        (volume_no, now_us),
    )
    return done.rowcount == 1


def note(connection: sqlite3.Connection, row: SegmentRow, found: Found, volume: str, now_us: int) -> bool:
    """Enter what reading `row` found, in the caller's transaction; what is news is a ledger entry too.

    True where it was news. A segment that has left the index meanwhile is nobody's finding.
    """
    key = row.camera, STREAM_NO[row.stream], row.start_us, row.run, row.seq
    where = "WHERE camera = ? AND stream = ? AND start_us = ? AND run = ? AND seq = ?"
    if connection.execute(f"SELECT 1 FROM segment {where} AND state = {SEALED}", key).fetchone() is None:
        return False
    before = connection.execute(f"SELECT what FROM altered {where}", key).fetchone()
    if (before["what"] if before else Found.SOUND) == found:
        return False
    kind = LedgerKind.FOOTAGE_SOUND if found is Found.SOUND else LedgerKind.FOOTAGE_ALTERED
    body = {"camera": row.camera_id, "stream": row.stream.value, "volume": volume, "segments": [str(row.key)]}
    append(connection, now_us, kind, body | {"what": found.value})
    if found is Found.SOUND:
        connection.execute(f"DELETE FROM altered {where}", key)
    else:
        connection.execute(
            "INSERT INTO altered VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET what = excluded.what,"
            " found_us = excluded.found_us",
            (*key, now_us, found.value),
        )
    return True


def passed(connection: sqlite3.Connection, volume_no: int, row: SegmentRow) -> None:
    """The turn of `row` is over, whatever became of it."""
    key = row.camera, STREAM_NO[row.stream], row.start_us, row.run, row.seq
    connection.execute(
        "INSERT INTO scrub VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, NULL) ON CONFLICT DO UPDATE SET camera = ?2, stream = ?3,"
        " start_us = ?4, run = ?5, seq = ?6",
        (volume_no, *key),
    )


def findings(connection: sqlite3.Connection, limit: int = 1000) -> list[Finding]:
    """The segments that are not as they were recorded, the newest findings first."""
    # CROSS keeps SQLite from beginning with the millions of segments instead of with the few findings.
    rows = connection.execute(
        f"SELECT camera.id, {_KEY}, volume.id, altered.found_us, what FROM altered CROSS JOIN segment USING ({_KEY})"
        " JOIN camera ON camera.no = segment.camera JOIN volume ON volume.no = segment.volume"
        " ORDER BY altered.found_us DESC LIMIT ?",
        (limit,),
    )
    return [
        Finding(str(SegmentKey(camera, STREAM_OF[stream], start_us, run, seq)), volume, found_us, Found(what))
        for camera, _, stream, start_us, run, seq, volume, found_us, what in rows
    ]


def finding_count(connection: sqlite3.Connection) -> int:
    """How many segments are not as they were recorded."""
    count: int = connection.execute("SELECT count(*) FROM altered").fetchone()[0]
    return count


def progress(connection: sqlite3.Connection) -> list[Progress]:
    """Every volume that holds footage."""
    rows = connection.execute(
        "SELECT volume.id, coalesce(rounds, 0), ended_us, coalesce(sum(segments), 0), coalesce(sum(bytes), 0)"
        " FROM volume LEFT JOIN scrub ON scrub.volume = volume.no LEFT JOIN total ON total.volume = volume.no"
        " GROUP BY volume.no ORDER BY volume.no"
    )
    return [Progress(*row) for row in rows]
