"""What the archive is asked, on the large index: coverage, a camera-day, a hold, the plan of one camera."""

import sqlite3
import time
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from edged.archive import coverage
from edged.archive.segments import segment_file, segments_in
from edged.archive.volumes import open_volumes
from edged.base.clock import DAY, ManualClock
from edged.base.spans import Span
from edged.base.worker import Worker
from edged.model import StreamKind
from edged.retain.disk import SweptVolume
from edged.retain.evidence import Evidence
from edged.retain.gate import Gate
from edged.retain.holds import HoldRequest, Holds
from edged.retain.measured import measured_loads
from tests.bench.archive_made import CAMERAS, Made, camera_id, site_law
from tests.bench.archive_steps import TimedDatabase
from tests.bench.figures import figure, note

P = ParamSpec("P")
T = TypeVar("T")

ROUNDS = 5
HELD_CAMERAS, HELD_DAYS = 8, 7


async def ask(box: Made) -> list[bool]:
    """Everything, once a round; the median counts."""
    note("questions")
    database = TimedDatabase(box.index)
    database.forget()
    try:
        law, whole = site_law(), Span(box.start_us, box.end_us)
        day = Span(box.end_us - 2 * DAY, box.end_us - DAY)
        covered = await _median(database, _cover_all, whole)
        rows = await _median(database, segments_in, camera_id(17), StreamKind.MAIN, day)
        one_load = await _median(database, measured_loads, law, box.end_us, camera_id(17))
        return [
            *_both("archive_coverage_256_cameras_30_days", covered, 0.1),
            *_both("archive_camera_day_segments", rows, 0.005),
            *_both("archive_plan_of_a_camera", one_load, None),
            *await _hold(database, box),
        ]
    finally:
        database.close()


def _cover_all(connection: sqlite3.Connection, window: Span) -> int:
    found = [coverage.query(connection, camera_id(number), StreamKind.MAIN, window) for number in range(1, CAMERAS + 1)]
    gaps = sum(len(each.gaps) for each in found)
    assert gaps >= CAMERAS
    return gaps


async def _hold(database: TimedDatabase, box: Made) -> list[bool]:
    """Its place in the index, at once; then the hard links, of files laid down for it, made behind it."""
    clock = ManualClock(box.end_us)
    (volume,) = await database.write(open_volumes, [("disk-0", box.disk)], box.end_us)
    swept = [SweptVolume(volume, Worker("held"), 0)]
    cameras = tuple(camera_id(number) for number in range(1, HELD_CAMERAS + 1))
    end_us = box.end_us - DAY
    request = HoldRequest(
        cameras=cameras,
        start_us=end_us - HELD_DAYS * DAY,
        end_us=end_us,
        case="case-1",
        authority="authority-1",
        document="letter-1",
        placed_by="person-a",
    )
    segments = await _files(database, box, request)
    database.forget()
    began = time.perf_counter()
    hold = await Holds(database, clock, Gate(), swept).place(request)
    placed = time.perf_counter() - began
    longest = database.longest()
    began = time.perf_counter()
    await Evidence(database, clock, swept).keep_step()
    linked = time.perf_counter() - began
    swept[0].worker.shutdown()
    links = sum(1 for _ in (box.disk / "held" / hold.id).glob("segments/*/*/*.mp4"))
    assert links == segments, f"{links} links for {segments} segments"
    return [
        figure("archive_hold_placed", placed, "s", 2),
        figure("archive_hold_placed_cpu", longest, "s", 2),
        figure("archive_hold_segments", segments, "segments"),
        figure("archive_hold_linked", linked, "s"),
    ]


async def _files(database: TimedDatabase, box: Made, request: HoldRequest) -> int:
    """Empty files for the segments of a hold."""
    count = 0
    for camera in request.cameras:
        assert request.end_us is not None
        for start_us in range(request.start_us, request.end_us, DAY):
            rows = await database.read(
                segments_in, camera, StreamKind.MAIN, Span(start_us, min(start_us + DAY, request.end_us))
            )
            for row in rows:
                (box.disk / segment_file(row)).touch()
            count += len(rows)
    return count


def _both(name: str, took: tuple[float, float], target: float | None) -> list[bool]:
    return [figure(name, took[0], "s", target), figure(f"{name}_cpu", took[1], "s", target)]


async def _median(
    database: TimedDatabase, query: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
) -> tuple[float, float]:
    """Seconds, and seconds of processor time."""
    took = []
    database.forget()
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await database.read(query, *args, **kwargs)
        took.append(time.perf_counter() - began)
    return sorted(took)[ROUNDS // 2], sorted(database.busy[query.__name__])[ROUNDS // 2]
