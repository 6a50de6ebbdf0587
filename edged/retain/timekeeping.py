"""Moves the retention clock and keeps it in the index, with its ledger entries; what it decides is in `clock`."""

import dataclasses
import json
import logging
import sqlite3
from collections.abc import Callable
from typing import Any

from edged.archive import meta
from edged.archive.database import Database
from edged.archive.ledger import CLOCK_TOPIC, LedgerKind, append
from edged.archive.rebuilding import proven, restored_ranges
from edged.base.clock import Clock
from edged.base.spans import Span
from edged.retain.clock import (
    A_TIME_SERVICE,
    MARK_US,
    Advance,
    Correction,
    Doubt,
    Reading,
    RetentionState,
    RetentionTime,
    Told,
    advance,
    begin,
    believed,
)
from edged.retain.witnesses import ConfirmationRefused, second_person

log = logging.getLogger(__name__)

_STATE = "retention_clock"  # meta: what the table of that name has no column for
_CONFIRMATION = "retention_confirmation"  # meta: the ledger's entry of the first of two people who confirm it
_CORRECTIONS = "retention_corrections"  # meta: [from_us, to_us, shift_us] of labels still to be counted anew


def nobody(now: Reading) -> str | None:
    """No witness but the kernel."""
    return None


async def tick(
    database: Database, clock: Clock, ntp: Callable[[], bool], witness: Callable[[Reading], str | None] = nobody
) -> RetentionTime:
    """Move the retention clock to now, durably, and tell how it stands.

    `ntp` is the kernel's word; where it has none, `witness` says who else vouches for the wall clock, or None.
    Call it only once the journals have been read into the index: a still empty index begins at the wall clock.
    """
    now = reading(clock)
    return await database.write(_tick, now, A_TIME_SERVICE if ntp() else witness(now))


async def resume(
    database: Database, clock: Clock, ntp: Callable[[], bool], witness: Callable[[Reading], str | None] = nobody
) -> None:
    """Begin the clock of a lost index before its journals are read, where the ledger tells an instant that it reached.

    Then what a wall clock that fell behind labels from now on is known to be in doubt, and is counted anew when that
    clock is put right (I1). Nothing is done where the clock has begun, where no ledger came back, or where the wall
    clock stands before what the ledger tells.
    """
    now = reading(clock)
    await database.write(_resume, now, A_TIME_SERVICE if ntp() else witness(now))


def reading(clock: Clock) -> Reading:
    """Both clocks now."""
    return Reading(wall_us=clock.wall_us(), mono_us=clock.monotonic_us(), boot_id=clock.boot_id())


def confirm(connection: sqlite3.Connection, by: str, now: Reading) -> RetentionTime | None:
    """One person confirms that the wall clock of `now` is right, within the caller's transaction.

    None where this was the first; the second, somebody else and soon after, moves the retention clock to it.
    Raises ConfirmationRefused. Each word is a ledger entry.
    """
    person = " ".join(by.split())
    if not person:
        raise ConfirmationRefused("nobody is named", hint="say who confirms the clock: --by NAME")
    first = _first_word(connection)
    complete = second_person(first, person, now)
    body = {"event": f"{person} confirmed the wall clock", "by": person, "first": None, **dataclasses.asdict(now)}
    if first is None or not complete:
        meta.write_json(connection, _CONFIRMATION, append(connection, now.wall_us, LedgerKind.CLOCK_EVENT, body))
        return None
    meta.forget(connection, _CONFIRMATION)
    append(connection, now.wall_us, LedgerKind.CLOCK_EVENT, body | {"first": first["by"]})
    return _tick(connection, now, f"{first['by']} and {person} have confirmed")


def _first_word(connection: sqlite3.Connection) -> dict[str, Any] | None:
    """What the first of two people said, as the ledger has it: nobody else's note speaks for anybody."""
    seq = meta.read_json(connection, _CONFIRMATION)
    row = connection.execute(
        "SELECT seq, body FROM ledger WHERE seq = ? AND kind = ?", (seq, LedgerKind.CLOCK_EVENT)
    ).fetchone()
    if row is None or not proven(restored_ranges(connection), row["seq"]):
        return None
    body: dict[str, Any] = json.loads(row["body"])
    return body if "by" in body and body["first"] is None else None


def read_state(connection: sqlite3.Connection) -> RetentionState | None:
    """The state of the last tick, None before the first."""
    row = connection.execute("SELECT * FROM retention_clock").fetchone()
    if row is None:
        return None
    rest = {"unproven_us": 0, "doubts": [[row["wall_us"], row["wall_us"], 0]]} | (
        meta.read_json(connection, _STATE) or {}
    )
    return RetentionState(
        retention_us=row["retention_us"],
        reading=Reading(wall_us=row["wall_us"], mono_us=row["mono_us"], boot_id=row["boot_id"]),
        unproven_us=max(0, rest["unproven_us"]),  # less than none would let it take over more than it may
        doubts=tuple(Doubt(Span(from_us, until_us), slow_us) for from_us, until_us, slow_us in rest["doubts"]),
    )


