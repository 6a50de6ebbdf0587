"""API: which articles apply to a camera, which one gives its floor, and why the others do not."""

from typing import Any

from aiohttp import web

from edged.archive.roster import get
from edged.law.floor import Consideration, FloorDecision
from edged.law.packs import Kind
from edged.report.requests import BadRequest
from edged.report.rooms import Rooms


def add_routes(app: web.Application, rooms: Rooms) -> None:
    """GET the law of one camera."""

    async def explain(request: web.Request) -> web.Response:
        if "camera" not in request.query:
            raise BadRequest("name a camera")
        camera = await rooms.database.read(get, request.query["camera"])
        decision = rooms.law.decision(camera.place, rooms.clock.wall_us(), camera.designations)
        return web.json_response(
            {
                "camera": camera.id,
                "jurisdiction": rooms.law.jurisdiction,
                "place": camera.place,
                "designations": list(camera.designations),
                "floor_days": decision.floor.days,
                "rules": list(decision.floor.rules),
                "ceiling_days": decision.ceiling_days,
                "ceiling_rule": decision.ceiling_rule,
                "entries": [_entry(considered, decision) for considered in decision.entries],
                "warnings": list(decision.warnings),
            }
        )

    app.router.add_get("/v1/law/explain", explain)


def _entry(considered: Consideration, decision: FloorDecision) -> dict[str, Any]:
    entry = considered.entry
    gives = considered.applies and entry.id in decision.floor.rules
    why = considered.why
    if considered.applies and entry.kind is Kind.RETENTION_MIN and not gives:
        why += f", less than the floor of {decision.floor.days} days"
    return {
        "id": entry.id,
        "citation": entry.citation,
        "title_zh": entry.title_zh,
        "text_zh": entry.text_zh,
        "rank": entry.rank.value,
        "status": entry.status.value,
        "kind": entry.kind.value,
        "value": entry.value,
        "unit": entry.unit,
        "applies": considered.applies,
        "gives_floor": gives,
        "why": why,
    }
