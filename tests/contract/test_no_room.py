"""A stream that is wanted but has no room: not recorded, said to be so with the cause disk, and nobody else touched."""

from dataclasses import replace
from pathlib import Path

from edged.archive.coverage import query
from edged.archive.database import open_database
from edged.archive.indexing import index_facts
from edged.base.spans import Span
from edged.model import Cause, Coverage, RecorderStatus, StreamDown, StreamKind, StreamState
from simulators.fleet import Fleet
from simulators.judge import check_gapless, read_frames
from tests.archive_kit import SHANGHAI, make_volume, stamp
from tests.recorder_kit import Site, stream_of, until
from tests.sim_viewer import fresh_subnet


def streaming(status: RecorderStatus) -> set[str]:
    return {one.camera for one in status.streams if one.state is StreamState.STREAMING and one.committed_us is not None}


def stop(site: Site, camera: str, stopped: bool) -> None:
    site.streams[camera] = replace(site.streams[camera], no_room=stopped)
    site.assign()


def coverage(site: Site, camera: str) -> Coverage:
    """As the index tells it, from the first footage to the last."""
    connection = open_database(site.root / "index.db")
    try:
        index_facts(connection, make_volume(connection, site.root / "index").no, site.facts(), stamp, SHANGHAI)
        segments = site.segments(camera=camera)
        window = Span(segments[0].start_us, max(one.end_us for one in segments))
        return query(connection, camera, StreamKind.MAIN, window)
    finally:
        connection.close()


async def test_i4_a_stream_without_room_is_a_gap_of_cause_disk_also_over_a_restart(tmp_path: Path) -> None:
    site = Site(tmp_path)
    async with Fleet(cameras=2, gop=25, subnet=fresh_subnet(), onvif=False) as fleet:
        stays, stops = fleet.cameras
        for camera in fleet.cameras:
            site.record(camera.name, camera.rtsp_url)
        site.assign()
        async with site.recorder_process() as process:
            await site.status(lambda status: streaming(status) == {stays.name, stops.name})
            stop(site, stops.name, True)
            status = await site.status(lambda status: stream_of(status, stops.name).state is StreamState.DOWN)
            assert stream_of(status, stops.name).cause is Cause.DISK
            assert stream_of(status, stops.name).code == "REC-029"
            assert stream_of(status, stays.name).sessions == 1
            since_us = stream_of(status, stops.name).since_us
            later = await site.status(lambda later: later.at_us > status.at_us + 1_000_000)
            assert stream_of(later, stops.name).since_us == since_us, "it is not tried again and again"
            sealed = len(site.segments(camera=stays.name))
            await until(lambda: len(site.segments(camera=stays.name)) > sealed)
            process.terminate()
            assert await process.wait() == 0
        assert [fact.cause for fact in site.facts() if isinstance(fact, StreamDown) and fact.camera == stops.name] == [
            Cause.DISK,
            Cause.PLANNED,  # with the recorder
        ]
        async with site.recorder_process() as process:
            await site.status(lambda status: streaming(status) == {stays.name})
            assert len(stops.stats()["sessions"]) == 1, "a recorder that starts does not call it"
            stop(site, stops.name, False)
            await site.status(lambda status: streaming(status) == {stays.name, stops.name})
            sealed = len(site.segments(camera=stops.name))
            await until(lambda: len(site.segments(camera=stops.name)) > sealed)
            process.terminate()
            assert await process.wait() == 0
        gaps = coverage(site, stops.name).gaps
        # Between the two recorders nobody recorded: planned is the moment in which the first takes its leave.
        assert [gap.cause for gap in gaps] == [Cause.DISK, Cause.PLANNED, Cause.RECORDER, Cause.DISK]
        assert check_gapless([f for path in site.recording(stays.name) for f in read_frames(path)]).doubled == ()
        assert [session["ended_by"] for session in stops.stats()["sessions"]] == ["teardown", "teardown"]
