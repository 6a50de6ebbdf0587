"""Raises floors of existing footage: where the law or a camera's place came to demand more, and where the clock that
labelled it was wrong. Never lowers one.

The index knows which floors a camera's footage has (archive/schema_fixed.py), so that an unchanged law costs one small
read. A changed one may mean millions of rows: they are gone through in short transactions, between which intake takes
its turn.
"""

import itertools
import sqlite3
from collections.abc import Callable, Iterable
from typing import NamedTuple

from edged.archive.database import Database
from edged.archive.indexing import floor_no
from edged.archive.ledger import LedgerKind, append
from edged.archive.roster import Camera, cameras
from edged.archive.schema import STREAM_NO
from edged.base.clock import DAY
from edged.base.spans import Span
from edged.law.counting import EARLIEST_US, corrected_end_us
from edged.law.site import SiteLaw
from edged.model import Floor
from edged.retain.clock import Correction
from edged.retain.timekeeping import correction_done, pending_corrections

PAGE = 200  # raised in one transaction: some ten milliseconds
LOOKED_AT = 2000  # and looked at, which is quicker

RowKey = tuple[int, int, int, int]  # stream, start_us, run, seq
_FIRST: RowKey = (-1, 0, 0, 0)


class _Page(NamedTuple):
    raised: int
    last: RowKey | None


async def raise_floors(database: Database, law: SiteLaw, *at_us: int) -> int:
    """Bring every camera's footage to at least the largest floor in force at any of the instants `at_us`, which are
    today's by one clock or the other (SiteLaw.today); returns how many segments were raised.

    Interrupted, it begins again at the next call.
    """
    raised = 0
    for camera in await database.read(cameras):
        floor = law.floor(camera.situation, *at_us)
        if not await database.read(_smaller, camera.no, floor.days):
            continue
        after: RowKey | None = _FIRST
        while after is not None:
            page = await database.write(_raise_page, camera, floor, law, after, max(at_us))
            raised += page.raised
            after = page.last
        await database.write(_forget_smaller, camera.no, floor.days)
    return raised


def _raise_page(
    connection: sqlite3.Connection, camera: Camera, floor: Floor, law: SiteLaw, after: RowKey, at_us: int
) -> _Page:
    """Raise up to PAGE segments of one camera from behind `after`, within the caller's transaction.

    A segment that was counted from later than its label (see law.counting) keeps that advantage.
    """
    rows, last = _some(_behind(connection, camera.no, after), lambda row: row["days"] < floor.days)
    if not rows:
        return _Page(0, last)

    def keep(row: sqlite3.Row) -> int:
        advantage_kept: int = row["keep_until_us"] + (floor.days - row["days"]) * DAY
        return max(law.keep_until(row["end_us"], floor.days), advantage_kept)

    number = floor_no(connection, floor)
    connection.executemany(
        "UPDATE segment SET floor = ?, keep_until_us = ?"
        " WHERE camera = ? AND stream = ? AND start_us = ? AND run = ? AND seq = ?",
        [(number, keep(row), camera.no, *_key(row)) for row in rows],
    )
    body = {"camera": camera.id, "days": floor.days, "rules": list(floor.rules), "segments": len(rows)}
    append(connection, at_us, LedgerKind.FLOOR_RAISED, body)
    return _Page(len(rows), last)


def _behind(connection: sqlite3.Connection, camera: int, after: RowKey) -> sqlite3.Cursor:
    """The camera's segments behind `after`, in the order of their keys, with the days of their floors."""
    return connection.execute(
        "SELECT stream, start_us, run, seq, end_us, keep_until_us, floor.days AS days FROM segment"
        " JOIN floor ON floor.no = segment.floor WHERE camera = ? AND (stream, start_us, run, seq) > (?, ?, ?, ?)"
        " ORDER BY stream, start_us, run, seq",
        (camera, *after),
    )


