"""FFmpeg's own RTSP client and file writers on every kind of simulated stream, judged by the judge.

FFmpeg stands for every client not written here: what it records without an error and the judge finds gapless was sent
by the standards. It knows neither SHA-256 digests nor MP4 with A-law; those are tested elsewhere or in QuickTime files.
"""

import asyncio
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from simulators.fleet import Fleet
from simulators.judge import JudgeError, check_gapless, decode_all, read_frames, read_sound
from tests.sim_viewer import SMALL, fresh_subnet, wait_until

FRAMES = 80
MEDIA: dict[str, Any] = SMALL | {"size": "320x240", "bitrate": "1M", "gop": 10, "fps": 50}
# A busy machine may leave FFmpeg waiting for seconds, and what its sockets cannot hold meanwhile is lost: so half as
# much a second, and sockets as large as the machine permits.
UDP_MEDIA: dict[str, Any] = {"bitrate": "500k", "fps": 25}
UDP_BUFFER = {"buffer_size": str(4 << 20)}


def record(url: str, path: Path, transport: str, **more: str) -> None:
    """The first frames from a keyframe on, and the sound beside them, as FFmpeg receives and writes them."""
    options = {"rtsp_transport": transport, "timeout": "8000000"} | more
    with av.open(url, options=options) as source, av.open(str(path), "w") as target:
        wanted = [stream for stream in source.streams if stream.type in ("video", "audio")]
        copies = {stream.index: target.add_stream_from_template(stream) for stream in wanted}
        video = source.streams.video[0].index
        count, last = 0, dict.fromkeys(copies, -1)
        for packet in source.demux(*wanted):
            index = packet.stream.index
            # On a busy machine FFmpeg has lost the first pictures by the time it has found out what they are.
            if packet.size == 0 or (index == video and not count and not packet.is_keyframe):
                continue
            # FFmpeg has no time for the first frames, and sets its times anew at a sender report: files want order.
            packet.dts = last[index] + 1 if packet.dts is None else max(packet.dts, last[index] + 1)
            packet.pts = packet.dts if packet.pts is None else max(packet.pts, packet.dts)
            last[index] = packet.dts
            packet.stream = copies[index]
            target.mux(packet)
            count += index == video
            if count == FRAMES:
                break


@pytest.mark.parametrize("transport", ["tcp", "udp", "tls"])
@pytest.mark.parametrize(
    ("film", "suffix"),
    [
        ({"codec": "h264"}, "mp4"),
        ({"codec": "h265"}, "mp4"),
        ({"codec": "mjpeg"}, "mp4"),
        ({"codec": "h264", "audio": "aac"}, "mp4"),
        ({"codec": "h265", "audio": "pcmu", "metadata": True}, "mov"),
        ({"codec": "h264", "audio": "pcma"}, "mov"),
    ],
)
async def test_ffmpeg_records_everything(film: dict[str, Any], suffix: str, transport: str, tmp_path: Path) -> None:
    path = tmp_path / f"recorded.{suffix}"
    options = MEDIA | film | {"auth": "digest", "tls": transport == "tls", "pacing": "spread"}
    if transport == "udp":
        options |= UDP_MEDIA
    async with Fleet(cameras=1, subnet=fresh_subnet(), onvif=False, transport="both", **options) as fleet:
        camera = fleet.cameras[0]
        url = camera.rtsps_url if transport == "tls" else camera.rtsp_url
        assert url is not None
        tls = {"tls_verify": "1", "ca_file": str(fleet.ca)}
        more = tls if transport == "tls" else UDP_BUFFER if transport == "udp" else {}
        protocol = "udp" if transport == "udp" else "tcp"
        await asyncio.to_thread(record, url.replace("://", "://admin:secret@"), path, protocol, **more)
        # FFmpeg closes without waiting for the answer to its TEARDOWN. What it has not read by then makes that a reset,
        # and a reset may come before what was sent ahead of it.
        await wait_until(lambda: camera.stats()["sessions"][0]["ended_by"] is not None, "the session ends")
        (session,) = camera.stats()["sessions"]
        assert session["transport"] == transport
        assert session["ended_by"] in ("teardown", "client closed")
        assert sum(track["send_errors"] for track in session["tracks"].values()) == 0
    frames = read_frames(path)
    assert check_gapless(frames).ok
    assert len(frames) == FRAMES == decode_all(path)
    if "audio" in film:
        heard = read_sound(path)
        assert check_gapless(heard).ok
        assert len(heard) > 20
        steps = {later.capture_us - earlier.capture_us for earlier, later in pairwise(heard)}
        assert steps == ({64_000} if film["audio"] == "aac" else {20_000})


