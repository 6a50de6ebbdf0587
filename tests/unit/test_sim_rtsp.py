"""The simulated camera's RTSP server: seen by PyAV as any player would, and packet by packet."""

import asyncio
import base64
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from simulators.fleet import Fleet
from simulators.judge import check_gapless, decode_all, read_frames
from tests.sim_viewer import SMALL, Viewer, fresh_subnet, wait_until


def record(url: str, path: Path, frames: int) -> None:
    """What ffmpeg's own RTSP client and MP4 writer make of the stream."""
    options = {"rtsp_transport": "tcp", "timeout": "5000000"}
    with av.open(url, options=options) as source, av.open(str(path), "w", format="mp4") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for number, packet in enumerate(source.demux(stream)):
            # The first packet comes before ffmpeg has a time for it.
            packet.pts = packet.dts = number * 3600 if packet.dts is None else packet.dts
            packet.stream = copy
            target.mux(packet)
            if number + 1 == frames:
                break


def with_credentials(url: str, password: str = "secret") -> str:
    return url.replace("rtsp://", f"rtsp://admin:{password}@")


@pytest.fixture
async def fleet() -> Any:
    async with Fleet(cameras=2, subnet=fresh_subnet(), multicast=False, **SMALL) as running:
        yield running


async def test_pyav_records_every_frame_over_the_loop_of_the_clip(tmp_path: Path) -> None:
    options = SMALL | {"fps": 50, "gop": 10}
    async with Fleet(cameras=1, subnet=fresh_subnet(), multicast=False, **options) as fleet:
        camera = fleet.cameras[0]
        path = tmp_path / "recorded.mp4"
        await asyncio.to_thread(record, with_credentials(camera.rtsp_url), path, 120)  # the clip has 100 frames
        frames = read_frames(path)
        report = check_gapless(frames)
        assert report.ok, report
        assert report.frames == 120
        assert decode_all(path) == 120
        assert frames[0].is_keyframe
        assert [f.counter for f in frames if f.is_keyframe] == [f.counter for f in frames if f.counter % 10 == 0]
        assert all(later.capture_us - earlier.capture_us == 20_000 for earlier, later in pairwise(frames))
        assert all(later.pts_us - earlier.pts_us == 20_000 for earlier, later in pairwise(frames))
        (session,) = camera.stats()["sessions"]
        assert session["first"] == frames[0].counter
        assert session["last"] >= frames[-1].counter
        assert session["frames"] == session["last"] - session["first"] + 1
        assert session["ended_by"] == "teardown"


async def test_the_wrong_password_is_refused(fleet: Fleet) -> None:
    with pytest.raises(av.HTTPUnauthorizedError):
        await asyncio.to_thread(av.open, with_credentials(fleet.cameras[0].rtsp_url, "wrong"))
    viewer = await Viewer(fleet.cameras[0].rtsp_url, password="wrong").connect()
    statuses = [(await viewer.ask("DESCRIBE")).status for _ in range(2)]
    await viewer.close()
    assert statuses == [401, 401]
    assert fleet.cameras[0].stats()["sessions"] == []


async def test_describe_tells_parameter_sets_and_base(fleet: Fleet) -> None:
    viewer = await Viewer(fleet.cameras[0].rtsp_url).connect()
    await viewer.ask("DESCRIBE")
    reply = await viewer.ask("DESCRIBE", Accept="application/sdp")
    await viewer.close()
    sdp = reply.body.decode()
    sets = sdp.split("sprop-parameter-sets=")[1].split("\r\n")[0].split(",")
    sps, pps = (base64.b64decode(one) for one in sets)
    assert reply.headers["content-base"] == fleet.cameras[0].rtsp_url + "/"
    assert (sps[0] & 0x1F, pps[0] & 0x1F) == (7, 8)
    assert f"profile-level-id={sps[1:4].hex().upper()};" in sdp
    assert "a=control:trackID=1" in sdp


async def test_the_protocol_is_kept(fleet: Fleet) -> None:
    camera = fleet.cameras[0]
    viewer = await Viewer(camera.rtsp_url).connect()
    assert "DESCRIBE" in (await viewer.ask("OPTIONS")).headers["public"]
    assert (await viewer.ask("PLAY")).status == 401
    assert (await viewer.ask("PLAY")).status == 455
    assert (await viewer.ask("DESCRIBE", "/trackID=7")).status == 404
    assert (await viewer.ask("DANCE")).status == 501
    assert (await viewer.ask("PAUSE")).status == 405
    assert (await viewer.ask("DESCRIBE", Require="implicit-play")).status == 551
    assert (await viewer.ask("SETUP", "/trackID=1", Transport="RTP/AVP;unicast;client_port=5000-5001")).status == 461
    both = await viewer.ask(
        "SETUP", "/trackID=1", Transport="RTP/AVP;unicast;client_port=5000-5001,RTP/AVP/TCP;unicast;interleaved=4-5"
    )
    assert both.status == 200
    assert "interleaved=4-5" in both.headers["transport"]
    assert both.headers["session"].endswith(";timeout=60")
    viewer.session = "0000"
    assert (await viewer.ask("PLAY")).status == 454
    reply = await viewer.raw(b"OPTIONS * RTSP/2.0\r\nCSeq: 77\r\n\r\n")
    assert (reply.status, reply.headers["cseq"]) == (505, "77")
    assert (await viewer.raw(b"OPTIONS * RTSP/1.0\r\n\r\n")).status == 400
    assert (await viewer.raw(b"what is this\r\n\r\n")).status == 400
    assert isinstance(await viewer.see_end(), asyncio.IncompleteReadError)
    await viewer.close()


