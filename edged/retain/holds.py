"""Evidence holds: cameras x span, placed with a case and a document, released by two different people (I2).

A hold acts at once, on footage that exists and on footage that is still to come. It never shrinks and is never
deleted; both acts of its release, like its placing, are ledger entries in the transaction that does them.

Sources: Lhasa art. 33(2) wants information preserved, so that originals are not deleted, altered or damaged, where
evidence of a crime is involved; Order 799 art. 17 demands deletion only of what has served its purpose. That two people
release a hold is edged's own rule.
"""

import asyncio
import contextlib
import dataclasses
import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from edged.archive.database import Database
from edged.archive.deletions import spare as tell_spared
from edged.archive.ledger import LedgerKind, append
from edged.archive.schema import DOOMED, SEALED
from edged.archive.segments import SegmentKey, set_state
from edged.base.clock import Clock
from edged.base.errors import Refused
from edged.retain.disk import SweptVolume, still_there
from edged.retain.gate import Gate
from edged.retain.rows import HeldSpan, doomed_segments
from edged.retain.witnesses import same_person

# How long a deletion under way is waited for. It stops after the file it is at; only a hanging disk takes longer.
PATIENCE_S = 5.0
_DOOMED_LIMIT = 100_000


class BadHold(Refused):
    """The hold cannot be placed as asked."""

    code = "RET-010"


class NoSuchHold(Refused):
    """No hold has that id."""

    code = "RET-011"
    hint = "`edged holds list --all` shows the ids"


class ReleaseRefused(Refused):
    """The release is not allowed."""

    code = "RET-012"


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRequest:
    """What somebody asks to be held: footage of `cameras` in [start_us, end_us), or from start_us on.

    `case` and `document` are the references on the letter, `authority` who issued it, `placed_by` the person here.
    From `remind_us` on people are reminded to release or to extend it; until they do it stays in force.
    """

    cameras: tuple[str, ...]
    start_us: int
    end_us: int | None
    case: str
    authority: str
    document: str
    placed_by: str
    remind_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A hold as it stands. In force until `released_us` is set, whatever `remind_us` says."""

    id: str
    cameras: tuple[str, ...]
    start_us: int
    end_us: int | None
    case: str
    authority: str
    document: str
    placed_by: str
    placed_us: int
    release1_by: str | None
    release1_us: int | None
    release2_by: str | None
    released_us: int | None
    remind_us: int | None

    def reminds(self, now_us: int) -> bool:
        """Whether somebody should decide about it: its reminder has come and it is in force."""
        return self.released_us is None and self.remind_us is not None and now_us >= self.remind_us


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldExtension:
    """What a hold is to cover besides, and when it is reminded of. None leaves a time as it is; `open_end` takes its
    end away."""

    start_us: int | None = None
    end_us: int | None = None
    remind_us: int | None = None
    open_end: bool = False
    cameras: tuple[str, ...] = ()
    document: str
    by: str


class Holds:
    """Places, extends, releases and lists. `gate` and `volumes` are the ones the sweep uses."""

    def __init__(self, database: Database, clock: Clock, gate: Gate, volumes: Iterable[SweptVolume]) -> None:
        self._database = database
        self._clock = clock
        self._gate = gate
        self._volumes = {swept.volume.id: swept for swept in volumes}

    async def place(self, request: HoldRequest) -> Hold:
        """Place a hold; in force when this returns. Raises BadHold.

        Segments it covers that a sweep has doomed but not yet unlinked are spared in the same transaction. Where a
        hanging disk keeps the sweep from stopping, the hold is placed all the same and the sweep spares what is left.
        """
        async with self._gate.placing(PATIENCE_S) as undisturbed:
            wanted = HeldSpan("", request.start_us, request.end_us)
            spare = await self._doomed_but_there(request.cameras, wanted) if undisturbed else ()
            return await self._database.write(place_hold, request, self._clock.wall_us(), spare)

    async def extend(self, hold: str, extension: HoldExtension) -> Hold:
        """Let a hold cover more; in force when this returns, as placing is. Raises NoSuchHold, BadHold."""
        async with self._gate.placing(PATIENCE_S) as undisturbed:
            wider, cameras = await self._database.read(_extended, hold, extension)
            spare = await self._doomed_but_there(cameras, wider) if undisturbed else ()
            return await self._database.write(extend_hold, hold, extension, self._clock.wall_us(), spare)

    async def _doomed_but_there(self, cameras: Collection[str], wanted: HeldSpan) -> tuple[SegmentKey, ...]:
        doomed = await self._database.read(doomed_segments, _DOOMED_LIMIT)
        covered = [s for s in doomed if s.key.camera in cameras and wanted.covers(s)]
        spare: list[SegmentKey] = []
        for volume, swept in self._volumes.items():
            on_it = {segment.file: segment.key for segment in covered if segment.volume == volume}
            if on_it:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PATIENCE_S):
                        spare += [on_it[file] for file in await still_there(swept, list(on_it))]
        return tuple(sorted(spare))

    async def release(self, hold: str, by: str) -> Hold:
        """The first call records the first person, the second, by somebody else, releases. Raises Refused."""
        return await self._database.write(release_hold, hold, by, self._clock.wall_us())

    async def list(self, *, released: bool = False) -> list[Hold]:
        """Holds in force, oldest first; with `released`, the others as well."""
        return await self._database.read(list_holds, released)


def place_hold(
    connection: sqlite3.Connection, request: HoldRequest, now_us: int, spare: Iterable[SegmentKey] = ()
) -> Hold:
    """Place a hold within the caller's transaction and take the segments in `spare` out of deletion. Raises BadHold."""
    texts = {
        field: _written(getattr(request, field), field) for field in ("case", "authority", "document", "placed_by")
    }
    if not request.cameras:
        raise BadHold("a hold names at least one camera", hint="give the camera ids that edged cameras shows")
    if request.end_us is not None and request.end_us <= request.start_us:
        raise BadHold("the hold ends before it begins", hint="give an end after the start, or none")
    numbers = {camera: _camera_no(connection, camera) for camera in dict.fromkeys(request.cameras)}
    no: int = connection.execute("SELECT coalesce(max(no), 0) + 1 FROM hold").fetchone()[0]
    hold = f"hold-{no}"
    connection.execute(
        "INSERT INTO hold (no, id, case_ref, authority, document, start_us, end_us, placed_by, placed_us, remind_us)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            no,
            hold,
            texts["case"],
            texts["authority"],
            texts["document"],
            request.start_us,
            request.end_us,
            texts["placed_by"],
            now_us,
            request.remind_us,
        ),
    )
    connection.executemany(
        "INSERT INTO hold_camera (hold, camera) VALUES (?, ?)", [(no, camera) for camera in numbers.values()]
    )
    body = {
        "hold": hold,
        "cameras": sorted(numbers),
        "start_us": request.start_us,
        "end_us": request.end_us,
        **texts,
        **_reminder(request.remind_us),
    }
    append(connection, now_us, LedgerKind.HOLD_PLACED, body)
    for key in spare:
        spare_doomed(connection, key, f"evidence hold {hold} was placed before the file went", now_us)
    return find_hold(connection, hold)


