"""The append-only log of everything done to footage: its entries, and the leaf of each in the Merkle tree.

An act and its entry are one transaction: `append` is called inside the ``Database.write`` that does the act. Bodies
name cameras, volumes and people by their ids; no address, credential, model or place name enters one (I9), because
the ledger is mirrored, exported and shown to inspectors.

An entry's one byte form is its *line*: canonical JSON with at_us, body, kind and seq. The leaf hash is over exactly
these bytes, mirrors and bundles carry exactly these bytes, so nobody who verifies has to build them anew.
"""

import json
import sqlite3
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from edged.archive import merkle, tree
from edged.base.clock import HOUR
from edged.base.files import canonical_json


class LedgerKind(StrEnum):
    """What an entry tells of: a closed list, because verifiers outside this box read it."""

    DAEMON_START = "daemon_start"
    DAEMON_STOP = "daemon_stop"
    CONFIG_CHANGED = "config_changed"
    RULES_CHANGED = "rules_changed"
    CLOCK_EVENT = "clock_event"
    CLOCK_READING = "clock_reading"
    VOLUME_ADDED = "volume_added"
    CAMERA_ADOPTED = "camera_adopted"
    CAMERA_REMOVED = "camera_removed"
    CAMERA_STOPPED = "camera_stopped"
    CAMERA_RESUMED = "camera_resumed"
    CAMERA_HOUR = "camera_hour"
    SEGMENTS_DELETED = "segments_deleted"
    SEGMENT_SPARED = "segment_spared"
    FOOTAGE_MISSING = "footage_missing"
    FOOTAGE_FOUND = "footage_found"
    FOOTAGE_ALTERED = "footage_altered"
    FOOTAGE_SOUND = "footage_sound"
    FOOTAGE_LATE = "footage_late"
    FLOOR_RAISED = "floor_raised"
    HOLD_PLACED = "hold_placed"
    HOLD_EXTENDED = "hold_extended"
    HOLD_RELEASE_FIRST = "hold_release_first"
    HOLD_RELEASED = "hold_released"
    OUTAGE_OPENED = "outage_opened"
    OUTAGE_REPORTED = "outage_reported"
    OUTAGE_ATTENDED = "outage_attended"
    OUTAGE_RESTORED = "outage_restored"
    OUTAGE_LOST_AGAIN = "outage_lost_again"
    OUTAGE_CLOSED = "outage_closed"
    LEDGER_RESTORED = "ledger_restored"
    ARCHIVE_REBUILT = "archive_rebuilt"
    GUARDS_PUT_BACK = "guards_put_back"
    KEY_CHANGED = "key_changed"
    MIRROR_REPLACED = "mirror_replaced"
    PROOF_MADE = "proof_made"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as stored. `leaf` is its RFC 6962 leaf hash, 32 bytes."""

    seq: int
    at_us: int
    kind: LedgerKind
    body: dict[str, Any]
    leaf: bytes


def line_of(seq: int, at_us: int, kind: str, body: str) -> bytes:
    """An entry's line, without a newline; `body` is canonical JSON already."""
    return f'{{"at_us":{at_us},"body":{body},"kind":"{kind}","seq":{seq}}}'.encode()


def leaf_hash(seq: int, at_us: int, kind: LedgerKind, body: dict[str, Any]) -> bytes:
    """The entry's leaf in the tree (RFC 6962 section 2.1)."""
    return merkle.leaf_hash(line_of(seq, at_us, kind.value, canonical_json(body).decode()))


def append(connection: sqlite3.Connection, at_us: int, kind: LedgerKind, body: dict[str, Any]) -> int:
    """Add an entry within the caller's transaction and return its number: 1, 2, 3, ... without holes.

    Raises TypeError or ValueError where `body` is not JSON.
    """
    seq = tree.size(connection) + 1
    put(connection, seq, at_us, kind.value, body)
    return seq


def put(connection: sqlite3.Connection, seq: int, at_us: int, kind: str, body: dict[str, Any]) -> None:
    """Enter a row and all that hangs on it: for `append`, and for what is restored from a mirror."""
    text = canonical_json(body).decode()
    connection.execute(
        "INSERT INTO ledger (seq, at_us, kind, body, leaf) VALUES (?, ?, ?, ?, ?)",
        (seq, at_us, kind, text, merkle.leaf_hash(line_of(seq, at_us, kind, text))),
    )
    topic = _topic(kind, body)
    if topic is not None:
        connection.execute("INSERT INTO ledger_topic (topic, seq) VALUES (?, ?)", (topic, seq))
    tree.extend(connection, seq)


