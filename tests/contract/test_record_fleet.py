"""The recorder and simulated cameras: what it keeps, what it says when something is wrong, and whom that touches."""

import asyncio
import hashlib
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edged.base.clock import SystemClock
from edged.model import Cause, RecorderStop, StreamDown, StreamState, StreamUp
from edged.record import session
from edged.record.errors import AlreadyRunning, RecorderAbsent
from edged.record.process import run_recorder
from edged.record.status import follow_status, status_socket_path
from simulators.camera import Camera
from simulators.fleet import Fleet
from simulators.judge import check_gapless, decode_all, read_frames
from tests.recorder_kit import RECORDER, Site, stream_of, until
from tests.sim_viewer import fresh_subnet

SECOND = 1_000_000


def fleet(cameras: int = 1, **asked: Any) -> Fleet:
    options: dict[str, Any] = {"gop": 25, "bitrate": "300k", "size": "320x180", **asked}
    return Fleet(cameras=cameras, onvif=False, multicast=False, subnet=fresh_subnet(), **options)


async def recording(site: Site, *cameras: str, past_us: int = 0) -> None:
    """Each of `cameras` has footage on disk that was recorded after `past_us`."""
    await site.status(
        lambda status: all(
            any(one.camera == camera and (one.committed_us or 0) > past_us for one in status.streams)
            for camera in cameras
        )
    )


def last_stored_us(site: Site, camera: str) -> int:
    return max(one.end_us for one in site.segments(camera=camera))


def downs(site: Site, camera: str, volume: str = "v1") -> list[StreamDown]:
    return [fact for fact in site.facts(volume) if isinstance(fact, StreamDown) and fact.camera == camera]


def check_whole(site: Site, camera: str, volume: str = "v1") -> int:
    """I4: every frame once, in order, decodable, and journal == files. Returns how many frames."""
    files = site.files(volume)
    segments = site.segments(volume, camera)
    assert [key for key in sorted(files) if key[0] == camera] == sorted(
        (one.camera, one.run, one.seq) for one in segments
    )
    frames = []
    for one in segments:
        path = files[one.camera, one.run, one.seq]
        content = path.read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (one.bytes, one.sha256)
        own = read_frames(path)
        assert (len(own), sum(frame.is_keyframe for frame in own)) == (one.frames, one.keyframes)
        assert own[0].is_keyframe
        assert decode_all(path) == one.frames
        frames += own
    report = check_gapless(frames)
    assert report.ok, report
    return len(frames)


