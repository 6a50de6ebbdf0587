"""How duties stand, to the microsecond."""

import dataclasses
from zoneinfo import ZoneInfo

import pytest

from edged.base.clock import HOUR, MINUTE, SECOND
from edged.model import Cause, StreamKind
from edged.outage import view
from edged.outage.duties import Addressee, Countdown, DutyName, Outage, Receipt, Standing, incident
from edged.outage.lifecycle import State

SITE = ZoneInfo("Asia/Shanghai")
NAMES = {"repair_unit": "mending team", "superior_department": "department above"}
T0 = 1_800_000_000 * SECOND
DUE = T0 + HOUR
OUTAGE = Outage(
    id="outage-a",
    camera="cam-a",
    stream=StreamKind.MAIN,
    state=State.OUTAGE,
    cause=Cause.STALLED,
    t0_us=T0,
    opened_us=T0 + 8 * SECOND,
    report_due_us=DUE,
    report_basis="article",
    attend_within_us=2 * HOUR,
    attend_basis="article",
    attend_due_us=None,
    attended_us=None,
    attended_by=None,
    good_since_us=None,
    restored_us=None,
    restored_by=None,
    closed_us=None,
    flaps=0,
    reports=(),
    missed=frozenset(),
)
MISSED = frozenset({DutyName.REPORT_REPAIR_UNIT})


def receipt(at_us: int, addressee: Addressee = Addressee.REPAIR_UNIT) -> tuple[Receipt, ...]:
    return (Receipt(addressee=addressee, received_us=at_us, received_by="person", entered_us=at_us),)


@pytest.mark.parametrize(
    ("facts", "now_us", "standing"),
    [
        ({}, DUE - 1, Standing.PENDING),
        ({}, DUE, Standing.OVERDUE),
        ({"reports": receipt(DUE)}, DUE + HOUR, Standing.MET),
        ({"reports": receipt(DUE + 1)}, DUE + HOUR, Standing.LATE),
        ({"restored_us": DUE}, DUE + HOUR, Standing.LAPSED),
        ({"restored_us": DUE + 1}, DUE + HOUR, Standing.MISSED),
        ({"closed_us": DUE - 1}, DUE + HOUR, Standing.LAPSED),  # withdrawn
        ({"restored_us": DUE, "reports": receipt(DUE + 1)}, DUE + HOUR, Standing.LAPSED),
        ({"restored_us": DUE + 1, "reports": receipt(DUE + 2)}, DUE + HOUR, Standing.LATE),
        ({"good_since_us": DUE}, DUE + 5 * SECOND, Standing.PENDING),  # let it prove itself first
        ({"good_since_us": DUE + 1}, DUE + 5 * SECOND, Standing.OVERDUE),
        ({"missed": MISSED}, DUE - HOUR, Standing.OVERDUE),  # seen to pass: a clock set back does not undo it
        ({"missed": MISSED, "restored_us": DUE - 1}, DUE, Standing.MISSED),
        ({"missed": MISSED, "reports": receipt(DUE - 1)}, DUE, Standing.MET),  # entered late from paper
    ],
)
def test_a_report_stands_as_its_facts_say(facts: dict[str, object], now_us: int, standing: Standing) -> None:
    outage = dataclasses.replace(OUTAGE, **facts)  # type: ignore[arg-type]
    assert incident(outage, Countdown(), now_us, 0).reports[0].standing is standing


def test_attendance_waits_for_the_receipt_and_lapses_with_the_restoration() -> None:
    assert incident(OUTAGE, Countdown(), DUE, 0).attendance.standing is Standing.WAITING
    told = dataclasses.replace(OUTAGE, attend_due_us=DUE + 2 * HOUR)
    assert incident(told, Countdown(), DUE, 0).attendance.remaining_us == 2 * HOUR
    assert incident(told, Countdown(), DUE + 2 * HOUR, 0).attendance.standing is Standing.OVERDUE
    back = dataclasses.replace(told, restored_us=DUE)
    assert incident(back, Countdown(), DUE + 9 * HOUR, 0).attendance.standing is Standing.LAPSED


def test_a_countdown_follows_the_monotonic_clock_alone() -> None:
    countdown = Countdown()
    assert countdown.remaining_us("a", DUE, T0, 100) == HOUR
    assert countdown.remaining_us("a", DUE, T0 + 40 * HOUR, 100 + MINUTE) == HOUR - MINUTE
    countdown.forget("b")
    assert countdown.remaining_us("a", DUE, T0 + 40 * HOUR, 100 + MINUTE) == HOUR - MINUTE
    countdown.forget("a")
    assert countdown.remaining_us("a", DUE, DUE, 5) == 0


def test_reporting_as_a_whole_stands_as_the_worse_of_the_two() -> None:
    one = dataclasses.replace(OUTAGE, reports=receipt(T0 + MINUTE))
    assert view.document(incident(one, Countdown(), DUE, 0), SITE, NAMES)["report"]["standing"] == "overdue"
    late = dataclasses.replace(OUTAGE, reports=receipt(T0) + receipt(DUE + 1, Addressee.SUPERIOR_DEPARTMENT))
    told = view.document(incident(late, Countdown(), DUE + 1, 0), SITE, NAMES)["report"]
    assert (told["standing"], told["overdue"], told["met"]) == ("late", True, view.civil(DUE + 1, SITE))


def test_what_was_never_done_tells_how_late_the_feed_came_back() -> None:
    missed = dataclasses.replace(OUTAGE, restored_us=DUE + 90 * SECOND, closed_us=DUE + 100 * SECOND)
    told = view.document(incident(missed, Countdown(), DUE + 9 * HOUR, 0), SITE, NAMES)
    report, attendance = told["report"], told["attendance"]
    assert (report["standing"], report["overdue"], report["seconds_left"], report["met"]) == ("missed", True, -90, None)
    assert (attendance["standing"], attendance["due"], attendance["seconds_left"]) == ("lapsed", None, None)
