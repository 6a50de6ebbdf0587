"""A full disk stops the least important cameras first, no more than it must, and none without need (LAW 3.5)."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.retain.pressure import Haven, Room, Writer, shelter, to_stop

GIB = 2**30
RESERVE = 2 * GIB


def room(free: int, *, size: int = 100 * GIB, reserve: int = RESERVE, exhausted: bool = True) -> Room:
    return Room(size_bytes=size, free_bytes=free, reserve_bytes=reserve, exhausted=exhausted)


def writers(*given: tuple[str, int, int], stopped: Sequence[str] = ()) -> list[Writer]:
    """(camera, priority, bytes a second)"""
    return [
        Writer(camera=camera, priority=priority, bytes_per_s=rate, stopped=camera in stopped)
        for camera, priority, rate in given
    ]


FOUR = (("gate", 9, 100), ("hall", 5, 100), ("yard", 5, 200), ("roof", 1, 100))


@pytest.mark.parametrize(
    ("free", "stopped"),
    [
        (RESERVE // 2, set()),
        (RESERVE // 2 - RESERVE // 8, {"roof"}),
        (RESERVE // 4, {"roof", "yard"}),  # of two that are as important, the one that writes more
        (RESERVE // 7, {"roof", "yard", "hall"}),
        (RESERVE // 8, {"roof", "yard", "hall", "gate"}),
        (0, {"roof", "yard", "hall", "gate"}),
    ],
)
def test_the_reserve_is_shared_out_by_priority(free: int, stopped: set[str]) -> None:
    assert to_stop(room(free), writers(*FOUR)) == stopped


def test_one_camera_is_recorded_as_long_as_there_is_room() -> None:
    alone = writers(("gate", 5, 500_000))
    assert to_stop(room(RESERVE // 8 + 1), alone) == set()
    assert to_stop(room(RESERVE // 8), alone) == {"gate"}


def test_while_the_sweep_may_still_free_space_only_the_last_eighth_stops_anyone() -> None:
    assert to_stop(room(RESERVE // 4, exhausted=False), writers(*FOUR)) == set()
    assert to_stop(room(RESERVE // 8, exhausted=False), writers(*FOUR)) == {"gate", "hall", "yard", "roof"}


def test_cameras_go_on_when_the_whole_reserve_is_seen_free_and_not_before() -> None:
    stopped = writers(*FOUR, stopped=["roof", "yard"])
    assert to_stop(room(RESERVE - 1), stopped) == {"roof", "yard"}
    assert to_stop(room(RESERVE - 1, exhausted=False), stopped) == {"roof", "yard"}
    assert to_stop(room(RESERVE), stopped) == set()


def test_who_stops_follows_a_changed_priority() -> None:
    assert to_stop(room(RESERVE * 3 // 4), writers(("gate", 1, 100), ("roof", 9, 100), stopped=["roof"])) == {"gate"}


def test_cameras_that_are_as_important_do_not_change_places_when_their_rates_drift() -> None:
    now = writers(("gate", 5, 130), ("hall", 5, 100), stopped=["hall"])
    assert to_stop(room(RESERVE * 3 // 10), now) == {"hall"}


def test_of_cameras_that_are_as_important_the_one_that_a_hold_awaits_footage_of_stops_last() -> None:
    held = Writer(camera="yard", priority=5, held=True, bytes_per_s=200, stopped=False)
    others = writers(("gate", 9, 100), ("hall", 5, 100))
    assert to_stop(room(RESERVE // 4), [*others, held]) == {"hall"}
    # A hold does not make a camera more important than the site says it is.
    assert to_stop(room(RESERVE // 7), [*others, held]) == {"hall", "yard"}


def test_a_disk_smaller_than_the_reserve_is_recorded_to() -> None:
    assert to_stop(room(GIB // 2, size=GIB), writers(*FOUR)) == set()
    assert to_stop(room(GIB // 4 // 8, size=GIB), writers(*FOUR)) == {"gate", "hall", "yard", "roof"}


def test_a_camera_that_has_not_been_measured_counts_too() -> None:
    assert to_stop(room(RESERVE // 3), writers(("gate", 5, 0), ("hall", 5, 0), ("roof", 1, 0))) == {"roof"}


def test_who_would_have_to_stop_spreads_over_the_volumes_that_have_room() -> None:
    havens = [Haven(volume="v2", spare_bytes=300, writers=1), Haven(volume="v3", spare_bytes=200, writers=0)]
    assert shelter(["gate", "hall", "yard"], havens) == {"gate": "v3", "hall": "v2", "yard": "v3"}
    assert shelter(["gate"], []) == {}
    assert shelter([], havens) == {}


@st.composite
def sites(draw: st.DrawFn) -> list[Writer]:
    names = draw(st.lists(st.sampled_from("abcdefghijkl"), unique=True, max_size=12))
    return [
        Writer(
            camera=name,
            priority=draw(st.integers(1, 9)),
            bytes_per_s=draw(st.integers(0, 10**7)),
            stopped=draw(st.booleans()),
        )
        for name in names
    ]


@given(sites(), st.integers(0, 3 * GIB), st.booleans())
def test_no_camera_is_recorded_while_a_more_important_one_stands_still(
    site: list[Writer], free: int, exhausted: bool
) -> None:
    stop = to_stop(room(free, exhausted=exhausted), site)
    recorded = [w.priority for w in site if w.camera not in stop]
    assert not stop or not recorded or min(recorded) >= max(w.priority for w in site if w.camera in stop)


@given(sites(), st.integers(0, 2 * GIB), st.integers(0, GIB))
def test_less_room_never_records_more(site: list[Writer], free: int, less: int) -> None:
    fresh = [Writer(camera=w.camera, priority=w.priority, bytes_per_s=w.bytes_per_s, stopped=False) for w in site]
    assert to_stop(room(free), fresh) <= to_stop(room(max(0, free - less)), fresh)


@given(sites(), st.integers(0, 2 * GIB - 1), st.integers(0, 2 * GIB - 1))
def test_a_decision_that_was_carried_out_stands_until_there_is_less_room(
    site: list[Writer], free: int, later: int
) -> None:
    """Nobody comes and goes: what stopped stays stopped below the reserve, however the free space moves."""
    stop = to_stop(room(free), site)
    done = [
        Writer(camera=w.camera, priority=w.priority, bytes_per_s=w.bytes_per_s, stopped=w.camera in stop) for w in site
    ]
    assert to_stop(room(free), done) == stop
    assert to_stop(room(later), done) >= stop
