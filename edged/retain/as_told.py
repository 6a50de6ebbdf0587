"""What the index says of footage and holds, against what the ledger was told: the ledger's word is the longer one.

Whoever can write the index's file can switch its guards off for a moment; the ledger stands under signed heads that
are kept elsewhere. So it is asked before anything goes, and what the index says less is put back (I1, I2). Where the
index says more, that stands.
"""

import dataclasses
import json
import logging
import sqlite3
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from edged.archive.indexing import floor_no
from edged.archive.ledger import LedgerKind, about, append, hold_topic
from edged.archive.rebuilding import proven, restored_ranges
from edged.archive.roster import camera_no
from edged.archive.schema import STREAM_NO
from edged.archive.told import Told
from edged.law.counting import keep_until_us
from edged.retain.rows import StoredSegment

log = logging.getLogger(__name__)


class AsTold:
    """Answers within the caller's transaction: a segment with the floor and the date that the ledger knows of it."""

    def __init__(self, connection: sqlite3.Connection, zone: ZoneInfo) -> None:
        self._told = Told(connection)
        self._zone = zone
        self.lowered: list[StoredSegment] = []  # those of which the index said less, as they were told

    def __call__(self, segment: StoredSegment) -> StoredSegment:
        kept = max(segment.keep_until_us, keep_until_us(segment.end_us, segment.floor.days, self._zone))
        floor, kept = self._told.raised(segment.key, segment.end_us, segment.floor, kept, self._zone)
        if kept <= segment.keep_until_us:
            return segment
        as_told = dataclasses.replace(segment, floor=floor, keep_until_us=kept)
        self.lowered.append(as_told)
        return as_told

    def put_back(self, connection: sqlite3.Connection) -> None:
        """Give the rows in `lowered` their dates again."""
        for segment in self.lowered:
            key = segment.key
            connection.execute(
                "UPDATE segment SET floor = ?, keep_until_us = ?"
                " WHERE camera = ? AND stream = ? AND start_us = ? AND run = ? AND seq = ?",
                (
                    floor_no(connection, segment.floor),
                    segment.keep_until_us,
                    segment.camera_no,
                    STREAM_NO[key.stream],
                    key.start_us,
                    key.run,
                    key.seq,
                ),
            )
        if self.lowered:
            log.critical(
                "%d segments of camera %s had a date in the index before the one that the ledger tells; it is put back."
                " Find out who writes the index",
                len(self.lowered),
                self.lowered[0].key.camera,
            )


class _Hold(NamedTuple):
    """A hold in force, by the ledger. `first` tells whether one person has released it."""

    id: str
    at_us: int
    placed: dict[str, Any]
    cameras: frozenset[str]
    start_us: int
    end_us: int | None
    first: bool


def released_by_the_ledger(connection: sqlite3.Connection) -> frozenset[str]:
    """The holds that two people have released, as the ledger tells."""
    return _holds_told(connection)[1]


def put_back_holds(connection: sqlite3.Connection, now_us: int) -> list[str]:
    """Holds that are in force by the ledger are so in the index, within the caller's transaction; returns the ids of
    those that were not, or covered less."""
    changed = []
    for hold in _holds_told(connection)[0]:
        row = connection.execute("SELECT * FROM hold WHERE id = ?", (hold.id,)).fetchone()
        if row is None:
            connection.execute(
                "INSERT INTO hold (no, id, case_ref, authority, document, start_us, end_us, placed_by, placed_us)"
                " VALUES (:no, :id, :case, :authority, :document, :start_us, :end_us, :placed_by, :placed_us)",
                {
                    **{name: hold.placed[name] for name in ("case", "authority", "document", "placed_by")},
                    "no": int(hold.id.removeprefix("hold-")),
                    "id": hold.id,
                    "placed_us": hold.at_us,
                    "start_us": hold.start_us,
                    "end_us": hold.end_us,
                },
            )
        if not _put_back(connection, hold, row, now_us):
            continue
        changed.append(hold.id)
        body = {
            "hold": hold.id,
            "cameras": sorted(hold.cameras),
            "start_us": hold.start_us,
            "end_us": hold.end_us,
            "restored": True,
        }
        append(connection, now_us, LedgerKind.HOLD_EXTENDED, body)
    if changed:
        log.critical(
            "evidence holds %s were not in the index as the ledger tells; they are in force again. Find out who writes"
            " the index",
            ", ".join(changed),
        )
    return changed


def _put_back(connection: sqlite3.Connection, hold: _Hold, row: sqlite3.Row | None, now_us: int) -> bool:
    less = row is None
    if row is not None and (row["released_us"] is not None or (row["release1_by"] is not None and not hold.first)):
        connection.execute(
            "UPDATE hold SET release2_by = NULL, released_us = NULL,"
            " release1_by = CASE WHEN ? THEN release1_by END, release1_us = CASE WHEN ? THEN release1_us END"
            " WHERE id = ?",
            (hold.first, hold.first, hold.id),
        )
        less = True
    if row is not None and (row["start_us"] > hold.start_us or _ends_before(row["end_us"], hold.end_us)):
        end_us = hold.end_us if _ends_before(row["end_us"], hold.end_us) else row["end_us"]
        connection.execute(
            "UPDATE hold SET start_us = min(start_us, ?), end_us = ? WHERE id = ?", (hold.start_us, end_us, hold.id)
        )
        less = True
    covered = {
        camera
        for (camera,) in connection.execute(
            "SELECT camera.id FROM hold_camera JOIN hold ON hold.no = hold JOIN camera ON camera.no = camera"
            " WHERE hold.id = ?",
            (hold.id,),
        )
    }
    for camera in sorted(hold.cameras - covered):
        number = camera_no(connection, camera, create_from_journal_at_us=now_us)
        connection.execute(
            "INSERT INTO hold_camera (hold, camera) SELECT no, ? FROM hold WHERE id = ?", (number, hold.id)
        )
        less = True
    return less


def _ends_before(end_us: int | None, other_us: int | None) -> bool:
    return end_us is not None and (other_us is None or end_us < other_us)


def _holds_told(connection: sqlite3.Connection) -> tuple[list[_Hold], frozenset[str]]:
    """Every hold in force, and the ids of the others, by what this index entered or a signed head stands over."""
    ranges = restored_ranges(connection)
    found: dict[str, _Hold] = {}
    released: set[str] = set()
    for seq in sorted(seq for _, seq in about(connection, hold_topic(""), hold_topic("~"))):
        if not proven(ranges, seq):
            continue
        at_us, kind, text = connection.execute("SELECT at_us, kind, body FROM ledger WHERE seq = ?", (seq,)).fetchone()
        body = json.loads(text)
        known = found.get(body["hold"])
        match kind:
            case LedgerKind.HOLD_PLACED if known is None:
                span = body["start_us"], body["end_us"]
                found[body["hold"]] = _Hold(body["hold"], at_us, body, frozenset(body["cameras"]), *span, first=False)
                released.discard(body["hold"])
            case LedgerKind.HOLD_EXTENDED if known is not None:
                found[known.id] = known._replace(
                    cameras=known.cameras | frozenset(body["cameras"]),
                    start_us=min(known.start_us, body["start_us"]),
                    end_us=body["end_us"] if _ends_before(known.end_us, body["end_us"]) else known.end_us,
                )
            case LedgerKind.HOLD_RELEASE_FIRST if known is not None:
                found[known.id] = known._replace(first=True)
            case LedgerKind.HOLD_RELEASED:
                found.pop(body["hold"], None)
                released.add(body["hold"])
    return list(found.values()), frozenset(released)
