"""The processes are really killed: what was recorded stays whole, and the index finds it again (I6, I7)."""

import itertools
import os
import signal
from pathlib import Path

import pytest

from simulators.fleet import Fleet
from simulators.judge import check_gapless, decode_all
from tests.box import Box, until
from tests.sim_viewer import fresh_subnet

CAMERAS = 4
DISCOVERY = """
[discovery]
interfaces = ["lo"]
probe = {addresses}
every = "2s"
adopt = "auto"
login = {{ username = "admin", password = "secret" }}
"""


def discovery_of(fleet: Fleet) -> str:
    """Asks the fleet's own cameras alone: other fleets may be on the loopback interface too."""
    addresses = [str(camera.onvif_url).split("/")[2] for camera in fleet.cameras]
    return DISCOVERY.format(addresses=addresses).replace('interfaces = ["lo"]\n', "").replace("'", '"')


def sealed_of_each(box: Box, least: int) -> bool:
    counts: dict[str, int] = {}
    for fact in box.sealed():
        counts[fact.camera] = counts.get(fact.camera, 0) + 1
    return len(counts) == CAMERAS and min(counts.values()) >= least


def check_index_equals_disk(box: Box) -> None:
    """I7, after an orderly end: rows, journal and files name the same segments, and no part file is left."""
    journal = {(fact.camera, fact.start_us, fact.run, fact.seq) for fact in box.sealed()}
    assert box.indexed() == journal
    assert len(box.files()) == len(journal)
    assert not list(box.volume.glob("segments/*/*/*.part"))


async def test_i6_i7_a_killed_controller_costs_no_frame_and_its_successor_indexes_everything(tmp_path: Path) -> None:
    async with Fleet(cameras=CAMERAS, gop=25, subnet=fresh_subnet()) as fleet:
        with Box(tmp_path, discovery_of(fleet)) as box:
            box.start()
            await until(lambda: len(box.recording()) == CAMERAS, "all cameras are recorded")
            recorder = box.recorder_pid()
            assert recorder is not None
            box.end(signal.SIGKILL)
            before = len(box.sealed())
            await until(lambda: len(box.sealed()) >= before + CAMERAS, "recording goes on without a controller")
            assert box.recorder_pid() == recorder
            box.start()
            await until(lambda: len(box.recording()) == CAMERAS, "the successor sees all cameras recorded")
            assert box.recorder_pid() == recorder, "the recorder was taken over, not replaced"
            after = len(box.sealed())
            await until(lambda: len(box.sealed()) >= after + CAMERAS, "and segments go on being sealed")
            assert box.end() == 0
            assert box.recorder_pid() is None
            check_index_equals_disk(box)
            frames = box.frames()
            assert set(frames) == {1, 2, 3, 4}
            for number, camera in enumerate(fleet.cameras, start=1):
                report = check_gapless(frames[number])
                assert report.ok, f"camera {number}: {report}"
                [session] = camera.stats()["sessions"]
                assert (report.first, report.last) == (session["first"], session["last"])


async def test_i7_a_killed_recorder_is_started_again_and_loses_at_most_its_open_fragment(tmp_path: Path) -> None:
    async with Fleet(cameras=CAMERAS, gop=25, subnet=fresh_subnet()) as fleet:
        with Box(tmp_path, discovery_of(fleet)) as box:
            box.start()
            await until(lambda: sealed_of_each(box, 1), "a segment of each camera is sealed")
            recorder = box.recorder_pid()
            assert recorder is not None
            parts = await until(
                lambda: [p for p in box.volume.glob("segments/*/*/*.part") if p.stat().st_size > 50_000],
                "a segment is open with something in it",
            )
            assert parts
            os.kill(recorder, signal.SIGKILL)
            await until(lambda: box.recorder_pid() not in (None, recorder), "a new recorder is started")
            await until(lambda: any(fact.recovered for fact in box.sealed()), "the open segment is recovered")
            await until(lambda: sealed_of_each(box, 3), "and recording goes on")
            assert box.end() == 0
            check_index_equals_disk(box)
            for file in box.files():
                assert decode_all(file) > 0
            for number, frames in box.frames().items():
                report = check_gapless(frames)
                assert not report.doubled, f"camera {number}"
                assert not report.reordered, f"camera {number}"
                # One hole at most, where the recorder was dead: within a segment nothing is missing.
                holes = [b.counter for a, b in itertools.pairwise(frames) if b.counter != a.counter + 1]
                assert len(holes) <= 1, f"camera {number}: {holes}"
    assert fleet.cameras


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_orderly_end_seals_everything_and_gives_exit_code_0(tmp_path: Path, number: signal.Signals) -> None:
    async with Fleet(cameras=1, gop=25, subnet=fresh_subnet()) as fleet:
        with Box(tmp_path, discovery_of(fleet)) as box:
            box.start()
            await until(lambda: len(box.recording()) == 1, "the camera is recorded")
            assert box.end(number) == 0
            assert box.recorder_pid() is None
            check_index_equals_disk(box)
            [session] = fleet.cameras[0].stats()["sessions"]
            report = check_gapless(box.frames()[1])
            assert report.ok
            assert report.frames == session["frames"], "every frame sent before the TEARDOWN was answered is stored"
