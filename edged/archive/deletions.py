"""What the ledger says about deleted footage: one entry for all that goes of one camera-hour at once (I3).

A body names each segment as [offset, length, run, number] in microseconds from the hour's start, in that order, and
binds their content by `digest`: SHA-256 over their SHA-256 hashes, 32 bytes each, in the same order. The hashes
themselves stand in the hour's own record. Everything else an entry says, reason and floor, holds for each of its
segments, and each was past the date that it names, `keep_until_us`. So an entry costs some forty bytes a segment, and
still answers for every single one.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from edged.archive.ledger import LedgerKind, about, append, deletion_topic
from edged.archive.segments import SegmentKey
from edged.base.clock import HOUR
from edged.model import StreamKind


class Going(NamedTuple):
    """A segment as it goes. `sha256` is lower-case hex."""

    key: SegmentKey
    end_us: int
    bytes: int
    sha256: str


class Deleted(NamedTuple):
    """The entry that deleted a segment: its number, its body, and the segment's end."""

    seq: int
    body: Mapping[str, Any]
    end_us: int


def announce(connection: sqlite3.Connection, going: Iterable[Going], why: Mapping[str, Any], now_us: int) -> int:
    """Append the entry for segments of one stream that begin in one UTC hour; returns its number.

    `why` is what holds for each of them. To be called in the transaction that dooms them, before any file goes.
    """
    ordered = sorted(going)
    first = ordered[0].key
    hour_us = first.start_us // HOUR * HOUR
    body = {
        **why,
        "camera": first.camera,
        "stream": first.stream.value,
        "hour_us": hour_us,
        "segments": [
            [one.key.start_us - hour_us, one.end_us - one.key.start_us, one.key.run, one.key.seq] for one in ordered
        ],
        "bytes": sum(one.bytes for one in ordered),
        "digest": digest(one.sha256 for one in ordered),
    }
    return append(connection, now_us, LedgerKind.SEGMENTS_DELETED, body)


def spare(connection: sqlite3.Connection, key: SegmentKey, because: str, now_us: int) -> int:
    """Append the entry that takes one announced segment out of deletion again; returns its number."""
    body = {
        "camera": key.camera,
        "stream": key.stream.value,
        "hour_us": key.start_us // HOUR * HOUR,
        "segment": str(key),
        "because": because,
    }
    return append(connection, now_us, LedgerKind.SEGMENT_SPARED, body)


def digest(hashes: Iterable[str]) -> str:
    """What binds an entry to the content of its segments, in hex; `hashes` are theirs, in the entry's order."""
    return hashlib.sha256(b"".join(map(bytes.fromhex, hashes))).hexdigest()


def named(body: Mapping[str, Any]) -> list[tuple[SegmentKey, int]]:
    """The segments of a deletion's body, and where each ends."""
    camera, stream, hour_us = body["camera"], StreamKind(body["stream"]), body["hour_us"]
    return [
        (SegmentKey(camera, stream, hour_us + offset, run, seq), hour_us + offset + length)
        for offset, length, run, seq in body["segments"]
    ]


def deleted(
    connection: sqlite3.Connection, camera: str, stream: StreamKind, first_us: int, last_us: int
) -> dict[SegmentKey, Deleted]:
    """What was deleted of one stream, of all that began in the hours from that of `first_us` to that of `last_us`.

    A segment that was announced and then spared is left out; one announced twice has its newest entry.
    """
    hours = (deletion_topic(camera, stream.value, at_us // HOUR) for at_us in (first_us, last_us))
    found: dict[SegmentKey, Deleted] = {}
    for seq in sorted(seq for _, seq in about(connection, *hours)):
        row = connection.execute("SELECT kind, body FROM ledger WHERE seq = ?", (seq,)).fetchone()
        body = json.loads(row["body"])
        if row["kind"] == LedgerKind.SEGMENT_SPARED:
            found = {key: one for key, one in found.items() if str(key) != body["segment"]}
            continue
        found |= {key: Deleted(seq, body, end_us) for key, end_us in named(body)}
    return found
