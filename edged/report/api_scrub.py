"""API: how far everything has been read again, what was found, and reading something at once."""

from aiohttp import web

from edged.archive.fixity import findings, progress
from edged.archive.roster import get
from edged.archive.segments import find_segment, parse_id, segments_in
from edged.model import StreamKind
from edged.prove.bundle import day_span
from edged.report.requests import BadRequest, parse_day, print_time, read_body
from edged.report.rooms import Rooms

_MOST = 100_000


def add_routes(app: web.Application, rooms: Rooms) -> None:
    """GET the state; POST a segment or a camera-day to be read now."""

    async def state(_: web.Request) -> web.Response:
        found = await rooms.database.read(findings)
        return web.json_response(
            {
                "within_days": rooms.config.retention.scrub_within,
                "volumes": [
                    {
                        "volume": each.volume,
                        "rounds": each.rounds,
                        "ended": print_time(each.ended_us, rooms.law.tz),
                        "segments": each.segments,
                        "bytes": each.bytes,
                    }
                    for each in await rooms.database.read(progress)
                ],
                "read_bytes": rooms.scrub.read_bytes,
                "findings": [
                    {
                        "segment": each.segment,
                        "volume": each.volume,
                        "found": print_time(each.found_us, rooms.law.tz),
                        "what": each.what.value,
                    }
                    for each in found
                ],
            }
        )

    async def now(request: web.Request) -> web.Response:
        body = await read_body(request, optional=("segment", "camera", "date"))
        if "segment" in body:
            row = await rooms.database.read(find_segment, parse_id(str(body["segment"])))
            rows = [] if row is None else [row]
        elif "camera" in body and "date" in body:
            await rooms.database.read(get, str(body["camera"]))
            span = day_span(parse_day(str(body["date"]), "date"), rooms.law.tz)
            rows = [
                row
                for stream in StreamKind
                for row in await rooms.database.read(segments_in, str(body["camera"]), stream, span, limit=_MOST)
            ]
        else:
            raise BadRequest("name a segment, or a camera and a date")
        return web.json_response({"found": await rooms.scrub.now(rows)})

    app.router.add_get("/v1/scrub", state)
    app.router.add_post("/v1/scrub", now)
