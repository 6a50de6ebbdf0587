"""A disk turns read-only, is pulled out, unmounted or swapped under load: it costs its own newest footage, and goes on.

Its cameras go on on the other disk meanwhile.

Each time the box has three cameras, two of them on the disk that suffers, and a hold over one of these.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from simulators.fleet import Fleet
from tests.box import until
from tests.disks.loop import LoopDisk
from tests.disks.site import DiskBox, all_held, check_disks_and_index, check_whole, names_of
from tests.sim_viewer import fresh_subnet


@asynccontextmanager
async def recording(folder: Path) -> AsyncIterator[tuple[DiskBox, Fleet]]:
    """All cameras are recorded, one is held, and the first sealed segments of it have their second names."""
    async with Fleet(cameras=3, gop=25, bitrate="1M", onvif=False, subnet=fresh_subnet()) as fleet:
        first, second, elsewhere = fleet.cameras
        places = [(first, "v1", 9), (second, "v1", 5), (elsewhere, "v2", 1)]
        with DiskBox(folder, places, more_volumes={"v2": folder / "v2"}) as box:
            box.start()
            await until(lambda: box.recorded() == names_of(fleet), "all cameras are recorded")
            await box.hold(first.name)
            await until(lambda: len(box.held_files()) >= 1, "what is held has its second name")
            await until(lambda: {one.camera for one in box.sealed()} >= {first.name, second.name}, "and all is sealed")
            yield box, fleet


async def went_on(box: DiskBox, fleet: Fleet, why: set[str]) -> None:
    """Recording resumed by itself, the gaps have their causes, nobody else was touched, and nothing has gone."""
    first, second, elsewhere = fleet.cameras
    await until(lambda: box.recorded() == names_of(fleet), "all cameras are recorded again", 60)
    newest = {camera: box.newest(camera) for camera in (first, second)}
    await until(lambda: all(box.newest(one) > newest[one] + 50 for one in newest), "and it comes to the disk", 60)
    for camera in (first, second):
        gaps = box.gaps(camera.name)
        assert {gap["cause"] for gap in gaps} <= why, f"{camera.name}: {gaps}"
        assert gaps, camera.name
    assert box.gaps(elsewhere.name) == []
    await until(lambda: all_held(box, first), "every held segment has its second name, the new ones too")
    assert box.controller is not None
    assert box.controller.poll() is None
    assert box.end() == 0
    check_whole(box, elsewhere, "v2")


def left(folder: Path, box: DiskBox, fleet: Fleet) -> Callable[[], bool]:
    """The disk has failed, and its cameras are recorded on the other one."""
    guests = [folder / "v2" / "segments" / camera.name for camera in fleet.cameras[:2]]
    return lambda: not box.volume_health()["online"] and all(any(guest.rglob("*.mp4")) for guest in guests)


async def test_i1_i2_i4_i7_a_disk_that_turns_read_only(disk: LoopDisk, tmp_path: Path) -> None:
    async with recording(tmp_path) as (box, fleet):
        before = box.sealed()
        disk.read_only()
        await until(left(tmp_path, box, fleet), "its cameras have left it")
        assert "volume_offline" in box.health()["problems"]
        assert box.sealed() == before, "what was sealed is still there to be read"
        await asyncio.to_thread(disk.unmount_soon)
        disk.mount()
        await went_on(box, fleet, {"disk"})
        check_disks_and_index(box, before)


@pytest.mark.parametrize("lazily", [False, True], ids=["pulled out", "unmounted"])
async def test_i1_i2_i4_i7_a_disk_that_goes_and_comes_back(disk: LoopDisk, tmp_path: Path, lazily: bool) -> None:
    """Pulled out, every call fails and what was not synced is lost; unmounted, an empty folder is there instead."""
    async with recording(tmp_path) as (box, fleet):
        before = box.sealed()
        if lazily:
            disk.unmount(lazily=True)
        else:
            disk.pull()
        await until(left(tmp_path, box, fleet), "its cameras have left it")
        if not lazily:
            await asyncio.to_thread(disk.unmount_soon)
        assert list(disk.path.iterdir()) == [], "nothing is written into the empty folder"
        await until(lambda: box.volume_health()["free_bytes"] is None, "that folder's own disk is not taken for it")
        disk.mount()
        await went_on(box, fleet, {"disk"})
        check_disks_and_index(box, before)


async def test_i1_i2_i4_a_disk_swapped_for_another_is_not_written_to(disk: LoopDisk, tmp_path: Path) -> None:
    async with recording(tmp_path) as (box, fleet):
        before = box.sealed()
        disk.unmount(lazily=True)
        await until(left(tmp_path, box, fleet), "its cameras have left it")
        with LoopDisk(tmp_path / "other", "v1") as other:
            (other.path / "VOLUME.json").write_text('{"uuid":"of-another-box","v":1,"volume":"v1"}\n')
            (other.path / "segments").mkdir()
            other.unmount()
            other.mount(at=disk.path)
            await until(lambda: "swapped" in box.volume_health()["reason"], "the wrong disk is found out")
            assert sorted(path.name for path in disk.path.iterdir()) == ["VOLUME.json", "lost+found", "segments"]
            assert list((disk.path / "segments").iterdir()) == []
        disk.mount()
        await went_on(box, fleet, {"disk"})
        check_disks_and_index(box, before)
