"""Remembers which full files of a mirror were right when they were read, and how they looked: for the next start."""

import sqlite3
from typing import NamedTuple

from edged.prove.mirror_files import FileLooks


class Seen(NamedTuple):
    """A full file was right at `read_us`, and looked like this."""

    looks: FileLooks
    read_us: int


def seen(connection: sqlite3.Connection, volume_no: int) -> dict[int, Seen]:
    """By file number, the full files of a volume that were found right."""
    rows = connection.execute(
        "SELECT number, bytes, modified_ns, changed_ns, inode, read_us FROM mirror_file WHERE volume = ?", (volume_no,)
    )
    return {number: Seen(FileLooks(*looks), read_us) for number, *looks, read_us in rows}


def remember(connection: sqlite3.Connection, volume_no: int, number: int, one: Seen) -> None:
    """A full file is right now."""
    connection.execute(
        "INSERT INTO mirror_file VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET bytes = ?3,"
        " modified_ns = ?4, changed_ns = ?5, inode = ?6, read_us = ?7",
        (volume_no, number, *one.looks, one.read_us),
    )


def due(files: dict[int, Seen], within_us: int, now_us: int) -> int | None:
    """The file to be read again first: one whose reading is longer ago than `within_us`, or lies in the future."""
    late = {number: one.read_us for number, one in files.items() if not now_us - within_us < one.read_us <= now_us}
    return min(late, key=late.__getitem__, default=None)
