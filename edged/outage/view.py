"""An outage in the words of the outside: the MQTT message, and the document of the API and the CLI. Pure.

The message carries moments as integer microseconds UTC (`_us`), as every message does, and neither names of people
(personal information; a subscriber needs to know only that somebody acknowledged) nor the basis of a deadline, which
may name a city (I9). The document is for people on the box: ISO 8601 in civil time at the site with milliseconds and
the offset, durations in seconds, names and bases included.
"""

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from edged.base.clock import SECOND
from edged.law.counting import local_time
from edged.outage.duties import Duty, Incident, Standing, Step

_PASSED = frozenset({Standing.OVERDUE, Standing.LATE, Standing.MISSED})


def civil(at_us: int, tz: ZoneInfo) -> str:
    """`at_us` as ISO 8601, such as ``2026-09-21T22:13:20.000+08:00``; parts of a millisecond are cut off."""
    return local_time(at_us, tz).isoformat(timespec="milliseconds")


def overdue_words(incident: Incident) -> list[str]:
    """``report``, ``attendance``: the deadlines that passed and whose duties are still owed."""
    words = {"report": incident.reports, "attendance": (incident.attendance,)}
    return [word for word, duties in words.items() if any(duty.standing is Standing.OVERDUE for duty in duties)]


def message(incident: Incident, event: str, at_us: int) -> dict[str, Any]:
    """The MQTT message on topic ``outage/<id>``: what happened, and how the outage stands since."""
    outage = incident.outage
    return {
        "outage": outage.id,
        "camera": outage.camera,
        "stream": outage.stream.value,
        "event": event,
        "at_us": at_us,
        "state": outage.state.value,
        "cause": outage.cause.value,
        "t0_us": outage.t0_us,
        "opened_us": outage.opened_us,
        "report_due_us": outage.report_due_us,
        "reported_us": _both_done_us(incident),
        "attend_within_us": outage.attend_within_us,
        "attend_due_us": outage.attend_due_us,
        "attended_us": outage.attended_us,
        "good_since_us": outage.good_since_us,
        "restored_us": outage.restored_us,
        "closed_us": outage.closed_us,
        "overdue": overdue_words(incident),
        "flaps": outage.flaps,
    }


def document(
    incident: Incident, tz: ZoneInfo, addressees: Mapping[str, str], history: list[Step] | None = None
) -> dict[str, Any]:
    """The outage as the API and the CLI show it, with its history where given.

    ``report`` is met when both addressees have acknowledged; each stands under ``to``, with the name that the site has
    for it in `addressees` (``repair_unit``, ``superior_department``). ``standing`` says how a duty
    stands (see `duties.Standing`); ``overdue`` also stays true for what was done late or never; ``seconds_left`` of
    what was never done is what was left when the feed came back.
    """
    outage = incident.outage
    ended_us = outage.restored_us if outage.restored_us is not None else outage.closed_us
    told: dict[str, Any] = {
        "id": outage.id,
        "camera": outage.camera,
        "stream": outage.stream.value,
        "state": outage.state.value,
        "cause": outage.cause.value,
        "t0": civil(outage.t0_us, tz),
        "opened": civil(outage.opened_us, tz),
        "detected_after_s": round((outage.opened_us - outage.t0_us) / SECOND, 3),
        "report": {
            **_duty(_last(incident.reports), ended_us, tz),
            "met": _civil_or_none(_both_done_us(incident), tz),
            "to": {to: {"name": addressees[to], **_duty(duty, ended_us, tz)} for to, duty in _by_addressee(incident)},
        },
        "attendance": _duty(incident.attendance, ended_us, tz),
        "overdue": overdue_words(incident),
        "flaps": outage.flaps,
        "good_since": _civil_or_none(outage.good_since_us, tz),
        "restored": _civil_or_none(outage.restored_us, tz),
        "restored_by": outage.restored_by,
        "closed": _civil_or_none(outage.closed_us, tz),
    }
    if history is not None:
        told["history"] = [
            {"at": civil(step.at_us, tz), "event": step.event, "by": step.by, "detail": step.detail} for step in history
        ]
    return told


def _by_addressee(incident: Incident) -> list[tuple[str, Duty]]:
    return [(duty.name.value.removeprefix("report_"), duty) for duty in incident.reports]


def _duty(duty: Duty, ended_us: int | None, tz: ZoneInfo) -> dict[str, Any]:
    left_us = duty.remaining_us
    if ended_us is not None and duty.due_us is not None and duty.done_us is None:
        left_us = duty.due_us - ended_us
    return {
        "due": _civil_or_none(duty.due_us, tz),
        "basis": duty.basis,
        "met": _civil_or_none(duty.done_us, tz),
        "by": duty.done_by,
        "standing": duty.standing.value,
        "overdue": duty.standing in _PASSED,
        "seconds_left": None if left_us is None else round(left_us / SECOND, 1),
    }


def _last(reports: tuple[Duty, ...]) -> Duty:
    """The report that decides how reporting as a whole stands: the worst of the two."""
    order = (
        Standing.OVERDUE,
        Standing.MISSED,
        Standing.LATE,
        Standing.PENDING,
        Standing.WAITING,
        Standing.LAPSED,
        Standing.MET,
    )
    return min(reports, key=lambda duty: (order.index(duty.standing), -(duty.done_us or 0)))


def _both_done_us(incident: Incident) -> int | None:
    done = [duty.done_us for duty in incident.reports if duty.done_us is not None]
    return max(done) if len(done) == len(incident.reports) else None


def _civil_or_none(at_us: int | None, tz: ZoneInfo) -> str | None:
    return None if at_us is None else civil(at_us, tz)
