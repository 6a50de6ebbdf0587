"""Carries out again what restored ledger entries tell: which disks there were, who was recorded, what is held.

The ledger came back from a volume, entry by entry, into an index that was empty or old. What keeps more is carried out
whoever wrote it; what keeps less, the release of a hold or the removal of a camera, only where a signed head covers
it. Segments and their deletions follow from the journals (archive/told.py).
"""

import logging
import sqlite3
from collections.abc import Callable, Collection
from typing import Any
from zoneinfo import ZoneInfo

from edged.archive import rebuilding, roster
from edged.archive.indexing import floor_no
from edged.archive.layout import is_camera_id
from edged.archive.ledger import Entry, LedgerKind, entries
from edged.archive.roster import camera_no
from edged.archive.told import corrected_by
from edged.base.clock import DAY
from edged.base.errors import Refused
from edged.law.counting import keep_until_us
from edged.model import Floor

log = logging.getLogger(__name__)

_ROW = "WHERE camera = ? AND stream = ? AND start_us = ? AND run = ? AND seq = ?"
AT_ONCE = 500  # entries in one transaction

_LESS = frozenset({LedgerKind.HOLD_RELEASE_FIRST, LedgerKind.HOLD_RELEASED, LedgerKind.CAMERA_REMOVED})
_ENTER_HOLD = (
    "INSERT INTO hold (no, id, case_ref, authority, document, start_us, end_us, placed_by, placed_us, remind_us)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_EXTEND_HOLD = (
    "UPDATE hold SET start_us = min(start_us, ?1),"
    " end_us = CASE WHEN end_us IS NULL OR ?2 IS NULL THEN NULL ELSE max(end_us, ?2) END,"
    " remind_us = coalesce(?3, remind_us) WHERE id = ?4"
)


def nothing_else(connection: sqlite3.Connection, entry: Entry) -> None:
    """Where nobody else has anything to carry out."""


def replay(
    connection: sqlite3.Connection,
    zone: ZoneInfo,
    others: Callable[[sqlite3.Connection, Entry], None] = nothing_else,
    relieving: Collection[LedgerKind] = (),
) -> bool:
    """Carry out the next AT_ONCE restored entries, within the caller's transaction; False where none is left.

    `zone` is where civil days are counted. `others` is handed every entry in its turn; those of `relieving` kinds, like
    those that keep less, only where a signed head covers them.
    """
    span = rebuilding.to_replay(connection)
    if span is None:
        return False
    first, last = span
    ranges = rebuilding.restored_ranges(connection)
    up_to = min(last, first + AT_ONCE - 1)
    for entry in entries(connection, first - 1, up_to - first + 1):
        if (entry.kind in _LESS or entry.kind in relieving) and not rebuilding.proven(ranges, entry.seq):
            log.error("entry %d (%s) stands under no signed head: it is not carried out again", entry.seq, entry.kind)
            continue
        try:
            _carry_out(connection, entry, zone, proven=rebuilding.proven(ranges, entry.seq))
            others(connection, entry)
        except (sqlite3.Error, Refused, KeyError, TypeError, ValueError) as error:
            # A guard refused, or the line is none of ours: what it would have changed stays as it is.
            log.error("entry %d (%s) cannot be carried out again: %s", entry.seq, entry.kind, error)
    rebuilding.replayed(connection, up_to)
    return True


