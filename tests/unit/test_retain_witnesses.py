"""I10: who may vouch for the wall clock beside a time service, and that nobody does so by being repeated."""

from pathlib import Path

import pytest

from edged.archive.ledger import LedgerKind
from edged.base.clock import DAY, HOUR, MINUTE, SECOND
from edged.retain.clock import Reading
from edged.retain.timekeeping import confirm, reading, tick
from edged.retain.witnesses import FRESH_US, CameraClocks, ConfirmationRefused
from tests.retaining import House, house

WALL = 1_790_000_000 * SECOND


def at(running_us: int, step_us: int = 0) -> Reading:
    return Reading(wall_us=WALL + running_us + step_us, mono_us=running_us, boot_id="b1")


def hear(clocks: CameraClocks, camera: str, offset_us: int, now: Reading) -> None:
    clocks.hear(camera, offset_us, now.wall_us, now.mono_us)


def with_readings(offsets: dict[str, int], *, step_us: int = 0) -> CameraClocks:
    """Two readings of each camera: now and an hour later, the offsets told by a wall clock off by `step_us`."""
    clocks = CameraClocks()
    for camera, offset in offsets.items():
        hear(clocks, camera, offset - step_us, at(0, step_us))
        hear(clocks, camera, offset - step_us + SECOND, at(HOUR, step_us))
    return clocks


@pytest.mark.parametrize(
    ("offsets", "says"),
    [
        ([0, 0, 0], "3 of 3 cameras' clocks confirm"),
        ([0, 4 * MINUTE, -4 * MINUTE, DAY, DAY], "3 of 5 cameras' clocks confirm"),
        ([0, 0, 0, DAY, DAY, -DAY], None),  # half is no majority
        ([0, 0], None),  # too few
        ([0, 0, 6 * MINUTE], None),
    ],
)
def test_a_majority_of_cameras_within_five_minutes_vouches(offsets: list[int], says: str | None) -> None:
    clocks = with_readings({f"cam-{n}": offset for n, offset in enumerate(offsets)})
    assert clocks.vouch(at(HOUR + MINUTE)) == says


def test_i10_a_step_of_the_wall_clock_is_not_confirmed_by_what_was_heard_before_it() -> None:
    clocks = with_readings({"cam-a": 0, "cam-b": 0, "cam-c": 0})
    assert clocks.vouch(at(HOUR + MINUTE, 40 * DAY)) is None
    assert clocks.vouch(at(HOUR + MINUTE, 6 * MINUTE)) is None
    for camera in ("cam-a", "cam-b", "cam-c"):  # discovery repeats what it knows: no new reading
        hear(clocks, camera, SECOND, at(HOUR + 2 * MINUTE, 40 * DAY))
    assert clocks.vouch(at(HOUR + 3 * MINUTE, 40 * DAY)) is None


def test_i10_a_clock_read_across_a_step_has_no_voice_before_it_is_read_twice_more() -> None:
    clocks = with_readings({"cam-a": 0, "cam-b": 0, "cam-c": 0})
    # Asked before the step, handed over after it: the offset belongs to the clock that was.
    for camera in ("cam-a", "cam-b", "cam-c"):
        hear(clocks, camera, 7, at(HOUR + 2 * MINUTE, 40 * DAY))
    assert clocks.vouch(at(HOUR + 3 * MINUTE, 40 * DAY)) is None


def test_true_cameras_carry_the_clock_over_an_adjustment() -> None:
    """The wall clock was wrong by days and is put right: the cameras, asked again, say so."""
    clocks = with_readings({"cam-a": 0, "cam-b": 0, "cam-c": 0}, step_us=-40 * DAY)
    assert clocks.vouch(at(HOUR, -40 * DAY)) is None
    assert clocks.vouch(at(HOUR)) == "3 of 3 cameras' clocks confirm"


def test_a_voice_grows_old_and_one_reading_is_none() -> None:
    clocks = with_readings({"cam-a": 0, "cam-b": 0, "cam-c": 0})
    assert clocks.vouch(at(HOUR + FRESH_US)) is not None
    assert clocks.vouch(at(HOUR + FRESH_US + 1)) is None
    once = CameraClocks()
    for camera in ("cam-a", "cam-b", "cam-c"):
        hear(once, camera, 5, at(0))
    assert once.vouch(at(1)) is None
    clocks.forget("cam-c")
    assert clocks.vouch(at(HOUR)) is None


async def stepped(box: House, seconds: float) -> None:
    box.ntp = False
    await box.tick()
    box.clock.step_wall(seconds)
    await box.tick()


async def test_two_people_move_the_clock_and_both_words_are_in_the_ledger(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await stepped(box, 40 * 86_400)
        assert await box.database.write(confirm, "person-a", reading(box.clock)) is None
        time = await tick(box.database, box.clock, lambda: False)
        assert box.clock.wall_us() - time.retention_us >= 39 * DAY
        with pytest.raises(ConfirmationRefused, match="has confirmed already"):
            await box.database.write(confirm, " Person-A ", reading(box.clock))
        done = await box.database.write(confirm, "person-b", reading(box.clock))
        assert done is not None
        assert done.retention_us == box.clock.wall_us()
        assert done.why == "runs with the wall clock, which person-a and person-b have confirmed"
        told = [(e.body["by"], e.body["first"]) for e in await box.told(LedgerKind.CLOCK_EVENT) if "by" in e.body]
        assert told == [("person-a", None), ("person-b", "person-a")]


@pytest.mark.parametrize("between", ["hour", "step", "boot"])
async def test_i10_what_the_first_confirmed_must_still_be_running(tmp_path: Path, between: str) -> None:
    async with house(tmp_path) as box:
        await stepped(box, 40 * 86_400)
        assert await box.database.write(confirm, "person-a", reading(box.clock)) is None
        match between:
            case "hour":
                box.clock.advance(3601)
            case "step":
                box.clock.step_wall(40 * 86_400)
            case _:
                box.clock.reboot()
        assert await box.database.write(confirm, "person-b", reading(box.clock)) is None
        time = await tick(box.database, box.clock, lambda: False)
        assert box.clock.wall_us() - time.retention_us >= 39 * DAY


async def test_the_sweep_asks_the_cameras_where_no_time_service_speaks(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await stepped(box, 40 * 86_400)
        time = await tick(box.database, box.clock, lambda: False, lambda now: "3 of 3 cameras' clocks confirm")
        assert time.retention_us == box.clock.wall_us()
        assert time.why.endswith("which 3 of 3 cameras' clocks confirm")
        (entry,) = [e for e in await box.told(LedgerKind.CLOCK_EVENT) if e.body.get("voucher")][-1:]
        assert (entry.body["voucher"], entry.body["ntp"]) == ("3 of 3 cameras' clocks confirm", False)
