"""The life of an outage, as a table. Pure.

A feed is *steady* while its recorder commits fragments of it, and *suspect* once it has been silent for a while; both
are the detector's own and never written down. From *outage* on there is an incident with clocks (Changzhou art.
18(8), LAW 5): it is *reported* when both addressees, repair unit and superior department, have acknowledged through a
named person; *attended* when the repair unit is on site; *restored* when the site says so, or the stream has proved
itself, whichever comes first; *closed* once the stream has been good for the sustained period. The names in the table
tell how far an incident has come, not which duties were met: those are facts of their own (see `duties`), because
life does not keep to the order:

- somebody may be on site before both addressees know: then it is attended, and a report leaves it so;
- the feed may come back before anybody was told or came: it is restored and closed, and the duties end there;
- what happened may be entered late, from paper: a closed incident takes reports, attendance and the name of the
  person who recorded the restoration, and stays closed;
- a feed that the site has recorded as restored may be lost again before it has proved itself: the incident is an
  outage again, and as far along as its facts say (`lost_again`). A return too short to count never ends an incident and
  never moves its beginning: flapping is one incident;
- a camera that is no longer to be recorded has no feed to restore: the incident is withdrawn, which closes it.

A move that is not in the table is a bug and raises `UnknownMove`; whoever takes requests from people refuses them
first.
"""

from enum import StrEnum


class State(StrEnum):
    """How far an incident has come."""

    STEADY = "steady"
    SUSPECT = "suspect"
    OUTAGE = "outage"
    REPORTED = "reported"
    ATTENDED = "attended"
    RESTORED = "restored"
    CLOSED = "closed"


class Event(StrEnum):
    """What moves it on."""

    SILENCE = "silence"  # no committed frame for `suspect_after`
    FRAMES = "frames"  # frames again before it became an outage
    CONFIRMED = "confirmed"  # no committed frame for `outage_after`
    REPORTED = "reported"  # the second of the two addressees has acknowledged
    ATTENDED = "attended"  # the repair unit is on site
    RESTORED = "restored"  # the feed is good again: recorded by the site, or proved by the stream
    LOST_AGAIN = "lost_again"  # the return was too short to count
    SUSTAINED = "sustained"  # the stream was good for the whole sustained period
    WITHDRAWN = "withdrawn"  # the camera is no longer to be recorded


class UnknownMove(RuntimeError):
    """A state met an event that the table does not know: a bug, never a case to pass over."""


MOVES: dict[tuple[State, Event], State] = {
    (State.STEADY, Event.SILENCE): State.SUSPECT,
    (State.SUSPECT, Event.FRAMES): State.STEADY,
    (State.SUSPECT, Event.CONFIRMED): State.OUTAGE,
    (State.OUTAGE, Event.REPORTED): State.REPORTED,
    (State.OUTAGE, Event.ATTENDED): State.ATTENDED,
    (State.OUTAGE, Event.RESTORED): State.RESTORED,
    (State.OUTAGE, Event.LOST_AGAIN): State.OUTAGE,
    (State.OUTAGE, Event.WITHDRAWN): State.CLOSED,
    (State.REPORTED, Event.ATTENDED): State.ATTENDED,
    (State.REPORTED, Event.RESTORED): State.RESTORED,
    (State.REPORTED, Event.LOST_AGAIN): State.REPORTED,
    (State.REPORTED, Event.WITHDRAWN): State.CLOSED,
    (State.ATTENDED, Event.REPORTED): State.ATTENDED,
    (State.ATTENDED, Event.RESTORED): State.RESTORED,
    (State.ATTENDED, Event.LOST_AGAIN): State.ATTENDED,
    (State.ATTENDED, Event.WITHDRAWN): State.CLOSED,
    (State.RESTORED, Event.REPORTED): State.RESTORED,
    (State.RESTORED, Event.ATTENDED): State.RESTORED,
    (State.RESTORED, Event.LOST_AGAIN): State.OUTAGE,
    (State.RESTORED, Event.SUSTAINED): State.CLOSED,
    (State.RESTORED, Event.WITHDRAWN): State.CLOSED,
    (State.CLOSED, Event.REPORTED): State.CLOSED,
    (State.CLOSED, Event.ATTENDED): State.CLOSED,
    (State.CLOSED, Event.RESTORED): State.CLOSED,
}


def move(state: State, event: Event) -> State:
    """The state after `event`. Raises UnknownMove."""
    try:
        return MOVES[state, event]
    except KeyError:
        raise UnknownMove(f"an outage that is {state} cannot meet {event}") from None


def lost_again(state: State, *, both_reported: bool, attended: bool) -> State:
    """The state after a return that was too short to count: what was reported and attended before still is."""
    state = move(state, Event.LOST_AGAIN)
    if both_reported and state is State.OUTAGE:
        state = move(state, Event.REPORTED)
    if attended and state is not State.ATTENDED:
        state = move(state, Event.ATTENDED)
    return state