async def test_i4_every_frame_from_the_first_keyframe_to_the_end_is_kept_once(tmp_path: Path) -> None:
    site = Site(tmp_path)
    async with fleet(3) as cameras:
        for camera in cameras.cameras:
            site.record(camera.name, camera.rtsp_url)
        site.assign()
        async with site.recorder():
            await until(lambda: len(site.segments()) >= 9, 20)
        stats = {one["name"]: one for one in cameras.stats()["cameras"]}
    assert site.files(part=True) == {}
    assert isinstance(site.facts()[-1], RecorderStop)
    for name, one in stats.items():
        (told,) = one["sessions"]
        assert told["ended_by"] == "teardown"
        frames = [frame for path in site.recording(name) for frame in read_frames(path)]
        assert frames[0].counter == told["first"], "the first frame that was sent is the first that is kept"
        assert told["last"] - frames[-1].counter <= 5, "what came within the last tick may be lost at the end"
        assert check_whole(site, name) == len(frames)
        segments = site.segments(camera=name)
        assert all(before.end_us == after.start_us for before, after in pairwise(segments))
        assert all(abs(frame.capture_us - segments[0].start_us - frame.pts_us) < SECOND for frame in frames[:1])
        assert [down.cause for down in downs(site, name)] == [Cause.PLANNED]
        assert downs(site, name)[0].last_frame_us == segments[-1].end_us
        assert all(abs(one.rtcp_offset_us or 0) < SECOND // 2 for one in segments)


async def test_i4_labels_are_the_hosts_clock_late_by_at_most_a_tick(tmp_path: Path) -> None:
    site = Site(tmp_path, segment_seconds=1.0)
    async with fleet() as cameras:
        site.record("c1", cameras.cameras[0].rtsp_url)
        site.assign()
        async with site.recorder():
            await until(lambda: len(site.segments()) >= 4)
    for one in site.segments()[1:]:
        first = read_frames(site.files()["c1", one.run, one.seq])[0]
        assert -20_000 <= one.start_us - first.capture_us <= 400_000


FAULTS = {
    "unplugged": [Cause.CLOSED, Cause.UNREACHABLE],
    "refusing": [Cause.CLOSED, Cause.REFUSED],
    "stalled": [Cause.STALLED],
    "locked": [Cause.CLOSED, Cause.CREDENTIALS],
}


async def test_faults_are_named_touch_no_other_camera_and_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "STALL_US", 2 * SECOND)
    monkeypatch.setattr("edged.base.tasks.Backoff.next_wait", lambda self: 0.3)
    site = Site(tmp_path, segment_seconds=1.0)
    async with fleet(5) as cameras:
        named = dict(zip([*FAULTS, "good"], cameras.cameras, strict=True))
        for name, camera in named.items():
            site.record(name, camera.rtsp_url)
        site.assign()
        async with site.recorder():
            await recording(site, *named)
            await named["unplugged"].unplug()
            await named["refusing"].refuse()
            await named["stalled"].stall()
            await named["locked"].change_password("other")
            down = await site.status(
                lambda status: all(stream_of(status, name).cause is causes[-1] for name, causes in FAULTS.items())
            )
            assert stream_of(down, "good").state is StreamState.STREAMING
            await recording(site, "good", past_us=down.at_us + SECOND)
            for name, causes in FAULTS.items():
                assert stream_of(down, name).code.startswith("REC-")
                # Said once for each cause, however often it is tried.
                assert [fact.cause for fact in downs(site, name)] == causes
                assert downs(site, name)[0].last_frame_us == last_stored_us(site, name)
            await named["unplugged"].plug()
            await named["refusing"].accept()
            await named["stalled"].resume()
            await named["locked"].change_password("secret")
            back = await site.status(lambda status: all(one.state is StreamState.STREAMING for one in status.streams))
            assert {one.cause for one in back.streams} == {None}
            await recording(site, *named, past_us=back.at_us)
            assert stream_of(back, "good").sessions == 1
    check_whole(site, "good")
    for name, causes in FAULTS.items():
        ups = [fact for fact in site.facts() if isinstance(fact, StreamUp) and fact.camera == name]
        assert len(ups) == 2
        assert ups[1].at_us > downs(site, name)[len(causes) - 1].at_us
        assert all(check_gapless(read_frames(path)).ok for path in site.recording(name))


async def test_lost_packets_are_counted_and_cost_no_session(tmp_path: Path) -> None:
    site = Site(tmp_path)
    async with fleet() as cameras:
        camera = cameras.cameras[0]
        site.record("c1", camera.rtsp_url)
        site.assign()
        async with site.recorder():
            await recording(site, "c1")
            await camera.drop(10)
            await site.status(lambda status: stream_of(status, "c1").lost_packets >= 10)
            await camera.drop(0)
            count = len(site.segments())
            await until(lambda: len(site.segments()) >= count + 2)
            status = await site.status(lambda status: True)
        lost = sum(one.lost_packets for one in site.segments())
        losses = site.losses()
        assert stream_of(status, "c1").sessions == 1
        assert (
            lost
            == sum(loss.packets for loss in losses)
            == cameras.stats()["cameras"][0]["sessions"][0]["dropped_packets"]
        )
        assert {loss.cause for loss in losses} == {Cause.LOSS}


async def test_i4_a_jump_of_a_cameras_clock_costs_no_frame_and_moves_no_label(tmp_path: Path) -> None:
    site = Site(tmp_path, segment_seconds=1.0)
    async with fleet(2) as cameras:
        for name, camera in zip(("back", "ahead"), cameras.cameras, strict=True):
            site.record(name, camera.rtsp_url)
        site.assign()
        async with site.recorder():
            await recording(site, "back", "ahead")
            await cameras.cameras[0].jump(-40_000)
            await cameras.cameras[1].jump(47_000)
            count = len(site.segments())
            await until(lambda: len(site.segments()) >= count + 6)
    for name in ("back", "ahead"):
        assert check_whole(site, name) > 50
        segments = site.segments(camera=name)
        assert all(before.end_us == after.start_us for before, after in pairwise(segments))
        assert all(one.end_us - one.start_us < 3 * SECOND for one in segments)