def pending_corrections(connection: sqlite3.Connection) -> list[Correction]:
    """Labels that a wrong clock wrote and whose footage has not been counted anew yet, oldest first."""
    return [Correction(Span(from_us, to_us), shift_us) for from_us, to_us, shift_us in _waiting(connection)]


def correction_done(connection: sqlite3.Connection) -> None:
    """The footage of the oldest pending correction has its full floor."""
    meta.write_json(connection, _CORRECTIONS, _waiting(connection)[1:])


def _waiting(connection: sqlite3.Connection) -> list[list[int]]:
    waiting: list[list[int]] = meta.read_json(connection, _CORRECTIONS) or []
    return waiting


def _tick(connection: sqlite3.Connection, now: Reading, voucher: str | None) -> RetentionTime:
    found, told = read_state(connection), _told(connection)
    before = None if found is None else believed(found, told, now)
    if before is None:
        step = begin(now, ntp=voucher == A_TIME_SERVICE, reached_us=_reached_us(connection))
    else:
        step = advance(before, now, ntp=voucher is not None, voucher=voucher or "")
    event = step.event
    if before != found:
        event = f"it had been set by somebody else and goes on from where it was seen; {event or step.time.why}"
        log.critical("the retention clock was not where the ledger saw it last: %s", event)
    # The ledger first: only then do the guards of the index let the clock step (archive/schema_told.py).
    at = {"retention_us": step.state.retention_us, **dataclasses.asdict(now)}
    if event is not None:
        body = {
            "event": event,
            "ntp": voucher == A_TIME_SERVICE,
            "voucher": voucher,
            "retention_before_us": None if found is None else found.retention_us,
            "wall_before_us": None if found is None else found.reading.wall_us,
            **at,
        }
        append(connection, now.wall_us, LedgerKind.CLOCK_EVENT, body)
    elif told is None or told.reading.boot_id != now.boot_id or now.mono_us - told.reading.mono_us >= MARK_US:
        append(connection, now.wall_us, LedgerKind.CLOCK_READING, at)
    _store(connection, step)
    return step.time


def _told(connection: sqlite3.Connection) -> Told | None:
    """Where the clock stood by the newest entry of this index, or under a head that was signed."""
    ranges = restored_ranges(connection)
    for seq, text in connection.execute(
        "SELECT ledger.seq, body FROM ledger_topic JOIN ledger ON ledger.seq = ledger_topic.seq WHERE topic = ?"
        " ORDER BY ledger_topic.seq DESC",
        (CLOCK_TOPIC,),
    ):
        if proven(ranges, seq):
            body = json.loads(text)
            return Told(
                retention_us=body["retention_us"],
                reading=Reading(wall_us=body["wall_us"], mono_us=body["mono_us"], boot_id=body["boot_id"]),
            )
    return None


def _resume(connection: sqlite3.Connection, now: Reading, voucher: str | None) -> None:
    told_us = _told_us(connection) if read_state(connection) is None else None
    if told_us is not None and told_us <= now.wall_us:
        _tick(connection, now, voucher)


def _reached_us(connection: sqlite3.Connection) -> int | None:
    """An instant that the retention clock of a lost index had reached, None where there was none.

    The ledger tells it; else the oldest footage does, counted from which nothing is older than it is. Full scans, once
    in the life of an index.
    """
    if (told_us := _told_us(connection)) is not None:
        return told_us
    oldest: int | None = connection.execute("SELECT min(end_us) FROM segment").fetchone()[0]
    return oldest


def _told_us(connection: sqlite3.Connection) -> int | None:
    """How far the retention clock was by a ledger that came back from a volume, under a signed head."""
    ranges = restored_ranges(connection)
    told = [
        reached
        for seq, reached in connection.execute(
            "SELECT seq, json_extract(body, '$.retention_us') FROM ledger WHERE kind IN (?, ?, ?)",
            (LedgerKind.CLOCK_EVENT, LedgerKind.CLOCK_READING, LedgerKind.SEGMENTS_DELETED),
        )
        if reached is not None and proven(ranges, seq)
    ]
    return int(max(told)) if told else None


def _store(connection: sqlite3.Connection, step: Advance) -> None:
    values = {"retention_us": step.state.retention_us, **dataclasses.asdict(step.state.reading)}
    # Not as one upsert: before the row an upsert looks like a REPLACE, and that the guards refuse.
    moved = connection.execute(
        "UPDATE retention_clock SET retention_us = :retention_us, mono_us = :mono_us, boot_id = :boot_id,"
        " wall_us = :wall_us",
        values,
    )
    if moved.rowcount == 0:
        connection.execute(
            "INSERT INTO retention_clock (one, retention_us, mono_us, boot_id, wall_us)"
            " VALUES (1, :retention_us, :mono_us, :boot_id, :wall_us)",
            values,
        )
    doubts = [[*doubt.labels, doubt.slow_us] for doubt in step.state.doubts]
    meta.write_json(connection, _STATE, {"unproven_us": step.state.unproven_us, "doubts": doubts})
    if step.corrections:
        pending = [[*correction.labels, correction.shift_us] for correction in step.corrections]
        meta.write_json(connection, _CORRECTIONS, [*_waiting(connection), *pending])
