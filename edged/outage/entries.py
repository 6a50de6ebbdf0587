"""What may be written about an outage: by the detector, by people, by the clock. Acts inside a transaction.

Each function writes the row, its history and its ledger entry, and returns the word for what happened. What a person
asks for is checked first and refused with a reason; nothing is changed then.
"""

import sqlite3

from edged.archive.ledger import LedgerKind, append
from edged.base.errors import Refused
from edged.law.deadlines import Deadlines
from edged.model import Cause
from edged.outage import book
from edged.outage.duties import Addressee, Duty, DutyName, Outage, Receipt
from edged.outage.lifecycle import Event, State, lost_again, move


class UnknownOutage(Refused):
    """No outage has this id."""

    code = "OUT-001"
    hint = "`edged outages list --all` shows the ids"


class BadEntry(Refused):
    """What was entered cannot be true or is not enough."""

    code = "OUT-002"
    hint = "correct the entry and repeat it"


class AlreadyEntered(Refused):
    """It is entered once; what stands is not rewritten."""

    code = "OUT-003"
    hint = "`edged outages show` gives what stands and who entered it"


class NotGoodYet(Refused):
    """A restoration cannot be recorded while the feed is lost."""

    code = "OUT-004"
    hint = "wait until the camera delivers again: `edged outages show` then gives the time as good_since"


# --- the detector ---------------------------------------------------------------------------------------------------


def open_outage(
    connection: sqlite3.Connection, camera: str, t0_us: int, cause: Cause, deadlines: Deadlines, now_us: int
) -> str:
    """Open an outage and return its id. `t0_us` is moved on where the index has footage after it (I5)."""
    recorded = book.recorded_until_us(connection, camera, now_us)
    t0_us = min(now_us, max(t0_us, t0_us if recorded is None else recorded))
    outage = begun(
        book.new_id(now_us),
        camera,
        cause,
        t0_us=t0_us,
        opened_us=now_us,
        report_due_us=t0_us + deadlines.report_within_us,
        report_basis=deadlines.report_basis,
        attend_within_us=deadlines.attend_within_us,
        attend_basis=deadlines.attend_basis,
    )
    book.insert(connection, outage)
    book.note(connection, outage.id, now_us, "opened", detail=cause.value)
    body = {
        "outage": outage.id,
        "camera": camera,
        "cause": cause.value,
        "t0_us": t0_us,
        "report_due_us": outage.report_due_us,
        "report_basis": outage.report_basis,
        "attend_within_us": outage.attend_within_us,
        "attend_basis": outage.attend_basis,
    }
    append(connection, now_us, LedgerKind.OUTAGE_OPENED, body)
    return outage.id


