"""A whole box with retention.immutable_holds: a live recorder beside it, a killed controller, a release (I2)."""

import signal
from pathlib import Path

from edged.base.immutable import is_immutable, set_immutable
from simulators.fleet import Fleet
from tests.box import until
from tests.disks.conftest import need_immutable
from tests.disks.loop import LoopDisk
from tests.disks.site import COMMON, DiskBox, check_disks_and_index
from tests.sim_viewer import fresh_subnet


def held_as(box: DiskBox) -> str | None:
    return str(box.ask("/v1/holds").get("holds", [{"evidence": None}])[0]["evidence"])


async def test_i2_held_files_are_immutable_through_a_kill_until_they_are_released(
    disk: LoopDisk, tmp_path: Path
) -> None:
    need_immutable(disk.path / "lost+found")
    async with Fleet(cameras=1, gop=25, bitrate="256k", onvif=False, subnet=fresh_subnet()) as fleet:
        [camera] = fleet.cameras
        with DiskBox(tmp_path, [(camera, "v1", 5)]) as box:
            text = box.config.read_text()
            box.config.write_text(text.replace(COMMON, f"{COMMON}immutable_holds = true\n"))
            try:
                box.start()
                await until(lambda: box.sealed(), "a segment is sealed")
                await box.hold(camera.name)
                await until(lambda: held_as(box) == "immutable", "what is held is immutable")
                before = box.held_files()
                assert before
                assert all(is_immutable(file) for file in before)
                assert "immutable" in box.told_to_people("holds")
                box.end(signal.SIGKILL)
                box.start()
                await until(lambda: len(box.held_files()) > len(before), "what came later is held too")
                await until(lambda: all(is_immutable(file) for file in box.held_files()), "and immutable as well")
                for person in ("first officer", "second officer"):
                    await box.operator("holds", "release", "hold-1", "--by", person)
                await until(lambda: not (box.volume / "held" / "hold-1").exists(), "the hold has left the disk")
                assert not [file for file in box.volume.rglob("*.mp4") if is_immutable(file)]
                assert box.end() == 0
                check_disks_and_index(box, [])
            finally:
                for file in box.volume.rglob("*.mp4"):
                    set_immutable(file, False)