def extend_hold(
    connection: sqlite3.Connection,
    hold: str,
    extension: HoldExtension,
    now_us: int,
    spare: Iterable[SegmentKey] = (),
) -> Hold:
    """Let a hold cover more, within the caller's transaction; nothing it covered leaves it.

    Raises NoSuchHold, and BadHold where it is released, wholly or by one person (what that person agreed to release
    must not grow), or where nothing is added or something would be taken away.
    """
    by, document = _written(extension.by, "by"), _written(extension.document, "document")
    before = find_hold(connection, hold)
    span, cameras = _extended(connection, hold, extension)
    for camera in sorted(set(cameras) - set(before.cameras)):
        connection.execute(
            "INSERT INTO hold_camera (hold, camera) SELECT no, ? FROM hold WHERE id = ?",
            (_camera_no(connection, camera), hold),
        )
    connection.execute(
        "UPDATE hold SET start_us = ?, end_us = ?, remind_us = coalesce(?, remind_us) WHERE id = ?",
        (span.start_us, span.end_us, extension.remind_us, hold),
    )
    body = {
        "hold": hold,
        "cameras": list(cameras),
        "start_us": span.start_us,
        "end_us": span.end_us,
        "document": document,
        "by": by,
        **_reminder(extension.remind_us),
    }
    append(connection, now_us, LedgerKind.HOLD_EXTENDED, body)
    for key in spare:
        spare_doomed(connection, key, f"evidence hold {hold} was extended before the file went", now_us)
    return find_hold(connection, hold)