async def test_a_stale_nonce_is_challenged_anew() -> None:
    async with Fleet(cameras=1, subnet=fresh_subnet(), onvif=False, nonce_lifetime=0.05, **SMALL) as fleet:
        viewer = await Viewer(fleet.cameras[0].rtsp_url).connect()
        await viewer.ask("DESCRIBE")
        old = dict(viewer.challenge)

        async def describe_with_old_nonce() -> bool:
            viewer.challenge = dict(old)
            reply = await viewer.ask("DESCRIBE")
            return "stale=true" in reply.headers.get("www-authenticate", "")

        async with asyncio.timeout(5):
            while not await describe_with_old_nonce():
                pass
        assert (await viewer.ask("DESCRIBE")).status == 200
        await viewer.close()


async def test_a_session_begins_where_its_play_reply_says(fleet: Fleet) -> None:
    viewer = await Viewer(fleet.cameras[0].rtsp_url).connect()
    await viewer.ask("DESCRIBE")
    await viewer.setup()
    info = (await viewer.ask("PLAY")).headers["rtp-info"]
    marks = await viewer.see(12)
    await viewer.close()
    first = viewer.packets[0]
    assert info.endswith(f"/main/trackID=1;seq={first.sequence};rtptime={first.timestamp}")
    assert marks[0].counter % SMALL["gop"] == 0
    assert [mark.counter for mark in marks] == list(range(marks[0].counter, marks[0].counter + 12))
    assert {mark.camera for mark in marks} == {1}
    assert all(b.sequence == (a.sequence + 1) & 0xFFFF for a, b in pairwise(viewer.packets))
    times = [packet.timestamp for packet in viewer.packets if packet.mark()]
    assert all((b - a) & 0xFFFFFFFF == 3600 for a, b in pairwise(times))


async def test_sender_reports_pair_the_cameras_own_clock_with_the_frames() -> None:
    async with Fleet(cameras=1, subnet=fresh_subnet(), onvif=False, clock_offset=-100.0, **SMALL) as fleet:
        viewer = await Viewer(fleet.cameras[0].rtsp_url).play()
        marks = await viewer.see(3)
        while not viewer.reports:
            await viewer.take()
        await viewer.close()
    ntp_us, timestamp = viewer.reports[0]
    ticks = (timestamp - viewer.packets[0].timestamp + 0x80000000) % 0x100000000 - 0x80000000
    told_us = ntp_us - ticks * 1_000_000 // 90_000  # the first frame's capture on the camera's clock
    assert abs(told_us - (marks[0].capture_us - 100_000_000)) < 1000


async def test_a_silent_client_is_dropped_and_rtcp_keeps_another_one() -> None:
    async with Fleet(cameras=1, subnet=fresh_subnet(), onvif=False, session_timeout=1, **SMALL) as fleet:
        camera = fleet.cameras[0]
        silent, alive = await Viewer(camera.rtsp_url).play(), await Viewer(camera.rtsp_url).play()

        async def send_reports() -> None:
            while True:
                alive.writer.write(b"$\x01\x00\x08\x80\xc9\x00\x01\x00\x00\x00\x01")
                await alive.see(5)

        sending = asyncio.create_task(send_reports())
        await silent.see_end()
        assert camera.stats()["session_timeouts"] == 1
        assert camera.stats()["sessions"][0]["ended_by"] == "session timeout"
        seen = len(alive.marks())
        await wait_until(lambda: len(alive.marks()) > seen + 15, "the other one goes on")
        assert not sending.done()
        assert camera.stats()["session_timeouts"] == 1
        sending.cancel()
        await silent.close()
        await alive.close()


async def test_a_client_that_does_not_read_is_cut_off() -> None:
    async with Fleet(
        cameras=1, subnet=fresh_subnet(), onvif=False, max_behind_bytes=50_000, size="640x360", bitrate="20M"
    ) as fleet:
        camera = fleet.cameras[0]
        viewer = await Viewer(camera.rtsp_url).play()
        viewer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await wait_until(lambda: camera.stats()["slow_clients_dropped"] == 1, "the camera gives up", 20)
        assert camera.stats()["sessions_open"] == 0
        assert camera.stats()["sessions"][0]["ended_by"] == "client too slow"
        await viewer.close()


async def test_the_sub_stream_and_two_viewers_of_one_camera(fleet: Fleet) -> None:
    camera = fleet.cameras[1]
    main, sub = Viewer(camera.rtsp_url), Viewer(camera.rtsp_url.replace("/main", "/sub"))
    await main.play()
    await sub.play()
    seen_main, seen_sub = await main.see(8), await sub.see(8)
    assert {mark.camera for mark in seen_main + seen_sub} == {2}
    assert main.packets[0].ssrc != sub.packets[0].ssrc
    assert (await sub.ask("TEARDOWN")).status == 200
    assert camera.stats()["sessions_open"] == 1
    assert [session["stream"] for session in camera.stats()["sessions"]] == ["main", "sub"]
    await main.close()
    await sub.close()
