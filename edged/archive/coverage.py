"""What is recorded, what is not, and why: recorded + gaps = the window, exactly to the microsecond (I4).

`cover` decides and is pure; `query` fetches what it needs for one stream.

A gap begins where recording ended, which is before anyone noticed. So inside a gap a fact that names a cause also
explains the time before it, back to the gap's beginning or to the last fact that promised footage (a stream came up,
the recorder started, the camera was adopted). From there on it holds until the next fact; a stream that comes up
inside a gap leaves its cause as it is, because waiting for the first keyframe is still the price of the break. What
no fact explains has the cause UNKNOWN. The answer for a part of a window is that part of the window's answer.

Neighbouring segments of one session share the exact instant, so nothing is joined across a difference however small:
a tolerance would hide real gaps and make the sums lie.
"""

import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from edged.archive.roster import UnknownCamera
from edged.archive.schema import STREAM_NO
from edged.archive.segments import LONGEST_LOSS, longest_us
from edged.base.spans import Span, subtract, union
from edged.model import Cause, Coverage, Gap, StreamKind


class Turn(IntEnum):
    """The facts that change what explains missing footage, in the order they take effect within one instant."""

    REMOVED = 0  # footage is not wanted: PLANNED from here on
    RECORDER_STOP = 1
    RECORDER_START = 2  # without a stop before it: the recorder had crashed
    ADOPTED = 3
    STREAM_DOWN = 4
    STREAM_UP = 5


# In force after the turn, until the next one. A STREAM_DOWN names its own; a STREAM_UP inside a gap changes nothing.
_AFTER = {
    Turn.REMOVED: Cause.PLANNED,
    Turn.RECORDER_STOP: Cause.RECORDER,
    Turn.RECORDER_START: Cause.RECORDER,  # it owes the first frame, unless a cause follows that explains why not
    Turn.ADOPTED: Cause.RECORDER,
    Turn.STREAM_UP: Cause.UNKNOWN,
}
_TURNS = {turn.name.lower(): turn for turn in Turn}  # as the index writes them
_CAUSES = {None: Cause.UNKNOWN} | {cause.value: cause for cause in Cause}
_PROMISES = {Turn.RECORDER_START, Turn.ADOPTED, Turn.STREAM_UP}
# These tell why a promise made before them was not kept.
_EXPLAINS_BACK = {Turn.STREAM_DOWN, Turn.RECORDER_STOP, Turn.RECORDER_START}

_Turn = tuple[int, Turn, Cause]  # a Fact, or its fields alone


class Fact(NamedTuple):
    """One turn at one instant; `cause` is that of a STREAM_DOWN."""

    at_us: int
    turn: Turn
    cause: Cause = Cause.UNKNOWN


def cover(window: Span, recorded: Iterable[Span], facts: Iterable[Fact], lost: Iterable[Span] = ()) -> Coverage:
    """Divide `window` into recorded spans and gaps with causes.

    `recorded` may overlap and reach beyond the window; so may `facts`, which should include the last one before each
    gap and those up to its end. `lost` are spans whose frames a slow or broken disk cost: gaps with the cause DISK even
    inside a recorded span.
    """
    return _divide(window, union(recorded), sorted(facts), lost)


def query(
    connection: sqlite3.Connection,
    camera_id: str,
    stream: StreamKind,
    window: Span,
    *,
    live: Span | None = None,
) -> Coverage:
    """The coverage of one stream within `window`, from the camera's adoption (or first footage) on.

    `live` is the running session from live status, ``since_us`` to ``committed_us``, given only while the stream is
    streaming: its footage is on the disk though not yet sealed, so it counts as recorded, and the window ends with it,
    because nothing is known yet about what follows. The answer's `window` says what was cut. Raises UnknownCamera.
    """
    camera, adopted_us, first_us = _begun(connection, camera_id, STREAM_NO[stream])
    key = (camera, STREAM_NO[stream])
    since = [at for at in (adopted_us, first_us) if at is not None]
    if live is not None:
        window = window.cut_to(Span(window.start_us, live.end_us))
        since.append(live.start_us)
    start = max(window.start_us, min(since)) if since else window.end_us
    window = Span(min(start, window.end_us), window.end_us)
    recorded = _recorded(connection, key, window)
    if live is not None and live.length_us:
        recorded = union([*recorded, live])
    gaps = _between(window, recorded, Span(min(since, default=window.start_us), window.end_us))
    if not gaps and not window.length_us:
        return Coverage(window, (), ())
    reach = Span(gaps[0].start_us, gaps[-1].end_us) if gaps else window
    return _divide(window, recorded, sorted(_facts(connection, key, reach)), _lost(connection, key, window))


