"""One volume stalls, fails or fills: it costs its own cameras alone, and what it costs is a gap of cause disk (I4).

Cameras of a volume that has failed are stored on another, and come back.
"""

import errno
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edged.archive.coverage import query
from edged.archive.database import open_database
from edged.archive.indexing import index_facts
from edged.base.clock import SECOND
from edged.base.spans import Span
from edged.model import Cause, Coverage, Loss, RecorderStatus, SegmentSealed, StreamKind, StreamState, VolumeStatus
from edged.record.segmenter import RUN_AHEAD_US
from simulators.camera import Camera
from simulators.fleet import Fleet
from simulators.judge import Frame, check_gapless, read_frames
from tests.archive_kit import SHANGHAI, make_volume, stamp
from tests.powercut.powered import PoweredDisk, missing
from tests.recorder_kit import Site, stream_of, until
from tests.sim_viewer import fresh_subnet

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"no file system to stall: {missing()}")
SICK, WELL = "v1", "v2"
FRAME_US = 40_000
OPEN_US = (
    3 * SECOND
)  # what may be open when a volume fails: fragments of a second, one or on a busy machine two of them
GOP_US = SECOND  # until the next keyframe


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[PoweredDisk]:
    (tmp_path / "sick").mkdir()
    with PoweredDisk(tmp_path / "sick") as disk:
        yield disk


@pytest.fixture
def site(tmp_path: Path, disk: PoweredDisk) -> Site:
    site = Site(tmp_path, volumes=())
    site.add_volume(SICK, disk.path / SICK)
    site.add_volume(WELL, tmp_path / WELL)
    return site


def assign(site: Site, fleet: Fleet, sick: int) -> tuple[list[Camera], list[Camera]]:
    """The first `sick` cameras write to the sick volume; both lots."""
    for number, camera in enumerate(fleet.cameras):
        site.record(camera.name, camera.rtsp_url, volume=SICK if number < sick else WELL)
    site.assign()
    return fleet.cameras[:sick], fleet.cameras[sick:]


def volume_of(status: RecorderStatus, name: str = SICK) -> VolumeStatus:
    return next(one for one in status.volumes if one.volume == name)


def all_committed(status: RecorderStatus) -> bool:
    return bool(status.streams) and all(
        one.state is StreamState.STREAMING and one.committed_us is not None for one in status.streams
    )


async def until_sealed(site: Site, volume: str, more: int) -> None:
    before = len(site.segments(volume))
    await until(lambda: len(site.segments(volume)) >= before + more, 30)


def stored(site: Site, camera: Camera) -> list[tuple[SegmentSealed, list[Frame]]]:
    """Segment by segment in the order of the labels, whichever volume it is on."""
    facts = [(fact, site.files(volume)) for volume in (SICK, WELL) for fact in site.segments(volume, camera.name)]
    return [
        (fact, read_frames(files[fact.camera, fact.run, fact.seq]))
        for fact, files in sorted(facts, key=lambda one: one[0].start_us)
    ]


def frames_of(site: Site, camera: Camera) -> list[Frame]:
    return [frame for _, frames in stored(site, camera) for frame in frames]


def check_whole(site: Site, cameras: list[Camera]) -> None:
    """Every frame that was sent is stored, in one session and without a gap."""
    for camera in cameras:
        report = check_gapless(frames_of(site, camera))
        [session] = camera.stats()["sessions"]
        assert report.ok, f"{camera.name}: {report}"
        assert report.frames == session["frames"], camera.name
        assert not coverage(site, camera).gaps


def coverage(site: Site, camera: Camera) -> Coverage:
    """As the index tells it, from the first footage to the last."""
    connection = open_database(site.root / "index.db")
    try:
        for volume in (SICK, WELL):
            no = make_volume(connection, site.root / f"index-{volume}", volume).no
            index_facts(connection, no, site.facts(volume), stamp, SHANGHAI)
        segments = sorted(
            (one for volume in (SICK, WELL) for one in site.segments(volume, camera.name)), key=lambda one: one.start_us
        )
        return query(
            connection, camera.name, StreamKind.MAIN, Span(segments[0].start_us, max(one.end_us for one in segments))
        )
    finally:
        connection.close()
        (site.root / "index.db").unlink()


