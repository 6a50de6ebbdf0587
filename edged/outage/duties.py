"""What must be done about an outage, by when, and how it stands. Pure.

Three duties (Changzhou art. 18(8); elsewhere a contract or the product's own target, see `basis`): the report to the
repair unit, the report to the superior department, and the repair unit's attendance, whose time begins only when that
unit has received its report. Duties end with the restoration of the feed: what was not due by then lapses, what was
due stays missed. What is entered later, with its true time, is judged by that time.
"""

from dataclasses import dataclass
from enum import StrEnum

from edged.model import Cause, StreamKind
from edged.outage.lifecycle import State


class Addressee(StrEnum):
    """Who must be told of a fault (Changzhou art. 18(8)): both."""

    REPAIR_UNIT = "repair_unit"
    SUPERIOR_DEPARTMENT = "superior_department"


class DutyName(StrEnum):
    """The duties, in the order they fall due."""

    REPORT_REPAIR_UNIT = "report_repair_unit"
    REPORT_SUPERIOR_DEPARTMENT = "report_superior_department"
    ATTENDANCE = "attendance"


REPORT_TO = {
    Addressee.REPAIR_UNIT: DutyName.REPORT_REPAIR_UNIT,
    Addressee.SUPERIOR_DEPARTMENT: DutyName.REPORT_SUPERIOR_DEPARTMENT,
}


class Standing(StrEnum):
    """How a duty stands."""

    WAITING = "waiting"  # attendance: its time begins when the repair unit has received the report
    PENDING = "pending"  # not done, not due yet
    OVERDUE = "overdue"  # not done, and the time is over
    MET = "met"  # done in time
    LATE = "late"  # done after its time
    MISSED = "missed"  # the feed came back first, but not before the time was over
    LAPSED = "lapsed"  # the feed came back before it was due


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """An addressee has acknowledged the report."""

    addressee: Addressee
    received_us: int
    received_by: str  # a named person: a delivery alone is not a report
    entered_us: int


@dataclass(frozen=True, slots=True)
class Step:
    """One line of an outage's history."""

    at_us: int
    event: str
    by: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """An incident as it is kept. Times in microseconds UTC."""

    id: str
    camera: str
    stream: StreamKind
    state: State
    cause: Cause  # as it was seen when the outage was opened
    t0_us: int  # end of the last good frame stored
    opened_us: int
    report_due_us: int
    report_basis: str
    attend_within_us: int
    attend_basis: str
    attend_due_us: int | None
    attended_us: int | None
    attended_by: str | None
    good_since_us: int | None  # frames again, not yet for long enough
    restored_us: int | None
    restored_by: str | None  # who recorded the restoration; None where only the stream proved it so far
    closed_us: int | None
    flaps: int
    reports: tuple[Receipt, ...]
    missed: frozenset[DutyName]  # deadlines that passed, each written down once

    @property
    def both_reported(self) -> bool:
        """Whether both addressees have acknowledged."""
        return {receipt.addressee for receipt in self.reports} == set(Addressee)


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """One duty and how it stands."""

    name: DutyName
    due_us: int | None
    basis: str
    done_us: int | None
    done_by: str | None
    standing: Standing
    remaining_us: int | None  # until due, negative after; None where nothing runs any more


@dataclass(frozen=True, slots=True)
class Incident:
    """An outage with its duties as they stand at one moment."""

    outage: Outage
    reports: tuple[Duty, Duty]  # to the repair unit, to the superior department
    attendance: Duty

    @property
    def duties(self) -> tuple[Duty, ...]:
        """All three."""
        return (*self.reports, self.attendance)

    @property
    def overdue(self) -> tuple[Duty, ...]:
        """The duties whose time is over while they are still owed."""
        return tuple(duty for duty in self.duties if duty.standing is Standing.OVERDUE)


class Countdown:
    """How long until deadlines, on the monotonic clock from the moment each is first asked about.

    A deadline is a wall-clock time and survives restarts as such; but a step of the wall clock must neither let it
    pass nor put it off (PEERS 6.4, 36).
    """

    def __init__(self) -> None:
        self._due_mono: dict[tuple[str, int], int] = {}

    def remaining_us(self, outage_id: str, due_us: int, now_us: int, mono_us: int) -> int:
        """Microseconds until `due_us`; zero or less when it has passed."""
        return self._due_mono.setdefault((outage_id, due_us), mono_us + due_us - now_us) - mono_us

    def forget(self, outage_id: str) -> None:
        """Drop the deadlines of an outage that is closed."""
        self._due_mono = {key: due for key, due in self._due_mono.items() if key[0] != outage_id}


def incident(outage: Outage, countdown: Countdown, now_us: int, mono_us: int) -> Incident:
    """`outage` with its duties as they stand now."""

    def duty(name: DutyName, due_us: int | None, basis: str, done_us: int | None, done_by: str | None) -> Duty:
        owed = done_us is None and outage.restored_us is None and outage.closed_us is None
        left = None if due_us is None or not owed else countdown.remaining_us(outage.id, due_us, now_us, mono_us)
        standing = _standing(outage, name, due_us, done_us, left)
        return Duty(
            name=name,
            due_us=due_us,
            basis=basis,
            done_us=done_us,
            done_by=done_by,
            standing=standing,
            remaining_us=left,
        )

    def report(addressee: Addressee) -> Duty:
        receipt = next((receipt for receipt in outage.reports if receipt.addressee is addressee), None)
        done = (None, None) if receipt is None else (receipt.received_us, receipt.received_by)
        return duty(REPORT_TO[addressee], outage.report_due_us, outage.report_basis, *done)

    return Incident(
        outage,
        (report(Addressee.REPAIR_UNIT), report(Addressee.SUPERIOR_DEPARTMENT)),
        duty(DutyName.ATTENDANCE, outage.attend_due_us, outage.attend_basis, outage.attended_us, outage.attended_by),
    )


def _standing(
    outage: Outage, name: DutyName, due_us: int | None, done_us: int | None, remaining_us: int | None
) -> Standing:
    if done_us is not None and (due_us is None or done_us <= due_us):
        return Standing.MET
    ended_us = outage.restored_us if outage.restored_us is not None else outage.closed_us
    # A deadline that was seen to pass has passed, whatever the clocks say since.
    passed = name in outage.missed or (due_us is not None and ended_us is not None and ended_us > due_us)
    if done_us is not None:
        return Standing.LATE if passed or ended_us is None else Standing.LAPSED
    if ended_us is not None:
        return Standing.MISSED if passed else Standing.LAPSED
    if due_us is None or remaining_us is None:
        return Standing.WAITING
    # Frames since before it was due: if they last, the duty had ended by then; if not, it is overdue after all.
    returning = outage.good_since_us is not None and outage.good_since_us <= due_us
    return Standing.OVERDUE if passed or (remaining_us <= 0 and not returning) else Standing.PENDING
