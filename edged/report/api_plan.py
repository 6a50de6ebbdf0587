"""API: whether the disks are large enough for the law, and what one more camera would change."""

from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web

from edged.base.clock import DAY
from edged.model import CameraState
from edged.report.requests import BadRequest, print_time
from edged.report.rooms import Rooms
from edged.retain.capacity import VolumePlan, VolumeRoom, add_cameras, plan
from edged.retain.measured import measured_loads

_MOST_ADDED = 256
_HIGHEST_BITS = 1_000_000_000


def add_routes(app: web.Application, rooms: Rooms) -> None:
    """GET the plan."""

    async def show(request: web.Request) -> web.Response:
        added = [_bits(text) for text in request.query.getall("add", [])]
        if len(added) > _MOST_ADDED:
            raise BadRequest(f"add: at most {_MOST_ADDED} cameras at once")
        now = rooms.clock.wall_us()
        loads = await rooms.database.read(measured_loads, rooms.law, now)
        spaces = {volume.volume: volume.free_bytes for volume in rooms.snapshot().volumes}
        reserves = {volume.id: volume.reserve for volume in rooms.config.volume}
        known = [
            VolumeRoom(volume=name, free_bytes=free, reserve_bytes=reserves[name])
            for name, free in spaces.items()
            if free is not None
        ]
        days = rooms.law.decision(rooms.config.situation(), now).floor.days
        planned = plan(add_cameras(loads, known, added, days), known, now)
        without = {each.volume: each for each in plan(loads, known, now).volumes} if added else {}
        names = {volume.no: volume.id for volume in rooms.volumes}
        adopted = [camera for camera in rooms.roster.cameras if camera.state is CameraState.ADOPTED]
        goes_on = {(camera.id, names.get(camera.volume or 0)) for camera in adopted}
        return web.json_response(
            {
                "cameras": [
                    {
                        "camera": each.camera,
                        "volume": each.volume,
                        "bits_per_s": round(each.bytes_per_s * 8),
                        "floor_days": each.floor_days,
                        "days": None if each.days is None else round(each.days, 2),
                        "enough": each.enough,
                        "recording": (each.camera, each.volume) in goes_on,
                    }
                    for each in planned.cameras
                ],
                "volumes": [
                    {
                        **_volume(each, now, rooms.law.tz),
                        "without": _volume(without[each.volume], now, rooms.law.tz) if added else None,
                    }
                    for each in planned.volumes
                ],
                "unknown": sorted(name for name, free in spaces.items() if free is None),
            }
        )

    app.router.add_get("/v1/retention/plan", show)


def _volume(planned: VolumePlan, now_us: int, tz: ZoneInfo) -> dict[str, Any]:
    full_us = planned.full_us
    return {
        "volume": planned.volume,
        "bits_per_s": round(planned.bytes_per_s * 8),
        "room_bytes": planned.room_bytes,
        "needed_bytes": planned.needed_bytes,
        "enough": planned.enough,
        "full": print_time(full_us, tz),
        "full_in_days": None if full_us is None else round((full_us - now_us) / DAY, 2),
    }


def _bits(text: str) -> float:
    try:
        bits = float(text)
    except ValueError:
        bits = 0.0
    if not 0 < bits <= _HIGHEST_BITS:
        raise BadRequest(f"add: {text!r} is not a bit rate", hint="give bits a second, such as 4000000")
    return bits
