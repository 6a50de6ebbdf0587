"""Cameras stopped for want of space, as the index remembers them: each change with its ledger entry, one transaction.

They outlive the controller, so that one that starts on a full disk does not begin with recording everybody again.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from edged.archive.ledger import LedgerKind, append
from edged.archive.roster import get
from edged.model import CameraState
from edged.retain.pressure import Room


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceStop:
    """A camera that is not recorded since `since_us`, because `volume` (its id) is full; what it wrote before that."""

    camera: str
    volume: str
    since_us: int
    bytes_per_s: int


def space_stops(connection: sqlite3.Connection) -> dict[str, SpaceStop]:
    """Every camera that is stopped now, by id."""
    rows = connection.execute(
        "SELECT camera.id AS camera, volume.id AS volume, since_us, bytes_per_s FROM space_stop"
        " JOIN camera ON camera.no = space_stop.camera JOIN volume ON volume.no = space_stop.volume"
    )
    return {row["camera"]: SpaceStop(**row) for row in rows}


def settle(
    connection: sqlite3.Connection, volume: str, stopped: Mapping[str, int], room: Room | None, now_us: int
) -> dict[str, SpaceStop]:
    """Have exactly the cameras of `stopped` stopped for `volume` (camera id -> bytes a second), because of `room`; None
    where the volume is not used any more.

    Returns every camera that is stopped now, those of other volumes included.
    """
    known = {camera for camera, stop in space_stops(connection).items() if stop.volume == volume}
    for camera in sorted(known - stopped.keys()):
        connection.execute("DELETE FROM space_stop WHERE camera = (SELECT no FROM camera WHERE id = ?)", (camera,))
        if get(connection, camera).state is CameraState.ADOPTED:  # a removed one is not recorded again
            append(connection, now_us, LedgerKind.CAMERA_RESUMED, _entry(camera, volume, room))
    for camera in sorted(stopped.keys() - known):
        connection.execute(
            "INSERT INTO space_stop (camera, volume, since_us, bytes_per_s) VALUES"
            " ((SELECT no FROM camera WHERE id = ?), (SELECT no FROM volume WHERE id = ?), ?, ?)"
            " ON CONFLICT (camera) DO UPDATE SET volume = excluded.volume, since_us = excluded.since_us",
            (camera, volume, now_us, stopped[camera]),
        )
        append(connection, now_us, LedgerKind.CAMERA_STOPPED, _entry(camera, volume, room))
    return space_stops(connection)


def _entry(camera: str, volume: str, room: Room | None) -> dict[str, object]:
    entry: dict[str, object] = {"camera": camera, "volume": volume, "because": "space"}
    if room is not None:
        entry |= {"free_bytes": room.free_bytes, "reserve_bytes": room.reserve}
    return entry
