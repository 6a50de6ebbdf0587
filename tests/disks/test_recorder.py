"""The recorder alone on a disk that others fill, with no controller to stop anybody (I6)."""

import itertools
from pathlib import Path

from edged.archive.coverage import query
from edged.archive.database import open_database
from edged.archive.indexing import index_facts
from edged.base.spans import Span
from edged.model import Cause, RecorderStatus, StreamDown, StreamKind, StreamState
from simulators.fleet import Fleet
from simulators.judge import check_gapless, read_frames
from tests.archive_kit import SHANGHAI, make_volume, stamp
from tests.disks.loop import LoopDisk
from tests.recorder_kit import Site, until
from tests.sim_viewer import fresh_subnet


def down(status: RecorderStatus) -> bool:
    return all(one.state is StreamState.DOWN and one.cause is Cause.DISK for one in status.streams)


async def test_i4_i6_a_disk_with_a_few_blocks_left_is_left_alone_until_there_is_room(
    disk: LoopDisk, tmp_path: Path
) -> None:
    """What recovery gives back, or half a block, is no room: cameras would be called again and again for nothing."""
    site = Site(tmp_path)
    async with Fleet(cameras=2, gop=25, bitrate="1M", onvif=False, subnet=fresh_subnet()) as fleet:
        for camera in fleet.cameras:
            site.record(camera.name, camera.rtsp_url)
        site.assign()
        async with site.recorder_process() as process:
            await until(lambda: {one.camera for one in site.segments()} == set(site.streams), 30)
            disk.fill(leave=300_000)
            await site.status(lambda status: not status.volumes[0].ok and down(status))
            told: list[RecorderStatus] = []

            def heard_five(status: RecorderStatus) -> bool:
                told.append(status)
                return len(told) >= 5

            await site.status(heard_five)
            assert all("space" in status.volumes[0].reason and down(status) for status in told)
            assert [len(camera.stats()["sessions"]) for camera in fleet.cameras] == [1, 1]
            disk.free_up()
            before = len(site.segments())
            await until(lambda: len(site.segments()) >= before + 4, 30)
            process.terminate()
            assert await process.wait() == 0
        assert [len(camera.stats()["sessions"]) for camera in fleet.cameras] == [2, 2]
        assert not site.files(part=True)
        connection = open_database(tmp_path / "index.db")
        index_facts(connection, make_volume(connection, tmp_path / "index").no, site.facts(), stamp, SHANGHAI)
        for camera in fleet.cameras:
            frames = [frame for path in site.recording(camera.name) for frame in read_frames(path)]
            judged = check_gapless(frames)
            assert not judged.doubled
            holes = [b.counter for a, b in itertools.pairwise(frames) if b.counter != a.counter + 1]
            assert len(holes) == 1, "one piece is missing, and no more"
            segments = site.segments(camera=camera.name)
            window = Span(segments[0].start_us, segments[-1].end_us)
            [gap] = query(connection, camera.name, StreamKind.MAIN, window).gaps
            assert gap.cause is Cause.DISK
            [fact] = [f for f in site.facts() if isinstance(f, StreamDown) and f.camera == camera.name and f.code]
            assert fact.cause is Cause.DISK
        connection.close()