def _divide(window: Span, present: Sequence[Span], turns: Sequence[_Turn], lost: Iterable[Span]) -> Coverage:
    """As `cover`, of what is sorted already; the spans of `present` are disjoint."""
    outer = window
    if turns:
        outer = Span(min(window.start_us, turns[0][0]), max(window.end_us, turns[-1][0]))
    instants = [at_us for at_us, _, _ in turns]
    gaps: list[Gap] = []
    for missing in _between(window, present, outer):
        for start, end, cause in _explain(missing, turns, instants):
            _add(gaps, max(start, window.start_us), min(end, window.end_us), cause)
    disk = union(span.cut_to(window) for span in lost)
    if disk:
        gaps = _overlay(gaps, disk)
    return Coverage(window, tuple(_rest(window, gaps)), tuple(gaps))


def _between(window: Span, present: Sequence[Span], outer: Span) -> list[Span]:
    """The spans of no footage that touch `window`, each in full: up to its recorded neighbours, or else to `outer`."""
    gaps = []
    at = min(window.start_us, outer.start_us)
    bound = max(window.end_us, outer.end_us)
    for start, end in present:
        if end <= window.start_us:
            at = end
        elif start >= window.end_us:
            bound = start
            break
        else:
            if start > at and start > window.start_us:
                gaps.append(Span(at, start))
            at = end
    if max(at, window.start_us) < window.end_us:
        gaps.append(Span(at, bound))
    return gaps


def _explain(missing: Span, turns: Sequence[_Turn], instants: Sequence[int]) -> Iterator[tuple[int, int, Cause]]:
    """`missing` cut where its cause changes; `instants` are those of `turns`."""
    begin, end = missing
    first = bisect_left(instants, begin)
    cause, promised = Cause.UNKNOWN, True
    if first:
        _, turn, named = turns[first - 1]
        cause, promised = _AFTER.get(turn, named), turn in _PROMISES
    at = begin
    told: Cause | None = None  # the cause from `begin` to `at`
    for at_us, turn, named in turns[first : bisect_right(instants, end, first)]:
        after = cause if turn is Turn.STREAM_UP else _AFTER.get(turn, named)
        if at_us > at:
            holds = after if promised and turn in _EXPLAINS_BACK else cause
            if told is not None and told is not holds:
                yield begin, at, told
                begin = at
            at, told = at_us, holds
        promised, cause = turn in _PROMISES, after
    if told is not None and told is not cause and at < end:
        yield begin, at, told
        begin, told = at, cause
    yield begin, end, cause if told is None else told


def _add(gaps: list[Gap], start: int, end: int, cause: Cause) -> None:
    """Append a gap, or lengthen the last one where it goes on with the same cause; nothing where it has no length."""
    if start >= end:
        return
    if gaps and gaps[-1].cause is cause and gaps[-1].span.end_us == start:
        gaps[-1] = Gap(Span(gaps[-1].span.start_us, end), cause)
    else:
        gaps.append(Gap(Span(start, end), cause))


def _rest(window: Span, gaps: Iterable[Gap]) -> Iterator[Span]:
    """What is left of `window` without `gaps`, which are disjoint and in order."""
    at = window.start_us
    for gap in gaps:
        start, end = gap.span
        if start > at:
            yield Span(at, start)
        at = end
    if at < window.end_us:
        yield Span(at, window.end_us)


def _overlay(gaps: Iterable[Gap], disk: Sequence[Span]) -> list[Gap]:
    """`gaps` with the spans of `disk` laid over them: what the disk lost has the cause DISK, whatever else held."""
    pieces = [Gap(span, Cause.DISK) for span in disk]
    starts, ends = [span.start_us for span in disk], [span.end_us for span in disk]
    for gap in gaps:
        near = disk[bisect_right(ends, gap.span.start_us) : bisect_left(starts, gap.span.end_us)]
        pieces += [Gap(left, gap.cause) for left in subtract(gap.span, near)]
    joined: list[Gap] = []
    for piece in sorted(pieces, key=lambda gap: gap.span):
        _add(joined, *piece.span, piece.cause)
    return joined


def _begun(connection: sqlite3.Connection, camera_id: str, stream: int) -> tuple[int, int | None, int | None]:
    """The camera's row number, its adoption, and where the stream's first footage begins. Raises UnknownCamera."""
    found = _tuples(
        connection,
        "SELECT no, adopted_us, (SELECT start_us FROM coverage WHERE camera = camera.no AND stream = ?"
        " ORDER BY start_us LIMIT 1) FROM camera WHERE id = ?",
        (stream, camera_id),
    )
    if not found:
        raise UnknownCamera(f"no camera has the id {camera_id}")
    no, adopted_us, first_us = found[0]
    return no, adopted_us, first_us