def _carry_out(connection: sqlite3.Connection, entry: Entry, zone: ZoneInfo, *, proven: bool) -> None:
    body = entry.body
    match entry.kind:
        case LedgerKind.VOLUME_ADDED if proven:
            # So that the empty folder of a disk that is away is not taken for a new volume.
            connection.execute(
                "INSERT INTO volume (id, uuid, added_us) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (body["volume"], body["uuid"], entry.at_us),
            )
        case LedgerKind.CAMERA_ADOPTED:
            roster.adopted_again(connection, body["camera"], entry.at_us, body.get("source", "journal"))
        case LedgerKind.CAMERA_REMOVED:
            roster.removed_again(connection, body["camera"], entry.at_us)
        case LedgerKind.FLOOR_RAISED:
            _raise(connection, body, entry.at_us, zone)
        case LedgerKind.HOLD_PLACED:
            _place(connection, body, entry.at_us)
        case LedgerKind.HOLD_EXTENDED:
            _extend(connection, body, entry.at_us)
        case LedgerKind.HOLD_RELEASE_FIRST:
            connection.execute(
                "UPDATE hold SET release1_by = ?, release1_us = ? WHERE id = ? AND release1_by IS NULL",
                (body["by"], entry.at_us, body["hold"]),
            )
        case LedgerKind.HOLD_RELEASED:
            connection.execute(
                "UPDATE hold SET release2_by = ?, released_us = ? WHERE id = ? AND released_us IS NULL",
                (body["second"], entry.at_us, body["hold"]),
            )
        case LedgerKind.CLOCK_EVENT | LedgerKind.CLOCK_READING if proven:
            # An old copy of the index: this instant was reached once. A new one begins its clock by itself. The clock
            # moves with what the other clocks said then, or the time since the copy would be counted twice (I10).
            reading = (body["wall_us"], body["mono_us"], body["boot_id"])
            connection.execute(
                "UPDATE retention_clock SET retention_us = ?1, wall_us = ?2, mono_us = ?3, boot_id = ?4"
                " WHERE retention_us < ?1",
                (body.get("retention_us"), *reading),
            )


def _raise(connection: sqlite3.Connection, body: dict[str, Any], at_us: int, zone: ZoneInfo) -> None:
    """What an old copy of the index still has under its old floor or date; what the journals bring comes with its own
    (archive/told.py)."""
    rows = connection.execute(
        "SELECT segment.camera, stream, start_us, run, seq, end_us, keep_until_us, floor.days AS days FROM segment"
        " JOIN floor ON floor.no = segment.floor WHERE segment.camera = (SELECT no FROM camera WHERE id = ?)",
        (body["camera"],),
    ).fetchall()
    days = int(body.get("days", 0))
    floor = floor_no(connection, Floor(days=days, rules=tuple(body["rules"]))) if days else None
    for row in rows:
        key = tuple(row)[:5]
        if floor is not None and row["days"] < days:
            later = row["keep_until_us"] + (days - row["days"]) * DAY
            kept = floor, max(later, keep_until_us(row["end_us"], days, zone)), *key
            connection.execute(f"UPDATE segment SET floor = ?, keep_until_us = ? {_ROW}", kept)
        elif floor is None and (ended := corrected_by(body, row["end_us"], at_us)) is not None:
            until = keep_until_us(ended, row["days"], zone)
            connection.execute(f"UPDATE segment SET keep_until_us = max(keep_until_us, ?) {_ROW}", (until, *key))


def _place(connection: sqlite3.Connection, body: dict[str, Any], at_us: int) -> None:
    hold = str(body["hold"])
    number = int(hold.removeprefix("hold-"))
    if hold != f"hold-{number}" or not body["cameras"] or not all(map(is_camera_id, body["cameras"])):
        raise ValueError(f"{hold} is not a hold")
    values = (number, hold, body["case"], body["authority"], body["document"], body["start_us"], body["end_us"])
    connection.execute(_ENTER_HOLD, (*values, body["placed_by"], at_us, body.get("remind_us")))
    _cover(connection, hold, body["cameras"], at_us)


def _extend(connection: sqlite3.Connection, body: dict[str, Any], at_us: int) -> None:
    if not all(map(is_camera_id, body["cameras"])):
        raise ValueError("what it names is no camera")
    _cover(connection, body["hold"], body["cameras"], at_us)
    connection.execute(_EXTEND_HOLD, (body["start_us"], body["end_us"], body.get("remind_us"), body["hold"]))


def _cover(connection: sqlite3.Connection, hold: str, cameras: list[str], at_us: int) -> None:
    for camera in cameras:
        connection.execute(
            "INSERT INTO hold_camera (hold, camera) SELECT no, ? FROM hold WHERE id = ? ON CONFLICT DO NOTHING",
            (camera_no(connection, camera, create_from_journal_at_us=at_us), hold),
        )
