"""A disk full of footage that must be kept: the least important cameras stop, and go on by themselves."""

import asyncio
import signal
from pathlib import Path

from simulators.fleet import Fleet
from tests.box import until
from tests.disks.loop import LoopDisk
from tests.disks.site import RESERVE, DiskBox, check_disks_and_index, check_whole, names_of
from tests.sim_viewer import fresh_subnet


async def test_i1_i4_a_full_disk_stops_the_least_important_cameras_and_lets_them_go_on(
    disk: LoopDisk, tmp_path: Path
) -> None:
    """LAW 12.11: everything on the disk is below its floor, so the newest is what is lost; and a fault is opened."""
    async with Fleet(cameras=3, gop=25, bitrate="256k", onvif=False, subnet=fresh_subnet()) as fleet:
        gate, hall, roof = fleet.cameras
        with DiskBox(tmp_path, [(gate, "v1", 9), (hall, "v1", 5), (roof, "v1", 1)]) as box:
            box.start()
            await until(lambda: box.recorded() == names_of(fleet), "all cameras are recorded")
            await until(lambda: len(box.sealed()) >= 3, "segments are sealed")
            before = box.sealed()
            # All three write alike, so with less than two thirds of what may be shared out two are recorded.
            disk.fill(leave=RESERVE // 8 + (RESERVE // 2 - RESERVE // 8) * 6 // 10)
            await until(lambda: box.recorded() == {gate.name, hall.name}, "the least important camera stops")
            health = box.health()
            assert "disk_full" in health["problems"]
            assert "full, 1 camera stopped" in await asyncio.to_thread(box.told_to_people, "status")
            assert box.metric("edged_volume_cameras_stopped") == 1
            [stopped] = await until(lambda: box.ledger("camera_stopped"), "the ledger says so")
            assert (stopped["body"]["camera"], stopped["body"]["because"]) == (roof.name, "space")
            await until(lambda: box.outage_of(roof.name), "an outage is opened, for somebody has to be told")
            assert box.outage_of(roof.name)["cause"] == "disk", "and it does not accuse the camera"
            assert box.state_of(roof.name) == ("down", "disk")
            # It survives the controller, which comes back to a disk as full as it was.
            box.end(signal.SIGKILL)
            box.start()
            await until(lambda: box.recorded() == {gate.name, hall.name}, "two cameras are recorded as before")
            assert box.volume_health()["cameras_stopped"] == 1
            disk.free_up()
            await until(lambda: box.recorded() == names_of(fleet), "all cameras are recorded again")
            await until(lambda: box.ledger("camera_resumed"), "the ledger says so")
            assert "disk_full" not in box.health()["problems"]
            sealed = len(box.sealed())
            await until(lambda: len(box.sealed()) >= sealed + 3, "and segments are sealed again")
            [gap] = await until(lambda: box.gaps(roof.name), "the stop is a gap")
            assert gap["cause"] == "disk"
            assert box.gaps(gate.name) == box.gaps(hall.name) == []
            assert box.end() == 0
            check_disks_and_index(box, before)
            check_whole(box, gate, "v1")
            check_whole(box, hall, "v1")
            assert len(roof.stats()["sessions"]) == 2


async def test_i1_i4_the_cameras_of_a_disk_filled_to_the_last_block_go_on_on_another(
    disk: LoopDisk, tmp_path: Path
) -> None:
    """Nobody stops while another volume has room, not even a camera that the configuration puts on the full one."""
    async with Fleet(cameras=3, gop=25, bitrate="1M", onvif=False, subnet=fresh_subnet()) as fleet:
        first, second, elsewhere = fleet.cameras
        places = [(first, "v1", 9), (second, "v1", 5), (elsewhere, "v2", 1)]
        with DiskBox(tmp_path, places, more_volumes={"v2": tmp_path / "v2"}) as box:
            box.start()
            await until(lambda: box.recorded() == names_of(fleet), "all cameras are recorded")
            await until(lambda: {one.camera for one in box.sealed()} == {first.name, second.name}, "and sealed")
            disk.fill()
            before = box.sealed()
            await until(lambda: "recorded elsewhere" in box.log(), "they are told to go")
            newest = {camera: box.newest(camera, "v2") for camera in (first, second)}
            await until(
                lambda: all(box.newest(camera, "v2") > newest[camera] + 50 for camera in newest), "and are stored there"
            )
            await until(lambda: box.recorded() == names_of(fleet), "all of them are recorded")
            assert box.volume_health()["cameras_stopped"] == 0
            assert box.ledger("camera_stopped") == []
            disk.free_up()
            await until(lambda: box.volume_health()["online"], "the disk is taken up again")
            await until(lambda: not list(disk.path.glob("segments/*/*/*.part")), "and what was open on it is sealed")
            for camera in (first, second):
                gaps = box.gaps(camera.name)
                assert {gap["cause"] for gap in gaps} <= {"disk", "planned"}, gaps
                assert sum(gap["seconds"] for gap in gaps) < 10
            assert box.gaps(elsewhere.name) == []
            assert box.end() == 0
            check_disks_and_index(box, before)
            check_whole(box, elsewhere, "v2")
