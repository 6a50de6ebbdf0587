"""The list of held files that still want their hard link (held_due), made in bounded steps.

A hold protects by its span and its cameras, from the instant it is placed; the list only says which links evidence.py
has yet to make. Placing a hold notes one span a camera (held_unlisted), whatever the number of its files, and the files
are listed from there a few thousand at a time, with the place reached. What is indexed or found again meanwhile is
listed by trigger, before the place reached or behind it: at worst twice, and a link is made once.
"""

import sqlite3
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import NamedTuple

from edged.archive.layout import segment_path
from edged.archive.schema import SEALED, STREAM_NO
from edged.archive.segments import LONGEST_SEGMENT, STREAM_OF, longest_us

PAGE = 2000  # segments looked at, or links made, between two chances for everyone else: some 10 ms of the database


class Due(NamedTuple):
    """A link that is still to be made."""

    rowid: int
    hold: str
    file: PurePosixPath  # below the volume


def list_held(connection: sqlite3.Connection) -> bool:
    """List the next PAGE segments of a hold, in the caller's transaction. False where all are listed."""
    span = connection.execute("SELECT rowid, * FROM held_unlisted ORDER BY rowid LIMIT 1").fetchone()
    if span is None:
        return False
    rowid, hold, camera, over_us, before_us, stream, *reached = span
    if reached[0] is None:
        reached = [over_us - longest_us(connection, LONGEST_SEGMENT), -1, -1]
    rows = connection.execute(
        "SELECT start_us, run, seq, volume, end_us, state FROM segment WHERE camera = ? AND stream = ?"
        " AND (start_us, run, seq) > (?, ?, ?) AND start_us < ? ORDER BY start_us, run, seq LIMIT ?",
        (camera, stream, *reached, before_us, PAGE),
    ).fetchall()
    connection.executemany(
        "INSERT INTO held_due (hold, camera, stream, start_us, run, seq, volume) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(hold, camera, stream, *row[:4]) for row in map(tuple, rows) if row[4] > over_us and row[5] == SEALED],
    )
    if len(rows) == PAGE:
        goes_on = (stream, *tuple(rows[-1])[:3])
    elif stream < max(STREAM_NO.values()):
        goes_on = (stream + 1, None, None, None)
    else:
        connection.execute("DELETE FROM held_unlisted WHERE rowid = ?", (rowid,))
        return True
    connection.execute(
        "UPDATE held_unlisted SET stream = ?, start_us = ?, run = ?, seq = ? WHERE rowid = ?", (*goes_on, rowid)
    )
    return True


def links_due(connection: sqlite3.Connection, volume_no: int, behind: int) -> list[Due]:
    """The next PAGE links to be made on a volume, behind the row id `behind`."""
    rows = connection.execute(
        "SELECT held_due.rowid AS rowid, hold.id AS hold, camera.id AS camera, stream, held_due.start_us, run, seq"
        " FROM held_due JOIN hold ON hold.no = held_due.hold JOIN camera ON camera.no = held_due.camera"
        " WHERE held_due.volume = ? AND held_due.rowid > ? AND hold.released_us IS NULL"
        " ORDER BY held_due.rowid LIMIT ?",
        (volume_no, behind, PAGE),
    )
    return [
        Due(row["rowid"], row["hold"], segment_path(row["camera"], STREAM_OF[row["stream"]], *tuple(row)[4:]))
        for row in rows
    ]


def to_link_by_hold(connection: sqlite3.Connection) -> dict[str, int]:
    """By hold in force how many of its files still want their link, a span not yet listed counted as one file; holds
    with none are left out."""
    rows = connection.execute(
        "SELECT hold.id AS hold, count(*) AS files FROM ("
        "SELECT hold AS no FROM held_due UNION ALL SELECT hold FROM held_unlisted) JOIN hold USING (no) GROUP BY no"
    )
    return {row["hold"]: row["files"] for row in rows}


def links_made(connection: sqlite3.Connection, rowids: Iterable[int]) -> None:
    """Take links off the list that are durable now."""
    connection.executemany("DELETE FROM held_due WHERE rowid = ?", [(rowid,) for rowid in rowids])
