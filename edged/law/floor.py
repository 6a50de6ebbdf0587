"""What the rule packs demand of one camera: the floor, the duty to delete, and why each entry applies or not. Pure."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from edged.law.entry import Entry, Instrument, Kind, Topic
from edged.law.packs import Packs
from edged.model import Designation, Floor, Place

# Where no article in force names a number: as long as the national rule, never less.
DEFAULT_DAYS = 30
DEFAULT_RULE = "edged/default-30"
# The operator's own, from retention.keep_at_least and retention.keep or a camera's.
OWN_MINIMUM_RULE = "operator/keep-at-least"
OWN_KEEP_RULE = "operator/keep-floor"
# So long before a trial instrument ends its successor should be found.
EXPIRY_NOTICE_DAYS = 90


@dataclass(frozen=True, slots=True)
class Consideration:
    """One entry that was looked at, and what became of it."""

    entry: Entry
    applies: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorDecision:
    """What a camera's footage is subject to on one day.

    `floor` is the minimum with the ids of the rules that give it, `legal` what it would be without the operator's own.
    `ceiling_days` is the day count of a duty to delete (never below the floor), None where no article in force demands
    deletion, with the entry's id in `ceiling_rule`.
    """

    floor: Floor
    legal: Floor
    entries: tuple[Consideration, ...]
    ceiling_days: int | None
    ceiling_rule: str | None
    warnings: tuple[str, ...]


def resolve_floor(
    packs: Packs,
    jurisdiction: str,
    place: Place,
    on: dt.date,
    designations: Sequence[Designation] = (),
    *,
    own_days: int = 0,
) -> FloorDecision:
    """The largest minimum in force on the day `on` whose scope matches; the product's default where there is none.

    Drafts, lapsed and unverified entries bind nobody, neither up nor down; they are listed with the reason. A lower
    number never weakens a higher one, whatever its rank: obeying the larger obeys both. So the operator's `own_days`
    count where they are more, and are without effect where they are fewer.
    """
    considered = consider(packs, jurisdiction, place, on, Topic.RETENTION, designations)
    minimums = [(c.entry.value, c.entry.id) for c in considered if c.applies and c.entry.kind is Kind.RETENTION_MIN]
    instruments = dict.fromkeys(entry.instrument for entry in packs.entries(jurisdiction))
    warnings = [_validity(instrument, on) for instrument in instruments]
    days = max((value for value, _ in minimums if value is not None), default=0)
    if not packs.known(jurisdiction):
        warnings.append(f"no rule pack knows the jurisdiction {jurisdiction}: national law and edged's default apply")
        days = max(days, DEFAULT_DAYS)
    if days == 0:
        days = DEFAULT_DAYS
        warnings.append(f"no article in force names a minimum here: edged's own {DEFAULT_DAYS} days apply")
    rules = tuple(rule for value, rule in minimums if value == days) or (DEFAULT_RULE,)
    deletions = [(c.entry.value, c.entry.id) for c in considered if c.applies and c.entry.kind is Kind.RETENTION_DELETE]
    due = min(((value, rule) for value, rule in deletions if value is not None), default=None)
    legal = Floor(days=days, rules=rules)
    floor = Floor(days=own_days, rules=(OWN_MINIMUM_RULE,)) if own_days > days else legal
    if 0 < own_days < days:
        warnings.append(f"the operator's own minimum of {own_days} days is without effect: the law demands {days}")
    if due is not None and floor.days > max(due[0], days):
        warnings.append(
            f"{due[1]} wants footage deleted after {due[0]} days once its purpose is achieved, and the operator's own"
            f" minimum keeps it {own_days}: have the purpose on record"
        )
    return FloorDecision(
        floor=floor,
        legal=legal,
        entries=considered,
        ceiling_days=None if due is None else max(due[0], floor.days),
        ceiling_rule=None if due is None else due[1],
        warnings=tuple(warning for warning in warnings if warning),
    )


def consider(
    packs: Packs,
    jurisdiction: str,
    place: Place,
    on: dt.date,
    topic: Topic,
    designations: Sequence[Designation] = (),
) -> tuple[Consideration, ...]:
    """Every entry about `topic` and what becomes of it on the day `on` for a camera at `place`."""
    entries = (entry for entry in packs.entries(jurisdiction) if entry.kind in topic.kinds)
    return tuple(_consider(entry, place, designations, on) for entry in entries)


def _consider(entry: Entry, place: Place, designations: Sequence[Designation], on: dt.date) -> Consideration:
    if place not in entry.scope.place:
        return Consideration(entry, False, f"{entry.citation} is about other places ({', '.join(entry.scope.place)})")
    if not entry.scope.matches(place, designations):
        wanted = ", ".join(entry.scope.designations)
        return Consideration(entry, False, f"{entry.citation} is about cameras designated {wanted} alone")
    lacking = entry.not_binding_because(on)
    if lacking is not None:
        return Consideration(entry, False, f"{entry.citation} does not bind: {lacking}")
    if entry.kind is Kind.BASIS:
        return Consideration(entry, True, f"{entry.citation} names no number of its own")
    says = " demands" if entry.table is None else ":"
    return Consideration(entry, True, f"{entry.citation}{says} {entry.demand}")


def _validity(instrument: Instrument, on: dt.date) -> str:
    if instrument.valid_to is None or (instrument.valid_from is not None and on < instrument.valid_from):
        return ""
    if on > instrument.valid_to:
        return f"the validity of {instrument.title} ended on {instrument.valid_to}: find out what followed it"
    if (instrument.valid_to - on).days <= EXPIRY_NOTICE_DAYS:
        return f"the validity of {instrument.title} ends on {instrument.valid_to}: find out what will follow it"
    return ""
