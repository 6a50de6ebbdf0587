"""The life of an outage: every pair of state and event, either in the table or refused."""

import itertools

import pytest

from edged.outage.lifecycle import MOVES, Event, State, UnknownMove, lost_again, move

OPEN = (State.OUTAGE, State.REPORTED, State.ATTENDED)

# Written down a second time, the other way round: what each event may follow, and where it leads.
EXPECTED = {
    Event.SILENCE: {State.STEADY: State.SUSPECT},
    Event.FRAMES: {State.SUSPECT: State.STEADY},
    Event.CONFIRMED: {State.SUSPECT: State.OUTAGE},
    Event.REPORTED: {
        State.OUTAGE: State.REPORTED,
        State.ATTENDED: State.ATTENDED,
        State.RESTORED: State.RESTORED,
        State.CLOSED: State.CLOSED,
    },
    Event.ATTENDED: {
        State.OUTAGE: State.ATTENDED,
        State.REPORTED: State.ATTENDED,
        State.RESTORED: State.RESTORED,
        State.CLOSED: State.CLOSED,
    },
    Event.RESTORED: {**dict.fromkeys(OPEN, State.RESTORED), State.CLOSED: State.CLOSED},
    Event.LOST_AGAIN: {**{state: state for state in OPEN}, State.RESTORED: State.OUTAGE},
    Event.SUSTAINED: {State.RESTORED: State.CLOSED},
    Event.WITHDRAWN: dict.fromkeys((*OPEN, State.RESTORED), State.CLOSED),
}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_every_pair_moves_as_written_or_is_refused(state: State, event: Event) -> None:
    expected = EXPECTED[event].get(state)
    if expected is None:
        with pytest.raises(UnknownMove, match=state.value):
            move(state, event)
    else:
        assert move(state, event) is expected


def test_every_state_is_reached_and_only_closed_is_never_left() -> None:
    assert set(MOVES.values()) | {State.STEADY} == set(State)
    left = {state for (state, _), to in MOVES.items() if to is not state}
    assert set(State) - left == {State.CLOSED}


@pytest.mark.parametrize(
    ("both_reported", "attended", "state"),
    [
        (False, False, State.OUTAGE),
        (True, False, State.REPORTED),
        (False, True, State.ATTENDED),
        (True, True, State.ATTENDED),
    ],
)
@pytest.mark.parametrize("recorded_as_restored", [True, False])
def test_a_feed_lost_again_leaves_what_was_done_done(
    both_reported: bool, attended: bool, state: State, recorded_as_restored: bool
) -> None:
    before = State.RESTORED if recorded_as_restored else state
    assert lost_again(before, both_reported=both_reported, attended=attended) is state