def _recorded(connection: sqlite3.Connection, key: tuple[int, int], window: Span) -> list[Span]:
    """The stream's recorded spans in `window`, and the neighbour on either side: disjoint, in order."""
    select = "SELECT start_us, end_us FROM coverage WHERE camera = ?1 AND stream = ?2 AND start_us"
    rows = _tuples(
        connection,
        f"{select} >= coalesce((SELECT start_us FROM coverage WHERE camera = ?1 AND stream = ?2 AND start_us < ?3"
        " ORDER BY start_us DESC LIMIT 1), ?3)"
        " AND start_us <= coalesce((SELECT start_us FROM coverage WHERE camera = ?1 AND stream = ?2 AND start_us >= ?4"
        " ORDER BY start_us LIMIT 1), ?4) ORDER BY start_us",
        (*key, *window),
    )
    return list(map(Span._make, rows))


def _facts(connection: sqlite3.Connection, key: tuple[int, int], reach: Span) -> list[_Turn]:
    """The turns of the stream and of its recorder in `reach`, the last before it and the first after it."""
    rows = _around(connection, "camera = ?1 AND stream = ?2 AND kind <> 'loss'", key, reach)
    # What another process recorded while this stream was gone explains nothing about it.
    recorders = {detail for _, kind, _, detail in rows if kind == "stream_up"} | _recorders(connection, key, reach)
    where, values = "camera = 0 AND stream = 0", tuple(f"{recorder}/" for recorder in sorted(recorders))
    if recorders and "" not in recorders:  # "": indexed before it was kept
        # Not GLOB: for a pattern that is bound SQLite compiles the statement anew each time.
        where += f" AND ({' OR '.join(f'instr(detail, ?{no}) = 1' for no in range(1, len(values) + 1))})"
    else:
        values = ()
    rows += _around(connection, where, values, reach)
    return [(at_us, _TURNS[kind], _CAUSES[cause]) for at_us, kind, cause, _ in rows]


def _around(
    connection: sqlite3.Connection, where: str, values: tuple[int | str, ...], reach: Span
) -> list[tuple[int, str, str | None, str]]:
    """The facts in `reach`, the last before it and the first after it: at_us, kind, cause and detail of each."""
    start, end = f"?{len(values) + 1}", f"?{len(values) + 2}"
    return _tuples(
        connection,
        f"SELECT at_us, kind, cause, detail FROM fact WHERE {where} AND at_us >= coalesce((SELECT at_us FROM fact"
        f" WHERE {where} AND at_us <= {start} ORDER BY at_us DESC LIMIT 1), {start}) AND at_us <= coalesce(("
        f"SELECT at_us FROM fact WHERE {where} AND at_us > {end} ORDER BY at_us LIMIT 1), {end})",
        (*values, *reach),
    )


def _recorders(connection: sqlite3.Connection, key: tuple[int, int], reach: Span) -> set[str]:
    """Who recorded the stream last before `reach`, and who first after it."""
    ups = "SELECT detail FROM fact WHERE camera = ?1 AND stream = ?2 AND kind = 'stream_up' AND at_us"
    rows = _tuples(
        connection,
        f"SELECT * FROM ({ups} <= ?3 ORDER BY at_us DESC LIMIT 1)"
        f" UNION ALL SELECT * FROM ({ups} > ?4 ORDER BY at_us LIMIT 1)",
        (*key, *reach),
    )
    return {recorder for (recorder,) in rows}


def _tuples(connection: sqlite3.Connection, sql: str, values: tuple[int | str, ...]) -> list[Any]:
    """The rows as plain tuples: a site has thousands of spans and facts."""
    cursor = connection.cursor()
    cursor.row_factory = None
    return cursor.execute(sql, values).fetchall()


def _lost(connection: sqlite3.Connection, key: tuple[int, int], window: Span) -> list[Span]:
    rows = _tuples(
        connection,
        "SELECT at_us, end_us FROM fact WHERE camera = ? AND stream = ? AND kind = 'loss' AND cause = 'disk'"
        " AND at_us > ? AND at_us < ? AND end_us > ?",
        (*key, window.start_us - longest_us(connection, LONGEST_LOSS), window.end_us, window.start_us),
    )
    return list(map(Span._make, rows))
