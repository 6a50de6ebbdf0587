"""The law as it stands at one site: its packs, its jurisdiction, its civil days, its grace. Pure; safe in threads."""

import datetime as dt
import zoneinfo
from collections.abc import Sequence

from edged.base.clock import DAY
from edged.law.counting import counted_end_us, erase_due_us, keep_until_us, local_date
from edged.law.deadlines import Deadlines, deadlines
from edged.law.entry import PlaceKind, Topic
from edged.law.floor import Consideration, FloorDecision, consider, resolve_floor
from edged.law.packs import Packs
from edged.model import Designation, Floor


class SiteLaw:
    """What every station of one box asks. `grace_days` is how long past its floor a deletion duty may wait."""

    def __init__(self, packs: Packs, jurisdiction: str, timezone: str, grace_days: int) -> None:
        self.packs = packs
        self.jurisdiction = jurisdiction
        self.tz = zoneinfo.ZoneInfo(timezone)
        self.grace_days = grace_days
        self._decisions: dict[tuple[PlaceKind, tuple[Designation, ...], dt.date], FloorDecision] = {}

    def decision(self, place: PlaceKind, at_us: int, designations: Sequence[Designation] = ()) -> FloorDecision:
        """What applies to a camera at `place`, with its `designations`, on the local civil day of `at_us`."""
        on = local_date(at_us, self.tz)
        key = (place, tuple(sorted(designations)), on)
        known = self._decisions.get(key)
        if known is None:
            if len(self._decisions) > 1000:
                self._decisions.clear()  # footage of many days passes by; the packs never change under it
            known = self._decisions[key] = resolve_floor(self.packs, self.jurisdiction, place, on, designations)
        return known

    def considered(
        self, topic: Topic, place: PlaceKind, at_us: int, designations: Sequence[Designation] = ()
    ) -> tuple[Consideration, ...]:
        """Every entry about `topic`, and what becomes of it on the local civil day of `at_us`."""
        return consider(self.packs, self.jurisdiction, place, local_date(at_us, self.tz), topic, designations)

    def stamp(
        self,
        place: PlaceKind,
        end_us: int,
        now_us: int,
        retention_us: int | None,
        designations: Sequence[Designation] = (),
    ) -> tuple[Floor, int]:
        """The floor of a segment that enters the index at `now_us`, and the first instant at which it may go.

        The larger of what was in force when it was recorded and what is in force now: a segment that is indexed late
        must not miss a floor raised in between.
        """
        counted = counted_end_us(end_us, now_us, retention_us)
        known_by = max(now_us, retention_us or now_us)  # a wall clock that says 1970 knows no law
        floor = max(
            (self.decision(place, at, designations).floor for at in (counted, known_by)), key=lambda floor: floor.days
        )
        return floor, keep_until_us(counted, floor.days, self.tz)

    def erase_due(
        self,
        place: PlaceKind,
        *,
        end_us: int,
        keep_until: int,
        floor_days: int,
        at_us: int,
        designations: Sequence[Designation] = (),
    ) -> tuple[int, str] | None:
        """When a segment must go at the latest and by which entry, or None where no article demands it.

        Never before the date it is kept to, and the grace always follows that date.
        """
        decision = self.decision(place, at_us, designations)
        if decision.ceiling_days is None or decision.ceiling_rule is None:
            return None
        days = max(decision.ceiling_days, floor_days)
        due = erase_due_us(end_us, days, self.grace_days, self.tz)
        return max(due, keep_until + self.grace_days * DAY), decision.ceiling_rule

    def deadlines(
        self,
        place: PlaceKind,
        at_us: int,
        contract_report_s: float | None,
        contract_attend_s: float | None,
        designations: Sequence[Designation] = (),
    ) -> Deadlines:
        """The clocks of an outage that begins at `at_us`."""
        on = local_date(at_us, self.tz)
        return deadlines(self.packs, self.jurisdiction, place, on, contract_report_s, contract_attend_s, designations)
