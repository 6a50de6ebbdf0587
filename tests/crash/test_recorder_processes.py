"""Recorder processes beside each other and after each other, under a real controller (I4, I6)."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from edged import __version__
from edged.app.dealing import process_ids, process_of
from edged.base.clock import SECOND
from edged.base.spans import Span, union
from edged.record.lock import running_pid
from edged.record.status import follow_status, status_socket_path
from simulators.fleet import Fleet
from simulators.judge import check_gapless
from tests.box import Box, until
from tests.sim_viewer import fresh_subnet

CAMERAS = 6
OLD_VERSION = """
import sys, edged
edged.__version__ = "0.0.9"
from edged.cli import main
sys.exit(main(sys.argv[1:]))
"""


def static_cameras(fleet: Fleet) -> str:
    return "".join(
        f'[[camera]]\nid = "{camera.name}"\nurl = "{camera.rtsp_url}"\n'
        'login = { username = "admin", password = "secret" }\n'
        for camera in fleet.cameras
    )


def configure(box: Box, processes: int) -> None:
    lines = [line for line in box.config.read_text().splitlines() if not line.startswith("processes = ")]
    lines.insert(lines.index("[recorder]") + 1, f"processes = {processes}")
    box.config.write_text("\n".join(lines) + "\n")


def assigned(box: Box) -> dict[str, set[str]]:
    """The cameras each recorder process is to record."""
    told = {}
    for path in box.state.glob("assignment-*.json"):
        assignment = json.loads(path.read_bytes())
        told[assignment["recorder"]] = {stream["camera"] for stream in assignment["streams"]}
    return told


def check_streams(fleet: Fleet, box: Box, moved: set[str]) -> None:
    """Every frame of every session is on disk, once; of a camera that `moved`, both processes may have had a few."""
    for number, frames in box.frames().items():
        report = check_gapless(frames)
        camera = fleet.cameras[number - 1]
        sent = sum(session["frames"] for session in camera.stats()["sessions"])
        assert camera.name in moved or not report.doubled, f"camera {number}"
        assert report.frames == sent, f"camera {number}: {report.frames} of {sent}"


async def test_i6_one_process_dies_and_only_its_own_cameras_feel_it(tmp_path: Path) -> None:
    async with Fleet(cameras=CAMERAS, gop=25, subnet=fresh_subnet(), onvif=False) as fleet:
        with Box(tmp_path, static_cameras(fleet)) as box:
            configure(box, 3)
            box.start()
            await until(lambda: len(box.recording()) == CAMERAS, "all cameras are recorded")
            dealt = assigned(box)
            ids = process_ids("box", 3)
            assert dealt == {one: {c.name for c in fleet.cameras if process_of(c.name, ids) == one} for one in ids}
            pids = box.recorder_pids()
            assert set(pids) == set(ids)
            victim = max(ids, key=lambda one: len(dealt[one]))
            os.kill(pids[victim], signal.SIGKILL)
            await until(lambda: box.recorder_pids().get(victim) not in (None, pids[victim]), "it is started again")
            await until(lambda: len(box.recording()) == CAMERAS, "all cameras are recorded again")
            before = len(box.sealed())
            await until(lambda: len(box.sealed()) >= before + CAMERAS, "segments are sealed")
            assert not box.edged("outages")["outages"], "nothing was lost for long enough"
            assert box.end() == 0
            assert not box.recorder_pids()
            for camera in fleet.cameras:
                sessions = 2 if camera.name in dealt[victim] else 1
                assert len(camera.stats()["sessions"]) == sessions, camera.name
            assert box.indexed() == {(fact.camera, fact.start_us, fact.run, fact.seq) for fact in box.sealed()}
            for number, frames in box.frames().items():
                report = check_gapless(frames)
                assert not report.doubled
                assert report.ok or f"cam-{number}" in dealt[victim], f"camera {number}: {report}"


async def test_changing_the_number_of_processes_moves_no_more_cameras_than_it_must(tmp_path: Path) -> None:
    async with Fleet(cameras=CAMERAS, gop=25, subnet=fresh_subnet(), onvif=False) as fleet:
        with Box(tmp_path, static_cameras(fleet)) as box:
            box.start()
            await until(lambda: len(box.recording()) == CAMERAS, "one process records all cameras")
            [first] = box.recorder_pids().values()
            box.end(signal.SIGKILL)
            configure(box, 2)
            box.start()
            await until(lambda: assigned(box).get("box-2"), "a second process has cameras")
            moved = assigned(box)["box-2"]
            await until(lambda: len(box.recording()) == CAMERAS, "two processes record all cameras")
            assert box.recorder_pids()["box"] == first
            box.end(signal.SIGKILL)
            configure(box, 1)
            box.start()
            await until(lambda: set(box.recorder_pids()) == {"box"}, "the second process is ended")
            await until(lambda: len(box.recording()) == CAMERAS, "one process records all cameras again")
            assert assigned(box) == {"box": {camera.name for camera in fleet.cameras}, "box-2": set()}
            assert box.recorder_pids()["box"] == first
            assert box.end() == 0
            assert moved, "a second process that records nothing proves nothing"
            for camera in fleet.cameras:
                assert len(camera.stats()["sessions"]) == (3 if camera.name in moved else 1), camera.name
            check_streams(fleet, box, moved)


async def test_i4_a_controller_has_a_recorder_of_another_version_succeeded(tmp_path: Path) -> None:
    """I4: an upgrade costs no frame where cameras allow a second session."""
    async with Fleet(cameras=CAMERAS, gop=50, subnet=fresh_subnet(), onvif=False) as fleet:
        with Box(tmp_path, static_cameras(fleet)) as box:
            box.start()
            await until(lambda: assigned(box).get("box"), "the assignment is written")
            assert box.end() == 0
            start = {camera.name: len(camera.stats()["sessions"]) for camera in fleet.cameras}
            known = len(box.files())
            options = ("--id", "box", "--state-dir", str(box.state), "--runtime-dir", str(box.run_dir))
            old = subprocess.Popen([sys.executable, "-c", OLD_VERSION, "recorder", *options])
            try:
                await until(lambda: len(box.files()) >= known + CAMERAS, "the old version records")
                box.start()
                assert await asyncio.to_thread(old.wait, 60) == 0
            finally:
                old.kill()
                old.wait()
            await until(lambda: len(box.recording()) == CAMERAS, "the new version records all cameras")
            async for status in follow_status(status_socket_path(box.run_dir, "box")):
                assert status.version == __version__
                break
            before = len(box.sealed())
            await until(lambda: len(box.sealed()) >= before + CAMERAS, "segments are sealed")
            assert not box.edged("outages")["outages"]
            assert box.end() == 0
            assert box.indexed() == {(fact.camera, fact.start_us, fact.run, fact.seq) for fact in box.sealed()}
            for number, frames in box.frames().items():
                camera = fleet.cameras[number - 1]
                sessions = camera.stats()["sessions"][start[camera.name] :]
                assert len(sessions) == 2, camera.name
                present = {frame.counter for frame in frames}
                missing = set(range(sessions[0]["first"], sessions[1]["last"] + 1)) - present
                assert not missing, f"{camera.name}: {sorted(missing)}"
                spans = union(
                    Span(fact.start_us, fact.end_us)
                    for fact in box.sealed()
                    if fact.camera == camera.name and fact.end_us > sessions[0]["started_us"] + SECOND
                )
                assert not [b.start_us - a.end_us for a, b in pairwise(spans)], "the index shows no gap"


async def test_i6_a_controller_that_crashes_leaves_its_recorder_alone(tmp_path: Path) -> None:
    """Not killed from outside, but ended by a defect: even then nothing on its way out may end its child."""
    crashing = """
import asyncio, sys
from pathlib import Path
from edged.app.child import children
from edged.base.clock import SystemClock
from edged.config import load_config
from edged.record.lock import running_pid

async def controller():
    config = load_config(Path(sys.argv[1]))
    [child] = children(config, SystemClock(), "info", lambda _: None)
    async with asyncio.TaskGroup() as tree:
        tree.create_task(child.run())
        while running_pid(config.recorder.state_dir, "box") is None:
            await asyncio.sleep(0.05)
        raise RuntimeError("a defect")

asyncio.run(controller())
"""
    with Box(tmp_path, '[[camera]]\nid = "c1"\nurl = "rtsp://127.0.0.1:9/none"\n') as box:
        with (tmp_path / "said").open("wb") as said:  # a file, because the recorder inherits it
            command = [sys.executable, "-c", crashing, str(box.config)]
            assert subprocess.run(command, stdout=said, stderr=said, timeout=60, check=False).returncode == 1
        assert "a defect" in (tmp_path / "said").read_text()
        pid = running_pid(box.state, "box")
        assert pid is not None
        async for status in follow_status(status_socket_path(box.run_dir, "box")):
            assert status.pid == pid
            break
