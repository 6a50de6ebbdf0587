"""Who may touch the files of doomed segments: the sweep, file by file, until somebody wants to place a hold.

A hold must win every race against the sweep (I2). While a hold is being placed no unlink may be in flight, or the hold
would cover a file that is just going. So deleting and placing exclude each other, and a deletion under way is asked to
stop after the file it is at.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """Shared by the sweep and the holds of one index."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._placing = 0

    def stop_asked(self) -> bool:
        """Whether a hold is waiting. Asked between two unlinks, from the volume's thread."""
        return self._placing > 0

    @asynccontextmanager
    async def deleting(self) -> AsyncIterator[None]:
        """While files are unlinked and their rows forgotten."""
        async with self._lock:
            yield

    @asynccontextmanager
    async def placing(self, patience_s: float) -> AsyncIterator[bool]:
        """While a hold is placed. Yields False where a deletion did not stop within `patience_s` seconds: a disk hangs,
        and the hold must be placed all the same, at once."""
        self._placing += 1
        held = False
        try:
            try:
                async with asyncio.timeout(patience_s):
                    await self._lock.acquire()
                held = True
            except TimeoutError:
                pass
            yield held
        finally:
            self._placing -= 1
            if held:
                self._lock.release()
