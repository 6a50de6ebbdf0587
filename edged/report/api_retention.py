"""API: floors, segments, and the clock that deletion asks."""

import sqlite3
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web

from edged.archive.roster import cameras, get
from edged.archive.schema import DOOMED, MISSING
from edged.archive.segments import oldest, segment_file, segments_in, totals
from edged.base.spans import Span
from edged.model import StreamKind
from edged.report.requests import BadRequest, parse_time, print_time, read_body, seconds
from edged.report.rooms import Rooms
from edged.retain.timekeeping import confirm, read_state, reading

_STATES = {DOOMED: "doomed", MISSING: "missing"}
_MOST_SEGMENTS = 5000


def add_routes(app: web.Application, rooms: Rooms) -> None:
    """GET retention and segments; POST somebody's word for the clock."""
    handlers = _Retention(rooms)
    app.router.add_get("/v1/retention", handlers.retention)
    app.router.add_post("/v1/retention/clock/confirm", handlers.confirm)
    app.router.add_get("/v1/segments", handlers.segments)


class _Retention:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._paths = {volume.no: volume.path for volume in rooms.volumes if volume.no}

    async def retention(self, _: web.Request) -> web.Response:
        rooms, now = self._rooms, self._rooms.clock.wall_us()
        kept, state = await rooms.database.read(_kept, rooms.law.tz)
        for camera in kept:
            decision = rooms.law.decision(camera.pop("situation"), now)
            camera |= {
                "floor_days": decision.floor.days,
                "rules": list(decision.floor.rules),
                "ceiling_days": decision.ceiling_days,
                "ceiling_rule": decision.ceiling_rule,
            }
        said = rooms.deletions
        return web.json_response(
            {
                "cameras": kept,
                "clock": {"at": print_time(state, rooms.law.tz), "trusted": said.trusted, "why": said.why},
                "refused": said.refused,
                "volumes": dict(said.volumes),
                "warnings": list(rooms.law.decision(rooms.config.situation(), now).warnings),
            }
        )

    async def confirm(self, request: web.Request) -> web.Response:
        body = await read_body(request, texts=("by",))
        now, tz = reading(self._rooms.clock), self._rooms.law.tz
        time = await self._rooms.database.write(confirm, body["by"], now)
        return web.json_response(
            {
                "wall": print_time(now.wall_us, tz),
                "complete": time is not None,
                "at": None if time is None else print_time(time.retention_us, tz),
                "why": "a second, different person has to confirm within the hour" if time is None else time.why,
            }
        )

    async def segments(self, request: web.Request) -> web.Response:
        if "camera" not in request.query:
            raise BadRequest("name a camera")
        start = parse_time(request.query["from"], "from") if "from" in request.query else 0
        end = parse_time(request.query["to"], "to") if "to" in request.query else self._rooms.clock.wall_us()
        camera, tz = request.query["camera"], self._rooms.law.tz
        await self._rooms.database.read(get, camera)
        rows = await self._rooms.database.read(
            segments_in, camera, StreamKind.MAIN, Span(start, end), limit=_MOST_SEGMENTS
        )
        return web.json_response(
            {
                "segments": [
                    {
                        "id": str(row.key),
                        "from": print_time(row.start_us, tz),
                        "to": print_time(row.end_us, tz),
                        "seconds": seconds(row.end_us - row.start_us),
                        "frames": row.frames,
                        "bytes": row.bytes,
                        "sha256": row.sha256,
                        "recovered": row.recovered,
                        "keep_until": print_time(row.keep_until_us, tz),
                        "state": _STATES.get(row.state, "kept"),
                        "file": str(self._paths[row.volume] / segment_file(row)) if row.volume in self._paths else None,
                    }
                    for row in rows
                ],
                "complete": len(rows) < _MOST_SEGMENTS,
            }
        )


def _kept(connection: sqlite3.Connection, tz: ZoneInfo) -> tuple[list[dict[str, Any]], int | None]:
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
                "oldest": print_time(first.start_us, tz) if first else None,
                "segments": segments,
                "bytes": size,
            }
        )
    return kept, state.retention_us if state else None
