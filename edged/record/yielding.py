"""A running recorder in the hands of its successor: what it does with the orders that come over the status socket."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from edged.base.sdnotify import notify
from edged.base.tasks import spawn
from edged.record.orders import Leave, Order, Release, StreamKey, Succeed
from edged.record.status import StatusServer
from edged.record.streams import Streams

log = logging.getLogger(__name__)


class Yielding:
    """Carries the orders out. `take_back` is awaited where the successor ends before it has taken over."""

    def __init__(self, streams: Streams, stop: asyncio.Event, take_back: Callable[[], Awaitable[None]]) -> None:
        self._streams = streams
        self._stop = stop
        self._take_back = take_back
        self._server: StatusServer | None = None
        self._successor: int | None = None
        self._releasing: set[asyncio.Task[None]] = set()
        self.handed_over = False  # the successor records everything: nothing is told of an end

    def attach(self, server: StatusServer) -> None:
        """`server` is where the orders come in, and where it is told how far they are."""
        self._server = server

    @property
    def active(self) -> bool:
        """Whether a successor is taking over: from then on the assignment is its affair."""
        return self._successor is not None

    async def obey(self, order: Order) -> None:
        """Carry out one order of the successor."""
        match order:
            case Succeed(pid):
                log.info("process %d takes over from this recorder", pid)
                self._successor = pid
                if self._server is not None:
                    self._server.yield_to_successor()
            case Release(keys, before_keyframe) if self.active:
                for key in keys:
                    task = spawn(f"release:{key[0]}/{key[1]}", self._release(key, before_keyframe))
                    self._releasing.add(task)
                    task.add_done_callback(self._releasing.discard)
            case Leave() if self._successor is not None:
                self.handed_over = True
                # Under systemd the successor is the service's main process from here on; elsewhere nobody listens.
                notify(f"MAINPID={self._successor}")
                self._stop.set()
            case _:
                log.warning("an order came before its time: it is not carried out")

    async def withdrawn(self) -> None:
        """The successor is gone. Where it had not taken over yet, all that was handed to it is taken back."""
        if self._stop.is_set() or not self.active:
            return
        log.warning("process %d ended before it had taken over: recording everything again", self._successor or 0)
        self._successor = None
        if self._server is not None:
            await self._server.open()
        await self._take_back()

    async def _release(self, key: StreamKey, before_keyframe: bool) -> None:
        if before_keyframe:
            await self._streams.until_keyframe_is_near(key)
        if self.active:
            await self._streams.release(key)
        if not self.active:
            await self._take_back()
        elif self._server is not None:
            self._server.publish()