def begun(
    outage_id: str,
    camera: str,
    cause: Cause,
    *,
    t0_us: int,
    opened_us: int,
    report_due_us: int,
    report_basis: str,
    attend_within_us: int,
    attend_basis: str,
) -> Outage:
    """An outage as it stands when it is opened: nobody was told yet, nobody came."""
    return Outage(
        id=outage_id,
        camera=camera,
        stream=book.STREAM,
        state=State.OUTAGE,
        cause=cause,
        t0_us=t0_us,
        opened_us=opened_us,
        report_due_us=report_due_us,
        report_basis=report_basis,
        attend_within_us=attend_within_us,
        attend_basis=attend_basis,
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


def good(connection: sqlite3.Connection, outage: Outage, since_us: int, now_us: int) -> str:
    """Frames again, not yet for long enough."""
    book.update(connection, outage.id, good_since_us=max(since_us, outage.t0_us))
    book.note(connection, outage.id, now_us, "good")
    return "good"


def flapped(connection: sqlite3.Connection, outage: Outage, now_us: int) -> str:
    """The return was too short: the same incident goes on."""
    state = lost_again(outage.state, both_reported=outage.both_reported, attended=outage.attended_us is not None)
    book.update(connection, outage.id, state=state.value, flaps=outage.flaps + 1, good_since_us=None, restored_us=None)
    book.note(connection, outage.id, now_us, "lost_again")
    if outage.state is State.RESTORED:  # what the ledger has on record as restored is not
        body = {"outage": outage.id, "camera": outage.camera, "flaps": outage.flaps + 1}
        append(connection, now_us, LedgerKind.OUTAGE_LOST_AGAIN, body)
    return "lost_again"


def close_sustained(connection: sqlite3.Connection, outage: Outage, restored_us: int, now_us: int) -> str:
    """The stream has proved itself: restored since its first good frame, and closed.

    The measured time replaces that of a restoration a person recorded before; the person stays.
    """
    state = outage.state if outage.state is State.RESTORED else move(outage.state, Event.RESTORED)
    state = move(state, Event.SUSTAINED)
    restored_us = max(restored_us, outage.t0_us)
    book.update(connection, outage.id, state=state.value, restored_us=restored_us, closed_us=now_us, good_since_us=None)
    book.note(connection, outage.id, now_us, "closed", detail="sustained")
    _tell_closed(connection, outage, "sustained", restored_us, now_us)
    return "closed"


def withdraw(connection: sqlite3.Connection, outage: Outage, now_us: int) -> str:
    """The camera is no longer to be recorded: there is no feed to restore."""
    state = move(outage.state, Event.WITHDRAWN)
    book.update(connection, outage.id, state=state.value, closed_us=now_us, good_since_us=None)
    book.note(connection, outage.id, now_us, "closed", detail="withdrawn")
    _tell_closed(connection, outage, "withdrawn", outage.restored_us, now_us)
    return "closed"


def _tell_closed(
    connection: sqlite3.Connection, outage: Outage, because: str, restored_us: int | None, now_us: int
) -> None:
    body = {"outage": outage.id, "camera": outage.camera, "because": because, "restored_us": restored_us}
    append(connection, now_us, LedgerKind.OUTAGE_CLOSED, {**body, "flaps": outage.flaps})


def miss(connection: sqlite3.Connection, outage: Outage, duty: Duty, now_us: int) -> str:
    """A deadline has passed unfulfilled: written down once."""
    event = f"{duty.name.value}_overdue"
    book.note(connection, outage.id, now_us, event, detail=duty.basis)
    return "attendance_overdue" if duty.name is DutyName.ATTENDANCE else "report_overdue"


# --- people ---------------------------------------------------------------------------------------------------------


def existing(connection: sqlite3.Connection, outage_id: str) -> Outage:
    """The outage. Raises UnknownOutage."""
    outage = book.find(connection, outage_id)
    if outage is None:
        raise UnknownOutage(f"there is no outage {outage_id!r}")
    return outage


def report(
    connection: sqlite3.Connection,
    outage_id: str,
    addressee: str,
    received_by: str,
    received_us: int | None,
    now_us: int,
) -> str:
    """A named person at `addressee` has received the report; attendance is due from the repair unit's receipt.

    Raises UnknownOutage, BadEntry, AlreadyEntered.
    """
    outage = existing(connection, outage_id)
    if addressee not in set(Addressee):
        raise BadEntry(f"{addressee!r} is no addressee", hint=f"it is one of {', '.join(Addressee)}")
    receipt = Receipt(
        addressee=Addressee(addressee),
        received_us=_moment(outage, received_us, now_us),
        received_by=_person(received_by),
        entered_us=now_us,
    )
    if any(known.addressee is receipt.addressee for known in outage.reports):
        raise AlreadyEntered(f"outage {outage.id} is already reported to {receipt.addressee}")
    book.insert_receipt(connection, outage.id, receipt)
    book.note(connection, outage.id, now_us, "report_received", by=receipt.received_by, detail=receipt.addressee.value)
    if receipt.addressee is Addressee.REPAIR_UNIT:
        book.update(connection, outage.id, attend_due_us=receipt.received_us + outage.attend_within_us)
    body = {"outage": outage.id, "addressee": receipt.addressee.value, "received_by": receipt.received_by}
    append(connection, now_us, LedgerKind.OUTAGE_REPORTED, {**body, "received_us": receipt.received_us})
    if not existing(connection, outage.id).both_reported:
        return "report_received"
    book.update(connection, outage.id, state=move(outage.state, Event.REPORTED).value)
    book.note(connection, outage.id, now_us, "reported")
    return "reported"


def attended(connection: sqlite3.Connection, outage_id: str, by: str, at_us: int | None, now_us: int) -> str:
    """The repair unit is on site. Raises UnknownOutage, BadEntry, AlreadyEntered."""
    outage = existing(connection, outage_id)
    by, at_us = _person(by), _moment(outage, at_us, now_us)
    if outage.attended_us is not None:
        raise AlreadyEntered(f"attendance of outage {outage.id} is already entered")
    state = move(outage.state, Event.ATTENDED)
    book.update(connection, outage.id, state=state.value, attended_us=at_us, attended_by=by)
    book.note(connection, outage.id, now_us, "attended", by=by)
    append(connection, now_us, LedgerKind.OUTAGE_ATTENDED, {"outage": outage.id, "by": by, "attended_us": at_us})
    return "attended"


def restored(connection: sqlite3.Connection, outage_id: str, by: str, now_us: int) -> str:
    """The site records that the feed is good again (Changzhou art. 18(8)): while it is, or after it has proved itself.

    Raises UnknownOutage, BadEntry, AlreadyEntered, NotGoodYet.
    """
    outage = existing(connection, outage_id)
    by = _person(by)
    if outage.restored_by is not None:
        raise AlreadyEntered(f"the restoration of outage {outage.id} is already recorded")
    restored_us = outage.restored_us if outage.restored_us is not None else outage.good_since_us
    if restored_us is None:
        raise NotGoodYet(f"camera {outage.camera} has not delivered since outage {outage.id} began")
    state = move(outage.state, Event.RESTORED)
    book.update(connection, outage.id, state=state.value, restored_us=restored_us)
    book.note(connection, outage.id, now_us, "restoration_recorded", by=by)
    append(connection, now_us, LedgerKind.OUTAGE_RESTORED, {"outage": outage.id, "by": by, "restored_us": restored_us})
    return "restored"


def _person(name: str) -> str:
    name = " ".join(name.split())
    if not name:
        raise BadEntry("a report, an attendance or a restoration needs the name of a person")
    if len(name) > 100 or not name.isprintable():
        raise BadEntry("a person's name is at most 100 printable characters")
    return name


def _moment(outage: Outage, at_us: int | None, now_us: int) -> int:
    if at_us is None:
        return now_us
    if at_us > now_us:
        raise BadEntry("the time lies in the future", hint="enter what has happened, when it has happened")
    if at_us < outage.t0_us:
        raise BadEntry(f"the time lies before outage {outage.id} began")
    return at_us
