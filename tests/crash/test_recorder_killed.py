"""The recorder killed in the middle of recording: what it leaves, and what its successor makes of it (I7)."""

import asyncio
import signal
from pathlib import Path

from edged.model import RecorderStart, RecorderStop, StreamDown
from simulators.camera import Camera
from simulators.fleet import Fleet
from simulators.judge import check_gapless, decode_all, read_frames
from tests.recorder_kit import Site, stream_of, until
from tests.sim_viewer import fresh_subnet

SECOND = 1_000_000
CAMERAS = 3
FRAME_MS = 40
# An open fragment of 2 s, what has not been read from the socket for a tick, and a fragment on its way to the disk.
LIMIT_MS = 3000


def check(site: Site) -> None:
    """Journal == files, every file decodes, and within each run no frame is missing."""
    files = site.files()
    segments = site.segments()
    assert sorted(files) == sorted((one.camera, one.run, one.seq) for one in segments)
    for key, path in files.items():
        frames = read_frames(path)
        assert check_gapless(frames).ok, key
        assert decode_all(path) == len(frames)


async def test_i7_a_killed_recorders_open_segments_are_recovered_to_the_last_fragment(tmp_path: Path) -> None:
    site = Site(tmp_path, segment_seconds=5.0)
    async with Fleet(cameras=CAMERAS, onvif=False, multicast=False, subnet=fresh_subnet(), gop=25) as fleet:
        for camera in fleet.cameras:
            site.record(camera.name, camera.rtsp_url)
        site.assign()
        promised: dict[str, int] = {}
        for _ in range(3):
            async with site.recorder_process() as process:
                before = len(site.segments())
                await until(lambda: len(site.segments()) > before, 30)  # noqa: B023 - used up within the turn
                status = await site.status(lambda status: all(one.committed_us for one in status.streams))
                promised = {camera.name: stream_of(status, camera.name).committed_us or 0 for camera in fleet.cameras}
                process.send_signal(signal.SIGKILL)
                await process.wait()
            assert len(site.files(part=True)) >= 1
        async with site.recorder_process() as process:
            await site.status(lambda status: all(one.committed_us for one in status.streams))
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(6):
                assert await process.wait() == 0
        assert site.files(part=True) == {}
    check(site)
    runs = [fact.run for fact in site.facts() if isinstance(fact, RecorderStart)]
    assert len(set(runs)) == 4
    assert sum(isinstance(fact, RecorderStop) for fact in site.facts()) == 1
    recovered = [one for one in site.segments() if one.recovered]
    assert {one.camera for one in recovered} == {camera.name for camera in fleet.cameras}
    for camera in fleet.cameras:
        last = max(one.end_us for one in recovered if one.camera == camera.name)
        assert last >= promised[camera.name], "what the status called committed is there after the kill"
        for run in runs:
            own = [one for one in site.segments(camera=camera.name) if run <= one.run < run + 16]
            frames = [frame for one in own for frame in read_frames(site.files()[one.camera, one.run, one.seq])]
            assert check_gapless(frames).ok, "gapless up to the last fragment"
    lost = sorted(ms for camera in fleet.cameras for ms in lost_ms(site, camera))
    print("lost by each kill, in ms:", lost)
    assert len(lost) == 3 * CAMERAS
    assert lost[-1] <= LIMIT_MS


def lost_ms(site: Site, camera: Camera) -> list[int]:
    """For each session but the last, which ended in order: what the camera had sent when it broke and no file has."""
    stored = {
        frame.counter
        for one in site.segments(camera=camera.name)
        for frame in read_frames(site.files()[one.camera, one.run, one.seq])
    }
    ends = [session["last"] for session in camera.stats()["sessions"][:-1]]
    return [(end - max(counter for counter in stored if counter <= end)) * FRAME_MS for end in ends]


async def test_i7_an_orderly_end_leaves_nothing_to_recover(tmp_path: Path) -> None:
    site = Site(tmp_path)
    async with Fleet(cameras=CAMERAS, onvif=False, multicast=False, subnet=fresh_subnet(), gop=25) as fleet:
        for camera in fleet.cameras:
            site.record(camera.name, camera.rtsp_url)
        site.assign()
        async with site.recorder_process() as process:
            await site.status(
                lambda status: len(status.streams) == CAMERAS and all(one.committed_us for one in status.streams)
            )
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(6):
                assert await process.wait() == 0
        assert all(one["sessions_open"] == 0 for one in fleet.stats()["cameras"])
    assert site.files(part=True) == {}
    assert not any(one.recovered for one in site.segments())
    assert sum(isinstance(fact, StreamDown) for fact in site.facts()) == CAMERAS
    check(site)
