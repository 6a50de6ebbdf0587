"""The RFC 6962 Merkle tree as arithmetic: which leaves each hash of a proof covers, and how hashes combine. Pure.

Leaves are counted from 0. A range ``(first, end)`` of leaves, as it stands in a proof, is a complete subtree or the
ragged right edge of the tree; `pieces` divides either into complete subtrees, which never change once complete.
"""

import hashlib
from collections.abc import Sequence

EMPTY_ROOT = hashlib.sha256().digest()  # of the tree without leaves, RFC 6962 section 2.1

Range = tuple[int, int]


def leaf_hash(data: bytes) -> bytes:
    """SHA-256 of a zero byte and `data` (RFC 6962 section 2.1: the zero byte marks a leaf)."""
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256 of a one byte and both hashes."""
    return hashlib.sha256(b"\1" + left + right).digest()


def complete(hashes: Sequence[bytes]) -> bytes:
    """The hash over 1, 2, 4, 8, ... neighbouring subtrees of one height."""
    level = list(hashes)
    while len(level) > 1:
        level = [node_hash(level[at], level[at + 1]) for at in range(0, len(level), 2)]
    return level[0]


def join(hashes: Sequence[bytes]) -> bytes:
    """The hash over the `pieces` of one range, highest first; EMPTY_ROOT where there are none."""
    if not hashes:
        return EMPTY_ROOT
    *left, joined = hashes
    for one in reversed(left):
        joined = node_hash(one, joined)
    return joined


def pieces(first: int, end: int) -> list[Range]:
    """The range as complete subtrees, highest first, each (height, number at that height).

    Raises ValueError where no proof has such a range: its first leaf does not begin a subtree as high as it needs.
    """
    found: list[Range] = []
    at, left = first, end - first
    while left > 0:
        height = left.bit_length() - 1
        if at % (1 << height):
            raise ValueError(f"leaves {first} to {end} are not one side of a Merkle tree")
        found.append((height, at >> height))
        at, left = at + (1 << height), left - (1 << height)
    return found


def inclusion(index: int, size: int) -> list[Range]:
    """The ranges whose hashes prove leaf `index` in a tree of `size` leaves, lowest first (RFC 6962 section 2.1.1).

    Raises ValueError where the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    path: list[Range] = []
    first, end = 0, size
    while end - first > 1:
        middle = first + _split(end - first)
        if index < middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((first, middle))
            first = middle
    return path[::-1]


def consistency(old: int, new: int) -> list[Range]:
    """The ranges whose hashes prove that the tree of `new` leaves begins with that of `old` (RFC 6962 section 2.1.2).

    Empty for equal sizes, and for the empty tree, with which every tree begins. Raises ValueError for `old` > `new`.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} leaves cannot begin with one of {old}")
    if old in (0, new):
        return []
    path: list[Range] = []
    first, end = 0, new
    while end != old:
        middle = first + _split(end - first)
        if old <= middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((first, middle))
            first = middle
    # A subtree that begins at the first leaf is the old tree itself, whose root the verifier has.
    return ([(first, end)] if first else []) + path[::-1]


def _split(size: int) -> int:
    """The largest power of two below `size` (at least 2)."""
    return int(1 << (size - 1).bit_length() - 1)


class Frontier:
    """A growing tree's right edge: takes leaf hashes in order, and knows the root of what it has taken."""

    def __init__(self) -> None:
        self.size = 0
        self._edge: list[tuple[int, bytes]] = []  # height and hash of complete subtrees, highest first

    def add(self, leaf: bytes) -> None:
        """Take the next leaf's hash."""
        height, joined = 0, leaf
        while self._edge and self._edge[-1][0] == height:
            joined = node_hash(self._edge.pop()[1], joined)
            height += 1
        self._edge.append((height, joined))
        self.size += 1

    def root(self) -> bytes:
        """The root over all leaves taken so far."""
        return join([one for _, one in self._edge])
