"""Simulated cameras of open GOPs through the whole recorder: begun at whatever keyframe comes, each file by itself."""

from pathlib import Path

import av
import pytest

from edged.model import Cause
from simulators.fleet import Fleet
from simulators.judge import read_frames
from tests.recorder_kit import Site, stream_of, until
from tests.sim_viewer import fresh_subnet


@pytest.mark.parametrize("codec", ["h264", "h265"])
async def test_i4_open_gops_are_recorded_and_what_is_left_out_is_said(tmp_path: Path, codec: str) -> None:
    site = Site(tmp_path, segment_seconds=1.0)
    async with Fleet(
        cameras=1, codec=codec, gop=24, bframes=2, open_gop=True, bitrate="500k", onvif=False, subnet=fresh_subnet()
    ) as fleet:
        (camera,) = fleet.cameras
        site.record("c1", camera.rtsp_url)
        site.assign()
        async with site.recorder():
            await until(lambda: len(site.segments()) >= 8, 40)
            status = await site.status(lambda status: True)
    quirks = stream_of(status, "c1").quirks
    assert "open-gop" in quirks
    assert ("no-idr" in quirks) == (codec == "h264")
    counters: list[int] = []
    for fact, path in zip(site.segments(), site.recording("c1"), strict=True):
        with av.open(str(path)) as container:
            pictures = list(container.decode(video=0))
        assert len(pictures) == fact.frames, path
        assert pictures[0].key_frame
        assert not any(picture.is_corrupt for picture in pictures), path
        counters += [frame.counter for frame in read_frames(path)]
    missing = set(range(counters[0], counters[-1])) - set(counters)
    said = site.losses(camera="c1")
    assert {loss.cause for loss in said} == {Cause.PROTOCOL}
    # What was left out behind the session's first keyframe lies before what is recorded.
    assert len(missing) <= sum(loss.frames for loss in said) <= len(missing) + 2
