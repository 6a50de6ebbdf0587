"""A new assignment touches the streams it changes, and no other: sessions, files and counters of the rest go on."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edged.model import RecorderStatus, StreamState
from simulators.fleet import Fleet
from simulators.judge import check_gapless, read_frames
from tests.recorder_kit import Site, stream_of
from tests.sim_viewer import fresh_subnet

CAMERAS = 8
CHANGED = "cam-3"


def sessions(fleet: Fleet) -> dict[str, list[str]]:
    """The sessions each camera was asked for, in order."""
    return {camera.name: [one["session"] for one in camera.stats()["sessions"]] for camera in fleet.cameras}


def another_url(site: Site) -> None:
    url = site.streams[CHANGED].url
    site.streams[CHANGED] = replace(site.streams[CHANGED], url=url.replace("/main", "/sub"))


def with_audio(site: Site) -> None:
    site.streams[CHANGED] = replace(site.streams[CHANGED], audio=True)


def another_volume(site: Site) -> None:
    site.streams[CHANGED] = replace(site.streams[CHANGED], volume="v2")


def removed(site: Site) -> None:
    del site.streams[CHANGED]


def longer_segments(site: Site) -> None:
    site.segment_seconds = 3.0


def another_volume_more(site: Site) -> None:
    site.add_volume("v3", site.root / "v3")


@pytest.mark.parametrize(
    ("change", "begins_anew", "ends"),
    [
        pytest.param(another_url, True, False, id="url"),
        pytest.param(with_audio, True, False, id="audio"),
        pytest.param(another_volume, True, False, id="volume"),
        pytest.param(removed, False, True, id="removed"),
        pytest.param(longer_segments, False, False, id="segment length"),
        pytest.param(another_volume_more, False, False, id="a volume more"),
    ],
)
async def test_a_change_touches_one_camera_alone(
    tmp_path: Path, change: Callable[[Site], None], begins_anew: bool, ends: bool
) -> None:
    site = Site(tmp_path, volumes=("v1", "v2"))
    async with Fleet(cameras=CAMERAS, gop=25, subnet=fresh_subnet(), onvif=False) as fleet:
        for camera in fleet.cameras:
            site.record(camera.name, camera.rtsp_url)
        site.assign()
        async with site.recorder():
            await site.status(lambda status: streaming(status) == CAMERAS)
            before = sessions(fleet)
            change(site)
            site.assign()
            expected = CAMERAS - ends

            def applied(status: RecorderStatus) -> bool:
                if status.generation != site.generation or streaming(status) != expected:
                    return False
                return not begins_anew or stream_of(status, CHANGED).sessions == 2

            status = await site.status(applied)
            assert all(one.sessions == 1 for one in status.streams if one.camera != CHANGED)
            frames = {one.camera: one.frames for one in status.streams}
            await site.status(lambda status: all(one.frames > frames[one.camera] + 25 for one in status.streams))
            after = sessions(fleet)
        for camera in fleet.cameras:
            if camera.name != CHANGED:
                assert after[camera.name] == before[camera.name], camera.name
        assert len(after[CHANGED]) == (2 if begins_anew else 1)
        assert after[CHANGED][0] == before[CHANGED][0]
        # The old session of the changed camera was ended in order too: what it sent is stored.
        for camera in fleet.cameras:
            for record in camera.stats()["sessions"]:
                assert record["ended_by"] == "teardown", camera.name
        for camera in fleet.cameras:
            files = [path for volume in ("v1", "v2") for path in site.recording(camera.name, volume)]
            report = check_gapless([frame for path in files for frame in read_frames(path)])
            assert report.frames == sum(one["frames"] for one in camera.stats()["sessions"]), camera.name
            assert report.ok or (camera.name == CHANGED and not report.doubled), f"{camera.name}: {report}"


async def test_a_camera_more_touches_no_other(tmp_path: Path) -> None:
    site = Site(tmp_path)
    async with Fleet(cameras=CAMERAS, gop=25, subnet=fresh_subnet(), onvif=False) as fleet:
        *known, new = fleet.cameras
        for camera in known:
            site.record(camera.name, camera.rtsp_url)
        site.assign()
        async with site.recorder():
            await site.status(lambda status: streaming(status) == CAMERAS - 1)
            before = sessions(fleet)
            site.record(new.name, new.rtsp_url)
            site.assign()
            await site.status(lambda status: streaming(status) == CAMERAS)
            assert {**sessions(fleet), new.name: []} == before


def streaming(status: RecorderStatus) -> int:
    return sum(one.state is StreamState.STREAMING for one in status.streams)
