"""API: holds, floors, segments, and the clock that deletion asks."""

import itertools
import sqlite3
from typing import Any

from aiohttp import web

from edged.archive.roster import cameras, get
from edged.archive.schema import DOOMED, MISSING, STREAM_NO
from edged.archive.segments import LONGEST_SEGMENT, longest_us, oldest, segment_file, segments_in, totals
from edged.base.spans import Span
from edged.model import StreamKind
from edged.report.requests import BadRequest, parse_time, print_time, read_body, seconds
from edged.report.rooms import Rooms
from edged.retain.held_list import to_link_by_hold
from edged.retain.holds import Hold, HoldExtension, HoldRequest
from edged.retain.locks import kept_as
from edged.retain.timekeeping import confirm, read_state, reading

_STATES = {DOOMED: "doomed", MISSING: "missing"}
_MOST_SEGMENTS = 5000
_MOST_COUNTED = 50_000  # of a hold; counting all of a month's eleven million would keep everybody waiting


def add_routes(app: web.Application, rooms: Rooms) -> None:
    """GET holds, retention, segments; POST holds, extensions and releases."""
    handlers = _Retention(rooms)
    app.router.add_get("/v1/holds", handlers.holds)
    app.router.add_post("/v1/holds", handlers.place)
    app.router.add_post("/v1/holds/{hold}/extend", handlers.extend)
    app.router.add_post("/v1/holds/{hold}/release", handlers.release)
    app.router.add_get("/v1/retention", handlers.retention)
    app.router.add_post("/v1/retention/clock/confirm", handlers.confirm)
    app.router.add_get("/v1/segments", handlers.segments)


class _Retention:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._paths = {volume.no: volume.path for volume in rooms.volumes if volume.no}

    async def holds(self, request: web.Request) -> web.Response:
        found = await self._rooms.holds.list(released="all" in request.query)
        to_link, locks = await self._rooms.database.read(to_link_by_hold), self._rooms.evidence.locks
        told = [
            _hold(hold) | {"evidence": None if hold.released_us else kept_as(to_link.get(hold.id, 0), locks.values())}
            for hold in found
        ]
        refused = {volume: one.refused for volume, one in locks.items() if one.refused}
        return web.json_response({"holds": told, "not_immutable": refused})

    async def place(self, request: web.Request) -> web.Response:
        texts = ("from", "case", "authority", "document", "by")
        body = await read_body(request, texts=texts, optional=("to", "cameras"))
        named = body.get("cameras")
        if not isinstance(named, list) or not all(isinstance(camera, str) for camera in named):
            raise BadRequest("cameras: want a list of camera ids")
        hold = await self._rooms.holds.place(
            HoldRequest(
                cameras=tuple(named),
                start_us=parse_time(body["from"], "from"),
                end_us=parse_time(str(body["to"]), "to") if body.get("to") is not None else None,
                case=body["case"],
                authority=body["authority"],
                document=body["document"],
                placed_by=body["by"],
            )
        )
        count = await self._rooms.database.read(_held_segments, hold)
        return web.json_response({**_hold(hold), "segments": count, "complete": count < _MOST_COUNTED})

    async def extend(self, request: web.Request) -> web.Response:
        body = await read_body(request, texts=("document", "by"), optional=("from", "to", "open", "cameras"))
        named = body.get("cameras", [])
        if not isinstance(named, list) or not all(isinstance(camera, str) for camera in named):
            raise BadRequest("cameras: want a list of camera ids")
        extension = HoldExtension(
            start_us=parse_time(str(body["from"]), "from") if body.get("from") is not None else None,
            end_us=parse_time(str(body["to"]), "to") if body.get("to") is not None else None,
            open_end=body.get("open") is True,
            cameras=tuple(named),
            document=body["document"],
            by=body["by"],
        )
        hold = await self._rooms.holds.extend(request.match_info["hold"], extension)
        count = await self._rooms.database.read(_held_segments, hold)
        return web.json_response({**_hold(hold), "segments": count, "complete": count < _MOST_COUNTED})

    async def release(self, request: web.Request) -> web.Response:
        body = await read_body(request, texts=("by",))
        return web.json_response(_hold(await self._rooms.holds.release(request.match_info["hold"], body["by"])))

    async def retention(self, _: web.Request) -> web.Response:
        rooms, now = self._rooms, self._rooms.clock.wall_us()
        kept, state = await rooms.database.read(_kept)
        for camera in kept:
            decision = rooms.law.decision(camera.pop("situation"), now)
            camera |= {
                "floor_days": decision.floor.days,
                "rules": list(decision.floor.rules),
                "ceiling_days": decision.ceiling_days,
                "ceiling_rule": decision.ceiling_rule,
            }
        trusted = rooms.snapshot().retention_clock_trusted
        return web.json_response(
            {
                "cameras": kept,
                "clock": {
                    "at": print_time(state),
                    "trusted": trusted,
                    "why": "" if trusted else "the sweep has not run yet, or does not trust it; see the log",
                },
                "warnings": list(rooms.law.decision(rooms.config.situation(), now).warnings),
            }
        )

    async def confirm(self, request: web.Request) -> web.Response:
        body = await read_body(request, texts=("by",))
        now = reading(self._rooms.clock)
        time = await self._rooms.database.write(confirm, body["by"], now)
        return web.json_response(
            {
                "wall": print_time(now.wall_us),
                "complete": time is not None,
                "at": None if time is None else print_time(time.retention_us),
                "why": "a second, different person has to confirm within the hour" if time is None else time.why,
            }
        )

    async def segments(self, request: web.Request) -> web.Response:
        if "camera" not in request.query:
            raise BadRequest("name a camera")
        start = parse_time(request.query["from"], "from") if "from" in request.query else 0
        end = parse_time(request.query["to"], "to") if "to" in request.query else self._rooms.clock.wall_us()
        camera = request.query["camera"]
        await self._rooms.database.read(get, camera)
        rows = await self._rooms.database.read(
            segments_in, camera, StreamKind.MAIN, Span(start, end), limit=_MOST_SEGMENTS
        )
        return web.json_response(
            {
                "segments": [
                    {
                        "id": str(row.key),
                        "from": print_time(row.start_us),
                        "to": print_time(row.end_us),
                        "seconds": seconds(row.end_us - row.start_us),
                        "frames": row.frames,
                        "bytes": row.bytes,
                        "sha256": row.sha256,
                        "recovered": row.recovered,
                        "keep_until": print_time(row.keep_until_us),
                        "state": _STATES.get(row.state, "kept"),
                        "file": str(self._paths[row.volume] / segment_file(row)) if row.volume in self._paths else None,
                    }
                    for row in rows
                ],
                "complete": len(rows) < _MOST_SEGMENTS,
            }
        )


