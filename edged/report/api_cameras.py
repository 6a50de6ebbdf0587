"""API: health, cameras, coverage, discovery."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from aiohttp import web

from edged.archive import coverage
from edged.archive.roster import Camera, get
from edged.base.spans import Span, total_us
from edged.discover.found import Found
from edged.model import CameraState, StreamKind, StreamState
from edged.report.health import CameraHealth, camera_details, health_document
from edged.report.requests import BadRequest, parse_time, print_time, read_body, seconds
from edged.report.rooms import Rooms


def add_routes(app: web.Application, rooms: Rooms, look_around: Callable[[], Awaitable[list[Found]]] | None) -> None:
    """GET status, cameras, coverage; POST discover, adopt, remove."""
    handlers = _Cameras(rooms, look_around)
    app.router.add_get("/v1/status", handlers.health)
    app.router.add_get("/v1/cameras", handlers.listing)
    app.router.add_post("/v1/cameras/{camera}/{act:adopt|remove}", handlers.change)
    app.router.add_get("/v1/cameras/{camera}/coverage", handlers.coverage)
    app.router.add_post("/v1/discover", handlers.discover)


class _Cameras:
    def __init__(self, rooms: Rooms, look_around: Callable[[], Awaitable[list[Found]]] | None) -> None:
        self._rooms = rooms
        self._look_around = look_around

    async def health(self, _: web.Request) -> web.Response:
        snapshot = self._rooms.snapshot()
        document = health_document(snapshot)
        reasons = {volume.id: volume.fenced for volume in self._rooms.volumes if volume.fenced}
        status = self._rooms.status()
        reasons |= {v.volume: v.reason for v in status.volumes if not v.ok} if status else {}
        volumes: Any = document["volumes"]
        for volume in volumes:
            volume["reason"] = reasons.get(volume["volume"], "")
        silent = [camera.camera for camera in snapshot.cameras if not camera.recording]
        return web.json_response(
            {
                **document,
                "ok": not document["problems"] and not silent,
                "cameras_not_recording": silent,
                "disks_too_small": [
                    {"volume": each.volume, "full": print_time(each.full_us, self._rooms.law.tz)}
                    for each in snapshot.forecasts
                    if each.alarm
                ],
            }
        )

    async def listing(self, request: web.Request) -> web.Response:
        snapshot = self._rooms.snapshot()
        known = {camera.camera: camera for camera in snapshot.cameras}
        tz = self._rooms.law.tz
        told = [_camera(camera, known.get(camera.id), snapshot.at_us, tz) for camera in self._rooms.roster.cameras]
        if "addresses" in request.query:
            # For whoever is on this box and asks, to know which camera an id is; told nowhere else (I9).
            for one, camera in zip(told, self._rooms.roster.cameras, strict=True):
                one |= {"address": _address(camera), "model": camera.details.get("model") or None}
        return web.json_response({"cameras": told})

    async def change(self, request: web.Request) -> web.Response:
        body = await read_body(request, texts=("by",))
        act = self._rooms.roster.adopt if request.match_info["act"] == "adopt" else self._rooms.roster.remove
        camera = await act(request.match_info["camera"], body["by"])
        return web.json_response({"camera": camera.id, "roster": camera.state.value})

    async def coverage(self, request: web.Request) -> web.Response:
        name, now, tz = request.match_info["camera"], self._rooms.clock.wall_us(), self._rooms.law.tz
        start = parse_time(request.query["from"], "from") if "from" in request.query else 0
        end = min(now, parse_time(request.query["to"], "to")) if "to" in request.query else now
        if end <= start:
            raise BadRequest("the window ends before it begins")
        await self._rooms.database.read(get, name)
        found = await self._rooms.database.read(
            coverage.query, name, StreamKind.MAIN, Span(start, end), live=self._live(name)
        )
        recorded = total_us(found.recorded)
        return web.json_response(
            {
                "camera": name,
                "from": print_time(found.window.start_us, tz),
                "to": print_time(found.window.end_us, tz),
                "window_s": seconds(found.window.length_us),
                "recorded_s": seconds(recorded),
                "recorded_ratio": recorded / found.window.length_us if found.window.length_us else 0.0,
                "gaps": [
                    {
                        "from": print_time(gap.span.start_us, tz),
                        "to": print_time(gap.span.end_us, tz),
                        "seconds": seconds(gap.span.length_us),
                        "cause": gap.cause.value,
                    }
                    for gap in found.gaps
                ],
            }
        )

    async def discover(self, request: web.Request) -> web.Response:
        await read_body(request)
        if self._look_around is None:
            raise BadRequest("discovery is switched off", hint="set discovery.enabled in the configuration")
        found = await self._look_around()
        states = {camera.id: camera.state for camera in self._rooms.roster.cameras}
        return web.json_response(
            {
                "found": [
                    {
                        "camera": f.camera_id,
                        "state": states.get(f.camera_id, CameraState.FOUND).value,
                        "change": f.change.value,
                        "streams": len(f.profiles),
                        "clock_offset_s": None if f.clock_offset_us is None else seconds(f.clock_offset_us),
                        "problem": "" if f.problem is None else f.problem.text,
                    }
                    for f in found
                ]
            }
        )

    def _live(self, camera: str) -> Span | None:
        """The running session of a stream: on the disk, though not sealed yet."""
        status = self._rooms.status()
        for stream in status.streams if status else ():
            streaming = stream.state is StreamState.STREAMING and stream.committed_us is not None
            if stream.camera == camera and stream.stream is StreamKind.MAIN and streaming:
                assert stream.committed_us is not None
                return Span(min(stream.since_us, stream.committed_us), stream.committed_us)
        return None


def _address(camera: Camera) -> str | None:
    """Where it is: what answered to discovery, else the host of its stream."""
    return camera.details.get("address") or urlsplit(camera.details.get("stream_uri") or "").hostname


def _camera(camera: Camera, health: CameraHealth | None, now_us: int, tz: ZoneInfo) -> dict[str, Any]:
    told: dict[str, Any] = {
        "camera": camera.id,
        "name": camera.name,
        "roster": camera.state.value,
        "place": camera.situation.place,
        "adopted": print_time(camera.adopted_us, tz),
        "state": "unknown",
        "cause": None,
        "floor_days": None,
        "committed_age_s": None,
    }
    if health is not None:
        told |= camera_details(health)
        if health.last_committed_us is not None:
            told["committed_age_s"] = seconds(max(0, now_us - health.last_committed_us))
    return told