def hour_topic(camera: str, stream: str, hour: int) -> str:
    """The topic of a camera-hour's records; `hour` counts from 1970 UTC. Sorts by hour."""
    return f"hour/{camera}/{stream}/{hour:010d}"


def deletion_topic(camera: str, stream: str, hour: int) -> str:
    """The topic of what was deleted, or spared, of all that began in an hour. Sorts by hour."""
    return f"deleted/{camera}/{stream}/{hour:010d}"


def camera_topic(camera: str) -> str:
    """The topic of a camera's adoption, removal, and footage missing, found or late."""
    return f"camera/{camera}"


CLOCK_TOPIC = "clock"  # where the retention clock stood, and each of its steps
KEY_TOPIC = "key"  # of every change of the key that signs the heads


def hold_topic(hold: str) -> str:
    """The topic of an evidence hold: placed, extended, released by one and by the other."""
    return f"hold/{hold}"


def floor_topic(camera: str) -> str:
    """The topic of everything that raised the floors of a camera's footage."""
    return f"floor/{camera}"


def about(connection: sqlite3.Connection, first: str, last: str | None = None) -> list[tuple[str, int]]:
    """The topics from `first` to `last` (or `first` alone) and the numbers of their entries, in order."""
    rows = connection.execute(
        "SELECT topic, seq FROM ledger_topic WHERE topic >= ? AND topic <= ? ORDER BY topic, seq",
        (first, last or first),
    )
    return [(topic, seq) for topic, seq in rows]


def _topic(kind: str, body: dict[str, Any]) -> str | None:
    match kind, body:
        case LedgerKind.CAMERA_HOUR, {"camera": camera, "stream": stream, "hour_us": int(at_us)}:
            return hour_topic(camera, stream, at_us // HOUR)
        case (
            LedgerKind.SEGMENTS_DELETED | LedgerKind.SEGMENT_SPARED,
            {"camera": camera, "stream": stream, "hour_us": int(at_us)},
        ):
            return deletion_topic(camera, stream, at_us // HOUR)
        case (
            LedgerKind.CAMERA_ADOPTED
            | LedgerKind.CAMERA_REMOVED
            | LedgerKind.FOOTAGE_MISSING
            | LedgerKind.FOOTAGE_ALTERED
            | LedgerKind.FOOTAGE_SOUND
            | LedgerKind.FOOTAGE_FOUND
            | LedgerKind.FOOTAGE_LATE,
            {"camera": str(camera)},
        ):
            return camera_topic(camera)
        case LedgerKind.FLOOR_RAISED, {"camera": str(camera)}:
            return floor_topic(camera)
        case (
            LedgerKind.HOLD_PLACED
            | LedgerKind.HOLD_EXTENDED
            | LedgerKind.HOLD_RELEASE_FIRST
            | LedgerKind.HOLD_RELEASED,
            {"hold": str(hold)},
        ):
            return hold_topic(hold)
        case LedgerKind.CLOCK_EVENT | LedgerKind.CLOCK_READING, {"retention_us": int()}:
            return CLOCK_TOPIC
        case LedgerKind.KEY_CHANGED, _:
            return KEY_TOPIC
    return None


def entries(connection: sqlite3.Connection, after: int = 0, limit: int = 1000) -> list[Entry]:
    """Up to `limit` entries numbered above `after`, in order."""
    rows = connection.execute(
        "SELECT seq, at_us, kind, body, leaf FROM ledger WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
    )
    return [Entry(seq, at_us, LedgerKind(kind), json.loads(body), leaf) for seq, at_us, kind, body, leaf in rows]


def lines(connection: sqlite3.Connection, after: int = 0, limit: int = 1000) -> list[bytes]:
    """The lines of up to `limit` entries numbered above `after`, in order."""
    rows = connection.execute(
        "SELECT seq, at_us, kind, body FROM ledger WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
    )
    return [line_of(*row) for row in rows]
