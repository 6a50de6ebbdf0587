"""Looks ahead every few minutes: whether each volume is large enough for the law, for whoever asks the snapshot."""

from collections.abc import Callable, Sequence

from edged.archive.database import Database
from edged.archive.roster import cameras
from edged.base.clock import DAY, Clock
from edged.config import VolumeConfig
from edged.law.site import SiteLaw
from edged.report.health import VolumeForecast, VolumeHealth
from edged.retain.capacity import VolumeRoom, plan
from edged.retain.measured import measured_loads

EVERY_SECONDS = 300.0
FIRST_AFTER_SECONDS = 5.0  # when the disks have been asked


class Forecast:
    """`latest` is empty before the first look, and then never older than about EVERY_SECONDS while `run` runs.

    `spaces` tells the volumes' present sizes; one that cannot be asked is left out. A volume that will be full within
    `alarm_ahead_days` is an alarm.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        law: SiteLaw,
        configured: Sequence[VolumeConfig],
        spaces: Callable[[], Sequence[VolumeHealth]],
        alarm_ahead_days: int,
    ) -> None:
        self._database = database
        self._clock = clock
        self._law = law
        self._reserves = {volume.id: volume.reserve for volume in configured}
        self._spaces = spaces
        self._alarm_us = alarm_ahead_days * DAY
        self.latest: tuple[VolumeForecast, ...] = ()
        self.rates: dict[str, float] = {}  # what each camera writes, in bytes a second

    async def run(self) -> None:
        """Look until cancelled."""
        await self._clock.sleep(FIRST_AFTER_SECONDS)
        while True:
            await self.look()
            await self._clock.sleep(EVERY_SECONDS)

    async def look(self) -> None:
        """Plan anew; camera by camera, so that nobody waits long for the index."""
        now = self._clock.wall_us()
        loads = []
        for camera in await self._database.read(cameras):
            loads += await self._database.read(measured_loads, self._law, now, camera.id)
        self.rates = {load.camera: load.bytes_per_s for load in loads if load.bytes_per_s > 0}
        rooms = [
            VolumeRoom(volume=space.volume, free_bytes=space.free_bytes, reserve_bytes=self._reserves[space.volume])
            for space in self._spaces()
            if space.free_bytes is not None
        ]
        self.latest = tuple(
            VolumeForecast(
                volume=each.volume,
                room_bytes=each.room_bytes,
                needed_bytes=each.needed_bytes,
                full_us=each.full_us,
                alarm=each.full_us is not None and each.full_us - now <= self._alarm_us,
            )
            for each in plan(loads, rooms, now).volumes
        )
