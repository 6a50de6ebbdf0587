"""Gives each segment that enters the index its floor and the date it is kept to."""

import threading

from edged.archive.indexing import Stamped
from edged.archive.late import LATE_US
from edged.base.clock import Clock
from edged.law.counting import EARLIEST_US
from edged.law.site import SiteLaw
from edged.model import SegmentSealed, Situation
from edged.retain.clock import Reading
from edged.retain.timekeeping import reading


class Stamper:
    """What intake calls, on the database's thread, for every segment it indexes.

    `default` is the site's situation; a camera that differs is made known with `know`.
    `follow` hands over the retention clock: a label behind it is not believed (see law.counting.counted_end_us).
    A stamp taken in a situation that is corrected afterwards is raised by the next sweep; it is never lowered.
    """

    def __init__(self, law: SiteLaw, clock: Clock, default: Situation) -> None:
        self._law = law
        self._clock = clock
        self._default = default
        self._lock = threading.Lock()
        self._situations: dict[str, Situation] = {}
        self._retention: tuple[int, int, str] | None = None  # retention_us at mono_us of boot_id

    def __call__(self, fact: SegmentSealed) -> Stamped:
        now = self._clock.wall_us()
        with self._lock:
            situation = self._situations.get(fact.camera, self._default)
            retention = self._retention_us()
            recorded = None if (age := self._age_us(fact)) is None else max(now, retention or now) - age
            stamped = self._law.stamp(situation, fact.end_us, now, retention, recorded)
        return Stamped(*stamped, late=fact.end_us >= EARLIEST_US and now - fact.end_us > LATE_US)

    def know(self, camera: str, situation: Situation) -> None:
        with self._lock:
            self._situations[camera] = situation

    def _age_us(self, fact: SegmentSealed) -> int | None:
        """How long ago the segment ended by the monotonic clock; None where it was recorded in another boot."""
        if fact.boot_id != self._clock.boot_id() or not fact.start_mono_us:
            return None
        ended = fact.start_mono_us + fact.end_us - fact.start_us
        return max(0, self._clock.monotonic_us() - ended)

    def follow(self, retention_us: int, at: Reading | None = None) -> None:
        """The retention clock stood at `retention_us` when the clocks read `at`, by default now."""
        at = at or reading(self._clock)
        with self._lock:
            self._retention = (retention_us, at.mono_us, at.boot_id)

    def _retention_us(self) -> int | None:
        """The retention clock now: since it was handed over at least the running time has passed."""
        if self._retention is None:
            return None
        retention_us, mono_us, boot_id = self._retention
        running = self._clock.monotonic_us() - (mono_us if boot_id == self._clock.boot_id() else 0)
        return retention_us + max(0, running)
