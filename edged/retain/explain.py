"""Why footage is still here, or why it is gone: the sentence for the operator and the inspector."""

import sqlite3
from dataclasses import dataclass

from edged.archive.deletions import Deleted, deleted
from edged.archive.roster import get
from edged.archive.schema import DOOMED, MISSING
from edged.archive.segments import LONGEST_SEGMENT, SegmentKey, longest_us, segments_in
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
    gone = deleted(connection, key.camera, key.stream, key.start_us, key.start_us).get(key)
    return _never(str(key)) if gone is None else _gone(key, gone)


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
    earliest = at_us - longest_us(connection, LONGEST_SEGMENT)
    for key, one in sorted(deleted(connection, camera, stream, earliest, at_us).items()):
        # What is doomed and not yet gone has been told of: its row says more.
        if key.start_us <= at_us < one.end_us and find_stored(connection, key) is None:
            told.append(_gone(key, one))
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


def _gone(key: SegmentKey, one: Deleted) -> Explanation:
    return Explanation(
        segment=str(key),
        standing="deleted",
        because=one.body["because"],
        rules=tuple(one.body["rules"]),
        ledger=one.seq,
    )


def _never(segment: str | None) -> Explanation:
    return Explanation(segment=segment, standing="never", because="nothing was recorded then", rules=())