def check_gaps_tell_what_is_missing(site: Site, camera: Camera) -> list[int]:
    """I4: each frame that is not stored lies in a gap of cause disk, and no stored one does; the gaps' lengths.

    A segment's label is the arrival of its first frame, which a busy machine delays for one segment more than for the
    next. So a missing frame's time is reckoned from the stored one before it and from the one behind it, each by its
    own segment's label. These may leave no time between the two for a loss as short as a label may be late.
    """
    gaps = coverage(site, camera).gaps
    assert {gap.cause for gap in gaps} == {Cause.DISK}
    segments = stored(site, camera)
    assert not check_gapless([frame for _, frames in segments for frame in frames]).doubled
    slack_us = 3 * FRAME_US
    told = sorted(
        (frame.counter, fact.start_us + (frame.counter - frames[0].counter) * FRAME_US)
        for fact, frames in segments
        for frame in frames
    )
    for counter, at_us in told:
        deep = [gap for gap in gaps if gap.span.start_us + slack_us < at_us < gap.span.end_us - slack_us]
        assert not deep, f"frame {counter} is stored, and said to be missing"
    for (before, before_us), (behind, behind_us) in pairwise(told):
        if behind_us - before_us <= FRAME_US and (behind - before - 1) * FRAME_US < RUN_AHEAD_US + slack_us:
            continue
        for counter in range(before + 1, behind):
            earliest_us = before_us + (counter - before) * FRAME_US
            latest_us = behind_us - (behind - counter) * FRAME_US
            near = [
                gap
                for gap in gaps
                if gap.span.start_us - slack_us < earliest_us and latest_us < gap.span.end_us + slack_us
            ]
            spans = [(fact.start_us, fact.end_us, frames[0].counter, frames[-1].counter) for fact, frames in segments]
            assert near, f"frame {counter} is missing, and not said to be: of {spans} the gaps are {gaps}"
    return [gap.span.length_us for gap in gaps]


async def test_i4_a_volume_that_stalls_for_five_seconds_costs_no_frame(site: Site, disk: PoweredDisk) -> None:
    async with Fleet(cameras=4, gop=25, bitrate="4M", onvif=False, subnet=fresh_subnet()) as fleet:
        sick, well = assign(site, fleet, 2)
        async with site.recorder_process() as process:
            await site.status(all_committed)
            await until_sealed(site, SICK, 2)
            disk.tell("stall", seconds=5)
            stalled = await site.status(lambda status: volume_of(status).queued_bytes > 1_000_000)
            # The others do not wait for it.
            commits = {one.camera: one.committed_us or 0 for one in stalled.streams}
            await site.status(
                lambda status: all(
                    (stream_of(status, camera.name).committed_us or 0) > commits[camera.name] + 2 * SECOND
                    for camera in well
                )
            )
            status = await site.status(lambda status: volume_of(status).queued_bytes < 500_000)
            assert volume_of(status).overflows == 0
            await until_sealed(site, SICK, 2)
            process.terminate()
            assert await process.wait() == 0
        check_whole(site, [*sick, *well])


