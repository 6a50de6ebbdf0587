"""How soon a lost feed must be reported, and how soon the repair unit must be there, and who says so. Pure.

Only Changzhou's draft of 2013 names the hour and the two hours (art. 18(8)); elsewhere they are a contract's or the
product's own target, and are labelled as what they are.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from edged.base.clock import HOUR, SECOND
from edged.law.entry import Entry, Kind
from edged.law.packs import Packs
from edged.model import Designation, Place

TARGET_REPORT_US = HOUR
TARGET_ATTEND_US = 2 * HOUR
_CONTRACT = "the maintenance contract"
_TARGET = "edged's own target"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Durations in microseconds, each with the words that say where it comes from.

    The report's runs from the end of the last good frame stored, the attendance's from the repair unit's receipt.
    """

    report_within_us: int
    report_basis: str
    attend_within_us: int
    attend_basis: str


def deadlines(
    packs: Packs,
    jurisdiction: str,
    place: Place,
    on: dt.date,
    contract_report_s: float | None,
    contract_attend_s: float | None,
    designations: Sequence[Designation] = (),
) -> Deadlines:
    """The stricter of an article in force and the contract; where there is neither, the strictest article that is not
    in force, shown as such; and else edged's own 1 h and 2 h."""
    report = _strictest(packs, jurisdiction, place, on, Kind.REPORT, contract_report_s, TARGET_REPORT_US, designations)
    attend = _strictest(
        packs, jurisdiction, place, on, Kind.ATTENDANCE, contract_attend_s, TARGET_ATTEND_US, designations
    )
    return Deadlines(
        report_within_us=report[0], report_basis=report[1], attend_within_us=attend[0], attend_basis=attend[1]
    )


def _strictest(
    packs: Packs,
    jurisdiction: str,
    place: Place,
    on: dt.date,
    kind: Kind,
    contract_s: float | None,
    target_us: int,
    designations: Sequence[Designation],
) -> tuple[int, str]:
    entries = [e for e in packs.entries(jurisdiction) if e.kind is kind and e.scope.matches(place, designations)]
    binding = [(_within_us(e), e.citation) for e in entries if e.not_binding_because(on) is None]
    if contract_s is not None:
        binding.append((round(contract_s * SECOND), _CONTRACT))
    shown = [(_within_us(e), f"{e.citation}, not in force") for e in entries if e.not_binding_because(on) is not None]
    return min(binding or shown or [(target_us, _TARGET)], key=lambda found: found[0])


def _within_us(entry: Entry) -> int:
    if entry.value is None:
        raise ValueError(f"{entry.id} has no value")
    return entry.value * HOUR
