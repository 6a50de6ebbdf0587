"""Gives each segment that enters the index its floor and the date it is kept to."""

import threading
from collections.abc import Sequence

from edged.archive.roster import Place
from edged.base.clock import Clock
from edged.law.site import SiteLaw
from edged.model import Designation, Floor


class Stamper:
    """What intake calls, on the database's thread, for every segment it indexes.

    `default_place` and `default_designations` are the site's; a camera that differs is made known with `know`.
    `follow` hands over the retention clock: a label far behind it is not believed (see law.counting.counted_end_us).
    A stamp taken at a place that is corrected afterwards is raised by the next sweep; it is never lowered.
    """

    def __init__(
        self, law: SiteLaw, clock: Clock, default_place: Place, default_designations: Sequence[Designation] = ()
    ) -> None:
        self._law = law
        self._clock = clock
        self._default = (default_place, tuple(default_designations))
        self._lock = threading.Lock()
        self._places: dict[str, tuple[Place, tuple[Designation, ...]]] = {}
        self._retention_us: int | None = None

    def __call__(self, camera: str, end_us: int) -> tuple[Floor, int]:
        with self._lock:
            place, designations = self._places.get(camera, self._default)
            return self._law.stamp(place, end_us, self._clock.wall_us(), self._retention_us, designations)

    def know(self, camera: str, place: Place, designations: Sequence[Designation] = ()) -> None:
        with self._lock:
            self._places[camera] = (place, tuple(designations))

    def follow(self, retention_us: int) -> None:
        with self._lock:
            self._retention_us = retention_us
