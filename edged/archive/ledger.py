"""The append-only log of everything done to footage: its entries and the leaf hash of each.

An act and its entry are one transaction: `append` is called inside the ``Database.write`` that does the act. Bodies
name cameras, volumes and people by their ids; no address, credential, model or place name enters one (I9), because
the ledger is mirrored, exported and shown to inspectors.
"""

import hashlib
import json
import sqlite3
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from edged.base.files import canonical_json


class LedgerKind(StrEnum):
    """What an entry tells of: a closed list, because verifiers outside this box read it."""

    DAEMON_START = "daemon_start"
    DAEMON_STOP = "daemon_stop"
    CONFIG_CHANGED = "config_changed"
    CLOCK_EVENT = "clock_event"
    VOLUME_ADDED = "volume_added"
    CAMERA_ADOPTED = "camera_adopted"
    CAMERA_REMOVED = "camera_removed"
    SEGMENT_DELETED = "segment_deleted"
    FOOTAGE_MISSING = "footage_missing"
    FOOTAGE_FOUND = "footage_found"
    FLOOR_RAISED = "floor_raised"
    HOLD_PLACED = "hold_placed"
    HOLD_EXTENDED = "hold_extended"
    HOLD_RELEASE_FIRST = "hold_release_first"
    HOLD_RELEASED = "hold_released"
    OUTAGE_OPENED = "outage_opened"
    OUTAGE_REPORTED = "outage_reported"
    OUTAGE_ATTENDED = "outage_attended"
    OUTAGE_RESTORED = "outage_restored"
    OUTAGE_CLOSED = "outage_closed"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as stored. `leaf` is its RFC 6962 leaf hash, 32 bytes."""

    seq: int
    at_us: int
    kind: LedgerKind
    body: dict[str, Any]
    leaf: bytes


def leaf_hash(seq: int, at_us: int, kind: LedgerKind, body: dict[str, Any]) -> bytes:
    """SHA-256 of a zero byte and the entry's canonical JSON (RFC 6962 section 2.1: the zero byte marks a leaf)."""
    return hashlib.sha256(b"\0" + canonical_json({"at_us": at_us, "body": body, "kind": kind, "seq": seq})).digest()


def append(connection: sqlite3.Connection, at_us: int, kind: LedgerKind, body: dict[str, Any]) -> int:
    """Add an entry within the caller's transaction and return its number: 1, 2, 3, ... without holes.

    Raises TypeError or ValueError where `body` is not JSON.
    """
    seq: int = connection.execute("SELECT coalesce(max(seq), 0) + 1 FROM ledger").fetchone()[0]
    connection.execute(
        "INSERT INTO ledger (seq, at_us, kind, body, leaf) VALUES (?, ?, ?, ?, ?)",
        (seq, at_us, kind.value, canonical_json(body).decode(), leaf_hash(seq, at_us, kind, body)),
    )
    return seq


def entries(connection: sqlite3.Connection, after: int = 0, limit: int = 1000) -> list[Entry]:
    """Up to `limit` entries numbered above `after`, in order."""
    rows = connection.execute(
        "SELECT seq, at_us, kind, body, leaf FROM ledger WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
    )
    return [Entry(seq, at_us, LedgerKind(kind), json.loads(body), leaf) for seq, at_us, kind, body, leaf in rows]
