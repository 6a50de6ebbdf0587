"""I4: recorded + gaps = the window, exactly, and each gap has the cause its facts give it."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.archive import roster
from edged.archive.coverage import Fact, Turn, cover, query
from edged.archive.database import open_database
from edged.archive.indexing import index_facts
from edged.base.clock import DAY, HOUR, MINUTE, SECOND
from edged.base.spans import Span, subtract, union
from edged.model import Cause, Coverage, Gap, Loss, RecorderStart, Situation, StreamKind
from edged.model import Fact as JournalFact
from tests.archive_kit import (
    SHANGHAI,
    T0,
    down,
    make_volume,
    recorder_start,
    recorder_stop,
    sealed,
    stamp,
    up,
)
from tests.deep import examples

UP, DOWN, START, STOP = Turn.STREAM_UP, Turn.STREAM_DOWN, Turn.RECORDER_START, Turn.RECORDER_STOP


def gaps_of(coverage: Coverage) -> list[tuple[int, int, Cause]]:
    return [(gap.span.start_us, gap.span.end_us, gap.cause) for gap in coverage.gaps]


@pytest.mark.parametrize(
    ("recorded", "facts", "gaps"),
    [
        pytest.param([(0, 100)], [], [], id="all recorded"),
        pytest.param([], [], [(0, 100, Cause.UNKNOWN)], id="nothing known"),
        pytest.param([(0, 40), (41, 100)], [Fact(0, UP)], [(40, 41, Cause.UNKNOWN)], id="one microsecond is a gap"),
        pytest.param(
            [(0, 40), (70, 100)],
            [Fact(0, UP), Fact(50, DOWN, Cause.STALLED), Fact(68, UP)],
            [(40, 70, Cause.STALLED)],
            id="a stall explains back to the last frame, and on to the first keyframe",
        ),
        pytest.param(
            [(0, 40), (90, 100)],
            [Fact(0, UP), Fact(41, DOWN, Cause.CLOSED), Fact(50, DOWN, Cause.UNREACHABLE), Fact(90, UP)],
            [(40, 50, Cause.CLOSED), (50, 90, Cause.UNREACHABLE)],
            id="causes follow each other, split at the fact",
        ),
        pytest.param(
            [(0, 40), (90, 100)],
            [Fact(0, UP), Fact(70, START), Fact(89, UP)],
            [(40, 90, Cause.RECORDER)],
            id="a start without a stop: the recorder had crashed",
        ),
        pytest.param(
            [(0, 40), (90, 100)],
            [Fact(0, UP), Fact(41, STOP), Fact(70, START), Fact(80, DOWN, Cause.UNREACHABLE), Fact(90, UP)],
            [(40, 70, Cause.RECORDER), (70, 90, Cause.UNREACHABLE)],
            id="a restart, then the camera is the one that is away",
        ),
        pytest.param(
            [(0, 40), (90, 100)],
            [Fact(0, UP), Fact(41, DOWN, Cause.UNREACHABLE), Fact(60, START), Fact(90, UP)],
            [(40, 60, Cause.UNREACHABLE), (60, 90, Cause.RECORDER)],
            id="what was known before a crash is kept",
        ),
        pytest.param(
            [(0, 40), (90, 100)],
            [Fact(0, UP), Fact(55, UP), Fact(60, DOWN, Cause.PROTOCOL), Fact(90, UP)],
            [(40, 55, Cause.UNKNOWN), (55, 60, Cause.PROTOCOL), (60, 90, Cause.PROTOCOL)],
            id="a later session explains itself, not the time before it",
        ),
        pytest.param(
            [(0, 40)],
            [Fact(0, UP), Fact(45, Turn.REMOVED), Fact(60, Turn.ADOPTED), Fact(70, DOWN, Cause.CREDENTIALS)],
            [(40, 45, Cause.UNKNOWN), (45, 60, Cause.PLANNED), (60, 100, Cause.CREDENTIALS)],
            id="removed on purpose, adopted again, password changed meanwhile",
        ),
        pytest.param(
            [(3, 100)], [Fact(0, Turn.ADOPTED), Fact(3, UP)], [(0, 3, Cause.RECORDER)], id="adoption to first frame"
        ),
        pytest.param(
            [(0, 43), (90, 100)],
            [Fact(0, UP), Fact(41, DOWN, Cause.CLOSED), Fact(90, UP)],
            [(43, 90, Cause.CLOSED)],
            id="the last frame lasts longer than the connection",
        ),
    ],
)
def test_causes(recorded: list[tuple[int, int]], facts: list[Fact], gaps: list[tuple[int, int, Cause]]) -> None:
    coverage = cover(Span(0, 100), [Span(*span) for span in recorded], facts)
    joined: list[tuple[int, int, Cause]] = []
    for start, end, cause in gaps:
        if joined and joined[-1][1:] == (start, cause):
            start = joined.pop()[0]
        joined.append((start, end, cause))
    assert gaps_of(coverage) == joined


def test_what_the_disk_lost_is_a_gap_even_inside_a_segment() -> None:
    coverage = cover(
        Span(0, 100), [Span(0, 50)], [Fact(0, UP), Fact(60, DOWN, Cause.CLOSED)], [Span(10, 20), Span(45, 55)]
    )
    assert coverage.recorded == (Span(0, 10), Span(20, 45))
    assert gaps_of(coverage) == [(10, 20, Cause.DISK), (45, 55, Cause.DISK), (55, 100, Cause.CLOSED)]


times = st.integers(-20, 120)
spans = st.tuples(times, times).map(lambda pair: Span(min(pair), max(pair)))
turns = st.builds(Fact, times, st.sampled_from(Turn), st.sampled_from(Cause))


@settings(max_examples=examples(400))
@given(recorded=st.lists(spans, max_size=8), facts=st.lists(turns, max_size=10), lost=st.lists(spans, max_size=3))
def test_i4_recorded_and_gaps_are_the_window_exactly(recorded: list[Span], facts: list[Fact], lost: list[Span]) -> None:
    window = Span(0, 100)
    coverage = cover(window, recorded, facts, lost)
    pieces = sorted([*coverage.recorded, *(gap.span for gap in coverage.gaps)])
    assert all(piece.length_us > 0 for piece in pieces)
    assert [piece.start_us for piece in pieces] == [0, *(piece.end_us for piece in pieces[:-1])]
    assert pieces[-1].end_us == 100
    expected = [span for left in (subtract(s.cut_to(window), lost) for s in union(recorded)) for span in left]
    assert list(coverage.recorded) == union(expected)


@settings(max_examples=examples(400))
@given(
    recorded=st.lists(spans, max_size=5),
    facts=st.lists(turns, max_size=8),
    lost=st.lists(spans, max_size=2),
    cut=st.tuples(st.integers(0, 100), st.integers(0, 100)),
)
def test_the_answer_for_a_part_is_the_part_of_the_answer(
    recorded: list[Span], facts: list[Fact], lost: list[Span], cut: tuple[int, int]
) -> None:
    whole = cover(Span(0, 100), recorded, facts, lost)
    part = Span(min(cut), max(cut))
    inside = [Gap(gap.span.cut_to(part), gap.cause) for gap in whole.gaps if gap.span.overlaps(part)]
    assert list(cover(part, recorded, facts, lost).gaps) == [gap for gap in inside if gap.span.length_us]


# --- from the index --------------------------------------------------------------------------------------------------


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_database(tmp_path / "index.db")
    make_volume(connection, tmp_path / "disk")
    yield connection
    connection.close()


def put(connection: sqlite3.Connection, *facts: JournalFact) -> None:
    index_facts(connection, 1, facts, stamp, SHANGHAI)


def ask(connection: sqlite3.Connection, start: int, end: int, live: tuple[int, int] | None = None) -> Coverage:
    """In seconds from T0."""
    span = None if live is None else Span(T0 + live[0] * SECOND, T0 + live[1] * SECOND)
    window = Span(T0 + start * SECOND, T0 + end * SECOND)
    return query(connection, "cam-1", StreamKind.MAIN, window, live=span)


def seconds(coverage: Coverage) -> list[tuple[float, float, Cause]]:
    return [((start - T0) / SECOND, (end - T0) / SECOND, cause) for start, end, cause in gaps_of(coverage)]


def story(connection: sqlite3.Connection) -> None:
    """Adopted at -2, up at 0, three minutes, stalled, back at 300 for a minute, then a crash and back at 500."""
    roster.upsert_found(connection, "cam-1", source="static", situation=Situation("listed"), at_us=T0 - 10 * SECOND)
    roster.adopt(connection, "cam-1", T0 - 2 * SECOND)
    put(
        connection,
        recorder_start(T0 - HOUR),
        up(T0),
        *[sealed(start_us=T0 + i * MINUTE, seq=i) for i in range(3)],
        down(T0 + 185 * SECOND, Cause.STALLED, last_frame_us=T0 + 180 * SECOND),
        up(T0 + 300 * SECOND),
        sealed(start_us=T0 + 300 * SECOND, seq=3),
        recorder_start(T0 + 480 * SECOND, run=2),
        up(T0 + 500 * SECOND),
    )


def test_a_story_with_its_gaps(connection: sqlite3.Connection) -> None:
    story(connection)
    coverage = ask(connection, -100, 600, live=(500, 590))
    assert coverage.window == Span(T0 - 2 * SECOND, T0 + 590 * SECOND)
    assert seconds(coverage) == [(-2, 0, Cause.RECORDER), (180, 300, Cause.STALLED), (360, 500, Cause.RECORDER)]


def test_i4_the_end_of_another_process_explains_no_gap(connection: sqlite3.Connection) -> None:
    """I4: two recorder processes; each one's starts and stops speak for its own cameras alone."""
    roster.upsert_found(connection, "cam-1", source="static", situation=Situation("listed"), at_us=T0)
    roster.adopt(connection, "cam-1", T0)

    def put_as(recorder: str, *facts: JournalFact) -> None:
        index_facts(connection, 1, facts, stamp, SHANGHAI, recorder)

    def start(recorder: str, at_us: int) -> RecorderStart:
        return replace(recorder_start(at_us), recorder=recorder)

    put_as("nvr-2", start("nvr-2", T0), up(T0), sealed(start_us=T0), down(T0 + 65 * SECOND, Cause.UNREACHABLE))
    put_as("nvr", start("nvr", T0), start("nvr", T0 + 70 * SECOND))
    assert seconds(ask(connection, 0, 100)) == [(60, 100, Cause.UNREACHABLE)]
    put_as("nvr-2", start("nvr-2", T0 + 80 * SECOND))
    assert seconds(ask(connection, 0, 100)) == [(60, 80, Cause.UNREACHABLE), (80, 100, Cause.RECORDER)]


