"""Watches the volumes' free space: hurries the sweep, and where that has nothing left to free, moves or stops cameras.

Only what was seen counts: a volume whose space cannot be read stays as it is. Who is stopped is decided in
retain/pressure.py and kept in the index; the assignment says it to the recorder, and the journal to the coverage.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from edged.app.keeper import Keeper
from edged.base.clock import SECOND, Clock
from edged.config import VolumeConfig
from edged.model import CameraState
from edged.report.health import VolumeHealth
from edged.retain.pressure import Haven, Room, Writer, shelter, to_stop
from edged.retain.sweep import SweepReport

log = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
ASK_AGAIN_US = 60 * SECOND  # a sweep that had nothing to free: footage passes its floor at midnight
ASSUMED_BYTES_PER_S = 500_000  # of a camera that has not been measured yet: 4 Mbit/s


class Pressure:
    """`volume_nos` gives the number of each usable volume by id, `spaces` their present sizes, `rates` what cameras
    were measured to write, in bytes a second; `hurry` asks the sweep for a pass soon."""

    def __init__(
        self,
        clock: Clock,
        configured: Sequence[VolumeConfig],
        volume_nos: Mapping[str, int],
        keeper: Keeper,
        *,
        spaces: Callable[[], Sequence[VolumeHealth]],
        rates: Callable[[], Mapping[str, float]],
        hurry: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._reserves = {volume.id: volume.reserve for volume in configured}
        self._nos = volume_nos
        self._keeper = keeper
        self._spaces = spaces
        self._rates = rates
        self._hurry = hurry
        self._exhausted: dict[str, int] = {}  # by volume: when the sweep last had nothing to free there, monotonic

    async def run(self, beat: Callable[[], None]) -> None:
        """Look once a second until cancelled; `beat` tells the watchdog."""
        while True:
            await self.look()
            beat()
            await self._clock.sleep(EVERY_SECONDS)

    def swept(self, report: SweepReport) -> None:
        """Hear a pass of the sweep: whether it could still free anything, volume by volume."""
        for volume in self._nos:
            if report.refused or volume in report.skipped or volume in report.exhausted:
                self._exhausted[volume] = self._clock.monotonic_us()
            else:
                self._exhausted.pop(volume, None)

    async def look(self) -> None:
        """Judge every volume once, by what was last seen of it. Raises IndexFull, AssignmentUnwritten."""
        await self._keeper.mend()
        for volume in {stop.volume for stop in self._keeper.stops.values()} - self._nos.keys():
            await self._keeper.settle_space(volume, {}, None)  # not used any more: its cameras are on others
        rooms = {space.volume: room for space in self._spaces() if (room := self._room(space)) is not None}
        online = {space.volume for space in self._spaces() if space.online}
        for volume, room in rooms.items():
            havens = [other for other in online & rooms.keys() - {volume} if not rooms[other].low]
            await self._judge(volume, room, {other: rooms[other].free_bytes - rooms[other].reserve for other in havens})

    def _room(self, space: VolumeHealth) -> Room | None:
        if space.volume not in self._nos or space.size_bytes is None or space.free_bytes is None:
            return None
        return Room(
            size_bytes=space.size_bytes,
            free_bytes=space.free_bytes,
            reserve_bytes=self._reserves[space.volume],
            exhausted=space.volume in self._exhausted,
        )

    async def _judge(self, volume: str, room: Room, spare: Mapping[str, int]) -> None:
        if not room.low:
            self._exhausted.pop(volume, None)
        elif not room.exhausted or self._clock.monotonic_us() - self._exhausted[volume] >= ASK_AGAIN_US:
            self._hurry()
        now = {camera for camera, stop in self._keeper.stops.items() if stop.volume == volume}
        if not room.low and not now:
            return
        stop = to_stop(room, await self._writers(volume, now))
        moves = shelter(stop, [Haven(volume=v, spare_bytes=spare[v], writers=len(self._on(v))) for v in spare])
        if moves:
            await self._keeper.move({camera: self._nos[haven] for camera, haven in moves.items()})
            log.warning("volume %s is full of footage that must be kept; recorded elsewhere: %s", volume, _list(moves))
        stop -= moves.keys()
        if stop == now:
            return
        await self._keeper.settle_space(volume, {camera: self._rate(camera) for camera in stop}, room)
        if stop - now:
            log.error(
                "volume %s is full of footage that must be kept (%d bytes free); not recorded until %d are: %s",
                volume,
                room.free_bytes,
                room.reserve,
                _list(stop - now),
            )
        if now - stop:
            log.warning("volume %s: recorded again (%d bytes free): %s", volume, room.free_bytes, _list(now - stop))

    def _on(self, volume: str) -> list[str]:
        return [
            camera.id
            for camera in self._keeper.cameras
            if camera.state is CameraState.ADOPTED and camera.volume == self._nos[volume]
        ]

    async def _writers(self, volume: str, stopped: Collection[str]) -> list[Writer]:
        held = await self._keeper.held_now()
        return [
            Writer(
                camera=camera,
                priority=self._keeper.priority_of(camera),
                held=camera in held,
                bytes_per_s=self._rate(camera),
                stopped=camera in stopped,
            )
            for camera in self._on(volume)
        ]

    def _rate(self, camera: str) -> int:
        stop = self._keeper.stops.get(camera)
        return round(self._rates().get(camera, 0)) or (stop.bytes_per_s if stop else ASSUMED_BYTES_PER_S)


def _list(cameras: Iterable[str]) -> str:
    return ", ".join(sorted(cameras))
