"""Gives each segment that enters the index its floor and the date it is kept to."""

import threading

from edged.base.clock import Clock
from edged.law.site import SiteLaw
from edged.model import Floor, Situation


class Stamper:
    """What intake calls, on the database's thread, for every segment it indexes.

    `default` is the site's situation; a camera that differs is made known with `know`.
    `follow` hands over the retention clock: a label far behind it is not believed (see law.counting.counted_end_us).
    A stamp taken in a situation that is corrected afterwards is raised by the next sweep; it is never lowered.
    """

    def __init__(self, law: SiteLaw, clock: Clock, default: Situation) -> None:
        self._law = law
        self._clock = clock
        self._default = default
        self._lock = threading.Lock()
        self._situations: dict[str, Situation] = {}
        self._retention_us: int | None = None

    def __call__(self, camera: str, end_us: int) -> tuple[Floor, int]:
        with self._lock:
            situation = self._situations.get(camera, self._default)
            return self._law.stamp(situation, end_us, self._clock.wall_us(), self._retention_us)

    def know(self, camera: str, situation: Situation) -> None:
        with self._lock:
            self._situations[camera] = situation

    def follow(self, retention_us: int) -> None:
        with self._lock:
            self._retention_us = retention_us
