"""API: why a segment, or what a camera recorded at one time, is still here or gone; with the articles' own words."""

import sqlite3
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web

from edged.archive.rebuilding import awaited
from edged.archive.segments import parse_id
from edged.model import StreamKind
from edged.report.requests import BadRequest, parse_time, print_time
from edged.report.rooms import Rooms
from edged.retain.doom import Grounds
from edged.retain.explain import Explanation, HoldNamed, explain_at, explain_segment
from edged.retain.timekeeping import read_state


def add_routes(app: web.Application, rooms: Rooms) -> None:
    """GET explanations."""

    async def explain(request: web.Request) -> web.Response:
        query = request.query
        trusted = rooms.snapshot().retention_clock_trusted
        fenced = {volume.id: volume.fenced for volume in rooms.volumes if volume.fenced}
        proven = frozenset(volume.id for volume in rooms.volumes if not volume.fenced)
        grounds = Grounds(law=rooms.law, clock_trusted=trusted, proven=proven)
        if "segment" in query:
            told = [await rooms.database.read(explain_segment, parse_id(query["segment"]), grounds)]
        elif "camera" in query and "at" in query:
            asked = query["camera"], parse_time(query["at"], "at")
            if asked[1] > rooms.clock.wall_us():
                raise BadRequest(f"at: {query['at']} has not come yet", hint="ask for a time that has passed")
            told = await rooms.database.read(_at, *asked, grounds)
        else:
            raise BadRequest("name a segment, or a camera and a time")
        state = await rooms.database.read(read_state)
        unread = await rooms.database.read(awaited)
        tz = rooms.law.tz
        return web.json_response(
            {
                "explanations": [_explanation(one, tz, proven, fenced) for one in told],
                "clock": {"at": None if state is None else _local(state.retention_us, tz), "trusted": trusted},
                "unread": unread,
            }
        )

    app.router.add_get("/v1/retention/explain", explain)


def _at(connection: sqlite3.Connection, camera: str, at_us: int, grounds: Grounds) -> list[Explanation]:
    """Of both streams; of the small one only where there is or was something."""
    told = explain_at(connection, camera, StreamKind.MAIN, at_us, grounds)
    small = explain_at(connection, camera, StreamKind.SUB, at_us, grounds)
    return told + [one for one in small if one.segment is not None]


def _explanation(one: Explanation, tz: ZoneInfo, proven: frozenset[str], fenced: Mapping[str, str]) -> dict[str, Any]:
    lacking = None
    if one.volume is not None and one.standing != "deleted" and one.volume not in proven:
        lacking = fenced.get(one.volume, "it is not configured")
    return {
        "segment": one.segment,
        "from": None if one.span is None else _local(one.span.start_us, tz),
        "to": None if one.span is None else _local(one.span.end_us, tz),
        "standing": one.standing,
        "because": one.because,
        "rules": list(one.rules),
        "articles": [{"rule": each.rule, "name": each.name, "text_zh": each.text_zh} for each in one.articles],
        "holds": [_hold(hold, tz) for hold in one.holds],
        "keep_until": _local(one.keep_until_us, tz),
        "erase_due": _local(one.erase_due_us, tz),
        "deleted": _local(one.deleted_us, tz),
        "ledger": one.ledger,
        "late": None if one.late is None else {"at": _local(one.late.arrived_us, tz), "ledger": one.late.ledger},
        "volume": one.volume,
        "volume_lacking": lacking,
    }


def _hold(hold: HoldNamed, tz: ZoneInfo) -> dict[str, Any]:
    return {
        "id": hold.id,
        "case": hold.case,
        "authority": hold.authority,
        "document": hold.document,
        "placed_by": hold.placed_by,
        "placed": _local(hold.placed_us, tz),
        "first_release_by": hold.half_released_by,
    }


def _local(at_us: int | None, tz: ZoneInfo) -> str | None:
    return print_time(at_us, tz, "seconds")
