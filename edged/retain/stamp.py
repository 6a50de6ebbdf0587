"""Gives each segment that enters the index its floor and the date it is kept to."""

import threading

from edged.archive.roster import Place
from edged.base.clock import Clock
from edged.law.site import SiteLaw
from edged.model import Floor


class Stamper:
    """What intake calls, on the database's thread, for every segment it indexes.

    `default_place` is the site's; a camera that differs is made known with `know`. `follow` hands over the retention
    clock: a label far behind it is not believed (see law.counting.counted_end_us). A stamp taken at a place that is
    corrected afterwards is raised by the next sweep; it is never lowered.
    """

    def __init__(self, law: SiteLaw, clock: Clock, default_place: Place) -> None:
        self._law = law
        self._clock = clock
        self._default = default_place
        self._lock = threading.Lock()
        self._places: dict[str, Place] = {}
        self._retention_us: int | None = None

    def __call__(self, camera: str, end_us: int) -> tuple[Floor, int]:
        with self._lock:
            place, retention_us = self._places.get(camera, self._default), self._retention_us
            return self._law.stamp(place, end_us, self._clock.wall_us(), retention_us)

    def know(self, camera: str, place: Place) -> None:
        with self._lock:
            self._places[camera] = place

    def follow(self, retention_us: int) -> None:
        with self._lock:
            self._retention_us = retention_us
