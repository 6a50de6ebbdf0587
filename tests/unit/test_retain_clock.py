"""I10: the retention clock moves only with time that provably passed; a wrong wall clock never costs a byte."""

import ctypes
import sqlite3
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.archive.database import Database
from edged.archive.ledger import LedgerKind, entries
from edged.base.clock import DAY, HOUR, MINUTE, SECOND, ManualClock
from edged.base.spans import Span
from edged.law.counting import EARLIEST_US
from edged.retain.clock import (
    BEHIND_US,
    MOST_DOUBTS,
    UNPROVEN_US,
    Correction,
    Doubt,
    Reading,
    RetentionState,
    advance,
    begin,
)
from edged.retain.ntp import kernel_ntp_synchronised
from edged.retain.timekeeping import correction_done, pending_corrections, read_state, tick
from tests.deep import DEEP, examples

WALL = 1_790_000_000 * SECOND
START = RetentionState(
    retention_us=WALL,
    reading=Reading(wall_us=WALL, mono_us=1000 * SECOND, boot_id="b1"),
    unproven_us=0,
    doubts=(Doubt(Span(WALL, WALL), 0),),
)


def later(running_us: int, *, step_us: int = 0, boot: str = "b1", mono_us: int | None = None) -> Reading:
    """A reading after `running_us` on the wall, with the wall clock stepped by `step_us` besides."""
    return Reading(
        wall_us=WALL + running_us + step_us,
        mono_us=1000 * SECOND + running_us if mono_us is None else mono_us,
        boot_id=boot,
    )


def test_it_runs_with_running_time() -> None:
    moved = advance(START, later(DAY), ntp=False)
    assert moved.time.retention_us == WALL + DAY
    assert moved.time.trusted
    assert moved.event is None


def test_i10_a_wall_clock_forty_days_ahead_is_not_followed() -> None:
    moved = advance(START, later(MINUTE, step_us=40 * DAY), ntp=False)
    assert moved.time.retention_us == WALL + MINUTE
    assert moved.event == "the wall clock moved 40 d 0 h 0 min forward; the retention clock did not follow"
    after = advance(moved.state, later(HOUR, step_us=40 * DAY), ntp=False)
    assert after.time.retention_us == WALL + HOUR
    assert after.time.trusted
    assert "behind the wall clock" in after.time.why
    assert after.event is None


def test_it_is_followed_once_a_time_service_vouches() -> None:
    moved = advance(START, later(MINUTE, step_us=40 * DAY), ntp=False)
    corroborated = advance(moved.state, later(2 * MINUTE, step_us=40 * DAY), ntp=True)
    assert corroborated.time.retention_us == WALL + 40 * DAY + 2 * MINUTE
    assert corroborated.event == "the retention clock moved by 40 d 0 h 0 min"


def test_i10_a_wall_clock_three_days_back_stops_deletion_and_moves_nothing_back() -> None:
    moved = advance(START, later(MINUTE, step_us=-3 * DAY), ntp=False)
    assert moved.time.retention_us == WALL
    assert not moved.time.trusted
    assert "nothing is deleted meanwhile" in moved.time.why
    assert moved.event == "the wall clock moved 3 d 0 h 0 min back; the retention clock did not follow"
    righted = advance(moved.state, later(2 * MINUTE), ntp=False)
    assert righted.time.trusted
    assert WALL <= righted.time.retention_us <= WALL + 2 * MINUTE


@pytest.mark.parametrize("ntp", [True, False])
def test_i10_a_dead_battery_that_says_1970_changes_nothing(ntp: bool) -> None:
    reading = Reading(wall_us=5 * SECOND, mono_us=5 * SECOND, boot_id="b2")
    moved = advance(START, reading, ntp=ntp)
    assert moved.time.retention_us == WALL
    assert not moved.time.trusted


