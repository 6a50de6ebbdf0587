"""Where frames grow until they are a fragment, in memory that is used again.

Growing one bytearray per camera, as the obvious way would, costs six times as much: interleaved growth makes the
allocator copy or remap every few packets, and fresh memory is faulted in page by page (measured: 0.80 against 0.14 ms
per 1 MiB fragment). So buffers of a suitable size are taken from a shelf, and put back once they are on disk.
"""

import mmap
import threading

STEP = 256 * 1024  # buffers come in multiples of this
# What lies ready; more is given back to the system. It is eight buffers of 4 Mbit/s cameras: so many fragments of 160
# cameras end within one tick. Less costs page faults, a tenth of the CPU where cameras are in step; more costs memory.
SPARE_BYTES = 10 * 1024 * 1024
_ROOMY = 2  # a buffer larger than so many times what is asked for is left to a stream that fills it


class Shelf:
    """Buffers between uses. Taken from by the event loop, put back by the volumes' threads."""

    def __init__(self) -> None:
        self._spare: list[mmap.mmap] = []  # the one that lies longest first
        self._spare_bytes = 0
        self._lock = threading.Lock()  # never held while memory is mapped or unmapped

    def take(self, size: int) -> mmap.mmap:
        """A buffer of at least `size` bytes, with any content."""
        length = max(1, -(-size // STEP)) * STEP
        with self._lock:
            for at in reversed(range(len(self._spare))):
                if length <= len(self._spare[at]) <= length * _ROOMY:
                    self._spare_bytes -= len(self._spare[at])
                    return self._spare.pop(at)
        return mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    def put_back(self, body: memoryview) -> None:
        """The buffer that `body` lies in is free again; `body` must not be used afterwards."""
        buffer = body.obj
        if isinstance(buffer, mmap.mmap):
            unused = []
            with self._lock:
                self._spare.append(buffer)
                self._spare_bytes += len(buffer)
                while self._spare_bytes > SPARE_BYTES:
                    unused.append(self._spare.pop(0))
                    self._spare_bytes -= len(unused[-1])
            del unused


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