@pytest.mark.parametrize("window", [(182, 184), (186, 190), (180, 181), (299, 300), (361, 362), (490, 495), (-2, -1)])
def test_a_window_inside_a_gap_knows_its_cause(connection: sqlite3.Connection, window: tuple[int, int]) -> None:
    """The facts that explain it lie outside the window, on either side."""
    story(connection)
    whole = seconds(ask(connection, -100, 600, live=(500, 590)))
    (cause,) = [cause for start, end, cause in whole if start <= window[0] and window[1] <= end]
    assert seconds(ask(connection, *window)) == [(*window, cause)]


def test_i4_all_that_happened_at_one_instant_before_a_gap_counts(connection: sqlite3.Connection) -> None:
    """I4: removed and adopted again within one microsecond: it is wanted, whichever line the index finds first."""
    roster.upsert_found(connection, "cam-1", source="static", situation=Situation("listed"), at_us=T0)
    roster.adopt(connection, "cam-1", T0 - HOUR)
    put(connection, up(T0 - HOUR), sealed(start_us=T0 - HOUR, length_us=HOUR))
    roster.remove(connection, "cam-1", T0 - MINUTE)
    roster.adopt(connection, "cam-1", T0 - MINUTE)
    assert seconds(ask(connection, -3600, 60)) == [(0, 60, Cause.RECORDER)]