def _some(
    rows: Iterable[sqlite3.Row], wanted: Callable[[sqlite3.Row], bool]
) -> tuple[list[sqlite3.Row], RowKey | None]:
    """As many of the wanted rows as one transaction takes, and the key to go on behind; None at the end."""
    found: list[sqlite3.Row] = []
    for looked_at, row in enumerate(rows, start=1):
        if wanted(row):
            found.append(row)
        if len(found) == PAGE or looked_at == LOOKED_AT:
            return found, _key(row)
    return found, None


def _key(row: sqlite3.Row) -> RowKey:
    return row["stream"], row["start_us"], row["run"], row["seq"]


async def count_anew(database: Database, law: SiteLaw, at_us: int) -> int:
    """Carry out what corrections of the clock are pending; returns how many segments are kept longer for them.

    Footage that a wrong clock labelled is counted from the latest instant at which it can have been recorded. So is
    footage whose label was not believed, and which was counted by the retention clock while that lagged behind. True
    labels that happen to lie in the same stretch are kept longer with it, by no more than the clock was wrong.
    """
    raised = 0
    for correction in await database.read(pending_corrections):
        for camera in await database.read(cameras):
            for stream in STREAM_NO.values():
                after: RowKey | None = (stream, 0, -1, -1)  # a label that is not believed may say anything
                while after is not None:
                    page = await database.write(_count_page_anew, camera, correction, law, after, at_us)
                    raised += page.raised
                    after = page.last
        await database.write(correction_done)
    return raised


def _count_page_anew(
    connection: sqlite3.Connection, camera: Camera, correction: Correction, law: SiteLaw, after: RowKey, at_us: int
) -> _Page:
    """Count up to PAGE segments of one stream anew from behind `after`, within the caller's transaction."""
    labels, stream = correction.labels, after[0]
    lagged = labels.end_us > EARLIEST_US  # else the wall clock alone was wrong

    def keep(row: sqlite3.Row) -> int:
        days, kept, dates = row["days"], row["keep_until_us"], [0]
        if (ended := corrected_end_us(row["end_us"], labels, correction.shift_us, at_us)) is not None:
            dates.append(law.keep_until(ended, days))
        if lagged and kept - days * DAY >= labels.start_us and kept > law.keep_until(row["end_us"], days):
            # Counted from later than its label, by a clock that lagged as much; not from later than today.
            dates.append(min(kept + correction.shift_us, law.keep_until(at_us, days)))
        return max(dates)

    def wanted(row: sqlite3.Row) -> bool:
        return keep(row) > int(row["keep_until_us"])

    rows, last = _some(
        itertools.takewhile(
            lambda row: row["stream"] == stream and row["start_us"] <= labels.end_us,
            _behind(connection, camera.no, after),
        ),
        wanted,
    )
    connection.executemany(
        "UPDATE segment SET keep_until_us = ? WHERE camera = ? AND stream = ? AND start_us = ? AND run = ? AND seq = ?",
        [(keep(row), camera.no, *_key(row)) for row in rows],
    )
    if rows:
        body = {"camera": camera.id, "segments": len(rows), "shift_us": correction.shift_us, **_named(labels)}
        append(connection, at_us, LedgerKind.FLOOR_RAISED, body)
    return _Page(len(rows), last)


def _named(labels: Span) -> dict[str, int]:
    return {"labels_from_us": labels.start_us, "labels_to_us": labels.end_us}


_SMALLER = "WHERE camera = ? AND floor IN (SELECT no FROM floor WHERE days < ?)"


def _smaller(connection: sqlite3.Connection, camera: int, days: int) -> bool:
    """Whether the camera's footage has, or had, floors of fewer than `days`."""
    return connection.execute(f"SELECT 1 FROM camera_floor {_SMALLER} LIMIT 1", (camera, days)).fetchone() is not None


def _forget_smaller(connection: sqlite3.Connection, camera: int, days: int) -> None:
    """All but those that footage still has: it may have come in between, and is raised the next time."""
    connection.execute(f"DELETE FROM camera_floor {_SMALLER}", (camera, days))