def test_a_short_power_cut_is_bridged_and_a_long_one_only_with_a_time_service() -> None:
    short = advance(START, later(30 * MINUTE, boot="b2", mono_us=MINUTE), ntp=False)
    assert short.time.retention_us == WALL + 30 * MINUTE
    long = advance(START, later(2 * DAY, boot="b2", mono_us=MINUTE), ntp=False)
    assert long.time.retention_us == WALL + MINUTE  # what has run since the boot has passed for certain
    assert advance(START, later(2 * DAY, boot="b2", mono_us=MINUTE), ntp=True).time.retention_us == WALL + 2 * DAY


def test_i10_many_small_unproven_steps_never_add_up_to_more_than_an_hour() -> None:
    state, wall, mono = START, WALL, 1000 * SECOND
    for _ in range(100):
        wall, mono = wall + MINUTE + 50 * MINUTE, mono + MINUTE
        state = advance(state, Reading(wall_us=wall, mono_us=mono, boot_id="b1"), ntp=False).state
    assert state.retention_us <= WALL + 100 * MINUTE + UNPROVEN_US
    state = advance(state, Reading(wall_us=wall, mono_us=mono, boot_id="b1"), ntp=True).state
    assert (state.retention_us, state.unproven_us) == (wall, 0)


def test_labels_written_while_the_clock_was_behind_are_counted_anew_once_it_is_right() -> None:
    back = advance(START, later(MINUTE, step_us=-3 * DAY), ntp=False)
    assert back.corrections == ()
    righted = advance(back.state, later(HOUR), ntp=False)
    wrong = Span(WALL - 3 * DAY, WALL - 3 * DAY + HOUR + 1)
    assert righted.corrections == (Correction(wrong, 3 * DAY),), "and not what was labelled before it was wrong"


def test_i1_what_a_wrong_clock_labelled_before_it_was_set_to_another_wrong_time_is_counted_anew_too() -> None:
    """A dead battery twice: for 24 days the box says it is 1970, is reset to 1970 and runs for one more."""
    state = advance(START, Reading(wall_us=200 * SECOND, mono_us=1000 * SECOND, boot_id="b1"), ntp=False).state
    for days, wall in ((12, 12 * DAY), (24, 24 * DAY), (24, 0), (25, DAY)):
        ran = Reading(wall_us=200 * SECOND + wall, mono_us=1000 * SECOND + days * DAY, boot_id="b1")
        state = advance(state, ran, ntp=False).state
    righted = advance(state, later(25 * DAY), ntp=True)
    first, second = (
        next(each for each in reversed(righted.corrections) if each.labels.start_us <= label <= each.labels.end_us)
        for label in (200 * SECOND + 12 * DAY, 200 * SECOND + DAY)
    )
    assert first.labels.end_us >= 200 * SECOND + 24 * DAY
    assert first.shift_us == WALL - 200 * SECOND
    assert second.shift_us == WALL + 24 * DAY - 200 * SECOND
    assert righted.state.doubts == (Doubt(Span(WALL + 25 * DAY, WALL + 25 * DAY), 0),)


def test_i1_i10_by_a_clock_that_says_a_time_before_edged_existed_nothing_is_deleted() -> None:
    """A lost index that begins anew in 1970: neither the age of footage nor the law in force can be told."""
    began = begin(Reading(wall_us=200 * SECOND, mono_us=MINUTE, boot_id="b1"), ntp=False, reached_us=WALL)
    after = advance(
        began.state, Reading(wall_us=200 * SECOND + 40 * DAY, mono_us=MINUTE + 40 * DAY, boot_id="b1"), ntp=False
    )
    assert (began.time.trusted, after.time.trusted) == (False, False)
    assert after.time.why == "the wall clock says a time before edged existed; nothing is deleted meanwhile"


def test_i1_a_clock_that_is_set_forward_step_by_step_leaves_each_label_as_late_as_all_steps_together() -> None:
    state, wall = START, WALL - 40 * DAY
    for step in range(MOST_DOUBTS + 8):
        now = Reading(wall_us=wall, mono_us=1000 * SECOND + step * HOUR, boot_id="b1")
        state = advance(state, now, ntp=False).state
        wall += HOUR + DAY
    ran = (MOST_DOUBTS + 8) * HOUR
    righted = advance(state, later(ran), ntp=True)
    assert len(state.doubts) == MOST_DOUBTS
    for step in range(MOST_DOUBTS + 8):
        label, true = WALL - 40 * DAY + step * (HOUR + DAY), WALL + step * HOUR
        shifts = [each.shift_us for each in righted.corrections if each.labels.start_us <= label <= each.labels.end_us]
        assert label + max(shifts, default=0) >= true


