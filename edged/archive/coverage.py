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
from typing import NamedTuple

from edged.archive.roster import get
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

_Row = tuple[int, str, str | None, str]  # of the table fact: at_us, kind, cause, detail


class Fact(NamedTuple):
    """One turn at one instant; `cause` is that of a STREAM_DOWN."""

    at_us: int
    turn: Turn
    cause: Cause = Cause.UNKNOWN

    @property
    def after(self) -> Cause:
        return _AFTER.get(self.turn, self.cause)

    @property
    def promises(self) -> bool:
        return self.turn in _PROMISES


def cover(window: Span, recorded: Iterable[Span], facts: Iterable[Fact], lost: Iterable[Span] = ()) -> Coverage:
    """Divide `window` into recorded spans and gaps with causes.

    `recorded` may overlap and reach beyond the window; so may `facts`, which should include the last one before each
    gap and those up to its end. `lost` are spans whose frames a slow or broken disk cost: gaps with the cause DISK even
    inside a recorded span.
    """
    turns = sorted(facts)
    outer = window
    if turns:
        outer = Span(min(window.start_us, turns[0].at_us), max(window.end_us, turns[-1].at_us))
    instants = [turn.at_us for turn in turns]
    gaps: list[Gap] = []
    for missing in _between(window, union(recorded), outer):
        for piece in _explain(missing, turns, instants):
            _add(gaps, piece, piece.span.cut_to(window))
    disk = union(span.cut_to(window) for span in lost)
    if disk:
        gaps = _overlay(gaps, disk)
    return Coverage(window, tuple(subtract(window, [gap.span for gap in gaps])), tuple(gaps))


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
    camera = get(connection, camera_id)
    key = (camera.no, STREAM_NO[stream])
    first = connection.execute(
        "SELECT start_us FROM coverage WHERE camera = ? AND stream = ? ORDER BY start_us LIMIT 1", key
    ).fetchone()
    since = [at for at in (camera.adopted_us, first and first["start_us"]) if at is not None]
    if live is not None:
        window = window.cut_to(Span(window.start_us, live.end_us))
        since.append(live.start_us)
    start = max(window.start_us, min(since)) if since else window.end_us
    window = Span(min(start, window.end_us), window.end_us)
    recorded = _recorded(connection, key, window)
    if live is not None and live.length_us:
        recorded.append(live)
    gaps = _between(window, union(recorded), Span(min(since, default=window.start_us), window.end_us))
    if not gaps and not window.length_us:
        return Coverage(window, (), ())
    reach = Span(gaps[0].start_us, gaps[-1].end_us) if gaps else window
    return cover(window, recorded, _facts(connection, key, reach), _lost(connection, key, window))


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


def _explain(missing: Span, turns: Sequence[Fact], instants: Sequence[int]) -> Iterator[Gap]:
    """`missing` cut where its cause changes; `instants` are those of `turns`."""
    first = bisect_left(instants, missing.start_us)
    cause, promised = Cause.UNKNOWN, True
    if first:
        cause, promised = turns[first - 1].after, turns[first - 1].promises
    begin = at = missing.start_us
    told: Cause | None = None  # the cause from `begin` to `at`
    for fact in turns[first : bisect_right(instants, missing.end_us, first)]:
        turn = fact.turn
        after = cause if turn is Turn.STREAM_UP else fact.after
        if fact.at_us > at:
            holds = after if promised and turn in _EXPLAINS_BACK else cause
            if told is not None and told is not holds:
                yield Gap(Span(begin, at), told)
                begin = at
            at, told = fact.at_us, holds
        promised, cause = turn in _PROMISES, after
    if told is not None and told is not cause and at < missing.end_us:
        yield Gap(Span(begin, at), told)
        begin, told = at, cause
    yield Gap(Span(begin, missing.end_us), cause if told is None else told)


def _add(gaps: list[Gap], gap: Gap, span: Span) -> None:
    """Append `gap`, of which only `span` counts, or lengthen the last one where it goes on with the same cause."""
    if not span.length_us:
        return
    if gaps and gaps[-1].cause is gap.cause and gaps[-1].span.end_us == span.start_us:
        gaps[-1] = Gap(Span(gaps[-1].span.start_us, span.end_us), gap.cause)
    else:
        gaps.append(gap if span is gap.span else Gap(span, gap.cause))