def _extended(connection: sqlite3.Connection, hold: str, extension: HoldExtension) -> tuple[HeldSpan, tuple[str, ...]]:
    """What a hold covers once extended. Raises NoSuchHold, BadHold."""
    before = find_hold(connection, hold)
    if before.release1_by is not None:
        raise BadHold(f"{hold} is released, or half released", hint="place a new hold for what is wanted besides")
    start_us = before.start_us if extension.start_us is None else extension.start_us
    end_us = before.end_us if extension.end_us is None else extension.end_us
    if extension.open_end:
        end_us = None
    ends_sooner = end_us is not None and (before.end_us is None or end_us < before.end_us)
    if start_us > before.start_us or ends_sooner:
        raise BadHold(f"{hold} would cover less", hint="a hold only grows: give an earlier start, a later end, or both")
    cameras = tuple(sorted({*before.cameras, *extension.cameras}))
    later = extension.remind_us not in (None, before.remind_us)
    if not later and (start_us, end_us, cameras) == (before.start_us, before.end_us, before.cameras):
        raise BadHold(
            f"{hold} covers that already", hint="name an earlier start, a later end, more cameras, or another reminder"
        )
    return HeldSpan(hold, start_us, end_us), cameras


def spare_doomed(connection: sqlite3.Connection, key: SegmentKey, because: str, now_us: int) -> bool:
    """Take a doomed segment whose file is still there out of deletion; the ledger, which announced the deletion, hears
    of it. False where it is no longer doomed."""
    if not set_state(connection, key, DOOMED, SEALED):
        return False
    tell_spared(connection, key, because, now_us)
    return True


def release_hold(connection: sqlite3.Connection, hold: str, by: str, now_us: int) -> Hold:
    """One person's half of a release, within the caller's transaction. Raises NoSuchHold, ReleaseRefused, BadHold."""
    person = _written(by, "the name of who releases")
    current = find_hold(connection, hold)
    if current.released_us is not None:
        raise ReleaseRefused(f"{hold} is released already", hint="nothing is left to do")
    if current.release1_by is None:
        append(connection, now_us, LedgerKind.HOLD_RELEASE_FIRST, {"hold": hold, "by": person})
        connection.execute("UPDATE hold SET release1_by = ?, release1_us = ? WHERE id = ?", (person, now_us, hold))
    elif same_person(current.release1_by, person):
        raise ReleaseRefused(
            f"{person} has released {hold} already", hint="a second, different person has to release it"
        )
    else:
        body = {"hold": hold, "first": current.release1_by, "second": person}
        append(connection, now_us, LedgerKind.HOLD_RELEASED, body)
        connection.execute("UPDATE hold SET release2_by = ?, released_us = ? WHERE id = ?", (person, now_us, hold))
    return find_hold(connection, hold)


def find_hold(connection: sqlite3.Connection, hold: str) -> Hold:
    """The hold with that id. Raises NoSuchHold."""
    row = connection.execute("SELECT * FROM hold WHERE id = ?", (hold,)).fetchone()
    if row is None:
        raise NoSuchHold(f"there is no hold {hold}")
    return _hold(connection, row)


def list_holds(connection: sqlite3.Connection, released: bool) -> list[Hold]:
    rows = connection.execute(
        "SELECT * FROM hold WHERE released_us IS NULL OR ? ORDER BY no", (int(released),)
    ).fetchall()
    return [_hold(connection, row) for row in rows]


def _hold(connection: sqlite3.Connection, row: sqlite3.Row) -> Hold:
    cameras = connection.execute(
        "SELECT camera.id FROM hold_camera JOIN camera ON camera.no = hold_camera.camera WHERE hold_camera.hold = ?"
        " ORDER BY camera.id",
        (row["no"],),
    ).fetchall()
    same = {field.name for field in dataclasses.fields(Hold)} - {"cameras", "case"}
    return Hold(
        cameras=tuple(camera["id"] for camera in cameras), case=row["case_ref"], **{name: row[name] for name in same}
    )


def _camera_no(connection: sqlite3.Connection, camera: str) -> int:
    row = connection.execute("SELECT no FROM camera WHERE id = ?", (camera,)).fetchone()
    if row is None:
        raise BadHold(f"there is no camera {camera}", hint="give the camera ids that edged cameras shows")
    number: int = row["no"]
    return number


def _reminder(remind_us: int | None) -> dict[str, int]:
    return {} if remind_us is None else {"remind_us": remind_us}


def _written(value: str, field: str) -> str:
    text = " ".join(value.split())
    if not text:
        raise BadHold(f"{field} is empty", hint="a hold and its release name the case, the letter and the people")
    return text
