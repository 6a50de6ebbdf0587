"""Choices read from bytes, so that both fuzzers, of which each only hands out bytes, can build structured inputs."""

import struct
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """Reads `data` from the front; where it has ended, every number is 0 and every string empty."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """The next `count` bytes, or what is left."""
        taken = self._data[self._at : self._at + count]
        self._at += len(taken)
        return taken

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self.left)

    def byte(self) -> int:
        """0 to 255."""
        return self.take(1)[0] if self.left else 0

    def number(self, size: int) -> int:
        """An unsigned number of `size` bytes."""
        return int.from_bytes(self.take(size), "big")

    def choose(self, choices: Sequence[T]) -> T:
        """One of `choices`."""
        return choices[self.byte() % len(choices)]

    def portion(self) -> bytes:
        """Some bytes, mostly few: their number stands in front of them, one byte, or two behind 255."""
        size = self.byte()
        return self.take(struct.unpack(">H", self.take(2))[0] if size == 255 and self.left > 2 else size)

    def cuts(self, length: int) -> list[int]:
        """Where to cut `length` bytes into at most nine pieces: ascending positions, the last one `length`."""
        return [*sorted(self.number(2) % (length + 1) for _ in range(self.byte() % 9)), length]
