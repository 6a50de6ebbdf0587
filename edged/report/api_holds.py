"""API: evidence holds, and what people do about them."""

import itertools
import sqlite3
from typing import Any

from aiohttp import web

from edged.archive.schema import STREAM_NO
from edged.archive.segments import LONGEST_SEGMENT, longest_us
from edged.law.counting import local_date
from edged.prove.bundle import day_span
from edged.report.requests import BadRequest, parse_day, parse_time, print_time, read_body
from edged.report.rooms import Rooms
from edged.retain.held_list import to_link_by_hold
from edged.retain.holds import Hold, HoldExtension, HoldRequest
from edged.retain.locks import kept_as

_MOST_COUNTED = 50_000  # of a hold; counting all of a month's eleven million would keep everybody waiting


def add_routes(app: web.Application, rooms: Rooms) -> None:
    """GET holds; POST holds, extensions and releases."""
    handlers = _Holds(rooms)
    app.router.add_get("/v1/holds", handlers.listing)
    app.router.add_post("/v1/holds", handlers.place)
    app.router.add_post("/v1/holds/{hold}/extend", handlers.extend)
    app.router.add_post("/v1/holds/{hold}/release", handlers.release)


class _Holds:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def listing(self, request: web.Request) -> web.Response:
        found = await self._rooms.holds.list(released="all" in request.query)
        to_link, locks = await self._rooms.database.read(to_link_by_hold), self._rooms.evidence.locks
        told = [
            self._hold(hold)
            | {"evidence": None if hold.released_us else kept_as(to_link.get(hold.id, 0), locks.values())}
            for hold in found
        ]
        refused = {volume: one.refused for volume, one in locks.items() if one.refused}
        return web.json_response({"holds": told, "not_immutable": refused})

    async def place(self, request: web.Request) -> web.Response:
        texts = ("from", "case", "authority", "document", "by")
        body = await read_body(request, texts=texts, optional=("to", "cameras", "remind_on"))
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
                remind_us=self._day(body),
            )
        )
        return web.json_response(await self._counted(hold))

    async def extend(self, request: web.Request) -> web.Response:
        body = await read_body(
            request, texts=("document", "by"), optional=("from", "to", "open", "cameras", "remind_on")
        )
        named = body.get("cameras", [])
        if not isinstance(named, list) or not all(isinstance(camera, str) for camera in named):
            raise BadRequest("cameras: want a list of camera ids")
        extension = HoldExtension(
            start_us=parse_time(str(body["from"]), "from") if body.get("from") is not None else None,
            end_us=parse_time(str(body["to"]), "to") if body.get("to") is not None else None,
            open_end=body.get("open") is True,
            remind_us=self._day(body),
            cameras=tuple(named),
            document=body["document"],
            by=body["by"],
        )
        hold = await self._rooms.holds.extend(request.match_info["hold"], extension)
        return web.json_response(await self._counted(hold))

    async def release(self, request: web.Request) -> web.Response:
        body = await read_body(request, texts=("by",))
        return web.json_response(self._hold(await self._rooms.holds.release(request.match_info["hold"], body["by"])))

    async def _counted(self, hold: Hold) -> dict[str, Any]:
        count = await self._rooms.database.read(_held_segments, hold)
        return {**self._hold(hold), "segments": count, "complete": count < _MOST_COUNTED}

    def _day(self, body: dict[str, Any]) -> int | None:
        """The midnight at the site with which the day of the reminder begins."""
        if body.get("remind_on") is None:
            return None
        return day_span(parse_day(str(body["remind_on"]), "remind_on"), self._rooms.law.tz).start_us

    def _hold(self, hold: Hold) -> dict[str, Any]:
        tz = self._rooms.law.tz
        state = "released" if hold.released_us is not None else "half released" if hold.release1_by else "in force"
        return {
            "id": hold.id,
            "cameras": list(hold.cameras),
            "from": print_time(hold.start_us, tz),
            "to": print_time(hold.end_us, tz),
            "case": hold.case,
            "authority": hold.authority,
            "document": hold.document,
            "placed_by": hold.placed_by,
            "placed": print_time(hold.placed_us, tz),
            "first_release_by": hold.release1_by,
            "second_release_by": hold.release2_by,
            "released": print_time(hold.released_us, tz),
            "state": state,
            "remind_on": None if hold.remind_us is None else local_date(hold.remind_us, tz).isoformat(),
            "reminds": hold.reminds(self._rooms.clock.wall_us()),
        }


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
