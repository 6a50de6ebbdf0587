"""The law as it stands at one site: its packs, its jurisdiction, its civil days, its grace. Pure; safe in threads."""

import datetime as dt
import zoneinfo

from edged.base.clock import DAY, MINUTE
from edged.law.counting import counted_end_us, free_from_us, local_date
from edged.law.deadlines import Deadlines, deadlines
from edged.law.entry import Topic
from edged.law.floor import OWN_KEEP_RULE, Consideration, FloorDecision, consider, resolve_floor
from edged.law.packs import Packs
from edged.model import Floor, Situation

# Footage that comes late, past its floor already, stays so long that it can be looked at.
INSPECTION_US = DAY
_MOST_KNOWN = 5000  # answers kept: more than the minutes of three days


class SiteLaw:
    """What every station of one box asks. `grace_days` is how long past its floor a deletion duty may wait."""

    def __init__(self, packs: Packs, jurisdiction: str, timezone: str, grace_days: int) -> None:
        self.packs = packs
        self.jurisdiction = jurisdiction
        self.tz = zoneinfo.ZoneInfo(timezone)
        self.grace_days = grace_days
        self._decisions: dict[tuple[Situation, dt.date], FloorDecision] = {}
        self._floors: dict[tuple[Situation, tuple[dt.date, ...]], Floor] = {}
        self._dates: dict[int, dt.date] = {}
        self._free: dict[tuple[dt.date, int], int] = {}

    def decision(self, situation: Situation, at_us: int) -> FloorDecision:
        """What applies to a camera in that situation on the local civil day of `at_us`."""
        key = (situation, self._date(at_us))
        known = self._decisions.get(key)
        if known is None:
            if len(self._decisions) > 1000:
                self._decisions.clear()  # footage of many days passes by; the packs never change under it
            known = self._decisions[key] = resolve_floor(
                self.packs,
                self.jurisdiction,
                situation.place,
                key[1],
                situation.designations,
                own_days=situation.own.at_least_days,
            )
        return known

    def considered(self, topic: Topic, situation: Situation, at_us: int) -> tuple[Consideration, ...]:
        """Every entry about `topic`, and what becomes of it on the local civil day of `at_us`."""
        on = local_date(at_us, self.tz)
        return consider(self.packs, self.jurisdiction, situation.place, on, topic, situation.designations)

    def stamp(
        self,
        situation: Situation,
        end_us: int,
        now_us: int,
        retention_us: int | None,
        recorded_us: int | None = None,
    ) -> tuple[Floor, int]:
        """The floor of a segment that enters the index at `now_us`, and the first instant at which it may go.

        The larger of what was in force when it was recorded and what is in force now: a segment that is indexed late
        must not miss a floor raised in between. And never before it could be looked at for a day. `recorded_us` is as
        in `counting.counted_end_us`.
        """
        counted = counted_end_us(end_us, now_us, retention_us, recorded_us)
        today = self.today(now_us, retention_us)
        floor = self.floor(situation, counted, *today)
        return floor, max(self.keep_until(counted, floor.days), max(today) + INSPECTION_US)

    def floor(self, situation: Situation, *at_us: int) -> Floor:
        """The largest floor in force at any of the instants `at_us`."""
        key = (situation, tuple([self._date(at) for at in at_us]))
        known = self._floors.get(key)
        if known is None:
            if len(self._floors) > _MOST_KNOWN:
                self._floors.clear()
            floors = [self.decision(situation, at).floor for at in at_us]
            known = self._floors[key] = max(floors, key=lambda floor: floor.days)
        return known

    @staticmethod
    def today(now_us: int, retention_us: int | None) -> tuple[int, ...]:
        """The instants whose law is today's, where the wall clock (`now_us`) and the retention clock differ.

        By the later, a duty that has come into force does not wait for a clock that lags. By the retention clock, one
        that ends on a certain day does not end early by a wall clock that is ahead. A wall clock that says 1970 knows
        no law.
        """
        if retention_us is None:
            return (now_us,)
        return (retention_us, max(now_us, retention_us))

    def erase_due(
        self, situation: Situation, *, end_us: int, keep_until: int, floor_days: int, at_us: int
    ) -> tuple[int, str] | None:
        """When a segment must go at the latest and by which rule: a duty to delete, or the operator's `keep = "floor"`.

        None where there is neither. Never before the date it is kept to, and the grace always follows that date.
        """
        decision = self.decision(situation, at_us)
        dues: list[tuple[int, str]] = []
        if decision.ceiling_days is not None and decision.ceiling_rule is not None:
            days = max(decision.ceiling_days, floor_days)
            dues.append((self.keep_until(end_us, days + self.grace_days), decision.ceiling_rule))
        if situation.own.keep == "floor":
            dues.append((self.keep_until(end_us, floor_days + self.grace_days), OWN_KEEP_RULE))
        if not dues:
            return None
        due, rule = min(dues, key=lambda each: each[0])  # of two at once the article, which stands first
        return max(due, keep_until + self.grace_days * DAY), rule

    def deadlines(
        self,
        situation: Situation,
        at_us: int,
        *,
        contract_report_s: float | None = None,
        contract_attend_s: float | None = None,
    ) -> Deadlines:
        """The clocks of an outage that begins at `at_us`."""
        on = local_date(at_us, self.tz)
        return deadlines(
            self.packs,
            self.jurisdiction,
            situation,
            on,
            contract_report_s=contract_report_s,
            contract_attend_s=contract_attend_s,
        )

    def _date(self, at_us: int) -> dt.date:
        """The civil day of `at_us`. Days begin on whole minutes, and intake asks twenty thousand times a second."""
        minute = at_us // MINUTE
        known = self._dates.get(minute)
        if known is None:
            if len(self._dates) > _MOST_KNOWN:
                self._dates.clear()
            known = self._dates[minute] = local_date(minute * MINUTE, self.tz)
        return known

    def keep_until(self, end_us: int, days: int) -> int:
        """As law.counting.keep_until_us at this site, remembered by days. The days of grace are civil days as well."""
        key = self._date(end_us), days
        known = self._free.get(key)
        if known is None:
            if len(self._free) > _MOST_KNOWN:
                self._free.clear()
            known = self._free[key] = free_from_us(*key, self.tz)
        return max(known, end_us + days * DAY)
