"""The law of the machine's site in five versions: as rule packs for edged, and as a plain table for the oracle.

The oracle reads the table by itself; it asks nothing of edged.law.
"""

import datetime as dt
import functools
import zoneinfo
from dataclasses import dataclass

from edged.base.clock import DAY, SECOND
from edged.law.entry import Kind, Scope, Status
from edged.law.site import SiteLaw
from edged.model import Designation, Place
from tests.lawbook import entry, with_entries

SHANGHAI = zoneinfo.ZoneInfo("Asia/Shanghai")
# 2026-11-01 08:00 in Shanghai: where every example begins.
START_US = 1_793_491_200 * SECOND
TRIAL_ENDS = dt.date(2026, 11, 21)
GRACE_DAYS = 3


@dataclass(frozen=True)
class Rule:
    """A minimum of `days`; `until` is the last day of a trial, `erase` makes it a duty to delete besides."""

    days: int
    places: tuple[Place, ...] = ("listed", "other")
    designation: Designation | None = None
    until: dt.date | None = None
    erase: bool = False

    def applies(self, place: Place, designations: tuple[Designation, ...], on: dt.date) -> bool:
        return (
            place in self.places
            and (self.designation is None or self.designation in designations)
            and (self.until is None or on <= self.until)
        )


_BASE = (
    Rule(30, ("listed",), erase=True),
    Rule(15, ("other",)),
    Rule(90, designation="key_target"),
)
LAWS: dict[str, tuple[Rule, ...]] = {
    "base": _BASE,
    "raised": (*_BASE, Rule(40)),
    "lowered": (Rule(20, ("listed",)), Rule(5, ("other",)), Rule(60, designation="key_target")),
    "trial": (*_BASE, Rule(45, until=TRIAL_ENDS)),
    "no-duty-to-delete": (Rule(30, ("listed",)), Rule(15, ("other",)), Rule(90, designation="key_target")),
}


def floor_days(law: str, place: Place, designations: tuple[Designation, ...], at_us: int) -> int:
    """The minimum that binds at the true instant `at_us`."""
    on = local(at_us).date()
    return max(rule.days for rule in LAWS[law] if rule.applies(place, designations, on))


def longest_days(place: Place, designations: tuple[Designation, ...]) -> int:
    """No version of the law asks for more at any time."""
    return max(floor_days(law, place, designations, START_US) for law in LAWS)


def demands_deletion(law: str, place: Place) -> bool:
    return any(rule.erase and place in rule.places for rule in LAWS[law])


def free_from_us(end_us: int, days: int) -> int:
    """00:00 local of the day after the last day on which footage ending at `end_us` is kept."""
    first = local(end_us).date() + dt.timedelta(days=days + 1)
    return int(dt.datetime(first.year, first.month, first.day, tzinfo=SHANGHAI).timestamp()) * SECOND


def local(at_us: int) -> dt.datetime:
    return (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=at_us)).astimezone(SHANGHAI)


@functools.cache
def site_law(law: str) -> SiteLaw:
    """The same as edged reads it."""
    entries = []
    for number, rule in enumerate(LAWS[law]):
        scope = Scope(place=rule.places, designations=() if rule.designation is None else (rule.designation,))
        status = Status.TRIAL if rule.until else Status.IN_FORCE
        common = {"article": str(number), "scope": scope, "status": status, "valid_to": rule.until, "value": rule.days}
        entries.append(entry(id=f"{law}/{number}", kind=Kind.RETENTION_MIN, **common))
        if rule.erase:
            entries.append(entry(id=f"{law}/{number}-delete", kind=Kind.RETENTION_DELETE, **common))
    return SiteLaw(with_entries(*entries), "x", "Asia/Shanghai", GRACE_DAYS)


def days(count: float) -> int:
    return round(count * DAY)