class SteppedClock(SystemClock):
    """The machine's clock, of which the wall clock can be set."""

    def __init__(self) -> None:
        super().__init__()
        self.step_us = 0

    def wall_us(self) -> int:
        return super().wall_us() + self.step_us


@pytest.mark.parametrize("hours", [-2, 2])
async def test_i4_when_the_hosts_clock_steps_a_new_run_begins_and_no_frame_is_lost(hours: int, tmp_path: Path) -> None:
    site = Site(tmp_path, segment_seconds=1.0)
    clock = SteppedClock()
    async with fleet() as cameras:
        site.record("c1", cameras.cameras[0].rtsp_url)
        site.assign()
        async with site.recorder(clock):
            await until(lambda: len(site.segments()) >= 2)
            clock.step_us = hours * 3600 * SECOND
            count = len(site.segments())
            await until(lambda: len(site.segments()) >= count + 2)
    segments = sorted(site.segments(), key=lambda one: one.seq)
    runs = sorted({one.run for one in segments})
    assert len(runs) == 2
    last, first = (
        [one for one in segments if one.run == runs[0]][-1],
        next(one for one in segments if one.run == runs[1]),
    )
    stepped_us = first.start_us - last.end_us
    assert abs(stepped_us - hours * 3600 * SECOND) < SECOND
    assert abs(first.start_mono_us - last.start_mono_us - (last.end_us - last.start_us)) < SECOND, "both are recorded"
    files = site.files()
    assert check_gapless([frame for one in segments for frame in read_frames(files["c1", one.run, one.seq])]).ok


async def test_a_session_is_kept_alive_through_short_timeouts_and_stale_nonces(tmp_path: Path) -> None:
    site = Site(tmp_path)
    async with fleet(session_timeout=2, nonce_lifetime=1) as cameras:
        site.record("c1", cameras.cameras[0].rtsp_url)
        site.assign()
        async with site.recorder():
            await until(lambda: len(site.segments()) >= 4)
            status = await site.status(lambda status: True)
        assert stream_of(status, "c1").sessions == 1
        assert cameras.stats()["cameras"][0]["session_timeouts"] == 0
    assert check_whole(site, "c1") >= 150


# --- who is touched ------------------------------------------------------------------------------------------------


def sessions(camera: Camera) -> list[str]:
    return [one["session"] for one in camera.stats()["sessions"]]


async def test_i6_a_change_of_the_assignment_touches_that_camera_alone(tmp_path: Path) -> None:
    site = Site(tmp_path, segment_seconds=60)
    async with fleet(3) as cameras:
        kept, changed, removed = cameras.cameras
        for name, camera in (("kept", kept), ("changed", changed), ("removed", removed)):
            site.record(name, camera.rtsp_url)
        site.assign()
        async with site.recorder():
            await recording(site, "kept", "changed", "removed")
            before = {camera.name: sessions(camera) for camera in cameras.cameras}
            counted = stream_of(await site.status(lambda status: True), "changed").frames
            site.streams["changed"] = replace(site.streams["changed"], url=changed.rtsp_url + "?again")
            del site.streams["removed"]
            site.assign()
            await site.status(
                lambda status: (
                    status.generation == 2
                    and len(status.streams) == 2
                    and stream_of(status, "changed").sessions == 2
                    and stream_of(status, "changed").state is StreamState.STREAMING
                )
            )
            status = await site.status(lambda status: True)
            assert stream_of(status, "changed").frames >= counted, "counters never go back"
            assert sessions(kept) == before[kept.name]
            assert len(sessions(changed)) == 2
            assert sessions(removed) == before[removed.name]
            assert len(site.segments(camera="kept")) == 0, "not even its segment was closed"
            site.record("new", removed.rtsp_url)
            site.assign()
            await recording(site, "new")
            assert sessions(kept) == before[kept.name]
    assert {camera: [down.cause for down in downs(site, camera)] for camera in ("changed", "removed")} == {
        "changed": [Cause.PLANNED, Cause.PLANNED],
        "removed": [Cause.PLANNED],
    }
    check_whole(site, "kept")
    seqs = [one.seq for one in site.segments(camera="changed")]
    assert seqs == sorted(set(seqs))


