"""Whether the disks are large enough for the law: days achieved against the floor, the day a volume is full. Pure.

A camera's rate is what it was measured to write, per second of the window measured. A volume serves its cameras alike:
with the room it has it keeps each for the same number of days. Footage below its floor is never erased, so a volume
that achieves less than a floor fills up, and its last word is a camera that cannot be recorded any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edged.base.clock import DAY, SECOND

# Local civil days: the day of the last frame is not counted and the last day is kept whole (law.counting).
COUNTING_DAYS = 2
FORECAST_DAYS = 400
_DAY_S = DAY / SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraLoad:
    """What one camera writes to one volume: `bytes_per_s` measured (or planned), kept at least `floor_days`.
    `stored_bytes` is what is there, the oldest of it from `oldest_us` (None where nothing is)."""

    camera: str
    volume: str
    bytes_per_s: float
    floor_days: int
    stored_bytes: int
    oldest_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRoom:
    """A volume's `free_bytes` for recordings, of which `reserve_bytes` stay free while erasing is allowed."""

    volume: str
    free_bytes: int
    reserve_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraPlan:
    """`days` is how long the volume's room lasts for this camera, None where it writes nothing."""

    camera: str
    volume: str
    bytes_per_s: float
    floor_days: int
    days: float | None
    enough: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumePlan:
    """`room_bytes` is what recordings may take in all, `needed_bytes` what the floors demand of it; `full_us` when it
    will be full of footage that may not go, None where that is not in sight."""

    volume: str
    bytes_per_s: float
    room_bytes: int
    needed_bytes: int
    full_us: int | None

    @property
    def enough(self) -> bool:
        return self.needed_bytes <= self.room_bytes


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is planned, by camera and by volume."""

    cameras: tuple[CameraPlan, ...]
    volumes: tuple[VolumePlan, ...]


def plan(loads: Sequence[CameraLoad], rooms: Sequence[VolumeRoom], now_us: int) -> Plan:
    """What each volume's room means for each of its cameras, from `now_us` on."""
    volumes = []
    cameras: list[CameraPlan] = []
    for room in rooms:
        here = [load for load in loads if load.volume == room.volume]
        rate = sum(load.bytes_per_s for load in here)
        room_bytes = max(0, sum(load.stored_bytes for load in here) + room.free_bytes - room.reserve_bytes)
        needed = round(sum(load.bytes_per_s * _kept_days(load) * _DAY_S for load in here))
        days = room_bytes / rate / _DAY_S if rate > 0 else None
        full_us = None if needed <= room_bytes else _full_us(here, room, now_us)
        volumes.append(
            VolumePlan(
                volume=room.volume, bytes_per_s=rate, room_bytes=room_bytes, needed_bytes=needed, full_us=full_us
            )
        )
        cameras += [
            CameraPlan(
                camera=load.camera,
                volume=load.volume,
                bytes_per_s=load.bytes_per_s,
                floor_days=load.floor_days,
                days=days if load.bytes_per_s > 0 else None,
                enough=load.bytes_per_s <= 0 or needed <= room_bytes,
            )
            for load in here
        ]
    return Plan(tuple(sorted(cameras, key=lambda each: each.camera)), tuple(volumes))


def _kept_days(load: CameraLoad) -> int:
    return load.floor_days + COUNTING_DAYS


def _full_us(here: Sequence[CameraLoad], room: VolumeRoom, now_us: int) -> int | None:
    """When the free space is used up, day by day: each day brings a day's recording of every camera and gives back, for
    a camera whose oldest footage has passed its floor, as much of what it had stored. None where it is not within
    FORECAST_DAYS, because what passes its floor keeps making room.
    """
    left = float(room.free_bytes)
    stored = {load.camera: float(load.stored_bytes) for load in here}
    for day in range(FORECAST_DAYS):
        at = now_us + day * DAY
        change = 0.0
        for load in here:
            daily = load.bytes_per_s * _DAY_S
            oldest_us = now_us if load.oldest_us is None else load.oldest_us
            back = min(stored[load.camera], daily) if at - oldest_us >= _kept_days(load) * DAY else 0.0
            stored[load.camera] += daily - back
            change += daily - back
        if change >= left:
            return at + (round(max(0.0, left) / change * DAY) if change > 0 else 0)
        left -= change
    return None


def add_cameras(
    plan_of: Sequence[CameraLoad], rooms: Sequence[VolumeRoom], bits_per_s: Sequence[float], floor_days: int
) -> list[CameraLoad]:
    """The loads with one more camera for each bit rate, on the volume with the most room to spare at that moment."""
    loads = list(plan_of)
    for number, bits in enumerate(bits_per_s, start=1):
        if not rooms:
            break
        spare = {p.volume: p.room_bytes - p.needed_bytes for p in plan(loads, rooms, 0).volumes}
        loads.append(
            CameraLoad(
                camera=f"added-{number}",
                volume=max(spare, key=lambda volume: spare[volume]),
                bytes_per_s=bits / 8,
                floor_days=floor_days,
                stored_bytes=0,
                oldest_us=None,
            )
        )
    return loads
