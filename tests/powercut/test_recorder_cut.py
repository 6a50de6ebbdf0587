"""I7: the power of a recording recorder is cut, at random instants and at single steps, and nothing promised is lost.

EDGED_POWER_CUTS sets how many cuts (default 6), EDGED_POWER_SEED which ones.
"""

import os
import random
from pathlib import Path

import pytest

from simulators.fleet import Fleet
from tests.powercut.aftermath import (
    SECOND,
    check_disk_is_journalled,
    check_journal_is_true,
    check_losses,
    frames_by_camera,
    sessions_began,
)
from tests.powercut.powered import PoweredDisk, missing
from tests.recorder_kit import Site, until
from tests.sim_viewer import fresh_subnet

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"no file system to cut the power of: {missing()}")
CUTS = int(os.environ.get("EDGED_POWER_CUTS", "6"))
SEED = int(os.environ.get("EDGED_POWER_SEED", "1"))
CAMERAS = 3
LIMIT_US = 2 * SECOND  # DESIGN.md: what a power cut may cost each stream, beside the interval of the syncs


async def test_i7_a_power_cut_costs_no_more_than_two_seconds_and_the_interval_of_the_syncs(tmp_path: Path) -> None:
    draw = random.Random(SEED)
    cuts_us: list[int] = []
    runtime = tmp_path / "run"
    async with Fleet(cameras=CAMERAS, gop=25, bitrate="500k", onvif=False, subnet=fresh_subnet()) as fleet:
        with PoweredDisk(tmp_path) as disk:
            # Segments far longer than the limit: what survives of an open one is what was synced on the way.
            site = Site(disk.path, segment_seconds=7.0)
            site.runtime = runtime
            runtime.mkdir()
            for number, camera in enumerate(fleet.cameras, start=1):
                site.record(f"c{number}", camera.rtsp_url)
            site.assign()
            disk.switch_off()  # a box that was set up the day before
            disk.switch_on()
            for number in range(CUTS):
                async with site.recorder_process() as process:
                    began = frozenset(site.files(part=True).values())
                    await until(lambda: recorded_anew(site, began), 30)  # noqa: B023 - used up within the turn
                    seed = draw.choice([None, draw.getrandbits(32)])
                    if draw.random() < 0.5:
                        disk.cut_after(draw.randint(1, 100), seed)
                    else:
                        now = int(disk.tell("state")["steps"])
                        wait_for = now + draw.randint(1, 100)
                        await until(lambda: int(disk.tell("state")["steps"]) >= wait_for, 60)  # noqa: B023
                        disk.cut(seed)
                    await until(disk.is_cut, 60)
                    process.kill()
                    await process.wait()
                cuts_us.append(disk.cut_us())
                disk.after_cut()
                kept = check_journal_is_true(site.path())
                print(f"cut {number + 1}: {kept} segments were journalled, seed {seed}")
            async with site.recorder_process() as process:
                began = frozenset(site.files(part=True).values())
                await until(lambda: recorded_anew(site, began), 30)
                await until(lambda: not began & set(site.files(part=True).values()), 30)  # all of them recovered
                process.terminate()
                assert await process.wait() == 0
            check_journal_is_true(site.path())
            check_disk_is_journalled(site.path())
            frames = frames_by_camera(site.path())
            assert set(frames) == set(range(1, CAMERAS + 1))
            lost = check_losses(frames, cuts_us, LIMIT_US + round(site.sync_seconds * SECOND), sessions_began(fleet))
            print("lost before each cut, in ms:", sorted(us // 1000 for us in lost))
    assert any(lost), "a cut that costs nothing at all was none"


def recorded_anew(site: Site, before: frozenset[Path]) -> bool:
    """Each camera has a segment open that was not open `before`, with footage of two seconds in it."""
    open_now = {key[0]: path for key, path in site.files(part=True).items() if path not in before}
    return len(open_now) == len(site.streams) and all(size_of(path) > 130_000 for path in open_now.values())


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
