"""One daemon thread with a bounded queue: where a blocking resource (one disk, the database) is kept to itself.

Why not the default executor: it is shared with DNS, a stuck disk would take all of its few threads, and
``asyncio.run`` waits for stuck threads at exit. A daemon thread of its own isolates the resource and never holds up
the end of the process.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

from edged.base.errors import TryAgain

P = ParamSpec("P")
T = TypeVar("T")


class WorkerFull(TryAgain):
    """The worker's queue is full: the resource behind it is slower than what is asked of it."""

    code = "EDG-110"
    hint = "the disk or database behind this worker is stalled or too slow; see its volume's state"


class Worker(Executor):
    """Runs calls one after another on its own thread. Also an ``Executor``, so that aiofiles can be handed one."""

    def __init__(self, name: str, *, depth: int = 1024) -> None:
        self.name = name
        self._calls: queue.Queue[tuple[Future[Any], Callable[[], Any]] | None] = queue.Queue(depth)
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Queue a call. Raises WorkerFull at once rather than waiting."""
        future: Future[T] = Future()
        try:
            self._calls.put_nowait((future, lambda: fn(*args, **kwargs)))
        except queue.Full:
            raise WorkerFull(f"{self.name}: {self._calls.maxsize} calls are waiting already") from None
        return future

    async def run(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` on the worker's thread and await its result. A cancelled wait does not undo a call that began."""
        return await asyncio.wrap_future(self.submit(fn, *args, **kwargs))

    def waiting(self) -> int:
        """How many calls are queued right now."""
        return self._calls.qsize()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the thread after the calls already queued; `wait` blocks until it has ended."""
        self._calls.put(None)
        if wait:
            self._thread.join()

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            future, call = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - handed to whoever awaits the future
                future.set_exception(error)
            del item, future, call