@pytest.mark.parametrize("codec", ["h264", "h265"])
async def test_b_frames_come_out_in_the_order_they_were_filmed(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "recorded.mkv"
    options = MEDIA | {"codec": codec, "bframes": 2, "auth": "none"}
    async with Fleet(cameras=1, subnet=fresh_subnet(), onvif=False, **options) as fleet:
        await asyncio.to_thread(record, fleet.cameras[0].rtsp_url, path, "tcp")
    frames = read_frames(path)
    assert check_gapless(frames).ok
    timed = frames[20:]  # FFmpeg guesses the first times
    shown = sorted(timed, key=lambda frame: frame.pts)
    assert shown != timed
    assert [frame.capture_us for frame in shown] == sorted(frame.capture_us for frame in shown)
    shifts = {round((frame.pts_us - frame.capture_us) / 2000) for frame in timed}
    assert max(shifts) - min(shifts) <= 1  # all but rounding to milliseconds


@pytest.mark.parametrize(
    "quirk", ["no-sprop", "no-marker", "timestamp-wrap", "sequence-wrap", "padding", "extension", "redirect"]
)
async def test_quirks_within_the_standards_do_not_trouble_ffmpeg(quirk: str, tmp_path: Path) -> None:
    path = tmp_path / "recorded.mkv"
    async with Fleet(cameras=1, subnet=fresh_subnet(), onvif=False, auth="basic", quirks=(quirk,), **MEDIA) as fleet:
        url = fleet.cameras[0].rtsp_url.replace("://", "://admin:secret@")
        await asyncio.to_thread(record, url, path, "tcp")
    frames = read_frames(path)
    assert check_gapless(frames).ok
    assert len(frames) == FRAMES == decode_all(path)


async def test_the_judge_command_hears_too(tmp_path: Path) -> None:
    path = tmp_path / "recorded.mp4"
    async with Fleet(cameras=1, subnet=fresh_subnet(), onvif=False, auth="none", audio="aac", **MEDIA) as fleet:
        await asyncio.to_thread(record, fleet.cameras[0].rtsp_url, path, "tcp")
    command = [sys.executable, "-m", "simulators", "judge", str(path)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
    verdict = json.loads(done.stdout)
    assert (done.returncode, verdict["ok"], verdict["sound"]["ok"]) == (0, True, True)
    assert verdict["frames"] == FRAMES


async def test_the_judge_misses_what_is_missing(tmp_path: Path) -> None:
    path, holed = tmp_path / "recorded.mp4", tmp_path / "holed.mp4"
    options = MEDIA | {"codec": "mjpeg", "audio": "aac", "auth": "none"}
    async with Fleet(cameras=1, subnet=fresh_subnet(), onvif=False, **options) as fleet:
        await asyncio.to_thread(record, fleet.cameras[0].rtsp_url, path, "tcp")
    first_frame, first_sound = read_frames(path)[0].counter, read_sound(path)[0].counter
    with av.open(str(path)) as source, av.open(str(holed), "w") as target:
        copies = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        seen = dict.fromkeys(copies, 0)
        for packet in source.demux():
            index = packet.stream.index
            seen[index] += 1
            if packet.size and seen[index] != 10:
                packet.stream = copies[index]
                target.mux(packet)
    assert check_gapless(read_frames(holed)).missing == (first_frame + 9,)
    assert check_gapless(read_sound(holed)).missing == (first_sound + 9,)
    with av.open(str(path)) as source, av.open(str(holed), "w") as target:
        copy = target.add_stream_from_template(source.streams.video[0])
        for picture in source.demux(source.streams.video[0]):
            if picture.size:
                picture.stream = copy
                target.mux(picture)
    with pytest.raises(JudgeError, match="no audio stream"):
        read_sound(holed)
