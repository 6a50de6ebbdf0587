"""Enters footage that its volume's journal names and that intake has passed over.

Intake goes on where it stopped, and where that is kept others can write, too: set ahead, it leaves out what lies
between; and a row that somebody deleted past the guards is never read again. The file is there all the same, and the
comparison of volumes and index calls it a stray. The journals of a stray's day are then read from their beginning.
"""

import logging
import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from edged.archive.database import Database
from edged.archive.indexing import Stamp, index_facts
from edged.archive.journal import BadLine, decode
from edged.archive.late import tell_late
from edged.archive.layout import JOURNAL, parse_segment_path, segment_path, utc
from edged.archive.reconcile import Stray
from edged.archive.segments import SegmentKey
from edged.archive.told import Told
from edged.archive.volumes import Volume, prove
from edged.base.clock import DAY, SECOND, Clock
from edged.base.worker import Worker
from edged.model import SegmentSealed

log = logging.getLogger(__name__)

CHUNK = 512 * 1024  # bytes read at once: what one transaction may have to enter


class _Read(NamedTuple):
    end: int
    present: list[SegmentSealed]  # those whose files are there


async def index_passed_over(
    database: Database, clock: Clock, volumes: Sequence[Volume], strays: Iterable[Stray], stamp: Stamp, zone: ZoneInfo
) -> int:
    """Enter every segment of the strays' days that a journal names, whose file is there, and that the index does not
    know; returns how many. What the ledger has on record as deleted is not footage again."""
    days: dict[str, set[int]] = {}
    for stray in strays:
        if (name := parse_segment_path(stray.file)) is not None:
            # Named after the day on which the line was written: that of the segment's end.
            day = name.start_s * SECOND // DAY
            days.setdefault(stray.volume, set()).update((day, day + 1))
    entered = 0
    for volume in volumes:
        if volume.fenced or volume.id not in days:
            continue
        worker = Worker(f"strays-{volume.id}")
        try:
            for file in await worker.run(_journals, volume, days[volume.id]):
                read = await worker.run(_read, volume, file, 0)
                while read.end:
                    entered += await database.write(_enter, volume.no, file, read.present, stamp, zone, clock.wall_us())
                    read = await worker.run(_read, volume, file, read.end)
        except OSError as error:
            log.error("volume %s: its journals cannot be read again (%s)", volume.id, error.strerror)
        finally:
            worker.shutdown(wait=False)
    if entered:
        log.critical(
            "%d segments were on the volumes and in their journals, but not in the index; they are now", entered
        )
    return entered


def _journals(volume: Volume, days: Iterable[int]) -> list[Path]:
    names = {f"{utc(day * DAY):%Y-%m-%d}.ndjson" for day in days}
    return sorted(file for file in (volume.path / JOURNAL).glob("*/*.ndjson") if file.name in names)


def _read(volume: Volume, file: Path, start: int) -> _Read:
    """The next whole lines from `start` on; at their end, an `end` of 0."""
    with file.open("rb") as journal:
        journal.seek(start)
        lines = [line for line in journal.readlines(CHUNK) if line.endswith(b"\n")]
    present = []
    for line in lines:
        try:
            fact = decode(line.rstrip(b"\n"))
        except BadLine:
            continue
        if isinstance(fact, SegmentSealed) and os.path.lexists(volume.path / segment_path(*_key(fact))):
            present.append(fact)
    if prove(volume):
        return _Read(0, [])
    return _Read(start + sum(map(len, lines)) if lines else 0, present)


def _enter(
    connection: sqlite3.Connection,
    volume_no: int,
    file: Path,
    present: list[SegmentSealed],
    stamp: Stamp,
    zone: ZoneInfo,
    now_us: int,
) -> int:
    told = Told(connection)
    facts = [fact for fact in present if not told.deleted(_key(fact))]
    done = index_facts(connection, volume_no, facts, stamp, zone, file.parent.name)
    tell_late(connection, now_us)
    return done.segments


def _key(fact: SegmentSealed) -> SegmentKey:
    return SegmentKey(fact.camera, fact.stream, fact.start_us, fact.run, fact.seq)