def test_the_open_segment_is_not_a_gap_and_what_follows_it_is_not_known_yet(connection: sqlite3.Connection) -> None:
    story(connection)
    assert seconds(ask(connection, 500, 600)) == [(500, 600, Cause.RECORDER)]
    coverage = ask(connection, 500, 600, live=(500, 570))
    assert (coverage.gaps, coverage.window.end_us) == ((), T0 + 570 * SECOND)
    # a session whose line of journal has not been read yet hides nothing of the gap before it
    assert seconds(ask(connection, 180, 300, live=(290, 299))) == [(180, 290, Cause.STALLED)]


def test_nothing_before_adoption_is_a_gap(connection: sqlite3.Connection) -> None:
    story(connection)
    assert ask(connection, -1000, -500).gaps == ()
    assert ask(connection, -1000, -500).window.length_us == 0
    with pytest.raises(roster.UnknownCamera):
        query(connection, "cam-9", StreamKind.MAIN, Span(0, 1))


def test_a_camera_that_never_delivered_is_one_gap_since_adoption(connection: sqlite3.Connection) -> None:
    roster.upsert_found(connection, "cam-1", source="static", situation=Situation("listed"), at_us=T0)
    roster.adopt(connection, "cam-1", T0)
    put(connection, down(T0 + 5 * SECOND, Cause.CREDENTIALS))
    assert seconds(ask(connection, -10, 100)) == [(0, 100, Cause.CREDENTIALS)]
    assert seconds(ask(connection, 50, 60)) == [(50, 60, Cause.CREDENTIALS)]


