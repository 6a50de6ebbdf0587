"""One thread at a time, in an order that the story alone decides: so that a life told again is the same life.

edged's parts each work on a thread of their own, and which of two is first is the kernel's choice: two disks are read
in this order or that, a cut after so many steps leaves more or less behind. Here a call for a thread waits in line, and
the next one goes when the event loop has nothing left to do. It still goes on its real thread.
"""

import asyncio
import collections
import functools
import selectors
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from edged.base.worker import Worker

_submit = Worker.submit


class Turns(selectors.DefaultSelector):
    """What an event loop waits by: before it waits for anything it lets the next call go."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.SelectorEventLoop(self)
        self._line: collections.deque[tuple[Future[Any], Callable[[], Future[Any]]]] = collections.deque()
        self._busy = False
        self._aside: threading.Event | None = None

    def install(self) -> None:
        """From now on every Worker's calls wait in line here, but those from outside the loop."""
        turns = self

        def submit(worker: Worker, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            go = functools.partial(_submit, worker, fn, *args, **kwargs)
            if not turns._in_loop():
                return go()
            waits: Future[Any] = Future()
            turns._line.append((waits, go))
            return waits

        setattr(Worker, "submit", submit)  # noqa: B010 - mypy knows the class's own method

    @staticmethod
    def take_out() -> None:
        setattr(Worker, "submit", _submit)  # noqa: B010

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:  # nothing is left to do
            self._next()
        return super().select(timeout)

    def aside(self, act: Callable[[], None]) -> None:
        """Let the loop do `act` and all that comes of it, as far as it gets; a worker's thread waits meanwhile."""
        if self._in_loop():
            self.loop.call_soon(act)
            return
        done = self._aside = threading.Event()
        self.loop.call_soon_threadsafe(act)
        done.wait()

    def _in_loop(self) -> bool:
        return asyncio._get_running_loop() is self.loop  # the public ones raise where there is none

    def _next(self) -> None:
        if self._aside is not None:
            self._aside.set()
            self._aside = None
            return
        while self._line and not self._busy:
            waits, go = self._line.popleft()
            if waits.set_running_or_notify_cancel():
                self._busy = True
                # Ended by the loop itself, so that the next one goes only when all that follows from this is done.
                go().add_done_callback(
                    functools.partial(self.loop.call_soon_threadsafe, functools.partial(self._end, waits))
                )

    def _end(self, waits: Future[Any], done: Future[Any]) -> None:
        self._busy = False
        error = done.exception()
        if error is None:
            waits.set_result(done.result())
        else:
            waits.set_exception(error)