def test_labels_of_a_box_without_a_clock_are_counted_anew_when_the_time_service_comes() -> None:
    """Without an RTC the wall clock begins where it ended; ten days off look like none until somebody knows better."""
    booted = advance(START, later(MINUTE, boot="b2", mono_us=MINUTE), ntp=False)
    assert booted.time.trusted
    righted = advance(booted.state, later(HOUR, step_us=10 * DAY, boot="b2", mono_us=HOUR), ntp=True)
    assert righted.corrections == (Correction(Span(WALL, WALL + HOUR + 1), 10 * DAY),)


def test_over_a_boot_that_nobody_watched_every_label_up_to_now_is_doubtful() -> None:
    """Off for ten days, on again eight hours behind; a minute is recorded before edged and the time service begin."""
    began = later(10 * DAY, boot="b2", mono_us=10 * MINUTE)
    righted = advance(START, began, ntp=True)
    (correction,) = righted.corrections
    assert correction.labels.start_us <= began.wall_us - 8 * HOUR < correction.labels.end_us
    assert correction.shift_us >= 8 * HOUR


def test_an_uncorroborated_step_forward_makes_no_label_doubtful() -> None:
    assert advance(START, later(MINUTE, step_us=40 * DAY), ntp=False).corrections == ()
    assert advance(START, later(DAY), ntp=True).corrections == ()


def test_a_time_services_small_step_back_does_not_stop_deletion() -> None:
    moved = advance(START, later(0, step_us=-SECOND), ntp=True)
    assert moved.time.trusted
    assert moved.event is None


@settings(derandomize=not DEEP, max_examples=examples(300))
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2 * DAY),  # passes for certain
            st.integers(0, 3 * DAY) | st.just(0),  # the box is off
            st.integers(-50 * DAY, 50 * DAY) | st.just(0),  # error added to the wall clock
            st.booleans(),  # is it followed by a boot
        ),
        max_size=25,
    )
)
def test_i10_uncorroborated_it_never_runs_ahead_of_true_time_by_more_than_an_hour(
    story: list[tuple[int, int, int, bool]],
) -> None:
    state, true_us, error, mono, boot = START, WALL, 0, 1000 * SECOND, 1
    for passed, off, wrong, reboots in story:
        error += wrong
        if reboots:
            true_us, mono, boot = true_us + off, 0, boot + 1
        true_us += passed
        mono += passed
        reading = Reading(wall_us=max(0, true_us + error), mono_us=mono, boot_id=f"b{boot}")
        before = state.retention_us
        moved = advance(state, reading, ntp=False)
        state = moved.state
        assert before <= state.retention_us <= true_us + UNPROVEN_US
        assert state.retention_us <= max(before, reading.wall_us)
        assert moved.time.trusted == (state.retention_us - reading.wall_us <= BEHIND_US)


def test_the_first_tick_of_an_empty_index_begins_at_the_wall_clock() -> None:
    assert begin(START.reading, ntp=False, reached_us=None).time.retention_us == WALL


def test_after_a_lost_database_it_begins_where_it_had_been_for_certain() -> None:
    assert begin(START.reading, ntp=False, reached_us=WALL - 9 * DAY).time.retention_us == WALL - 9 * DAY
    assert begin(START.reading, ntp=False, reached_us=WALL + 9 * DAY).time.retention_us == WALL
    assert begin(START.reading, ntp=True, reached_us=WALL - 9 * DAY).time.retention_us == WALL


