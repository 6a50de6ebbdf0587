"""Remembers which camera-day folders were found equal to the index, so that a start need not read them all again.

A folder is remembered with its own modification time, and believed while that stays, for FRESH_US at most: a folder's
date shows every change that the file system makes in order, but what fsck or a broken disk took shows only to whoever
reads the folder. Indexing a segment into a folder forgets it (archive/indexing.py), in the same transaction.
"""

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from edged.base.clock import DAY, SECOND

FRESH_US = 30 * DAY
# A folder that changes while it is read may keep the date it had: file systems count in ticks of some milliseconds.
RACY_US = 2 * SECOND


class FolderKey(NamedTuple):
    """Which folder of a volume: a camera's stream on one UTC day, counted from 1970."""

    camera: str
    stream_no: int
    day: int


class Equal(NamedTuple):
    """A folder that was read and found equal: `changed_ns` is its date from before it was read, `segments` how many
    rows it was compared with."""

    folder: FolderKey
    changed_ns: int
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


def remembered(connection: sqlite3.Connection, volume_no: int, now_us: int) -> dict[FolderKey, int]:
    """The dates at which folders were equal. Old comparisons, and those from the future, are not believed."""
    rows = connection.execute(
        "SELECT camera, stream, day, changed_ns FROM compared"
        " WHERE volume = ? AND compared_us > ? AND compared_us <= ?",
        (volume_no, now_us - FRESH_US, now_us),
    )
    return {FolderKey(*key): changed_ns for *key, changed_ns in rows}


def remember(connection: sqlite3.Connection, volume_no: int, found: Iterable[Equal]) -> None:
    """Remember folders as equal, but for those into which something was indexed since they were read."""
    for folder, changed_ns, segments, compared_us in found:
        (indexed,) = connection.execute(
            "SELECT count(*) FROM segment WHERE camera = (SELECT no FROM camera WHERE id = ?) AND stream = ?"
            " AND start_us >= ? AND start_us < ? AND volume = ?",
            (folder.camera, folder.stream_no, folder.day * DAY, (folder.day + 1) * DAY, volume_no),
        ).fetchone()
        if indexed == segments:
            connection.execute(
                "INSERT INTO compared VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " changed_ns = excluded.changed_ns, compared_us = excluded.compared_us",
                (volume_no, *folder, changed_ns, compared_us),
            )


def forget(connection: sqlite3.Connection, volume_no: int, folders: Iterable[FolderKey]) -> None:
    """Something was indexed into these folders: they are read at the next comparison."""
    connection.executemany(
        "DELETE FROM compared WHERE volume = ? AND camera = ? AND stream = ? AND day = ?",
        [(volume_no, *folder) for folder in folders],
    )
