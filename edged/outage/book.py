"""Outages in the index: rows, history and what else is asked about a camera. Every function runs inside the caller's
transaction, so that an incident, its history, its ledger entry and its message are one."""

import secrets
import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

from edged.archive.schema import STREAM_NO
from edged.model import Cause, StreamKind
from edged.outage.duties import Addressee, DutyName, Outage, Receipt, Step
from edged.outage.lifecycle import State

# The law's duties are about what is recorded by law, so only the main stream is watched.
STREAM = StreamKind.MAIN
_STREAM_NO = STREAM_NO[STREAM.value]
_OVERDUE = {f"{name.value}_overdue": name for name in DutyName}
_BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no letter that looks like a digit


class Watched(NamedTuple):
    """A camera that must deliver, and since when."""

    camera: str
    since_us: int


def new_id(at_us: int) -> str:
    """An opaque name that sorts by time: 48 bits of milliseconds, 40 of chance, such as ``01k5nq8v2r-7c0m3w9x``."""
    return f"{_base32(at_us // 1000, 10)}-{_base32(secrets.randbits(40), 8)}"


def _base32(number: int, digits: int) -> str:
    return "".join(_BASE32[number >> 5 * place & 31] for place in reversed(range(digits)))


def watched(connection: sqlite3.Connection) -> list[Watched]:
    """The adopted cameras, each with the time of its last adoption; 0 where no time is known."""
    rows = connection.execute("SELECT id, adopted_us FROM camera WHERE state = 'adopted' ORDER BY no")
    return [Watched(camera, adopted_us or 0) for camera, adopted_us in rows]


def adopted_again_us(connection: sqlite3.Connection, camera: str) -> int:
    """When the camera was last adopted, 0 where the roster's history does not say: a removal is not an outage."""
    row = connection.execute(
        "SELECT at_us FROM fact WHERE camera = (SELECT no FROM camera WHERE id = ?) AND stream = ? AND kind = 'adopted'"
        " ORDER BY at_us DESC LIMIT 1",
        (camera, _STREAM_NO),
    ).fetchone()
    return 0 if row is None else int(row[0])


def recorded_until_us(connection: sqlite3.Connection, camera: str, by_us: int) -> int | None:
    """The end of the newest footage in the index, None where there is none or where it is labelled later than `by_us`
    (the wall clock was stepped back since)."""
    ends = []
    for table in ("coverage", "segment"):  # coverage outlives segments
        row = connection.execute(
            f"SELECT end_us FROM {table} WHERE camera = (SELECT no FROM camera WHERE id = ?) AND stream = ?"
            " AND start_us <= ? ORDER BY start_us DESC LIMIT 1",
            (camera, _STREAM_NO, by_us),
        ).fetchone()
        ends += [int(row[0])] if row is not None and row[0] <= by_us else []
    return max(ends, default=None)


def insert(connection: sqlite3.Connection, outage: Outage) -> None:
    """Enter a new outage. A second open one of the same stream is refused by the index (I5)."""
    connection.execute(
        "INSERT INTO outage (id, camera, stream, state, cause, t0_us, opened_us, report_due_us, report_basis,"
        " attend_within_us, attend_basis) VALUES (?, (SELECT no FROM camera WHERE id = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            outage.id,
            outage.camera,
            STREAM_NO[outage.stream.value],
            outage.state.value,
            outage.cause.value,
            outage.t0_us,
            outage.opened_us,
            outage.report_due_us,
            outage.report_basis,
            outage.attend_within_us,
            outage.attend_basis,
        ),
    )


def update(connection: sqlite3.Connection, outage_id: str, **values: Any) -> None:
    """Set columns of an outage. Its beginning and deadlines are refused by the index (I5)."""
    columns = ", ".join(f"{column} = :{column}" for column in values)
    connection.execute(f"UPDATE outage SET {columns} WHERE id = :outage_id", {**values, "outage_id": outage_id})


def insert_receipt(connection: sqlite3.Connection, outage_id: str, receipt: Receipt) -> None:
    """Enter an addressee's receipt, once."""
    connection.execute(
        "INSERT INTO outage_report (outage, addressee, received_us, received_by, entered_us)"
        " VALUES ((SELECT no FROM outage WHERE id = ?), ?, ?, ?, ?)",
        (outage_id, receipt.addressee.value, receipt.received_us, receipt.received_by, receipt.entered_us),
    )


def note(
    connection: sqlite3.Connection, outage_id: str, at_us: int, event: str, *, by: str = "", detail: str = ""
) -> None:
    """Add a line to the outage's history."""
    connection.execute(
        "INSERT INTO outage_event (outage, seq, at_us, event, by, detail)"
        " SELECT no, (SELECT coalesce(max(seq), 0) + 1 FROM outage_event WHERE outage = no), ?, ?, ?, ?"
        " FROM outage WHERE id = ?",
        (at_us, event, by, detail, outage_id),
    )


def history(connection: sqlite3.Connection, outage_id: str) -> list[Step]:
    """Everything that happened to the outage, in order."""
    rows = connection.execute(
        "SELECT at_us, event, by, detail FROM outage_event WHERE outage = (SELECT no FROM outage WHERE id = ?)"
        " ORDER BY seq",
        (outage_id,),
    )
    return [Step(*row) for row in rows]


def find(connection: sqlite3.Connection, outage_id: str) -> Outage | None:
    """The outage, or None."""
    found = _read(connection, "WHERE outage.id = ?", (outage_id,))
    return found[0] if found else None


def outages(connection: sqlite3.Connection, *, open_only: bool, limit: int = -1) -> list[Outage]:
    """Outages, the newest first."""
    where = "WHERE outage.closed_us IS NULL" if open_only else ""
    return _read(connection, f"{where} ORDER BY outage.no DESC LIMIT ?", (limit,))


def _read(connection: sqlite3.Connection, where: str, values: Iterable[Any]) -> list[Outage]:
    rows = connection.execute(
        f"SELECT outage.*, camera.id AS camera_id FROM outage JOIN camera ON camera.no = outage.camera {where}",
        tuple(values),
    ).fetchall()
    return [_outage(connection, row) for row in rows]


def _outage(connection: sqlite3.Connection, row: sqlite3.Row) -> Outage:
    receipts = connection.execute(
        "SELECT addressee, received_us, received_by, entered_us FROM outage_report WHERE outage = ?", (row["no"],)
    )
    marks = f"'restoration_recorded', 'lost_again', {', '.join(repr(event) for event in _OVERDUE)}"
    restored_by: str | None = None
    missed = set()
    for event, by in connection.execute(
        f"SELECT event, by FROM outage_event WHERE outage = ? AND event IN ({marks}) ORDER BY seq", (row["no"],)
    ):
        if event in _OVERDUE:
            missed.add(_OVERDUE[event])
        else:  # what was recorded before the feed was lost again does not hold any more
            restored_by = by if event == "restoration_recorded" else None
    fields = dict(row)
    del fields["no"], fields["camera_id"]
    return Outage(
        **{
            **fields,
            "camera": row["camera_id"],
            "stream": STREAM,
            "state": State(row["state"]),
            "cause": Cause(row["cause"]),
            "restored_by": restored_by,
            "reports": tuple(
                Receipt(addressee=Addressee(addressee), received_us=at_us, received_by=by, entered_us=entered_us)
                for addressee, at_us, by, entered_us in receipts
            ),
            "missed": frozenset(missed),
        }
    )
