"""API: which articles apply to a camera, which one gives its floor, and why the others do not."""

from typing import Any

from aiohttp import web

from edged.archive.roster import get
from edged.law.entry import Entry, Kind, Topic
from edged.law.floor import Consideration, FloorDecision
from edged.report.requests import BadRequest
from edged.report.rooms import Rooms


def add_routes(app: web.Application, rooms: Rooms) -> None:
    """GET the law of one camera, about one topic."""

    async def explain(request: web.Request) -> web.Response:
        if "camera" not in request.query:
            raise BadRequest("name a camera")
        topic = _topic(request.query.get("topic", Topic.RETENTION))
        camera = await rooms.database.read(get, request.query["camera"])
        now = rooms.clock.wall_us()
        situation = camera.situation
        decision = rooms.law.decision(situation, now)
        return web.json_response(
            {
                "camera": camera.id,
                "jurisdiction": rooms.law.jurisdiction,
                "place": situation.place,
                "designations": list(situation.designations),
                "topic": topic.value,
                "floor_days": decision.floor.days,
                "rules": list(decision.floor.rules),
                "legal_days": decision.legal.days,
                "legal_rules": list(decision.legal.rules),
                "own_days": situation.own.at_least_days or None,
                "keep": situation.own.keep,
                "grace_days": rooms.law.grace_days,
                "ceiling_days": decision.ceiling_days,
                "ceiling_rule": decision.ceiling_rule,
                "entries": [_considered(each, decision) for each in rooms.law.considered(topic, situation, now)],
                "warnings": list(decision.warnings),
            }
        )

    app.router.add_get("/v1/law/explain", explain)


def _topic(text: str) -> Topic:
    try:
        return Topic(text)
    except ValueError:
        raise BadRequest("topic: want one of " + ", ".join(Topic)) from None


def _considered(considered: Consideration, decision: FloorDecision) -> dict[str, Any]:
    entry = considered.entry
    gives = considered.applies and entry.id in decision.floor.rules
    why = considered.why
    if considered.applies and entry.kind is Kind.RETENTION_MIN and entry.id not in decision.floor.rules:
        why += f", less than the floor of {decision.floor.days} days"
    return {**_entry(entry), "applies": considered.applies, "gives_floor": gives, "why": why}


def _entry(entry: Entry) -> dict[str, Any]:
    instrument = entry.instrument
    table = entry.table
    return {
        "id": entry.id,
        "citation": entry.citation,
        "title_zh": instrument.title_zh,
        "text_zh": entry.text_zh,
        "note": entry.note,
        "rank": instrument.rank.value,
        "status": instrument.status.value,
        "valid_from": None if instrument.valid_from is None else instrument.valid_from.isoformat(),
        "valid_to": None if instrument.valid_to is None else instrument.valid_to.isoformat(),
        "kind": entry.kind.value,
        "value": entry.value,
        "unit": entry.unit,
        "counting": entry.counting,
        "demand": entry.demand,
        "details": None if table is None else table.model_dump(mode="json"),
    }