async def test_i6_a_damaged_or_missing_assignment_changes_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path)
    async with fleet() as cameras:
        site.record("c1", cameras.cameras[0].rtsp_url)
        site.assign()
        async with site.recorder():
            await recording(site, "c1")
            path = site.state / f"assignment-{RECORDER}.json"
            for content in (b"", b"{", b"[]", b'{"v":99}', path.read_bytes().replace(b'"r1"', b'"other"')):
                path.write_bytes(content)
                now_us = SystemClock().wall_us()
                await recording(site, "c1", past_us=now_us)
            path.unlink()
            status = await site.status(lambda status: (stream_of(status, "c1").committed_us or 0) > now_us + SECOND)
            assert (status.generation, stream_of(status, "c1").sessions) == (1, 1)


async def test_without_the_right_volume_nothing_is_written_and_nobody_called(tmp_path: Path) -> None:
    site = Site(tmp_path)
    identity = site.path() / "VOLUME.json"
    right = identity.read_bytes()
    identity.write_text(json.dumps({"v": 1, "volume": "v1", "uuid": "of another disk"}))
    async with fleet() as cameras:
        site.record("c1", cameras.cameras[0].rtsp_url)
        site.assign()
        async with site.recorder():
            status = await site.status(lambda status: stream_of(status, "c1").cause is Cause.DISK)
            assert [one.ok for one in status.volumes] == [False]
            assert "swapped" in status.volumes[0].reason
            assert stream_of(status, "c1").sessions == 0, "nobody is called whose footage could not be kept"
            assert [path.name for path in site.path().iterdir()] == ["VOLUME.json"]
            identity.write_bytes(right)
            await recording(site, "c1")
    check_whole(site, "c1")
    assert [down.cause for down in downs(site, "c1")] == [Cause.DISK, Cause.PLANNED]


async def test_the_only_disk_taken_out_while_recording_brings_its_streams_down_until_it_is_back(tmp_path: Path) -> None:
    site = Site(tmp_path, segment_seconds=1.0)
    async with fleet() as cameras:
        site.record("c1", cameras.cameras[0].rtsp_url)
        site.assign()
        async with site.recorder():
            await recording(site, "c1")
            (site.path() / "VOLUME.json").rename(tmp_path / "aside")
            status = await site.status(lambda status: stream_of(status, "c1").cause is Cause.DISK)
            (tmp_path / "aside").rename(site.path() / "VOLUME.json")
            await recording(site, "c1", past_us=status.at_us)
    files = site.files()
    segments = site.segments(camera="c1")
    assert sorted(files) == sorted((one.camera, one.run, one.seq) for one in segments)
    assert all(check_gapless(read_frames(path)).ok for path in files.values())
    assert site.files(part=True) == {}
    down = next(one for one in downs(site, "c1") if one.cause is Cause.DISK)
    up = next(fact for fact in site.facts() if isinstance(fact, StreamUp) and fact.at_us > down.at_us)
    assert all(one.end_us <= down.at_us + SECOND or one.start_us >= up.at_us for one in segments)


async def test_a_second_instance_is_refused_and_harms_nobody(tmp_path: Path) -> None:
    site = Site(tmp_path)
    async with fleet() as cameras:
        site.record("c1", cameras.cameras[0].rtsp_url)
        site.assign()
        async with site.recorder():
            await recording(site, "c1")
            with pytest.raises(AlreadyRunning):
                await run_recorder(RECORDER, site.state, site.runtime, SystemClock(), asyncio.Event())
            await recording(site, "c1", past_us=SystemClock().wall_us())
    check_whole(site, "c1")


async def test_the_status_is_told_once_a_second_and_its_end_is_felt(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.assign()
    path = status_socket_path(site.runtime, RECORDER)
    with pytest.raises(RecorderAbsent):
        await anext(follow_status(path))
    times: list[int] = []
    async with site.recorder():
        await until(path.exists)
        async for status in follow_status(path):
            times.append(status.mono_us)
            if len(times) == 4:
                break
        follower = follow_status(path)
        await anext(follower)
    with pytest.raises(RecorderAbsent):
        [None async for _ in follower]
    assert all(0.5 * SECOND < after - before < 2 * SECOND for before, after in pairwise(times[1:]))
    assert not path.exists()
