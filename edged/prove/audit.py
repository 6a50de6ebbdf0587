"""Checks the whole ledger: every entry against its leaf, every leaf against the tree (RFC 6962 section 2.1), every head
ever signed against both, and every volume's copy against all of it. In small steps, so that intake never waits.
"""

import contextlib
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field

from edged.archive import merkle, tree
from edged.archive.database import Database
from edged.archive.ledger import line_of
from edged.prove.checkpoints import heads
from edged.prove.key import LedgerKey
from edged.prove.mirror import Mirror
from edged.prove.verify_retention import Altered, UnknownSigner, parse_head, verify_checkpoint

STEP_ENTRIES = 500  # a few milliseconds
MOST_PROBLEMS = 100


@dataclass(slots=True)
class Audit:
    """What was checked, and what is wrong: one sentence each, the first MOST_PROBLEMS of them."""

    entries: int = 0
    heads: int = 0
    mirrors: int = 0
    problems: list[str] = field(default_factory=list)

    def blame(self, problem: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)


class _Walk:
    """The tree built anew from the entries alone, compared with what is stored on the way."""

    def __init__(self, key: LedgerKey, audit: Audit) -> None:
        self._key = key
        self._audit = audit
        self._frontier = merkle.Frontier()
        self._open: list[list[bytes]] = []  # by stored height: subtrees that wait for their parent

    def step(self, connection: sqlite3.Connection, up_to: int) -> bool:
        """Look at the next entries and the heads among them; False after the last."""
        after = self._frontier.size
        rows = connection.execute(
            "SELECT seq, at_us, kind, body, leaf FROM ledger WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
            (after, up_to, STEP_ENTRIES),
        ).fetchall()
        signed = dict(heads(connection, after, len(rows)))
        for seq, at_us, kind, body, leaf in rows:
            if seq != self._frontier.size + 1:
                self._audit.blame(f"entry {self._frontier.size + 1} is missing")
                return False
            built = merkle.leaf_hash(line_of(seq, at_us, kind, body))
            if built != leaf:
                self._audit.blame(f"entry {seq} is not the one that was logged")
            self._frontier.add(built)
            self._compare(connection, built)
            if seq in signed:
                self._head(seq, signed[seq])
        self._audit.entries = self._frontier.size
        return len(rows) == STEP_ENTRIES

    def end(self, connection: sqlite3.Connection, up_to: int) -> None:
        """The stored tree's root must be that of the entries, and no signed head may be beyond them."""
        try:
            same = self._frontier.size < up_to or tree.root(connection, up_to) == self._frontier.root()
        except ValueError:
            same = False  # a part of it is not there
        if not same:
            self._audit.blame("the stored tree is not that of the entries")
        for size, _ in heads(connection, tree.size(connection)):
            self._audit.blame(f"a head of {size} entries was signed, but the ledger is shorter")

    def _compare(self, connection: sqlite3.Connection, leaf: bytes) -> None:
        one, height = leaf, 0
        while True:
            if len(self._open) <= height:
                self._open.append([])
            waiting = self._open[height]
            waiting.append(one)
            if len(waiting) < 1 << tree.STEP:
                return
            one = merkle.complete(waiting)
            waiting.clear()
            height += 1
            number = (self._frontier.size >> height * tree.STEP) - 1
            stored = connection.execute(
                "SELECT hash FROM ledger_node WHERE height = ? AND number = ?", (height * tree.STEP, number)
            ).fetchone()
            if stored is None or stored[0] != one:
                self._audit.blame(f"the stored tree is wrong above entry {self._frontier.size}")

    def _head(self, size: int, note: str) -> None:
        self._audit.heads += 1
        try:
            head = parse_head(note)
            with contextlib.suppress(
                UnknownSigner
            ):  # a key that was renewed since; the root must be right all the same
                verify_checkpoint(note, self._key.public)
        except Altered as error:
            self._audit.blame(f"the head of {size} entries: {error}")
            return
        if head != (self._key.origin, size, self._frontier.root()):
            self._audit.blame(f"the first {size} entries are not those that were signed")


async def audit_ledger(database: Database, key: LedgerKey, mirrors: Iterable[Mirror], size: int) -> Audit:
    """Check the first `size` entries; what has been appended since is left for the next time."""
    audit = Audit()
    walk = _Walk(key, audit)
    while await database.read(walk.step, size):
        pass
    await database.read(walk.end, size)
    for mirror in mirrors:
        audit.mirrors += 1
        for problem in await mirror.problems(size):
            audit.blame(f"volume {mirror.volume.id}: {problem}")
    return audit
