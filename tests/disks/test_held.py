"""A hold placed while its disk has no block free holds at once, and gets its second names when there is room (I2)."""

from pathlib import Path

from simulators.fleet import Fleet
from tests.box import until
from tests.disks.loop import LoopDisk
from tests.disks.site import DiskBox, all_held, check_disks_and_index
from tests.sim_viewer import fresh_subnet


async def test_i2_a_hold_on_a_full_disk(disk: LoopDisk, tmp_path: Path) -> None:
    async with Fleet(cameras=1, gop=25, bitrate="256k", onvif=False, subnet=fresh_subnet()) as fleet:
        [camera] = fleet.cameras
        with DiskBox(tmp_path, [(camera, "v1", 5)]) as box:
            box.start()
            await until(lambda: len(box.sealed()) >= 3, "segments are sealed")
            disk.fill()
            await until(lambda: box.volume_health()["cameras_stopped"] == 1, "nothing more is recorded")
            before = box.sealed()
            await box.hold(camera.name)
            [hold] = box.ask("/v1/holds")["holds"]
            await box.operator("cameras", "remove", camera.name, expect=(4,))  # refused: it is in force
            asked_us = box.health()["at_us"]
            await until(lambda: box.health()["at_us"] > asked_us + 3_000_000, "its links have been tried")
            assert not all_held(box, camera), "there is no room for them"
            disk.free_up()
            await until(lambda: all_held(box, camera), "every held segment has its second name")
            assert (box.volume / "held" / hold["id"] / "hold.json").exists()
            await until(lambda: len(box.sealed()) > len(before) + 1, "and recording goes on")
            await until(lambda: box.ask("/v1/ledger/verify").get("good"), "the copy of the ledger there is whole again")
            assert box.end() == 0
            check_disks_and_index(box, before)
            # What is signed and mirrored on the volume went on as well.
            assert {entry["kind"] for entry in box.ledger("hold_placed", "camera_stopped", "camera_resumed")} == {
                "hold_placed",
                "camera_stopped",
                "camera_resumed",
            }
