"""The cameras this box knows: found, adopted, removed. A camera keeps its row and its id for ever.

An id is not an address: a camera that comes back under a new address, or is adopted again after a removal, is the
same row, so that its footage, holds and gaps stay together.
"""

import functools
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from edged.archive.layout import is_camera_id
from edged.archive.ledger import LedgerKind, append
from edged.archive.schema import STREAM_NO
from edged.base.errors import Refused
from edged.base.files import canonical_json
from edged.model import CameraState, Keep, OwnRule, Place, Situation

Source = Literal["onvif", "static", "journal"]


class UnknownCamera(Refused):
    """No camera of this id is in the roster."""

    code = "ARC-020"
    hint = "`edged cameras` lists the ids"


class CameraHeld(Refused):
    """The camera cannot be removed, or adopted again, while an evidence hold covers it (I2)."""

    code = "ARC-021"
    hint = "two people release the hold first: `edged holds`"


class CameraConflict(Refused):
    """Two cameras would share what identifies one."""

    code = "ARC-022"
    hint = "the device is in the roster under another id: use that one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """One row of the roster. What `repr` leaves out is confidential (I9): names, serials, addresses, stream URLs."""

    no: int
    id: str
    name: str = field(repr=False)
    source: Source
    state: CameraState
    endpoint_reference: str | None = field(repr=False)
    serial: str | None = field(repr=False)
    situation: Situation  # what the law goes by
    volume: int | None  # number of the volume it records to; None: any
    found_us: int
    adopted_us: int | None  # the first adoption: coverage and gaps count from here
    removed_us: int | None  # None unless the state is removed
    seen_us: int | None
    clock_offset_us: int | None  # the camera's clock minus ours
    details: Mapping[str, Any] = field(repr=False)


def upsert_found(
    connection: sqlite3.Connection,
    camera_id: str,
    *,
    source: Source,
    situation: Situation,
    at_us: int,
    name: str | None = None,
    endpoint_reference: str | None = None,
    serial: str | None = None,
    volume: int | None = None,
    clock_offset_us: int | None = None,
    details: Mapping[str, Any] | None = None,
) -> Camera:
    """Enter a camera that was found or seen again at `at_us`, and return it as it stands now.

    What is None stays as it was; `details` is replaced whole. State and adoption are never touched here.
    Raises CameraConflict where another camera has this endpoint reference.
    """
    values = {
        "id": camera_id,
        "name": name,
        "source": source,
        "endpoint": endpoint_reference,
        "serial": serial,
        "volume": volume,
        "at": at_us,
        "offset": clock_offset_us,
        "details": None if details is None else canonical_json(dict(details)).decode(),
        **_situated(situation),
    }
    if endpoint_reference is not None:
        other = find_by_endpoint(connection, endpoint_reference)
        if other is not None and other.id != camera_id:
            raise CameraConflict(f"camera {camera_id} and camera {other.id} have the same endpoint reference")
    # Not as one upsert: before the row an upsert looks like a REPLACE, and that the guards refuse.
    known = connection.execute(
        """
        UPDATE camera SET
            name = coalesce(:name, name), source = :source, place = :place, seen_us = :at,
            endpoint_reference = coalesce(:endpoint, endpoint_reference), serial = coalesce(:serial, serial),
            volume = coalesce(:volume, volume), clock_offset_us = coalesce(:offset, clock_offset_us),
            details = coalesce(:details, details), designations = :designations, keep_days = :keep_days, keep = :keep
        WHERE id = :id
        """,
        values,
    )
    if known.rowcount == 0:
        connection.execute(
            """
            INSERT INTO camera (id, name, source, state, endpoint_reference, serial, place, volume, found_us, seen_us,
                                clock_offset_us, details, designations, keep_days, keep)
            VALUES (:id, coalesce(:name, ''), :source, 'found', :endpoint, :serial, :place, :volume, :at, :at,
                    :offset, coalesce(:details, '{}'), :designations, :keep_days, :keep)
            """,
            values,
        )
    return get(connection, camera_id)


def situate(connection: sqlite3.Connection, camera_id: str, situation: Situation) -> None:
    """Correct what the law of a known camera goes by. Footage that is kept already can only be raised by it."""
    connection.execute(
        "UPDATE camera SET place = :place, designations = :designations, keep_days = :keep_days, keep = :keep"
        " WHERE id = :id",
        {"id": camera_id, **_situated(situation)},
    )


def situation_of(row: sqlite3.Row) -> Situation:
    """What the law goes by, from the columns of a row of the roster."""
    return _situation(row["place"], row["designations"], row["keep_days"], row["keep"])


@functools.lru_cache(1000)
def _situation(place: Place, designations: str, keep_days: int, keep: Keep) -> Situation:
    """Read once, not once a segment."""
    return Situation(place, tuple(json.loads(designations)), OwnRule(at_least_days=keep_days, keep=keep))


def _situated(situation: Situation) -> dict[str, Any]:
    return {
        "place": situation.place,
        "designations": json.dumps(sorted(set(situation.designations))),
        "keep_days": situation.own.at_least_days,
        "keep": situation.own.keep,
    }


def adopt(connection: sqlite3.Connection, camera_id: str, at_us: int, by: str = "") -> Camera:
    """Have the camera recorded from now on, as `by` decided; a ledger entry. Nothing where it is adopted already.

    Raises UnknownCamera, and CameraHeld where it was removed and an unreleased hold covers it (I2).
    """
    camera = get(connection, camera_id)
    if camera.state is CameraState.ADOPTED:
        return camera
    if camera.state is CameraState.REMOVED:
        _refuse_held(connection, camera)
    connection.execute(
        "UPDATE camera SET state = 'adopted', adopted_us = coalesce(adopted_us, ?), removed_us = NULL WHERE no = ?",
        (at_us, camera.no),
    )
    _turn(connection, camera, at_us, "adopted")
    append(connection, at_us, LedgerKind.CAMERA_ADOPTED, {"camera": camera_id, "source": camera.source, "by": by})
    return get(connection, camera_id)


def remove(connection: sqlite3.Connection, camera_id: str, at_us: int, by: str = "") -> Camera:
    """Stop recording the camera, as `by` decided; what it recorded keeps its floor; a ledger entry.

    Nothing happens where it is removed already. Raises UnknownCamera, and CameraHeld while an unreleased hold covers
    the camera, whatever the hold's span (I2).
    """
    camera = get(connection, camera_id)
    if camera.state is CameraState.REMOVED:
        return camera
    _refuse_held(connection, camera)
    connection.execute("UPDATE camera SET state = 'removed', removed_us = ? WHERE no = ?", (at_us, camera.no))
    _turn(connection, camera, at_us, "removed")
    append(connection, at_us, LedgerKind.CAMERA_REMOVED, {"camera": camera_id, "by": by})
    return get(connection, camera_id)


def put_on(connection: sqlite3.Connection, volumes: Mapping[str, int]) -> None:
    """Have cameras, by id, recorded to the volumes of these numbers from now on; what they have recorded stays."""
    connection.executemany(
        "UPDATE camera SET volume = ? WHERE id = ?", [(no, camera) for camera, no in volumes.items()]
    )


def _refuse_held(connection: sqlite3.Connection, camera: Camera) -> None:
    hold = connection.execute(
        "SELECT hold.id FROM hold_camera JOIN hold ON hold.no = hold_camera.hold"
        " WHERE hold_camera.camera = ? AND hold.released_us IS NULL ORDER BY hold.no LIMIT 1",
        (camera.no,),
    ).fetchone()
    if hold is not None:
        raise CameraHeld(f"camera {camera.id} is under evidence hold {hold['id']}")


def find(connection: sqlite3.Connection, camera_id: str) -> Camera | None:
    """The camera of this id, or None."""
    return _one(connection, "id = ?", camera_id)


def get(connection: sqlite3.Connection, camera_id: str) -> Camera:
    """The camera of this id. Raises UnknownCamera."""
    camera = find(connection, camera_id)
    if camera is None:
        raise UnknownCamera(f"no camera has the id {camera_id}")
    return camera


def find_by_endpoint(connection: sqlite3.Connection, endpoint_reference: str) -> Camera | None:
    """The camera that answers WS-Discovery with this endpoint reference, or None."""
    return _one(connection, "endpoint_reference = ?", endpoint_reference)


def cameras(connection: sqlite3.Connection, state: CameraState | None = None) -> list[Camera]:
    """All cameras by id, or those in `state`."""
    rows = connection.execute("SELECT * FROM camera WHERE ?1 IS NULL OR state = ?1 ORDER BY id", (state,))
    return [_camera(row) for row in rows]


def camera_no(connection: sqlite3.Connection, camera_id: str, create_from_journal_at_us: int | None = None) -> int:
    """The row number of a camera.

    With `create_from_journal_at_us`, a camera that a journal names and the roster does not know (the database was
    lost) is entered as adopted since then, at the listed place because that keeps longest; where the journals later
    show an earlier fact of such a camera, its adoption moves back. Raises UnknownCamera otherwise.
    """
    row = connection.execute("SELECT no, source, adopted_us FROM camera WHERE id = ?", (camera_id,)).fetchone()
    at_us = create_from_journal_at_us
    if row is None:
        if at_us is None:
            raise UnknownCamera(f"no camera has the id {camera_id}")
        row = connection.execute(
            "INSERT INTO camera (id, source, state, place, found_us, adopted_us)"
            " VALUES (?, 'journal', 'adopted', 'listed', ?, ?) RETURNING no, source, adopted_us",
            (camera_id, at_us, at_us),
        ).fetchone()
    elif at_us is not None and row["source"] == "journal" and at_us < row["adopted_us"]:
        connection.execute("UPDATE camera SET found_us = ?1, adopted_us = ?1 WHERE no = ?2", (at_us, row["no"]))
    no: int = row["no"]
    return no


def adopted_again(connection: sqlite3.Connection, camera_id: str, at_us: int, source: str) -> None:
    """What a restored ledger entry tells of an adoption; no entry of its own. A new row stands at the listed place,
    which keeps longest, until the configuration says better. Raises ValueError where the id cannot be one."""
    if not is_camera_id(camera_id):
        raise ValueError("not a camera's id")
    known = connection.execute(
        "UPDATE camera SET state = 'adopted', removed_us = NULL, adopted_us = coalesce(adopted_us, ?2) WHERE id = ?1",
        (camera_id, at_us),
    )
    if known.rowcount == 0:
        connection.execute(
            "INSERT INTO camera (id, source, state, place, found_us, adopted_us)"
            " VALUES (?1, ?2, 'adopted', 'listed', ?3, ?3)",
            (camera_id, source, at_us),
        )
    _turn(connection, get(connection, camera_id), at_us, "adopted")


def removed_again(connection: sqlite3.Connection, camera_id: str, at_us: int) -> None:
    """What a restored ledger entry tells of a removal; no entry of its own. Raises UnknownCamera."""
    camera = get(connection, camera_id)
    connection.execute("UPDATE camera SET state = 'removed', removed_us = ? WHERE no = ?", (at_us, camera.no))
    _turn(connection, camera, at_us, "removed")


def _turn(connection: sqlite3.Connection, camera: Camera, at_us: int, kind: str) -> None:
    connection.executemany(
        "INSERT INTO fact (camera, stream, at_us, kind) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [(camera.no, stream, at_us, kind) for stream in STREAM_NO.values()],
    )


def _one(connection: sqlite3.Connection, where: str, value: str) -> Camera | None:
    row = connection.execute(f"SELECT * FROM camera WHERE {where}", (value,)).fetchone()
    return None if row is None else _camera(row)


def _camera(row: sqlite3.Row) -> Camera:
    fields = dict(row)
    for key in ("place", "designations", "keep_days", "keep"):
        del fields[key]
    return Camera(
        **{
            **fields,
            "situation": situation_of(row),
            "state": CameraState(fields["state"]),
            "details": json.loads(fields["details"]),
        }
    )
