"""Why footage is still here, or why it is gone: the sentence for the operator and the inspector."""

import json
import sqlite3
from dataclasses import dataclass

from edged.archive.ledger import LedgerKind
from edged.archive.roster import get
from edged.archive.schema import DOOMED, MISSING, STREAM_NO
from edged.archive.segments import SegmentKey, local_day, parse_id, segments_in
from edged.base.spans import Span
from edged.model import StreamKind
from edged.retain.doom import NEVER, Grounds, verdict_on
from edged.retain.rows import StoredSegment, find_stored, holds_in_force
from edged.retain.timekeeping import read_state


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One segment and what is to be said about it. `standing` is kept, doomed, missing, deleted or never;
    `keep_until_us` is None where the segment is gone or never was; `ledger` is the entry that deleted it."""

    segment: str | None
    standing: str
    because: str
    rules: tuple[str, ...]
    keep_until_us: int | None = None
    ledger: int | None = None


def explain_segment(connection: sqlite3.Connection, key: SegmentKey, grounds: Grounds) -> Explanation:
    """Why this segment is here or gone. Raises UnknownCamera."""
    get(connection, key.camera)
    segment = find_stored(connection, key)
    if segment is not None:
        return _present(connection, segment, grounds)
    gone = _deleted(connection, key.camera, key.stream, Span(key.start_us, key.start_us + 1), grounds, key)
    return gone[0] if gone else _never(str(key))


def explain_at(
    connection: sqlite3.Connection, camera: str, stream: StreamKind, at_us: int, grounds: Grounds
) -> list[Explanation]:
    """Everything that is or was recorded of one stream at the instant `at_us`; one `never` where nothing was.

    Raises UnknownCamera.
    """
    get(connection, camera)
    instant = Span(at_us, at_us + 1)
    here = [find_stored(connection, row.key) for row in segments_in(connection, camera, stream, instant)]
    told = [_present(connection, segment, grounds) for segment in here if segment is not None]
    told += _deleted(connection, camera, stream, instant, grounds, None)
    return told or [_never(None)]


def _present(connection: sqlite3.Connection, segment: StoredSegment, grounds: Grounds) -> Explanation:
    state = read_state(connection)
    retention_us = NEVER if state is None else state.retention_us
    verdict = verdict_on(segment, holds_in_force(connection), retention_us, grounds, space_needed=False)
    standing = {DOOMED: "doomed", MISSING: "missing"}.get(segment.state, "kept")
    because = verdict.because
    if standing == "missing":
        because = f"its file is not on volume {segment.volume}; it must not have gone: {because}"
    return Explanation(
        segment=str(segment.key),
        standing=standing,
        because=because,
        rules=verdict.rules,
        keep_until_us=segment.keep_until_us,
    )


def _deleted(
    connection: sqlite3.Connection,
    camera: str,
    stream: StreamKind,
    span: Span,
    grounds: Grounds,
    key: SegmentKey | None,
) -> list[Explanation]:
    """What the ledger says of deleted footage sharing an instant with `span`, the newest entry of each segment.

    A segment ends on the day of `span` or on the next, and each camera-day remembers how much was deleted from it and
    the last entry that did: the search goes backwards from there and ends when it has met that much.
    """
    day = local_day(span.start_us, grounds.law.tz)
    bounds = connection.execute(
        "SELECT max(deleted_ledger) AS last, sum(deleted_segments) AS deleted FROM camera_day"
        " WHERE camera = ? AND stream = ? AND day BETWEEN ? AND ?",
        (get(connection, camera).no, STREAM_NO[stream], day, day + 1),
    ).fetchone()
    told: dict[str, Explanation] = {}
    met: set[str] = set()
    for row in connection.execute(
        "SELECT seq, body FROM ledger WHERE seq <= ? AND kind = ? AND json_extract(body, '$.camera') = ?"
        " ORDER BY seq DESC",
        (bounds["last"] or 0, LedgerKind.SEGMENT_DELETED.value, camera),
    ):
        if len(met) >= (bounds["deleted"] or 0):
            break
        body = json.loads(row["body"])
        this = parse_id(body["segment"])
        days = local_day(body["end_us"], grounds.law.tz) - day
        if this.stream is not stream or days not in (0, 1) or body["segment"] in met:
            continue
        if find_stored(connection, this) is not None:  # announced, then spared
            continue
        met.add(body["segment"])
        if this == key or (key is None and body["start_us"] < span.end_us and span.start_us < body["end_us"]):
            told[body["segment"]] = Explanation(
                segment=body["segment"],
                standing="deleted",
                because=body["because"],
                rules=tuple(body["rules"]),
                ledger=row["seq"],
            )
    return list(told.values())


def _never(segment: str | None) -> Explanation:
    return Explanation(segment=segment, standing="never", because="nothing was recorded then", rules=())
