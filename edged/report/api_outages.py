"""API: outages, and what people enter about them."""

from typing import Any

from aiohttp import web

from edged.outage.duties import Incident
from edged.outage.view import document
from edged.report.requests import parse_time, read_body
from edged.report.rooms import Rooms


def add_routes(app: web.Application, rooms: Rooms) -> None:
    """GET outages and one of them; POST report, attended, restored."""
    handlers = _Outages(rooms)
    app.router.add_get("/v1/outages", handlers.listing)
    app.router.add_get("/v1/outages/{outage}", handlers.show)
    app.router.add_post("/v1/outages/{outage}/report", handlers.report)
    app.router.add_post("/v1/outages/{outage}/attended", handlers.attended)
    app.router.add_post("/v1/outages/{outage}/restored", handlers.restored)


class _Outages:
    def __init__(self, rooms: Rooms) -> None:
        self._desk, self._tz = rooms.desk, rooms.law.tz

    async def listing(self, request: web.Request) -> web.Response:
        incidents = await self._desk.incidents(open_only="all" not in request.query)
        return web.json_response({"outages": [document(incident, self._tz) for incident in incidents]})

    async def show(self, request: web.Request) -> web.Response:
        incident, history = await self._desk.show(request.match_info["outage"])
        return web.json_response(document(incident, self._tz, history))

    async def report(self, request: web.Request) -> web.Response:
        body = await read_body(request, texts=("to", "received_by"), optional=("at",))
        return self._told(
            await self._desk.report(request.match_info["outage"], body["to"], body["received_by"], _at(body))
        )

    async def attended(self, request: web.Request) -> web.Response:
        body = await read_body(request, texts=("by",), optional=("at",))
        return self._told(await self._desk.attended(request.match_info["outage"], body["by"], _at(body)))

    async def restored(self, request: web.Request) -> web.Response:
        body = await read_body(request, texts=("by",))
        return self._told(await self._desk.restored(request.match_info["outage"], body["by"]))

    def _told(self, incident: Incident) -> web.Response:
        return web.json_response(document(incident, self._tz))


def _at(body: dict[str, Any]) -> int | None:
    return parse_time(str(body["at"]), "at") if body.get("at") is not None else None
