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
from edged.model import Situation

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
    situation: Situation,
    on: dt.date,
    *,
    contract_report_s: float | None = None,
    contract_attend_s: float | None = None,
) -> Deadlines:
    """The stricter of an article in force and the contract; where there is neither, the strictest article that is not
    in force, shown as such; and else edged's own 1 h and 2 h."""
    entries = [e for e in packs.entries(jurisdiction) if e.scope.matches(situation.place, situation.designations)]
    report, attend = ([e for e in entries if e.kind is kind] for kind in (Kind.REPORT, Kind.ATTENDANCE))
    report_within_us, report_basis = _strictest(report, on, contract_report_s) or (TARGET_REPORT_US, _TARGET)
    attend_within_us, attend_basis = _strictest(attend, on, contract_attend_s) or (TARGET_ATTEND_US, _TARGET)
    return Deadlines(
        report_within_us=report_within_us,
        report_basis=report_basis,
        attend_within_us=attend_within_us,
        attend_basis=attend_basis,
    )


def _strictest(entries: Sequence[Entry], on: dt.date, contract_s: float | None) -> tuple[int, str] | None:
    """The shortest duration and its basis; None where no entry and no contract names one."""
    binding = [(_within_us(e), e.citation) for e in entries if e.not_binding_because(on) is None]
    if contract_s is not None:
        binding.append((round(contract_s * SECOND), _CONTRACT))
    shown = [(_within_us(e), f"{e.citation}, not in force") for e in entries if e.not_binding_because(on) is not None]
    return min(binding or shown, key=lambda found: found[0], default=None)


def _within_us(entry: Entry) -> int:
    if entry.value is None:
        raise ValueError(f"{entry.id} has no value")
    return entry.value * HOUR