def test_i1_after_a_lost_database_what_was_labelled_since_it_was_last_certain_is_in_doubt() -> None:
    """The box was off for a month while its clock stood still; then a time service answers."""
    began = begin(START.reading, ntp=False, reached_us=WALL - HOUR)
    later = Reading(wall_us=WALL + 34 * DAY, mono_us=START.reading.mono_us + HOUR, boot_id=START.reading.boot_id)
    (correction,) = advance(began.state, later, ntp=True).corrections
    assert correction.labels.start_us <= WALL - HOUR < WALL < correction.labels.end_us
    assert correction.shift_us >= 34 * DAY - HOUR
    (doubt,) = began.state.doubts
    assert doubt.labels.start_us <= WALL - START.reading.mono_us, "what this boot has labelled before"
    assert begin(START.reading, ntp=True, reached_us=WALL - HOUR).state.doubts == (Doubt(Span(WALL, WALL), 0),)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database(tmp_path / "index.sqlite")
    yield opened
    opened.close()


async def test_it_survives_a_restart_and_writes_jumps_to_the_ledger(tmp_path: Path) -> None:
    clock = ManualClock(WALL)
    database = Database(tmp_path / "index.sqlite")
    await tick(database, clock, lambda: False)
    clock.advance(1800)
    clock.reboot(off_seconds=1200)
    await tick(database, clock, lambda: False)
    database.close()
    database = Database(tmp_path / "index.sqlite")
    try:
        clock.step_wall(40 * 86400)
        time = await tick(database, clock, lambda: False)
        assert WALL + 3000 * SECOND <= time.retention_us <= WALL + 3001 * SECOND
        state = await database.read(read_state)
        assert state is not None
        assert state.unproven_us > 0
        told = [entry for entry in await database.read(entries) if entry.kind is LedgerKind.CLOCK_EVENT]
        assert [entry.body["event"].split(";")[0] for entry in told] == [
            "begins at the wall clock",
            "the wall clock moved 0 d 0 h 49 min forward over a boot",
            "the wall clock moved 40 d 0 h 0 min forward",
        ]
    finally:
        database.close()


async def test_corrections_wait_in_the_index_each_with_its_own_shift(database: Database) -> None:
    clock = ManualClock(WALL)
    await tick(database, clock, lambda: True)
    for days in (3, 10):
        clock.step_wall(-days * 86400)
        await tick(database, clock, lambda: False)
        clock.advance(3600)
        clock.step_wall(days * 86400)
        await tick(database, clock, lambda: False)
    first, second, *others = await database.read(pending_corrections)
    assert first == Correction(Span(0, EARLIEST_US), WALL)
    assert second == Correction(Span(WALL - 3 * DAY, WALL - 3 * DAY + HOUR + 1), 3 * DAY)
    # Nobody has vouched for anything yet: what was counted anew is again, with what came upon it since.
    later_us = WALL + HOUR
    assert Correction(Span(later_us - 10 * DAY, later_us - 10 * DAY + HOUR + 1), 10 * DAY) in others
    await database.write(correction_done)
    assert await database.read(pending_corrections) == [second, *others]


async def test_i10_the_database_itself_refuses_to_turn_it_back_or_to_forget_it(database: Database) -> None:
    await tick(database, ManualClock(WALL), lambda: True)
    with pytest.raises(sqlite3.IntegrityError, match="I10: the retention clock only moves forward"):
        await database.write(lambda c: c.execute("UPDATE retention_clock SET retention_us = retention_us - 1"))
    with pytest.raises(sqlite3.IntegrityError, match="I10: the retention clock is never reset"):
        await database.write(lambda c: c.execute("DELETE FROM retention_clock"))


@pytest.mark.skipif(sys.maxsize < 2**32, reason="knows the layout of struct timex on 64 bits only")
def test_the_kernels_answer_is_read_where_the_kernel_puts_it() -> None:
    raw = ctypes.create_string_buffer(208)
    result = ctypes.CDLL(None).ntp_adjtime(raw)
    (status,) = struct.unpack_from("i", raw.raw, 40)
    assert kernel_ntp_synchronised() == (result in range(5) and not status & 0x40)
