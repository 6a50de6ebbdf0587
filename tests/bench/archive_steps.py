"""A database that notes how long each call keeps its thread busy: what everybody else waits for at most.

Processor time of the thread, because that is edged's own doing: what a disk or a busy neighbour adds to it is not, and
shows in the seconds measured beside it. The commit, which is a wait for the disk, is left out.
"""

import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from edged.archive.database import Database

P = ParamSpec("P")
T = TypeVar("T")


class TimedDatabase(Database):
    """`busy` is by function, in seconds of processor time, one for each call."""

    busy: defaultdict[str, list[float]]

    async def read(
        self, query: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await super().read(self._timed(query), *args, **kwargs)

    async def write(self, act: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await super().write(self._timed(act), *args, **kwargs)

    def forget(self) -> None:
        """Begin to note anew."""
        self.busy = defaultdict(list)

    def longest(self) -> float:
        """The longest call since `forget`, 0 where there was none."""
        return max((max(times) for times in self.busy.values()), default=0.0)

    def _timed(
        self, act: Callable[Concatenate[sqlite3.Connection, P], T]
    ) -> Callable[Concatenate[sqlite3.Connection, P], T]:
        def timed(connection: sqlite3.Connection, /, *args: P.args, **kwargs: P.kwargs) -> T:
            began = time.thread_time()
            try:
                return act(connection, *args, **kwargs)
            finally:
                self.busy[act.__name__].append(time.thread_time() - began)

        return timed
