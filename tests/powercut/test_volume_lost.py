"""A real disk that turns read-only or is taken out while it is recorded to, and what happens when it is back (I4).

Its cameras go on on another volume in the sessions they have; what was open is the gap, and no more than that. What
had reached the lost disk is found on it when it returns, by recovery.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edged.base.clock import SECOND
from edged.model import RecorderStatus
from simulators.fleet import Fleet
from tests.powercut.test_volumes import (
    GOP_US,
    OPEN_US,
    SICK,
    WELL,
    all_committed,
    assign,
    check_gaps_tell_what_is_missing,
    check_whole,
    until_sealed,
    volume_of,
)
from tests.recorder_kit import Site, until
from tests.sim_viewer import fresh_subnet

MIB = 1 << 20


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)


class Ext4:
    """A disk of its own kind: an ext4 file system in a file, mounted at `path`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.image, self.path = folder / f"{name}.img", folder / name
        self.path.mkdir()
        with self.image.open("wb") as file:
            file.truncate(96 * MIB)
        run("mkfs.ext4", "-q", "-E", "root_owner", self.image)

    def mount(self, at: Path | None = None) -> None:
        run("mount", "-o", "loop", self.image, at or self.path)

    def pull_out(self) -> None:
        """Gone from the tree, whoever still has files open on it."""
        run("umount", "--lazy", self.path)

    def turn_read_only(self) -> None:
        """As ext4 does by itself when it meets an error that it cannot mend."""
        subprocess.run(["mount", "-o", "remount,abort", self.path], check=False, capture_output=True)

    def unmounted(self) -> bool:
        """Unmount in order; False while the recorder is just trying it again."""
        return subprocess.run(["umount", self.path], check=False, capture_output=True).returncode == 0

    def put_right(self) -> None:
        """As an operator would, who has unmounted it: check and mount again."""
        subprocess.run(["e2fsck", "-fy", self.image], check=False, capture_output=True)
        self.mount()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Ext4]:
    if os.geteuid() != 0 or not os.path.exists("/dev/loop-control") or shutil.which("mkfs.ext4") is None:
        pytest.skip("loop devices need root, a kernel that has them, and e2fsprogs")
    disk = Ext4(tmp_path, "sick")
    try:
        disk.mount()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"loop devices cannot be mounted here: {error.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk.path], check=False, capture_output=True)


@pytest.fixture
def site(tmp_path: Path, disk: Ext4) -> Site:
    site = Site(tmp_path, volumes=())
    site.add_volume(SICK, disk.path)
    site.add_volume(WELL, tmp_path / WELL)
    run("sync", "--file-system", disk.path)
    return site


def sick_is(ok: bool) -> Callable[[RecorderStatus], bool]:
    return lambda status: bool(status.volumes) and volume_of(status).ok is ok


async def test_i4_a_disk_that_turns_read_only_is_left_and_taken_up_again(site: Site, disk: Ext4) -> None:
    async with Fleet(cameras=3, gop=25, bitrate="500k", onvif=False, subnet=fresh_subnet()) as fleet:
        sick, well = assign(site, fleet, 2)
        async with site.recorder_process() as process:
            await site.status(all_committed)
            await until_sealed(site, SICK, 2)
            disk.turn_read_only()
            await site.status(sick_is(False))
            await until(lambda: all(len(site.segments(WELL, camera.name)) >= 2 for camera in sick), 30)
            await until(disk.unmounted)
            disk.put_right()
            await until_sealed(site, SICK, 4)
            process.terminate()
            assert await process.wait() == 0
        check_whole(site, well)
        for camera in sick:
            [session] = camera.stats()["sessions"]
            assert session["ended_by"] == "teardown"
            gaps = check_gaps_tell_what_is_missing(site, camera)
            # What the kernel had not written when the file system gave up is lost with it: one interval of syncs more.
            assert sum(gaps) < OPEN_US + GOP_US + 2 * site.sync_seconds * SECOND


async def test_i4_a_disk_that_is_taken_out_costs_what_was_open_and_the_wrong_one_is_not_written_to(
    site: Site, disk: Ext4, tmp_path: Path
) -> None:
    other = Ext4(tmp_path, "other")
    other.mount()
    (other.path / "VOLUME.json").write_text('{"v":1,"volume":"v1","uuid":"uuid-of-another"}')
    run("umount", other.path)
    async with Fleet(cameras=3, gop=25, bitrate="500k", onvif=False, subnet=fresh_subnet()) as fleet:
        sick, well = assign(site, fleet, 2)
        async with site.recorder_process() as process:
            await site.status(all_committed)
            await until_sealed(site, SICK, 2)
            disk.pull_out()
            status = await site.status(sick_is(False))
            assert "taken out" in volume_of(status).reason or "not mounted" in volume_of(status).reason
            assert list(disk.path.iterdir()) == [], "nothing is written to the folder that was left behind"
            await until(lambda: all(len(site.segments(WELL, camera.name)) >= 2 for camera in sick), 30)
            other.mount(disk.path)
            await site.status(lambda status: "swapped" in volume_of(status).reason)
            run("umount", disk.path)
            disk.mount()
            await site.status(sick_is(True), 30)
            await until_sealed(site, SICK, 4)
            process.terminate()
            assert await process.wait() == 0
        check_whole(site, well)
        for camera in sick:
            [session] = camera.stats()["sessions"]
            assert session["ended_by"] == "teardown"
            gaps = check_gaps_tell_what_is_missing(site, camera)
            assert sum(gaps) < OPEN_US + GOP_US
    other.mount(other.path)
    assert sorted(entry.name for entry in other.path.iterdir()) == ["VOLUME.json", "lost+found"]
    run("umount", other.path)
