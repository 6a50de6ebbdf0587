"""Proofs from the index: that an entry stands in the ledger, that a segment does, that an old head is its beginning."""

import base64
import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from edged.archive import tree
from edged.archive.deletions import deleted
from edged.archive.ledger import line_of
from edged.archive.segments import SegmentKey
from edged.base.clock import HOUR
from edged.base.errors import Refused
from edged.prove.hours import record_of
from edged.prove.verify_retention import Head, parse_head

PROOF_VERSION = "c2sp.org/tlog-proof@v1"


class NotOnRecord(Refused):
    """The ledger has no entry for what is to be proved."""

    code = "PRV-020"


def entry_line(connection: sqlite3.Connection, seq: int) -> bytes:
    """The line of entry `seq`. Raises KeyError."""
    row = connection.execute("SELECT seq, at_us, kind, body FROM ledger WHERE seq = ?", (seq,)).fetchone()
    if row is None:
        raise KeyError(seq)
    return line_of(*row)


def inclusion(connection: sqlite3.Connection, seq: int, size: int) -> list[str]:
    """The inclusion proof of entry `seq` in the tree of `size` entries, in base64, lowest first. Raises ValueError."""
    return [base64.b64encode(one).decode() for one in tree.inclusion_proof(connection, seq - 1, size)]


def consistency(connection: sqlite3.Connection, old_size: int, size: int) -> list[str]:
    """The proof that the tree of `size` entries begins with that of `old_size`, in base64. Raises ValueError."""
    return [base64.b64encode(one).decode() for one in tree.consistency_proof(connection, old_size, size)]


def tlog_proof(index: int, hashes: Sequence[str], note: str) -> str:
    """The text form of an inclusion proof that other tools read (C2SP tlog-proof); `index` counts from 0."""
    return "\n".join([PROOF_VERSION, f"index {index}", *hashes, "", note])


def prove_segment(connection: sqlite3.Connection, key: SegmentKey, note: str) -> dict[str, Any]:
    """That the segment's hash stands in the ledger under the signed head `note`, through its camera-hour record.

    Raises NotOnRecord where its hour has not been told yet, or the record or the head does not reach it.
    """
    hour = key.start_us // HOUR
    record = record_of(connection, key.camera, key.stream, hour)
    named = [
        one
        for one in (record.body["segments"] if record else [])
        if (one[0], one[2], one[3]) == (key.start_us - hour * HOUR, key.run, key.seq)
    ]
    if record is None or not named:
        raise NotOnRecord(
            f"no camera-hour record names {key}", hint="an hour is told some minutes after its end; then ask again"
        )
    head = parse_head(note)
    if record.seq > head.size:
        raise NotOnRecord(f"the head of {head.size} entries does not reach the record of {key}")
    hashes = inclusion(connection, record.seq, head.size)
    deletion = deleted(connection, key.camera, key.stream, key.start_us, key.start_us).get(key)
    return {
        "segment": str(key),
        "sha256": base64.b64decode(named[0][5]).hex(),
        "bytes": named[0][4],
        "entry": entry_line(connection, record.seq).decode(),
        "seq": record.seq,
        "hashes": hashes,
        "checkpoint": note,
        "deleted_by": deletion.seq if deletion else None,
        "tlog_proof": tlog_proof(record.seq - 1, hashes, note),
    }


def prove_consistency(connection: sqlite3.Connection, old: Head, note: str) -> dict[str, Any]:
    """Proof that the signed head `note` continues `old`; without hashes where the ledger is shorter than `old`."""
    new = parse_head(note)
    longer = old.size <= new.size
    return {
        "old_size": old.size,
        "new_size": new.size,
        "hashes": consistency(connection, old.size, new.size) if longer else [],
        "checkpoint": note,
    }


def named_in(entry: str, segment: str) -> str | None:
    """The SHA-256, in hex, under which a camera-hour record's line names the segment; None where it does not."""
    body = json.loads(entry)["body"]
    for offset, _, run, number, _, digest in body["segments"]:
        if f"{body['camera']}/{body['stream']}/{body['hour_us'] + offset}-{run}-{number}" == segment:
            return base64.b64decode(digest).hex()
    return None
