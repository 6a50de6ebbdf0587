"""Where frames grow until they are a fragment, in memory that is used again.

Growing one bytearray per camera, as the obvious way would, costs six times as much: interleaved growth makes the
allocator copy or remap every few packets, and fresh memory is faulted in page by page (measured: 0.80 against 0.14 ms
per 1 MiB fragment). So buffers of a suitable size are taken from a shelf, and put back once they are on disk.
"""

import mmap
from collections import deque

STEP = 256 * 1024  # buffers come in multiples of this
SPARE = 2  # buffers of one size that lie ready; more are given back to the system


class Shelf:
    """Buffers between uses. Taken from by the event loop, put back by the volumes' threads."""

    def __init__(self) -> None:
        self._spare: dict[int, deque[mmap.mmap]] = {}

    def take(self, size: int) -> mmap.mmap:
        """A buffer of at least `size` bytes, with any content."""
        steps = max(1, -(-size // STEP))
        spare = self._spare.get(steps)
        if spare:
            return spare.pop()
        return mmap.mmap(-1, steps * STEP, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    def put_back(self, body: memoryview) -> None:
        """The buffer that `body` lies in is free again; `body` must not be used afterwards."""
        buffer = body.obj
        if isinstance(buffer, mmap.mmap):
            steps = len(buffer) // STEP
            spare = self._spare.get(steps)
            if spare is None:
                spare = self._spare.setdefault(steps, deque(maxlen=SPARE))
            spare.append(buffer)


class FrameBuffer:
    """Whole units in front, the one that is still growing behind; ``view[:fill]`` is in use."""

    __slots__ = ("_shelf", "_usual", "fill", "view")

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._usual = 0  # how large the last fragment was
        self.view = memoryview(shelf.take(0))
        self.fill = 0

    def append(self, data: bytes | memoryview) -> None:
        """Put `data` behind what is there."""
        stop = self.fill + len(data)
        if stop > len(self.view):
            self._move(0, stop + stop // 2)
        self.view[self.fill : stop] = data
        self.fill = stop

    def detach(self, count: int) -> memoryview:
        """Hand over the first `count` bytes, buffer and all; what lies behind them moves to the front of another."""
        body = self.view[:count]
        self._usual = count
        self._move(count, max(self.fill - count, self._usual + self._usual // 8))
        return body

    def _move(self, start: int, size: int) -> None:
        view = memoryview(self._shelf.take(size))
        left = self.fill - start
        view[:left] = self.view[start : self.fill]
        self.view, self.fill = view, left
