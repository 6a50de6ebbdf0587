"""What the plan is made from: each camera's measured rate, what it has stored, and where it goes on storing."""

import sqlite3

from edged.archive.roster import Camera, cameras, get
from edged.archive.schema import STREAM_NO
from edged.archive.segments import LONGEST_SEGMENT, longest_us, oldest, totals
from edged.base.clock import DAY, MINUTE, SECOND
from edged.law.site import SiteLaw
from edged.model import CameraState, StreamKind
from edged.retain.capacity import CameraLoad

# The last day, so that night and day, rain and traffic are in it; less only where a camera is younger.
WINDOW_US = DAY
SHORTEST_US = MINUTE


def measured_loads(
    connection: sqlite3.Connection, law: SiteLaw, now_us: int, only: str | None = None
) -> list[CameraLoad]:
    """One load for each adopted camera that has a volume, and one more, without a rate, for each other volume that
    still holds footage of it. `now_us` ends the window measured, `only` names one
    camera. Raises UnknownCamera."""
    names = dict(connection.execute("SELECT no, id FROM volume").fetchall())
    stored: dict[tuple[str, int], int] = {}
    for total in totals(connection):
        stored[total.camera, total.volume] = stored.get((total.camera, total.volume), 0) + total.bytes
    loads = []
    for camera in [get(connection, only)] if only is not None else cameras(connection):
        decision = law.decision(camera.situation, now_us)
        first = oldest(connection, camera.id, StreamKind.MAIN)
        here = {volume for name, volume in stored if name == camera.id}
        recording = camera.state is CameraState.ADOPTED and camera.volume is not None
        if recording and camera.volume is not None:
            here.add(camera.volume)
        for volume in sorted(here):
            goes_on = recording and volume == camera.volume
            loads.append(
                CameraLoad(
                    camera=camera.id,
                    volume=names[volume],
                    bytes_per_s=_rate(connection, camera, now_us) if goes_on else 0.0,
                    floor_days=decision.floor.days,
                    stored_bytes=stored.get((camera.id, volume), 0),
                    oldest_us=first.start_us if first is not None else None,
                )
            )
    return loads


def _rate(connection: sqlite3.Connection, camera: Camera, now_us: int) -> float:
    """Bytes a second of both streams while they were recorded within the window: gaps do not make a camera small."""
    from_us = now_us - WINDOW_US
    rate = 0.0
    for stream in STREAM_NO.values():
        row = connection.execute(
            "SELECT coalesce(sum(bytes), 0) AS bytes, coalesce(sum(end_us - start_us), 0) AS us FROM segment"
            " WHERE camera = ? AND stream = ? AND start_us >= ? AND start_us < ? AND end_us > ?",
            (camera.no, stream, from_us - longest_us(connection, LONGEST_SEGMENT), now_us, from_us),
        ).fetchone()
        if row["us"] >= SHORTEST_US:
            rate += row["bytes"] * SECOND / row["us"]
    return rate
