"""Runs the machine: 200 examples in `make test`, 2,000 in `make test-deep`; what failed once is tried first."""

import errno

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from edged.base.clock import DAY, HOUR, SECOND
from tests.deep import DEEP, examples
from tests.state.happenings import IN_2036
from tests.state.life import REACHED
from tests.state.machine import Box
from tests.state.people import MEDDLING
from tests.state.world import CAMERAS

PARTS = 4 if DEEP else 1  # side by side
# What a run has to have met many times over; the walk below meets all the rest.
OFTEN = (
    "deleted",
    "edged raised floors",
    "pass refused",
    "wall clock jumped",
    "wall clock reset",
    "power failed",
    "cut between two steps",
    "hold placed",
    "progress checked",
    "volume fenced",
    "index lost",
    "hour on record",
    "meddling refused",
)


@pytest.mark.hypothesis
@pytest.mark.parametrize("part", range(PARTS))
def test_i1_i2_i3_i4_i10_whatever_happens(part: int) -> None:
    REACHED.clear()
    run_state_machine_as_test(
        Box,
        settings=settings(
            max_examples=examples(200) // PARTS,
            stateful_step_count=45,
            deadline=None,
            derandomize=False,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
    print(f"part {part}: {dict(sorted(REACHED.items()))}")
    assert not [what for what in OFTEN if not REACHED[what]]


def test_every_thing_the_machine_speaks_of_really_happens() -> None:
    """A walk by hand through all of the rules, so that none of them can have become a rule that does nothing."""
    box = Box()
    box.begin()
    try:
        walk(box)
    finally:
        box.teardown()
    reached = {what for what, times in box.reached.items() if times}
    assert reached == {
        "camera removed",
        "cameras told their time",
        "clock confirmed",
        "cut between two steps",
        "deleted",
        "disks swapped",
        "doomed and spared",
        "edged raised floors",
        "file removed outside",
        "floor raised",
        "footage late",
        "hold extended",
        "hold placed",
        "hold placed during a pass",
        "hold released",
        "hour on record",
        "index from an old copy",
        "index lost",
        "kept below its floor for want of space",
        "law changed",
        "line late",
        "line on time",
        "line torn",
        "line twice",
        "meddling refused",
        "pass refused",
        "power failed",
        "progress checked",
        "put back from a hold",
        "release refused",
        "removal refused",
        "unlink failed",
        "volume fenced",
        "wall clock jumped",
        "wall clock reset",
    }


def test_i1_a_battery_that_dies_twice_shortens_no_floor() -> None:
    """What the first 1970 labelled is later than all that the second one did, and no less in doubt."""
    box = Box()
    box.begin()
    try:
        box.crash()
        box.wall_clock_is_reset(200 * SECOND)
        box.restart(None)
        box.ordinary_days(2, 12 * DAY)
        box.crash()
        box.wall_clock_is_reset(200 * SECOND)
        box.restart(None)
        box.ordinary_days(1, DAY)
        box.all_is_well_and_space_is_short(0)
        box.nothing_is_broken()
    finally:
        box.teardown()
    assert any(footage.gone == "edged" for footage in box.world.footage), "what may go has gone"


def test_i1_a_clock_that_stood_still_after_the_index_was_lost_shortens_no_floor() -> None:
    """The ledger tells where the clock was; so what is labelled before anybody vouches for it is in doubt."""
    for pass_meanwhile in (False, True):
        box = Box()
        box.begin()
        try:
            box.index_is_lost(False)
            box.power_fails(34 * DAY, "stood still")
            box.restart(None)
            for camera in CAMERAS:
                box.record(camera, "on time")
            box.time_passes(DAY)
            box.read_journals(None)
            if pass_meanwhile:
                box.sweep(None)
            box.all_is_well_and_space_is_short(0)
            box.nothing_is_broken()
        finally:
            box.teardown()
        assert sum(footage.gone == "edged" for footage in box.world.footage) == len(CAMERAS), "the old, and only these"


def walk(box: Box) -> None:
    footage_comes_in_every_way(box)
    box.all_is_well_and_space_is_short(50 * DAY)
    people_hold_and_release(box)
    clocks_go_wrong(box)
    disks_go_wrong(box)
    the_index_goes(box)
    a_deletion_is_overtaken_by_a_longer_floor(box)
    box.nothing_is_broken()


def footage_comes_in_every_way(box: Box) -> None:
    box.ordinary_days(2, DAY)
    for line in ("late", "twice", "torn"):
        box.record("cam-3", line)
    box.time_passes(2 * DAY)
    box.late_lines()
    box.read_journals(None)
    box.restart("raised")
    box.sweep(None)
    box.somebody_writes_into_the_index(MEDDLING[0])


def people_hold_and_release(box: Box) -> None:
    box.ordinary_days(2, DAY)
    box.hold({"cam-2", "cam-3"}, 3 * 24, 1, None)
    box.extend(0, 0, None)
    box.links_follow()
    there = [each for each in box.world.footage if not each.gone]
    box.somebody_removes_a_file([each.camera for each in there].index("cam-3"))
    box.camera_is_removed("cam-2")
    for by in ("ann", "Ann ", "ben"):
        box.release(0, by)
    box.links_follow()
    box.nothing_is_broken()
    box.hold({"cam-1"}, 1, 1, 3)
    box.camera_is_removed("cam-2")
    box.camera_is_adopted_again("cam-2")


def clocks_go_wrong(box: Box) -> None:
    box.time_passes(HOUR)
    box.wall_clock_jumps(3 * DAY, -1)
    box.sweep(None)
    box.wall_clock_is_reset(IN_2036)
    box.cameras_tell_their_time(1)
    box.sweep(None)
    box.time_service_answers()
    box.time_service_is_lost()
    for by in ("ann", "ben"):
        box.somebody_confirms_the_clock(by)
    box.power_fails(2 * HOUR, "1970")
    box.start(3)
    box.start(None)
    box.time_service_answers()
    box.sweep(None)


def disks_go_wrong(box: Box) -> None:
    box.disks_are_swapped()
    box.restart(None)
    box.disks_are_back()
    box.restart(None)
    box.ordinary_days(1, DAY)
    box.others_use_the_disk("stuck")
    box.sweep(None)


def the_index_goes(box: Box) -> None:
    box.index_is_copied()
    box.ordinary_days(1, DAY)
    box.index_is_lost(True)
    box.index_is_lost(False)
    box.nothing_is_broken()


def a_deletion_is_overtaken_by_a_longer_floor(box: Box) -> None:
    """Cut between mark and unlink; then another law comes, before the deletion is completed."""
    box.others_use_the_disk("limited")
    for cut in range(8, 60):
        box.restart("base")
        box.ordinary_days(1, DAY)
        box.time_passes(20 * DAY)
        box.sweep(cut)
        box.restart("raised")
        box.sweep(None)
        if box.reached["doomed and spared"]:
            break
    box.time_passes(60 * DAY)
    box.disk_refuses(errno.EIO, 1)
    box.sweep(None)
