"""I7: the power of a whole box is cut, controller and recorder, index and volume on the one disk.

EDGED_POWER_CUTS sets how many cuts (default 6, of which half here), EDGED_POWER_SEED which ones.
"""

import contextlib
import os
import random
import signal
from pathlib import Path

import pytest

from simulators.fleet import Fleet
from tests.box import Box, until
from tests.powercut.aftermath import (
    check_disk_is_journalled,
    check_index_is_true,
    check_journal_is_true,
    check_losses,
    frames_by_camera,
    sessions_began,
)
from tests.powercut.powered import PoweredDisk, missing
from tests.sim_viewer import fresh_subnet

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"no file system to cut the power of: {missing()}")
CUTS = (int(os.environ.get("EDGED_POWER_CUTS", "6")) + 1) // 2
SEED = int(os.environ.get("EDGED_POWER_SEED", "1"))
CAMERAS = 2
LIMIT_US = 2_200_000  # two seconds, and the interval of the syncs that tests.box configures
DISCOVERY = """
[discovery]
probe = {addresses}
every = "2s"
adopt = "auto"
login = {{ username = "admin", password = "secret" }}
"""


class CutBox(Box):
    """A box whose volume and state lie on `disk`; what a test reads of it lies beside."""

    def __init__(self, folder: Path, disk: Path, extra: str) -> None:
        super().__init__(folder, extra)
        text = self.config.read_text()
        for name in ("state", "v1"):
            text = text.replace(f'"{folder}/{name}"', f'"{disk}/{name}"')
        self.config.write_text(text)
        self.state, self.volume = disk / "state", disk / "v1"
        for made in (self.state, self.volume):
            made.mkdir()

    async def kill(self) -> None:
        """End both processes as a power cut does."""
        recorder = self.recorder_pid()
        self.end(signal.SIGKILL)
        if recorder is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(recorder, signal.SIGKILL)
        await until(lambda: self.recorder_pid() is None, "the recorder is dead")


async def test_i7_after_a_power_cut_the_index_equals_the_disk(tmp_path: Path) -> None:
    draw = random.Random(SEED)
    cuts_us: list[int] = []
    async with Fleet(cameras=CAMERAS, gop=25, bitrate="500k", subnet=fresh_subnet()) as fleet:
        addresses = str([(camera.onvif_url or "").split("/")[2] for camera in fleet.cameras]).replace("'", '"')
        with (
            PoweredDisk(tmp_path) as disk,
            CutBox(tmp_path / "box", disk.path, DISCOVERY.format(addresses=addresses)) as box,
        ):
            disk.switch_off()  # a box that was set up the day before
            disk.switch_on()
            for number in range(CUTS):
                box.start()
                before = len(box.sealed())
                await until(lambda: len(box.recording()) == CAMERAS, "all cameras are recorded", 60)
                await until(lambda: len(box.sealed()) >= before + CAMERAS, "segments are sealed")  # noqa: B023
                seed = draw.choice([None, draw.getrandbits(32)])
                disk.cut_after(draw.randint(1, 300), seed)
                await until(disk.is_cut, "the power is cut", 60)
                await box.kill()
                cuts_us.append(disk.cut_us())
                disk.after_cut()
                lines = check_journal_is_true(box.volume)
                rows = check_index_is_true(box.state, box.volume, tmp_path / "copy")
                print(f"cut {number + 1}: {lines} segments were journalled, {rows} indexed, seed {seed}")
            box.start()
            before = len(box.sealed())
            await until(lambda: len(box.recording()) == CAMERAS, "all cameras are recorded again", 60)
            await until(lambda: len(box.sealed()) >= before + 2 * CAMERAS, "and segments sealed")
            assert box.end() == 0
            assert box.recorder_pid() is None
            check_journal_is_true(box.volume)
            check_disk_is_journalled(box.volume)
            journalled = {(fact.camera, fact.start_us, fact.run, fact.seq) for fact in box.sealed()}
            assert box.indexed() == journalled
            assert check_index_is_true(box.state, box.volume, tmp_path / "copy") == len(journalled)
            frames = frames_by_camera(box.volume)
            assert set(frames) == set(range(1, CAMERAS + 1))
            lost = check_losses(frames, cuts_us, LIMIT_US, sessions_began(fleet))
            print("lost before each cut, in ms:", sorted(us // 1000 for us in lost))
