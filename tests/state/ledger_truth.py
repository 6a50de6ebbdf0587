"""What an outsider who keeps every line and every head would know of the ledger: an append-only list, hashed anew.

The tree is RFC 6962's, written down once more from its text; nothing of edged's own tree is used.
"""

import hashlib
import sqlite3

from edged.archive import tree
from edged.archive.ledger import lines
from edged.prove.verify_retention import parse_head


def root_of(leaves: list[bytes]) -> bytes:
    """The Merkle tree hash of RFC 6962 section 2.1 over leaf hashes."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    level = leaves
    while len(level) > 1:
        # An odd one out is carried up: the same tree as splitting at the largest power of two.
        paired = [hashlib.sha256(b"\x01" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)]
        level = paired + level[len(paired) * 2 :]
    return level[0]


class LedgerTruth:
    """`lines` seen so far; `copies` what each disk's mirror was last known to hold."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.copies: dict[str, list[bytes]] = {}
        self._leaves: list[bytes] = []
        self._heads: dict[int, bytes] = {}

    def copied(self, disk: str) -> None:
        self.copies[disk] = list(self.lines)

    def index_replaced(self, known: list[bytes], readable: list[str]) -> None:
        """The index now begins with `known`; what a readable mirror has beyond that must come back."""
        for copy in sorted((self.copies.get(disk, []) for disk in readable), key=len, reverse=True):
            if len(copy) > len(known) and copy[: len(known)] == known:
                known = copy
                break
        self.lines = list(known)
        self._leaves = self._leaves[:0]
        self._heads = {size: root for size, root in self._heads.items() if size <= len(known)}

    def look(self, connection: sqlite3.Connection) -> list[bytes]:
        """Nothing seen before is changed or gone, the tree is right, and every head ever seen still holds.

        Returns the lines that were not seen before."""
        told = lines(connection, 0, 10**6)
        new = told[len(self.lines) :]
        assert told[: len(self.lines)] == self.lines, "I3: the ledger is not what it was"
        self.lines = told
        self._leaves += [hashlib.sha256(b"\x00" + line).digest() for line in told[len(self._leaves) :]]
        for (leaf,) in connection.execute("SELECT leaf FROM ledger ORDER BY seq DESC LIMIT 1"):
            assert leaf == self._leaves[-1]
        assert tree.root(connection, len(told)) == root_of(self._leaves), "the stored tree is not that of the entries"
        for (note,) in connection.execute("SELECT note FROM ledger_checkpoint"):
            head = parse_head(note)
            self._heads.setdefault(head.size, head.root)
        for size, root in self._heads.items():
            assert root_of(self._leaves[:size]) == root, f"the head of {size} entries is no longer true"
        return new