def _overlay(gaps: Iterable[Gap], disk: Sequence[Span]) -> list[Gap]:
    """`gaps` with the spans of `disk` laid over them: what the disk lost has the cause DISK, whatever else held."""
    pieces = [Gap(span, Cause.DISK) for span in disk]
    starts, ends = [span.start_us for span in disk], [span.end_us for span in disk]
    for gap in gaps:
        near = disk[bisect_right(ends, gap.span.start_us) : bisect_left(starts, gap.span.end_us)]
        pieces += [Gap(left, gap.cause) for left in subtract(gap.span, near)]
    joined: list[Gap] = []
    for piece in sorted(pieces, key=lambda gap: gap.span):
        _add(joined, piece, piece.span)
    return joined


def _recorded(connection: sqlite3.Connection, key: tuple[int, int], window: Span) -> list[Span]:
    """The stream's recorded spans in `window`, and the neighbour on either side."""
    select = "SELECT start_us, end_us FROM coverage WHERE camera = ? AND stream = ? AND start_us "
    ask = _tuples(connection)
    before = ask.execute(select + "< ? ORDER BY start_us DESC LIMIT 1", (*key, window.start_us)).fetchall()
    inside = ask.execute(
        select + ">= ? AND start_us < ? ORDER BY start_us", (*key, window.start_us, window.end_us)
    ).fetchall()
    after = ask.execute(select + ">= ? ORDER BY start_us LIMIT 1", (*key, window.end_us)).fetchall()
    return list(map(Span._make, (*before, *inside, *after)))


def _facts(connection: sqlite3.Connection, key: tuple[int, int], reach: Span) -> list[Fact]:
    """The turns of the stream and of its recorder in `reach`, the last before it and the first after it."""
    own = _around(connection, "camera = ? AND stream = ? AND kind <> 'loss'", key, reach)
    # What another process recorded while this stream was gone explains nothing about it.
    ups = _beside(connection, "camera = ? AND stream = ? AND kind = 'stream_up'", key, reach)
    recorders = {detail for _, kind, _, detail in (*ups, *own) if kind == "stream_up"}
    where, values = "camera = 0 AND stream = 0", tuple(f"{recorder}/*" for recorder in sorted(recorders))
    if recorders and "" not in recorders:  # "": indexed before it was kept
        where += f" AND ({' OR '.join(['detail GLOB ?'] * len(values))})"
    else:
        values = ()
    rows = own + _around(connection, where, values, reach)
    return [Fact._make((at_us, _TURNS[kind], _CAUSES[cause])) for at_us, kind, cause, _ in rows]


def _around(connection: sqlite3.Connection, where: str, values: tuple[int | str, ...], reach: Span) -> list[_Row]:
    """The facts in `reach`, the last before it and the first after it."""
    select = f"SELECT at_us, kind, cause, detail FROM fact WHERE {where} AND at_us > ? AND at_us <= ?"
    inside = _tuples(connection).execute(select, (*values, reach.start_us, reach.end_us))
    return [*_beside(connection, where, values, reach), *inside]


def _beside(connection: sqlite3.Connection, where: str, values: tuple[int | str, ...], reach: Span) -> list[_Row]:
    """The last fact before `reach` and the first after it."""
    select = f"SELECT at_us, kind, cause, detail FROM fact WHERE {where} AND at_us "
    before = _tuples(connection).execute(f"{select} <= ? ORDER BY at_us DESC LIMIT 1", (*values, reach.start_us))
    after = _tuples(connection).execute(f"{select} > ? ORDER BY at_us LIMIT 1", (*values, reach.end_us))
    return [*before, *after]


def _tuples(connection: sqlite3.Connection) -> sqlite3.Cursor:
    """A cursor that makes plain tuples: a site has thousands of spans and facts."""
    cursor = connection.cursor()
    cursor.row_factory = None
    return cursor


def _lost(connection: sqlite3.Connection, key: tuple[int, int], window: Span) -> list[Span]:
    rows = connection.execute(
        "SELECT at_us, end_us FROM fact WHERE camera = ? AND stream = ? AND kind = 'loss' AND cause = 'disk'"
        " AND at_us > ? AND at_us < ? AND end_us > ?",
        (*key, window.start_us - longest_us(connection, LONGEST_LOSS), window.end_us, window.start_us),
    )
    return [Span(start, end) for start, end in rows]
