"""API: outages, and what people enter about them."""

from typing import Any

from aiohttp import web

from edged.outage.duties import Incident, Step
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
        site = rooms.config.site
        self._addressees = {"repair_unit": site.repair_unit, "superior_department": site.superior_department}

    async def listing(self, request: web.Request) -> web.Response:
        incidents = await self._desk.incidents(open_only="all" not in request.query)
        return web.json_response({"outages": [self._document(incident) for incident in incidents]})

    async def show(self, request: web.Request) -> web.Response:
        incident, history = await self._desk.show(request.match_info["outage"])
        return web.json_response(self._document(incident, history))

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
        return web.json_response(self._document(incident))

    def _document(self, incident: Incident, history: list[Step] | None = None) -> dict[str, Any]:
        return document(incident, self._tz, self._addressees, history)


def _at(body: dict[str, Any]) -> int | None:
    return parse_time(str(body["at"]), "at") if body.get("at") is not None else None
