"""Why footage is still here, or why it is gone: the answer for the operator and the inspector."""

import sqlite3
from dataclasses import dataclass

from edged.archive.coverage import query
from edged.archive.deletions import Deleted, deleted
from edged.archive.late import Late, late
from edged.archive.roster import get
from edged.archive.schema import DOOMED, MISSING
from edged.archive.segments import LONGEST_SEGMENT, SegmentKey, longest_us, segments_in
from edged.archive.told import Told
from edged.base.spans import Span
from edged.law.cited import Cited, cite
from edged.model import StreamKind
from edged.retain.doom import NEVER, Grounds, verdict_on
from edged.retain.rows import StoredSegment, find_stored, held_by, holds_in_force
from edged.retain.timekeeping import read_state
from edged.retain.verdict import ERASING, Action

FREE = (*ERASING, Action.KEEP)


@dataclass(frozen=True, slots=True)
class HoldNamed:
    """A hold in force, as an inspector asks for it."""

    id: str
    case: str
    authority: str
    document: str
    placed_by: str
    placed_us: int
    half_released_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One segment, or one instant, and what is to be said about it.

    `standing` is kept, doomed, missing, deleted or never. `rules` are what `because` rests on, `articles` all that
    bears on the segment, in their own words. `erase_due_us` is when a duty to delete has to be carried out. Of a
    deleted one, `ledger` is the entry that deleted it and `deleted_us` when; of a late one, `late` says when it came.
    """

    standing: str
    because: str
    segment: str | None = None
    span: Span | None = None
    volume: str | None = None
    rules: tuple[str, ...] = ()
    articles: tuple[Cited, ...] = ()
    holds: tuple[HoldNamed, ...] = ()
    keep_until_us: int | None = None
    erase_due_us: int | None = None
    ledger: int | None = None
    deleted_us: int | None = None
    late: Late | None = None


def explain_segment(connection: sqlite3.Connection, key: SegmentKey, grounds: Grounds) -> Explanation:
    """Why this segment is here or gone. Raises UnknownCamera."""
    get(connection, key.camera)
    segment = find_stored(connection, key)
    if segment is not None and not _gone_though_a_row(connection, segment):
        return _present(connection, segment, grounds)
    gone = deleted(connection, key.camera, key.stream, key.start_us, key.start_us).get(key)
    if gone is not None:
        return _gone(connection, key, gone, grounds)
    return Explanation(
        standing="never", because="no such segment was ever recorded, as far as index and ledger know", segment=str(key)
    )


def explain_at(
    connection: sqlite3.Connection, camera: str, stream: StreamKind, at_us: int, grounds: Grounds
) -> list[Explanation]:
    """Everything that is or was recorded of one stream at the instant `at_us`; one `never` where nothing was.

    Raises UnknownCamera.
    """
    get(connection, camera)
    instant = Span(at_us, at_us + 1)
    here = [find_stored(connection, row.key) for row in segments_in(connection, camera, stream, instant)]
    present = [s for s in here if s is not None and not _gone_though_a_row(connection, s)]
    told = [_present(connection, segment, grounds) for segment in present]
    known = {segment.key for segment in present}
    earliest = at_us - longest_us(connection, LONGEST_SEGMENT)
    for key, one in sorted(deleted(connection, camera, stream, earliest, at_us).items()):
        # What is doomed and not yet gone has been told of: its row says more.
        if key.start_us <= at_us < one.end_us and key not in known:
            told.append(_gone(connection, key, one, grounds))
    return told or [_never(connection, camera, stream, instant)]


def _present(connection: sqlite3.Connection, segment: StoredSegment, grounds: Grounds) -> Explanation:
    state = read_state(connection)
    retention_us = NEVER if state is None else state.retention_us
    holds = holds_in_force(connection)
    verdict = verdict_on(segment, holds, retention_us, grounds, space_needed=False)
    standing = {DOOMED: "doomed", MISSING: "missing"}.get(segment.state, "kept")
    because = verdict.because
    if standing == "missing":
        ought = "it was free to go, but no deletion is on record" if verdict.action in FREE else "it must not have gone"
        because = f"its file is not on volume {segment.volume}; {ought}: {because}"
    due = grounds.erase_due(segment, retention_us)
    bearing = (*segment.floor.rules, *(() if due is None else (due[1],)))
    span = Span(segment.key.start_us, segment.end_us)
    return Explanation(
        standing=standing,
        because=because,
        segment=str(segment.key),
        span=span,
        volume=segment.volume,
        rules=verdict.rules,
        articles=cite(grounds.law.packs, bearing),
        holds=tuple(_hold(connection, hold) for hold in held_by(holds, segment)),
        keep_until_us=segment.keep_until_us,
        erase_due_us=None if due is None else due[0],
        late=late(connection, segment.key.camera, span),
    )


def _gone_though_a_row(connection: sqlite3.Connection, segment: StoredSegment) -> bool:
    """An old copy of the index has the row still, but its ledger, restored, has the deletion."""
    return segment.state == MISSING and Told(connection).deleted(segment.key)


def _gone(connection: sqlite3.Connection, key: SegmentKey, one: Deleted, grounds: Grounds) -> Explanation:
    at_us = connection.execute("SELECT at_us FROM ledger WHERE seq = ?", (one.seq,)).fetchone()["at_us"]
    span = Span(key.start_us, one.end_us)
    return Explanation(
        standing="deleted",
        because=one.body["because"],
        segment=str(key),
        span=span,
        volume=one.body["volume"],
        rules=tuple(one.body["rules"]),
        articles=cite(grounds.law.packs, one.body["rules"]),
        keep_until_us=one.body["keep_until_us"],
        ledger=one.seq,
        deleted_us=at_us,
        late=late(connection, key.camera, span),
    )


def _never(connection: sqlite3.Connection, camera: str, stream: StreamKind, instant: Span) -> Explanation:
    adopted_us = get(connection, camera).adopted_us
    if adopted_us is None or instant.start_us < adopted_us:
        return Explanation(standing="never", because="the camera was not recorded yet then")
    gaps = query(connection, camera, stream, instant).gaps
    cause = f"; the gap's cause is {gaps[0].cause.value}" if gaps else ""
    return Explanation(standing="never", because=f"nothing was recorded then{cause}")


def _hold(connection: sqlite3.Connection, hold: str) -> HoldNamed:
    row = connection.execute(
        "SELECT id, case_ref, authority, document, placed_by, placed_us, release1_by FROM hold WHERE id = ?", (hold,)
    ).fetchone()
    return HoldNamed(*row)
