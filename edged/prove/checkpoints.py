"""Signed heads of the ledger: made in the index, kept there for ever, and told to MQTT in the same transaction.

Whoever keeps an old head can later ask for a consistency proof; a ledger that was rewritten or cut cannot give one.
A log never signs two heads that contradict each other (C2SP tlog-checkpoint), so a head is signed only where the last
one still holds.
"""

import base64
import sqlite3
from collections.abc import Iterable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edged.archive import outbox, tree
from edged.base.errors import OwnerMustAct
from edged.prove.key import LedgerKey
from edged.prove.verify_retention import Altered, Head, parse_head, verify_checkpoint

TOPIC = "ledger"  # of MQTT, relative to the recorder


class LedgerRewritten(OwnerMustAct):
    """The ledger in the index does not continue a head that this box has signed."""

    code = "PRV-010"
    hint = (
        "no further head is signed; keep the index and the mirrors on the volumes as they are, and find out who"
        " restored or changed the index"
    )


def latest(connection: sqlite3.Connection) -> str | None:
    """The newest signed head, None before the first."""
    row = connection.execute("SELECT note FROM ledger_checkpoint ORDER BY size DESC LIMIT 1").fetchone()
    return None if row is None else str(row["note"])


def heads(connection: sqlite3.Connection, after: int = 0, limit: int = 1000) -> list[tuple[int, str]]:
    """Up to `limit` signed heads of more than `after` entries, smallest first: size and note."""
    rows = connection.execute(
        "SELECT size, note FROM ledger_checkpoint WHERE size > ? ORDER BY size LIMIT ?", (after, limit)
    )
    return [(row["size"], row["note"]) for row in rows]


def current_head(connection: sqlite3.Connection, origin: str) -> Head:
    """The head as the index stands, unsigned."""
    size = tree.size(connection)
    return Head(origin, size, tree.root(connection, size))


def sign_head(connection: sqlite3.Connection, key: LedgerKey, now_us: int) -> str:
    """The newest head, signed; a new one where the ledger has grown since the last.

    Call it inside a write transaction. Raises LedgerRewritten.
    """
    last = latest(connection)
    if last is not None:
        why = contradiction(connection, last)
        if why:
            raise LedgerRewritten(why)
        if parse_head(last).size == tree.size(connection):
            return last
    head = current_head(connection, key.origin)
    note = key.sign(head)
    connection.execute("INSERT INTO ledger_checkpoint (size, at_us, note) VALUES (?, ?, ?)", (head.size, now_us, note))
    message: dict[str, object] = {
        "at_us": now_us,
        "origin": head.origin,
        "key": key.id,
        "size": head.size,
        "root": base64.b64encode(head.root).decode(),
        "checkpoint": note,
    }
    outbox.enqueue(connection, TOPIC, message, True, now_us)
    return note


def contradiction(connection: sqlite3.Connection, note: str) -> str:
    """Empty where the ledger continues the head in `note`, whoever signed it; otherwise how it does not.

    Raises Altered where `note` is no checkpoint.
    """
    head = parse_head(note)
    size = tree.size(connection)
    if head.size > size:
        return f"a head of {head.size} entries was signed, but the ledger has only {size}"
    try:
        same = tree.root(connection, head.size) == head.root
    except ValueError:
        same = False  # a part of the stored tree is not there
    return "" if same else f"the first {head.size} entries are not those that were signed"


def contradicted_by(connection: sqlite3.Connection, note: str, keys: Iterable[Ed25519PublicKey]) -> str:
    """As `contradiction`, but only for a head signed by one of `keys`: anybody can write a file on a volume."""
    for key in keys:
        try:
            verify_checkpoint(note, key)
        except Altered:
            continue
        return contradiction(connection, note)
    return ""
