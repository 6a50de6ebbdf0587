"""Remembers which camera-day folders were found equal to the index, so that a start need not read them all again.

A folder is remembered with its own modification time, and believed while that stays, for FRESH_US at most: a folder's
date shows every change that the file system makes in order, but what fsck or a broken disk took shows only to whoever
reads the folder. Indexing a segment into a folder forgets it (archive/indexing.py), in the same transaction.
"""

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from edged.base.clock import DAY, SECOND

FRESH_US = 30 * DAY
# A folder that changes while it is read may keep the date it had: file systems count in ticks of some milliseconds.
RACY_US = 2 * SECOND


class Equal(NamedTuple):
    """A folder that was read and found equal: `changed_ns` is its date from before it was read, `segments` how many
    rows it was compared with, those whose start lies in [start_us, end_us)."""

    folder: PurePosixPath  # below the volume
    changed_ns: int
    camera: str
    stream_no: int
    start_us: int
    end_us: int
    segments: int
    compared_us: int


def date_of(folder: Path) -> int:
    """When the folder's content last changed, in nanoseconds; -1 where there is no folder. Raises OSError."""
    try:
        return os.stat(folder).st_mtime_ns
    except FileNotFoundError:
        return -1


def settled(changed_ns: int, now_us: int) -> bool:
    """Whether a folder that was last changed then, and is read now, shows any further change by its date."""
    return changed_ns // 1000 < now_us - RACY_US


def remembered(connection: sqlite3.Connection, volume_no: int, now_us: int) -> dict[str, int]:
    """By folder the date at which it was equal. Old comparisons, and those from the future, are not believed."""
    rows = connection.execute(
        "SELECT folder, changed_ns FROM compared WHERE volume = ? AND compared_us > ? AND compared_us <= ?",
        (volume_no, now_us - FRESH_US, now_us),
    )
    return dict(rows.fetchall())


def remember(connection: sqlite3.Connection, volume_no: int, found: Iterable[Equal]) -> None:
    """Remember folders as equal, but for those into which something was indexed since they were read."""
    for one in found:
        (segments,) = connection.execute(
            "SELECT count(*) FROM segment WHERE camera = (SELECT no FROM camera WHERE id = ?) AND stream = ?"
            " AND start_us >= ? AND start_us < ? AND volume = ?",
            (one.camera, one.stream_no, one.start_us, one.end_us, volume_no),
        ).fetchone()
        if segments == one.segments:
            connection.execute(
                "INSERT INTO compared VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET changed_ns = excluded.changed_ns,"
                " compared_us = excluded.compared_us",
                (volume_no, str(one.folder), one.changed_ns, one.compared_us),
            )


def forget(connection: sqlite3.Connection, volume_no: int, folders: Iterable[PurePosixPath]) -> None:
    """Something was indexed into these folders: they are read at the next comparison."""
    connection.executemany(
        "DELETE FROM compared WHERE volume = ? AND folder = ?", [(volume_no, str(folder)) for folder in folders]
    )
