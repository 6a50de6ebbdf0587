"""The ledger's Merkle tree in the index: a few stored subtree hashes from which every root and proof follows quickly.

A leaf hash stands in its ledger row. Above them the hash of every complete subtree of 16, 256, 4096, ... leaves is
stored, by the append that completes it and in the same transaction; what lies between two stored heights is computed
from at most eight hashes of the lower one. So a proof reads some hundred short rows, however long the ledger is.
"""

import sqlite3

from edged.archive import merkle

STEP = 4  # heights between two stored ones


def size(connection: sqlite3.Connection) -> int:
    """How many leaves the tree has."""
    count: int = connection.execute("SELECT coalesce(max(seq), 0) FROM ledger").fetchone()[0]
    return count


def root(connection: sqlite3.Connection, size: int) -> bytes:
    """The root of the tree as it was when it had `size` leaves. Raises ValueError where it never was so large."""
    return _hash(connection, (0, size))


def inclusion_proof(connection: sqlite3.Connection, index: int, size: int) -> list[bytes]:
    """The hashes that lead from leaf `index` (from 0) to the root of `size` leaves. Raises ValueError."""
    return [_hash(connection, each) for each in merkle.inclusion(index, size)]


def consistency_proof(connection: sqlite3.Connection, old: int, new: int) -> list[bytes]:
    """The hashes that show that the tree of `new` leaves begins with the one of `old`. Raises ValueError."""
    return [_hash(connection, each) for each in merkle.consistency(old, new)]


def extend(connection: sqlite3.Connection, count: int) -> None:
    """Store the subtrees that leaf number `count` (from 1) completes, in the transaction that appended it."""
    height = STEP
    while count % (1 << height) == 0:
        number = (count >> height) - 1
        below = _stored(connection, height - STEP, number << STEP, 1 << STEP)
        connection.execute(
            "INSERT INTO ledger_node (height, number, hash) VALUES (?, ?, ?)", (height, number, merkle.complete(below))
        )
        height += STEP


def subtree(connection: sqlite3.Connection, height: int, number: int) -> bytes:
    """The hash of the complete subtree of 2**`height` leaves, counted from 0. Raises ValueError."""
    above = height % STEP
    return merkle.complete(_stored(connection, height - above, number << above, 1 << above))


def _hash(connection: sqlite3.Connection, covered: merkle.Range) -> bytes:
    return merkle.join([subtree(connection, *piece) for piece in merkle.pieces(*covered)])


def _stored(connection: sqlite3.Connection, height: int, first: int, count: int) -> list[bytes]:
    if height == 0:
        rows = connection.execute(
            "SELECT leaf FROM ledger WHERE seq > ? AND seq <= ? ORDER BY seq", (first, first + count)
        ).fetchall()
    else:
        rows = connection.execute(
            "SELECT hash FROM ledger_node WHERE height = ? AND number >= ? AND number < ? ORDER BY number",
            (height, first, first + count),
        ).fetchall()
    if len(rows) != count:
        raise ValueError(f"the ledger has no subtree of height {height} at {first} to {first + count}")
    return [row[0] for row in rows]
