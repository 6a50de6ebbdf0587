"""Footage that enters the index long after it was recorded, and the ledger entry that says so.

A disk that was away, a journal that could not be read: what such a disk brings is footage like any other, counted from
when it was recorded, but nobody could have seen it until now. So it is declared, as one entry for each camera of what a
catch-up brought: noted in the transaction that indexes it, told once the journals have been read to their ends.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edged.archive import meta
from edged.archive.ledger import LedgerKind, about, append, camera_topic
from edged.base.clock import DAY
from edged.base.spans import Span

# Behind by more than this, footage is late. A controller that was down for a night is not; a disk that was away is.
LATE_US = DAY

_NOTED = "late_footage"  # meta: JSON object, camera id -> [segments, first start, last end], not yet in the ledger


@dataclass(frozen=True, slots=True)
class Late:
    """What the ledger says of late footage: when it came, and the entry's number."""

    arrived_us: int
    ledger: int


def note_late(connection: sqlite3.Connection, found: Mapping[str, Iterable[Span]]) -> None:
    """Remember late segments by camera, in the transaction that indexes them."""
    noted = _noted(connection)
    for camera, spans in found.items():
        count, first, last = noted.get(camera, (0, 2**62, 0))
        for span in spans:
            count, first, last = count + 1, min(first, span.start_us), max(last, span.end_us)
        noted[camera] = (count, first, last)
    meta.write_json(connection, _NOTED, noted)


def tell_late(connection: sqlite3.Connection, at_us: int) -> int:
    """Append an entry for each camera noted since the last call; returns how many."""
    noted = _noted(connection)
    for camera, (count, first, last) in sorted(noted.items()):
        body = {"camera": camera, "segments": count, "from_us": first, "to_us": last}
        append(connection, at_us, LedgerKind.FOOTAGE_LATE, body)
    if noted:
        meta.forget(connection, _NOTED)
    return len(noted)


def late(connection: sqlite3.Connection, camera: str, span: Span) -> Late | None:
    """The first entry that may mean a segment of `span`: one of the camera whose footage lies around it."""
    for _, seq in about(connection, camera_topic(camera)):
        row = connection.execute("SELECT at_us, kind, body FROM ledger WHERE seq = ?", (seq,)).fetchone()
        if row["kind"] != LedgerKind.FOOTAGE_LATE:
            continue
        body = json.loads(row["body"])
        if body["from_us"] <= span.start_us and span.end_us <= body["to_us"]:
            return Late(row["at_us"], seq)
    return None


def _noted(connection: sqlite3.Connection) -> dict[str, tuple[int, int, int]]:
    return {camera: tuple(told) for camera, told in (meta.read_json(connection, _NOTED) or {}).items()}