def _held_segments(connection: sqlite3.Connection, hold: Hold) -> int:
    """How many segments it covers, _MOST_COUNTED at most."""
    earliest = hold.start_us - longest_us(connection, LONGEST_SEGMENT)
    end_us = hold.end_us if hold.end_us is not None else 2**62
    count = 0
    for camera, stream in itertools.product(hold.cameras, STREAM_NO.values()):
        count += connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM segment WHERE camera = (SELECT no FROM camera WHERE id = ?)"
            " AND stream = ? AND start_us > ? AND start_us < ? AND end_us > ? LIMIT ?)",
            (camera, stream, earliest, end_us, hold.start_us, _MOST_COUNTED - count),
        ).fetchone()[0]
    return count


def _kept(connection: sqlite3.Connection) -> tuple[list[dict[str, Any]], int | None]:
    state = read_state(connection)
    amounts: dict[str, list[int]] = {}
    for total in totals(connection):
        amount = amounts.setdefault(total.camera, [0, 0])
        amount[0] += total.segments
        amount[1] += total.bytes
    kept = []
    for camera in cameras(connection):
        first = oldest(connection, camera.id, StreamKind.MAIN)
        segments, size = amounts.get(camera.id, [0, 0])
        kept.append(
            {
                "camera": camera.id,
                "situation": camera.situation,
                "roster": camera.state.value,
                "oldest": print_time(first.start_us) if first else None,
                "segments": segments,
                "bytes": size,
            }
        )
    return kept, state.retention_us if state else None


def _hold(hold: Hold) -> dict[str, Any]:
    state = "released" if hold.released_us is not None else "half released" if hold.release1_by else "in force"
    return {
        "id": hold.id,
        "cameras": list(hold.cameras),
        "from": print_time(hold.start_us),
        "to": print_time(hold.end_us),
        "case": hold.case,
        "authority": hold.authority,
        "document": hold.document,
        "placed_by": hold.placed_by,
        "placed": print_time(hold.placed_us),
        "first_release_by": hold.release1_by,
        "second_release_by": hold.release2_by,
        "released": print_time(hold.released_us),
        "state": state,
    }
