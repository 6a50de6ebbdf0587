"""Whether the disks are large enough for the law: days, sizes and the day a volume is full."""

from pathlib import Path

import pytest

from edged.app.forecast import Forecast
from edged.base.clock import DAY, HOUR, MINUTE
from edged.config import VolumeConfig
from edged.report.health import VolumeHealth
from edged.retain.capacity import CameraLoad, VolumeRoom, add_cameras, plan
from edged.retain.measured import measured_loads
from tests.retaining import START_US, house

DAILY = 86_400 * 1000  # bytes a day at 1 kB/s


def load(camera: str = "cam-a", **changes: object) -> CameraLoad:
    fields: dict[str, object] = {
        "camera": camera,
        "volume": "v1",
        "bytes_per_s": 1000.0,
        "floor_days": 30,
        "stored_bytes": 0,
        "oldest_us": None,
    }
    return CameraLoad(**(fields | changes))  # type: ignore[arg-type]


def room(days: float, reserve: int = 0) -> VolumeRoom:
    return VolumeRoom(volume="v1", free_bytes=round(days * DAILY) + reserve, reserve_bytes=reserve)


def test_room_for_thirty_days_is_not_enough_for_a_floor_of_thirty() -> None:
    """The day of the last frame is not counted, and the last day ends at midnight: 32 days lie there at most."""
    assert [plan([load()], [room(days)], 0).volumes[0].enough for days in (30, 31.9, 32, 40)] == [
        False,
        False,
        True,
        True,
    ]


def test_the_reserve_is_not_room_and_what_is_stored_is() -> None:
    planned = plan([load(stored_bytes=10 * DAILY, oldest_us=0)], [room(22, reserve=5 * DAILY)], 10 * DAY)
    assert planned.volumes[0].room_bytes == 32 * DAILY
    assert planned.volumes[0].enough
    assert planned.volumes[0].full_us is None
    assert planned.cameras[0].days == pytest.approx(32)


def test_a_volume_that_is_too_small_tells_the_day_it_is_full() -> None:
    planned = plan([load()], [room(20)], START_US)
    assert planned.volumes[0].needed_bytes == 32 * DAILY
    assert planned.volumes[0].full_us == START_US + 20 * DAY
    assert not planned.cameras[0].enough
    assert plan([load()], [room(0)], START_US).volumes[0].full_us == START_US


def test_what_passes_its_floor_makes_room_again() -> None:
    """Two cameras, one old enough to give back a day for each it takes: only the other fills the disk."""
    old = load("cam-a", stored_bytes=32 * DAILY, oldest_us=START_US - 32 * DAY)
    planned = plan([old, load("cam-b")], [room(10)], START_US)
    assert planned.volumes[0].full_us == START_US + 10 * DAY
    assert plan([old], [room(10)], START_US).volumes[0].full_us is None


def test_each_camera_goes_by_its_own_floor_on_its_own_volume() -> None:
    loads = [load("cam-a", floor_days=90), load("cam-b", floor_days=15), load("cam-c", volume="v2")]
    planned = plan(loads, [room(200), VolumeRoom(volume="v2", free_bytes=DAILY, reserve_bytes=0)], 0)
    assert [v.needed_bytes for v in planned.volumes] == [(92 + 17) * DAILY, 32 * DAILY]
    assert [(c.camera, c.enough) for c in planned.cameras] == [("cam-a", True), ("cam-b", True), ("cam-c", False)]


def test_a_camera_that_writes_nothing_needs_nothing() -> None:
    planned = plan([load(bytes_per_s=0.0)], [room(1)], 0)
    assert (planned.cameras[0].days, planned.cameras[0].enough, planned.volumes[0].needed_bytes) == (None, True, 0)


def test_an_added_camera_goes_where_most_is_to_spare_and_may_be_too_much() -> None:
    rooms = [room(40), VolumeRoom(volume="v2", free_bytes=90 * DAILY, reserve_bytes=0)]
    loads = add_cameras([load()], rooms, [8000, 8000, 8000], 30)
    assert [each.volume for each in loads[1:]] == ["v2", "v2", "v2"]
    planned = plan(loads, rooms, 0)
    assert [v.enough for v in planned.volumes] == [True, False]
    assert add_cameras([load()], [], [8000], 30) == [load()]


async def test_the_rate_is_measured_while_recorded_and_the_floor_is_the_cameras_own(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a", "other", ("key_target",))
        await box.sql("UPDATE camera SET volume = 1")
        await box.record("cam-a", START_US - 2 * DAY, size=60_000)  # before the window
        for minute in range(5):  # a gap before and after makes the camera no smaller
            await box.record("cam-a", START_US - HOUR + minute * MINUTE, size=6000)
        (found,) = await box.database.read(measured_loads, box.law, START_US)
        assert found.bytes_per_s == pytest.approx(100)
        assert (found.floor_days, found.stored_bytes, found.volume) == (90, 90_000, "disk-0")
        assert found.oldest_us == START_US - 2 * DAY - MINUTE


async def test_footage_of_a_removed_camera_takes_room_and_brings_none(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        await box.record("cam-a", size=500)
        await box.sql("UPDATE camera SET state = 'removed', removed_us = 1")
        (found,) = await box.database.read(measured_loads, box.law, START_US)
        assert (found.bytes_per_s, found.stored_bytes) == (0.0, 500)


async def test_the_forecast_of_the_metrics_is_the_plan(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        await box.sql("UPDATE camera SET volume = 1")
        await box.record("cam-a", START_US, size=60_000)
        configured = [VolumeConfig(id="disk-0", path=tmp_path / "disk-0", reserve="1MiB")]  # type: ignore[arg-type]
        spaces = [VolumeHealth(volume="disk-0", online=True, size_bytes=None, free_bytes=20 * DAILY)]
        forecast = Forecast(box.database, box.clock, box.law, configured, lambda: spaces, 20)
        await forecast.look()
        (one,) = forecast.latest
        assert one.alarm, "twenty days ahead"
        sooner = Forecast(box.database, box.clock, box.law, configured, lambda: spaces, 19)
        await sooner.look()
        assert not sooner.latest[0].alarm
        assert one.room_bytes == 60_000 + 20 * DAILY - 2**20
        assert one.needed_bytes == 32 * DAILY
        assert one.full_us == START_US + 20 * DAY
        spaces[0] = VolumeHealth(volume="disk-0", online=False, size_bytes=None, free_bytes=None)
        await forecast.look()
        assert forecast.latest == ()
