"""Carries out again what a restored ledger tells of outages, so that their register outlives the index (LAW.md 5).

Each entry is one fact that detector, clock or person made known then; nothing of it is measured again and no deadline
is counted anew (I5). What the ledger does not tell is found out by watching the feed: whether frames have come back.
"""

import sqlite3

from edged.archive.ledger import Entry, LedgerKind
from edged.archive.roster import camera_no
from edged.model import Cause
from edged.outage import book
from edged.outage.duties import Addressee, Outage, Receipt
from edged.outage.entries import begun, existing
from edged.outage.lifecycle import Event, State, lost_again, move

# What says that a duty was met, or that there is none any more.
RELIEVING = frozenset(
    {
        LedgerKind.OUTAGE_REPORTED,
        LedgerKind.OUTAGE_ATTENDED,
        LedgerKind.OUTAGE_RESTORED,
        LedgerKind.OUTAGE_CLOSED,
    }
)


def carry_out(connection: sqlite3.Connection, entry: Entry) -> None:
    """Enter what the entry tells, within the caller's transaction; other entries than an outage's change nothing.

    Raises KeyError, TypeError, ValueError, UnknownOutage or sqlite3.IntegrityError where it cannot be so.
    """
    body, at_us = entry.body, entry.at_us
    if entry.kind is LedgerKind.OUTAGE_OPENED:
        camera_no(connection, body["camera"], create_from_journal_at_us=at_us)
        book.insert(connection, _opened(body, at_us))
        book.note(connection, body["outage"], at_us, "opened", detail=body["cause"])
    elif entry.kind in RELIEVING or entry.kind is LedgerKind.OUTAGE_LOST_AGAIN:
        _go_on(connection, existing(connection, body["outage"]), entry)


def _opened(body: dict[str, object], at_us: int) -> Outage:
    match body:
        case {
            "outage": str(outage),
            "camera": str(camera),
            "cause": str(cause),
            "t0_us": int(t0_us),
            "report_due_us": int(report_due_us),
            "report_basis": str(report_basis),
            "attend_within_us": int(attend_within_us),
            "attend_basis": str(attend_basis),
        }:
            return begun(
                outage,
                camera,
                Cause(cause),
                t0_us=t0_us,
                opened_us=at_us,
                report_due_us=report_due_us,
                report_basis=report_basis,
                attend_within_us=attend_within_us,
                attend_basis=attend_basis,
            )
    raise ValueError("it does not tell all of an outage")


def _go_on(connection: sqlite3.Connection, outage: Outage, entry: Entry) -> None:
    body, at_us = entry.body, entry.at_us
    match entry.kind:
        case LedgerKind.OUTAGE_REPORTED:
            addressee = Addressee(body["addressee"])
            receipt = Receipt(
                addressee=addressee,
                received_us=body["received_us"],
                received_by=body["received_by"],
                entered_us=at_us,
            )
            book.insert_receipt(connection, outage.id, receipt)
            book.note(connection, outage.id, at_us, "report_received", by=receipt.received_by, detail=addressee.value)
            if addressee is Addressee.REPAIR_UNIT:
                book.update(connection, outage.id, attend_due_us=receipt.received_us + outage.attend_within_us)
            if existing(connection, outage.id).both_reported:
                book.update(connection, outage.id, state=move(outage.state, Event.REPORTED).value)
                book.note(connection, outage.id, at_us, "reported")
        case LedgerKind.OUTAGE_ATTENDED:
            state = move(outage.state, Event.ATTENDED)
            attended = {"attended_us": body["attended_us"], "attended_by": body["by"]}
            book.update(connection, outage.id, state=state.value, **attended)
            book.note(connection, outage.id, at_us, "attended", by=body["by"])
        case LedgerKind.OUTAGE_RESTORED:
            state = move(outage.state, Event.RESTORED)
            book.update(connection, outage.id, state=state.value, restored_us=body["restored_us"])
            book.note(connection, outage.id, at_us, "restoration_recorded", by=body["by"])
        case LedgerKind.OUTAGE_LOST_AGAIN:
            attended_before = outage.attended_us is not None
            state = lost_again(outage.state, both_reported=outage.both_reported, attended=attended_before)
            book.update(connection, outage.id, state=state.value, restored_us=None, flaps=body["flaps"])
            book.note(connection, outage.id, at_us, "lost_again")
        case LedgerKind.OUTAGE_CLOSED:
            closed = {"closed_us": at_us, "restored_us": body["restored_us"], "flaps": body["flaps"]}
            book.update(connection, outage.id, state=State.CLOSED.value, good_since_us=None, **closed)
            book.note(connection, outage.id, at_us, "closed", detail=body["because"])
