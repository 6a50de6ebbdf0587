"""Raises the floors of existing footage where the law or a camera's place came to demand more; never lowers one.

What was last applied to each camera is remembered, so that an unchanged law costs one small read.
"""

import json
import sqlite3
from typing import NamedTuple

from edged.archive.database import Database
from edged.archive.indexing import floor_no
from edged.archive.ledger import LedgerKind, append
from edged.archive.roster import Camera, cameras
from edged.base.clock import DAY
from edged.law.counting import keep_until_us
from edged.law.site import SiteLaw
from edged.model import Floor

PAGE = 2000
_APPLIED = "floors_applied"  # meta: JSON object, camera id -> days

RowKey = tuple[int, int, int, int]  # stream, start_us, run, seq
_FIRST: RowKey = (-1, 0, 0, 0)


class _Page(NamedTuple):
    raised: int
    last: RowKey | None


async def raise_floors(database: Database, law: SiteLaw, at_us: int) -> int:
    """Bring every camera's footage to at least the floor in force at `at_us`; returns how many segments were raised.

    In pages of one transaction each; interrupted, it begins again at the next call.
    """
    raised = 0
    roster, applied = await database.read(_to_compare)
    for camera in roster:
        floor = law.decision(camera.place, at_us).floor
        if applied.get(camera.id) == floor.days:
            continue
        after: RowKey | None = _FIRST
        while after is not None:
            page = await database.write(raise_page, camera.no, camera.id, floor, law, after, at_us)
            raised += page.raised
            after = page.last
        await database.write(_remember, camera.id, floor.days)
    return raised


def raise_page(
    connection: sqlite3.Connection,
    camera: int,
    camera_id: str,
    floor: Floor,
    law: SiteLaw,
    after: RowKey,
    at_us: int,
) -> _Page:
    """Raise up to PAGE segments of one camera from behind `after`, within the caller's transaction.

    A segment that was counted from later than its label (see law.counting) keeps that advantage.
    """
    rows = connection.execute(
        "SELECT stream, start_us, run, seq, end_us, keep_until_us, floor.days AS days FROM segment"
        " JOIN floor ON floor.no = segment.floor WHERE camera = ? AND (stream, start_us, run, seq) > (?, ?, ?, ?)"
        " AND floor.days < ? ORDER BY stream, start_us, run, seq LIMIT ?",
        (camera, *after, floor.days, PAGE),
    ).fetchall()
    if not rows:
        return _Page(0, None)
    number = floor_no(connection, floor)
    connection.executemany(
        "UPDATE segment SET floor = ?, keep_until_us = ?"
        " WHERE camera = ? AND stream = ? AND start_us = ? AND run = ? AND seq = ?",
        [
            (
                number,
                max(
                    keep_until_us(row["end_us"], floor.days, law.tz),
                    row["keep_until_us"] + (floor.days - row["days"]) * DAY,
                ),
                camera,
                row["stream"],
                row["start_us"],
                row["run"],
                row["seq"],
            )
            for row in rows
        ],
    )
    body = {"camera": camera_id, "days": floor.days, "rules": list(floor.rules), "segments": len(rows)}
    append(connection, at_us, LedgerKind.FLOOR_RAISED, body)
    last = rows[-1]
    return _Page(len(rows), (last["stream"], last["start_us"], last["run"], last["seq"]))


def _to_compare(connection: sqlite3.Connection) -> tuple[list[Camera], dict[str, int]]:
    return cameras(connection), _applied(connection)


def _applied(connection: sqlite3.Connection) -> dict[str, int]:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (_APPLIED,)).fetchone()
    found: dict[str, int] = {} if row is None else json.loads(row["value"])
    return found


def _remember(connection: sqlite3.Connection, camera_id: str, days: int) -> None:
    applied = _applied(connection) | {camera_id: days}
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (_APPLIED, json.dumps(applied, sort_keys=True)),
    )
