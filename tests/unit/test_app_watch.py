"""Several recorder processes heard as one, and which cameras are unheard of when one is gone."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from edged.app.dealing import process_of
from edged.app.watch import GONE_US, Watch, merge
from edged.base.clock import SECOND, ManualClock, SystemClock
from edged.base.tasks import cancel, spawn
from edged.model import RecorderStatus, VolumeStatus
from edged.record.status import StatusServer
from tests.recorder_kit import until

GOOD = VolumeStatus(volume="v1", ok=True, reason="", queued_bytes=1, written_bytes=10, overflows=0)


def status(recorder: str, mono_us: int = 5, *volumes: VolumeStatus) -> RecorderStatus:
    return RecorderStatus(
        recorder=recorder,
        pid=1,
        version="0",
        run=1,
        boot_id="b",
        started_us=mono_us,
        at_us=mono_us,
        mono_us=mono_us,
        generation=1,
        streams=(),
        volumes=volumes,
    )


def test_none_and_one_are_told_as_they_are() -> None:
    assert merge([]) is None
    assert merge([status("a")]) == status("a")


def test_a_volume_is_well_only_where_it_is_well_for_all() -> None:
    bad = VolumeStatus(volume="v1", ok=False, reason="full", queued_bytes=2, written_bytes=20, overflows=3)
    other = replace(GOOD, volume="v2")
    told = merge([status("a", 5, GOOD, other), status("a-2", 9, bad)])
    assert told is not None
    assert (told.recorder, told.mono_us, told.started_us) == ("a", 9, 5)
    assert told.volumes == (
        VolumeStatus(volume="v1", ok=False, reason="full", queued_bytes=3, written_bytes=30, overflows=3),
        other,
    )


@asynccontextmanager
async def saying(path: Path, told: RecorderStatus) -> AsyncIterator[None]:
    async with StatusServer(path, lambda: told, SystemClock()):
        yield


def heard_as_time_passes(clock: ManualClock, watch: Watch) -> bool:
    clock.advance(0.1)
    return watch.latest_of("a") is not None


async def test_a_silent_process_makes_only_its_own_cameras_unreachable(tmp_path: Path) -> None:
    sockets = {name: tmp_path / name for name in ("a", "a-2")}
    clock = ManualClock()
    watch = Watch(clock, sockets)
    cameras = [f"c-{number}" for number in range(40)]
    own = {camera for camera in cameras if process_of(camera, ("a", "a-2")) == "a"}
    assert 0 < len(own) < len(cameras)
    async with AsyncExitStack() as house:
        async with saying(sockets["a"], status("a")), saying(sockets["a-2"], status("a-2")):
            listening = spawn("listen", watch.listen())
            house.push_async_callback(cancel, listening)
            await until(watch.complete)
            assert all(watch.reaches(camera) for camera in cameras)
        clock.advance(GONE_US / SECOND + 1)
        assert watch.latest() is None
        async with saying(sockets["a"], status("a", 6)):
            await until(lambda: heard_as_time_passes(clock, watch))
            assert not watch.complete()
            assert {camera for camera in cameras if watch.reaches(camera)} == own
            told = watch.latest()
            assert told is not None
            assert told.mono_us == 6
