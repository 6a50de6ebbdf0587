"""The index's own disk is full: nothing is half done, recording goes on, and the index catches up (I6, I7)."""

import asyncio
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.archive.database import Database, IndexFull, IndexLost
from edged.archive.ledger import LedgerKind, append, entries
from simulators.fleet import Fleet
from tests.box import until
from tests.disks.conftest import need_disks
from tests.disks.loop import MIB, LoopDisk
from tests.disks.site import DiskBox, check_disks_and_index, check_whole, names_of
from tests.sim_viewer import fresh_subnet


@pytest.fixture
def small(tmp_path: Path) -> Iterator[LoopDisk]:
    """24 MiB at <tmp_path>/state."""
    need_disks()
    with LoopDisk(tmp_path, "state", size=24 * MIB) as disk:
        yield disk


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[LoopDisk]:
    """96 MiB for all there is. A short name: the path of a Unix socket has at most 107 characters."""
    need_disks()
    with LoopDisk(tmp_path, "d") as disk:
        yield disk


def enter_many(connection: sqlite3.Connection, count: int) -> None:
    for number in range(count):
        append(connection, number, LedgerKind.FLOOR_RAISED, {"filler": "x" * 1000, "number": number})


async def write_on(database: Database, count: int) -> None:
    """Until there is no room: at the latest when the disk has been written twice over."""
    for _ in range(50_000 // count):
        await database.write(enter_many, count)


def told(connection: sqlite3.Connection) -> list[int]:
    assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    return [entry.seq for entry in entries(connection, 0, 10**6)]


@pytest.mark.parametrize("count", [1, 40, 40_000], ids=["one entry", "some", "more than the cache holds"])
async def test_i3_i7_a_write_that_finds_no_room_is_as_if_it_had_never_been(small: LoopDisk, count: int) -> None:
    """Full at the commit, and full in the middle, where SQLite has to spill what it cannot keep in memory."""
    database = Database(small.path / "index.sqlite3")
    try:
        await database.write(enter_many, 3)
        small.fill()
        for _ in range(3):  # the first may still find room in what the log has
            with pytest.raises(IndexFull):
                await write_on(database, count)
        before = await database.read(told)
        assert before == list(range(1, len(before) + 1))
        assert (len(before) - 3) % count == 0, "whole transactions or none"
        said = [database.full]
        small.free_up()
        await database.write(enter_many, 5)
        assert [*said, database.full] == [True, False]
        assert await database.read(told) == list(range(1, len(before) + 6))
    finally:
        database.close()
    again = Database(small.path / "index.sqlite3")
    try:
        assert len(await again.read(told)) == len(before) + 5
    finally:
        again.close()


async def test_i6_i7_a_full_disk_of_the_index_costs_no_frame_and_no_restart(small: LoopDisk, tmp_path: Path) -> None:
    async with Fleet(cameras=2, gop=25, bitrate="256k", onvif=False, subnet=fresh_subnet()) as fleet:
        held = fleet.cameras[0].name
        with DiskBox(tmp_path, [(camera, "v1", 5) for camera in fleet.cameras]) as box:
            box.start()
            await until(lambda: box.recorded() == names_of(fleet), "all cameras are recorded")
            await until(lambda: len(box.sealed()) >= 2, "segments are sealed")
            small.fill()
            await until(lambda: "index_full" in box.health()["problems"], "it is said")
            assert box.metric("edged_index_full") == 1
            await box.hold(held, expect=(4,))  # placed as a whole or not at all
            sealed = len(box.sealed())
            await until(lambda: len(box.sealed()) >= sealed + 4, "recording goes on meanwhile")
            await until(lambda: box.recorded() == names_of(fleet), "of all cameras")
            small.free_up()
            await until(lambda: "index_full" not in box.health()["problems"], "there is room again")
            assert box.controller is not None
            assert box.controller.poll() is None, "the controller went on by itself"
            assert box.ask("/v1/holds")["holds"] == []
            await box.hold(held)
            assert len(box.ask("/v1/holds")["holds"]) == 1
            for camera in fleet.cameras:
                assert box.gaps(camera.name) == []
            assert box.end() == 0
            check_disks_and_index(box)
            for camera in fleet.cameras:
                check_whole(box, camera, "v1")


@pytest.mark.parametrize("how", ["pull", "read_only"])
async def test_an_index_whose_disk_fails_is_given_up_for_a_restart(small: LoopDisk, how: str) -> None:
    database = Database(small.path / "index.sqlite3")
    try:
        await database.write(enter_many, 3)
        getattr(small, how)()
        with pytest.raises(IndexLost):
            await write_on(database, 40)
    finally:
        database.close()
    small.unmount_soon()
    small.mount()
    again = Database(small.path / "index.sqlite3")
    try:
        assert await again.read(told) == [1, 2, 3], "what was written was durable"
    finally:
        again.close()


async def test_i6_i7_a_failing_disk_of_the_index_ends_the_controller_and_no_recording(
    small: LoopDisk, tmp_path: Path
) -> None:
    async with Fleet(cameras=2, gop=25, bitrate="256k", onvif=False, subnet=fresh_subnet()) as fleet:
        with DiskBox(tmp_path, [(camera, "v1", 5) for camera in fleet.cameras]) as box:
            box.start()
            await until(lambda: box.recorded() == names_of(fleet), "all cameras are recorded")
            small.read_only()
            controller = box.controller
            assert controller is not None
            assert await asyncio.to_thread(controller.wait, 30) == 1, "for the service manager to start it again"
            assert "ARC-003" in box.log()
            sealed = len(box.sealed())
            await until(lambda: len(box.sealed()) >= sealed + 4, "recording goes on without it")
            # The disk is mounted anew: for that everybody has to leave it, as at a reboot.
            recorder = box.recorder_pid()
            assert recorder is not None
            os.kill(recorder, signal.SIGTERM)
            await asyncio.to_thread(small.unmount_soon)
            small.mount()
            box.start()
            await until(lambda: box.recorded() == names_of(fleet), "all cameras are recorded")
            causes = {gap["cause"] for camera in fleet.cameras for gap in box.gaps(camera.name)}
            assert causes <= {"recorder", "planned"}, "while nobody recorded"
            assert box.end() == 0
            check_disks_and_index(box)


async def test_i4_i5_i7_one_disk_for_everything_filled_to_the_last_block(whole: LoopDisk) -> None:
    """Index, recordings, assignment and sockets: nothing can be written down, and afterwards everything is."""
    async with Fleet(cameras=2, gop=25, bitrate="1M", onvif=False, subnet=fresh_subnet()) as fleet:
        with DiskBox(whole.path, [(camera, "v1", 5) for camera in fleet.cameras]) as box:
            box.start()
            await until(lambda: box.recorded() == names_of(fleet), "all cameras are recorded")
            await until(lambda: {one.camera for one in box.sealed()} == names_of(fleet), "segments are sealed")
            before = box.sealed()
            whole.fill()
            await until(lambda: {"index_full", "volume_offline"} <= set(box.health()["problems"]), "it is said")
            seen_us = box.health()["at_us"]
            await until(lambda: box.health()["at_us"] > seen_us + 5_000_000, "the limit of an outage passes")
            whole.free_up()
            await until(lambda: box.recorded() == names_of(fleet), "all cameras are recorded again")
            await until(lambda: "index_full" not in box.health()["problems"], "and the index is written again")
            outages = await until(lambda: two_of(box.ask("/v1/outages?all=1")["outages"]), "the outages are told")
            assert {(one["camera"], one["cause"]) for one in outages} == {(name, "disk") for name in names_of(fleet)}
            assert box.controller is not None
            assert box.controller.poll() is None
            for camera in fleet.cameras:
                # One, or on a busy machine two: the first segment after it may find the disk full once more.
                assert {gap["cause"] for gap in box.gaps(camera.name)} == {"disk"}
            assert box.end() == 0
            check_disks_and_index(box, before)


def two_of(outages: list[dict[str, str]]) -> list[dict[str, str]]:
    return outages if len(outages) == 2 else []


async def test_a_controller_that_starts_on_a_full_disk_of_the_index_says_so_and_leaves(
    small: LoopDisk, tmp_path: Path
) -> None:
    async with Fleet(cameras=1, gop=25, bitrate="256k", onvif=False, subnet=fresh_subnet()) as fleet:
        with DiskBox(tmp_path, [(fleet.cameras[0], "v1", 5)]) as box:
            box.start()
            await until(lambda: box.recorded() == names_of(fleet), "the camera is recorded")
            assert box.end() == 0
            small.fill()
            box.start()
            assert box.controller is not None
            assert await asyncio.to_thread(box.controller.wait, 30) == 1
            assert "ARC-00" in box.log()
            assert "Traceback" not in box.log()
            small.free_up()
            box.start()
            await until(lambda: box.recorded() == names_of(fleet), "the camera is recorded")
            assert box.end() == 0
            check_disks_and_index(box)
