"""API: the ledger's head, checks, and proofs. Everything it answers can be verified without believing this daemon."""

from aiohttp import web

from edged.archive.segments import parse_id
from edged.model import StreamKind
from edged.report.requests import BadRequest, parse_day, read_body
from edged.report.rooms import Rooms


def add_routes(app: web.Application, rooms: Rooms) -> None:
    """GET the head, a check of everything, proofs of segments and days; POST an old head to be continued."""
    handlers = _Ledger(rooms)
    app.router.add_get("/v1/ledger", handlers.head)
    app.router.add_get("/v1/ledger/verify", handlers.verify)
    app.router.add_get("/v1/ledger/proof", handlers.proof)
    app.router.add_post("/v1/ledger/consistency", handlers.consistency)
    app.router.add_post("/v1/proofs/day", handlers.day)


class _Ledger:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def head(self, _: web.Request) -> web.Response:
        return web.json_response(await self._rooms.proofs.describe())

    async def verify(self, _: web.Request) -> web.Response:
        audit = await self._rooms.proofs.verify()
        return web.json_response(
            {
                "entries": audit.entries,
                "heads": audit.heads,
                "mirrors": audit.mirrors,
                "problems": audit.problems,
                "good": not audit.problems,
            }
        )

    async def proof(self, request: web.Request) -> web.Response:
        if "segment" not in request.query:
            raise BadRequest("name a segment")
        told = await self._rooms.proofs.prove_segment(parse_id(request.query["segment"]))
        return web.json_response({**told, "key": self._rooms.proofs.key.pem})

    async def consistency(self, request: web.Request) -> web.Response:
        body = await read_body(request, texts=("checkpoint",))
        told = await self._rooms.proofs.prove_consistency(body["checkpoint"])
        return web.json_response({**told, "key": self._rooms.proofs.key.pem})

    async def day(self, request: web.Request) -> web.Response:
        body = await read_body(request, texts=("camera", "date"), optional=("stream",))
        date = parse_day(body["date"], "date")
        try:
            stream = StreamKind(body.get("stream", StreamKind.MAIN))
        except ValueError:
            raise BadRequest("stream: main or sub") from None
        files = await self._rooms.proofs.prove_day(body["camera"], stream, date)
        return web.json_response({"files": files})