def test_losses_of_the_disk_are_gaps_and_losses_on_the_way_are_not(connection: sqlite3.Connection) -> None:
    def loss(start: int, end: int, cause: Cause) -> Loss:
        at = T0 + start * SECOND
        return Loss(
            camera="cam-1",
            stream=StreamKind.MAIN,
            start_us=at,
            end_us=T0 + end * SECOND,
            cause=cause,
            packets=3,
            frames=5,
        )

    put(connection, up(T0), sealed(), loss(10, 12, Cause.LOSS), loss(20, 30, Cause.DISK), loss(20, 25, Cause.DISK))
    assert seconds(ask(connection, 0, 60)) == [(20, 30, Cause.DISK)]
    assert seconds(ask(connection, 29, 60)) == [(29, 30, Cause.DISK)]


def test_spans_join_only_where_they_touch(connection: sqlite3.Connection) -> None:
    def spans() -> list[tuple[int, int]]:
        rows = connection.execute("SELECT start_us - ?1, end_us - ?1 FROM coverage ORDER BY 1", (T0,))
        return [tuple(row) for row in rows]

    put(connection, sealed(length_us=10), sealed(start_us=T0 + 11, length_us=9, seq=1))
    assert spans() == [(0, 10), (11, 20)]
    put(connection, sealed(start_us=T0 + 5, length_us=3, run=2))  # inside, after a clock that stepped back
    assert spans() == [(0, 10), (11, 20)]
    put(connection, sealed(start_us=T0 + 10, length_us=1, run=2, seq=1))
    assert spans() == [(0, 20)]
    put(connection, sealed(start_us=T0 - 5, length_us=100, run=3), sealed(start_us=T0 + 50, length_us=0, run=3, seq=1))
    assert spans() == [(-5, 95)]
    assert connection.execute("SELECT count(*) FROM segment").fetchone()[0] == 6


@settings(max_examples=examples(60))
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 40)), min_size=1, max_size=25), st.integers(1, 6))
def test_i4_merged_coverage_is_the_union_in_any_order_and_batching(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[int, int]], batch: int
) -> None:
    facts = [sealed(start_us=T0 + start, length_us=length, seq=i) for i, (start, length) in enumerate(pieces)]
    connection = open_database(tmp_path_factory.mktemp("index") / "index.db")
    connection.execute("INSERT INTO volume VALUES (1, 'disk-a', 'u', 0)")
    for at in range(0, len(facts), batch):
        put(connection, *facts[at : at + batch])
    rows = connection.execute("SELECT start_us, end_us FROM coverage ORDER BY start_us").fetchall()
    assert [Span(*row) for row in rows] == union(Span(fact.start_us, fact.end_us) for fact in facts)
    connection.close()


def test_planned_stop_and_orderly_restart(connection: sqlite3.Connection) -> None:
    put(
        connection,
        recorder_start(T0 - MINUTE),
        up(T0),
        sealed(),
        down(T0 + 61 * SECOND, Cause.PLANNED),
        recorder_stop(T0 + 62 * SECOND),
        recorder_start(T0 + 100 * SECOND, run=2),
        up(T0 + 101 * SECOND),
        sealed(start_us=T0 + 101 * SECOND, run=2),
    )
    assert seconds(ask(connection, 0, 161)) == [(60, 62, Cause.PLANNED), (62, 101, Cause.RECORDER)]


def test_a_month_of_a_flapping_camera_is_answered_from_merged_spans(connection: sqlite3.Connection) -> None:
    put(
        connection,
        *[
            fact
            for i in range(1000)
            for fact in (
                up(T0 + i * HOUR // 2),
                sealed(start_us=T0 + i * HOUR // 2, seq=i),
                down(T0 + i * HOUR // 2 + 61 * SECOND, Cause.CLOSED),
            )
        ],
    )
    coverage = ask(connection, 0, 30 * DAY // SECOND)
    assert len(coverage.gaps) == 1000
    assert {gap.cause for gap in coverage.gaps} == {Cause.CLOSED}