async def test_i4_a_volume_that_stalls_for_long_loses_its_own_footage_and_says_so(
    site: Site, disk: PoweredDisk
) -> None:
    async with Fleet(cameras=4, gop=25, bitrate="20M", size="1280x720", onvif=False, subnet=fresh_subnet()) as fleet:
        sick, well = assign(site, fleet, 3)
        async with site.recorder_process() as process:
            await site.status(all_committed)
            await until_sealed(site, SICK, 3)
            disk.tell("stall", seconds=120)
            status = await site.status(lambda status: volume_of(status).overflows >= 10, 60)
            assert not volume_of(status).ok, "a disk that hangs is not well"
            assert volume_of(status, WELL).ok
            disk.tell("stall", seconds=0)
            await site.status(lambda status: volume_of(status).queued_bytes < 10_000_000, 60)
            await until_sealed(site, SICK, 6)
            process.terminate()
            assert await process.wait() == 0
        check_whole(site, well)
        for camera in sick:
            [session] = camera.stats()["sessions"]
            assert session["ended_by"] == "teardown", "a disk is no reason to trouble the camera"
            gaps = check_gaps_tell_what_is_missing(site, camera)
            lost = [fact for fact in site.facts(SICK) if isinstance(fact, Loss) and fact.camera == camera.name]
            dropped = sum(fact.frames for fact in lost)
            missing_frames = len(check_gapless(frames_of(site, camera)).missing)
            print(f"{camera.name}: {missing_frames} frames missing, {dropped} told, gaps of {gaps} us")
            assert dropped == missing_frames > 0
            assert {fact.cause for fact in lost} == {Cause.DISK}


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.ENOSPC], ids=errno.errorcode.get)
async def test_i4_a_volume_that_refuses_costs_its_own_cameras_alone(site: Site, disk: PoweredDisk, number: int) -> None:
    async with Fleet(cameras=4, gop=25, bitrate="1M", onvif=False, subnet=fresh_subnet()) as fleet:
        sick, well = assign(site, fleet, 2)
        async with site.recorder_process() as process:
            await site.status(all_committed)
            await until_sealed(site, SICK, 2)
            disk.tell("fail", errno=number)
            status = await site.status(lambda status: not volume_of(status).ok)
            assert volume_of(status).reason
            assert volume_of(status, WELL).ok
            # They go on on the other volume, in the sessions that they have, and for longer than the probation: a disk
            # that still refuses can be opened and read all the while, and must not be believed for that.
            await until(lambda: all(len(site.segments(WELL, camera.name)) >= 5 for camera in sick), 60)
            disk.tell("fail", errno=0)
            await site.status(all_committed, 30)
            await until_sealed(site, SICK, 4)
            process.terminate()
            assert await process.wait() == 0
        check_whole(site, well)
        assert not site.files(SICK, part=True)
        for camera in sick:
            [session] = camera.stats()["sessions"]
            assert session["ended_by"] == "teardown", "a disk is no reason to trouble the camera"
            [gap] = check_gaps_tell_what_is_missing(site, camera)
            assert gap < OPEN_US + GOP_US


async def test_i4_a_volume_that_is_full_goes_on_when_there_is_room_again(tmp_path: Path) -> None:
    (tmp_path / "sick").mkdir()
    with PoweredDisk(tmp_path / "sick", size=8 << 20) as disk:
        site = Site(tmp_path, volumes=())
        site.add_volume(SICK, disk.path / SICK)
        site.add_volume(WELL, tmp_path / WELL)
        async with Fleet(cameras=2, gop=25, bitrate="4M", onvif=False, subnet=fresh_subnet()) as fleet:
            [sick], well = assign(site, fleet, 1)
            async with site.recorder_process() as process:
                await site.status(lambda status: bool(status.volumes) and "space" in volume_of(status).reason, 60)
                before = site.segments(SICK)
                for path in list(site.files(SICK).values())[:-1]:
                    path.unlink()
                await until(lambda: len(site.segments(SICK)) > len(before) + 1, 60)
                process.terminate()
                assert await process.wait() == 0
            check_whole(site, well)
            assert not site.files(SICK, part=True)
            assert site.segments(WELL, sick.name), "it was stored on the other volume meanwhile"


async def test_i6_a_volume_that_hangs_from_the_start_holds_nobody_else_up(site: Site, disk: PoweredDisk) -> None:
    """I6: and its own cameras are recorded as soon as it answers."""
    async with Fleet(cameras=2, gop=25, onvif=False, subnet=fresh_subnet()) as fleet:
        [sick], [well] = assign(site, fleet, 1)
        disk.tell("stall", seconds=60)
        async with site.recorder_process() as process:
            status = await site.status(
                lambda status: bool(status.streams) and stream_of(status, well.name).committed_us is not None, 10
            )
            assert not volume_of(status).ok
            told: dict[str, Any] = disk.tell("stall", seconds=0)
            assert not told["cut"]
            await site.status(lambda status: stream_of(status, sick.name).committed_us is not None, 20)
            await until_sealed(site, SICK, 2)
            process.terminate()
            assert await process.wait() == 0
