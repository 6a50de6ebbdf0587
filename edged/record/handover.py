"""The successor's side of a handover: it records beside the running recorder, and takes its streams one by one.

Whatever goes wrong ends well: a successor that dies gives all back (its connection ends), a predecessor that dies
leaves all (its connection and its lock end), one that does not know the orders is asked to end by a signal.
"""

import asyncio
import contextlib
import logging
import os
import signal
from pathlib import Path

from edged.base.clock import SECOND, Clock
from edged.model import StreamStatus
from edged.record.errors import StateUnusable
from edged.record.lock import Lock, running_pid, succession_path
from edged.record.orders import YIELDING, Leave, Order, Release, StreamKey, Succeed, encode_order
from edged.record.status import LINE_LIMIT, BadStatus, decode_status
from edged.record.streams import Streams
from edged.record.succession import decide

log = logging.getLogger(__name__)
ANSWER_SECONDS = 3.0  # for the predecessor to say that it yields
LOOK_SECONDS = 0.1
SILENCE_SECONDS = 15.0  # of a predecessor: longer than any tick of a healthy one
ASSIGNMENT_SECONDS = 10.0
LATE_US = 20 * SECOND


class Handover:
    """Takes over from the process that holds `lock`, the recorder's own, which this process does not hold yet."""

    def __init__(self, recorder_id: str, state_dir: Path, socket: Path, lock: Lock, clock: Clock) -> None:
        """Raises StateUnusable."""
        self._id = recorder_id
        self._state_dir = state_dir
        self._socket = socket
        self._lock = lock
        self._succession = Lock(succession_path(state_dir, recorder_id))
        self._clock = clock
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._theirs: dict[StreamKey, StreamStatus] = {}
        self._asked: set[StreamKey] = set()
        self.done = False

    async def begin(self) -> None:
        """Be the one successor, and connect to the predecessor while its socket is still the one that is known.

        Raises AlreadyRunning where another process is succeeding.
        """
        await self._succession.hold(self._clock)
        with contextlib.suppress(OSError):
            self._reader, self._writer = await asyncio.open_unix_connection(self._socket, limit=LINE_LIMIT)

    def close(self) -> None:
        """What was not taken over by now is the predecessor's again."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._succession.close()

    def statuses(self, mine: tuple[StreamStatus, ...]) -> tuple[StreamStatus, ...]:
        """What the world is told of each stream: what the predecessor says, for as long as it records it."""
        return tuple({**{(one.camera, one.stream): one for one in mine}, **self._theirs}.values())

    async def run(self, streams: Streams, assigned: asyncio.Event) -> None:
        """Take over everything; returns once this process is the recorder.

        `assigned` is set once `streams` are what the assignment wants. Raises StateUnusable where that does not come:
        better an old recorder than none.
        """
        if await self._predecessor_yields():
            await self._until_assigned(assigned)
            await self._take_all(streams)
        else:
            self._displace()
        await self._until_lock_is_held()
        self._theirs = {}
        streams.taken_over()
        self.done = True
        self.close()
        log.info("recorder %s: taken over", self._id)

    # --- the conversation -------------------------------------------------------------------------------------------

    async def _predecessor_yields(self) -> bool:
        if self._reader is None:
            return False
        self._order(Succeed(os.getpid()))
        with contextlib.suppress(OSError, ValueError, TimeoutError, BadStatus):
            async with asyncio.timeout(ANSWER_SECONDS):
                while line := await self._reader.readline():
                    if line == YIELDING:
                        return True
                    self._hear(line)
        return False

    async def _until_assigned(self, assigned: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(ASSIGNMENT_SECONDS):
                await assigned.wait()
        except TimeoutError:
            if self._theirs:
                raise StateUnusable(
                    "the assignment cannot be read, so the streams of the running recorder are not taken over"
                ) from None

    async def _take_all(self, streams: Streams) -> None:
        began_us = self._clock.monotonic_us()
        async with asyncio.TaskGroup() as group:
            hearing = group.create_task(self._listen(streams), name="predecessor")
            while self._theirs and not hearing.done():
                rest = [one for key, one in self._theirs.items() if key not in self._asked]
                taking = decide(streams.statuses(), rest, self._clock.monotonic_us() - began_us)
                if taking.made:
                    self._order(Release(taking.made))
                if taking.refused:
                    log.info(
                        "%d cameras allow no second session: they are without one for a moment", len(taking.refused)
                    )
                    self._order(Release(taking.refused, before_keyframe=True))
                self._asked.update(taking.made, taking.refused)
                await self._clock.sleep(LOOK_SECONDS)
            self._order(Leave())
            hearing.cancel()

    async def _listen(self, streams: Streams) -> None:
        """Follow what the predecessor says until its connection ends; what it lets go of is tried at once."""
        assert self._reader is not None
        try:
            while True:
                async with asyncio.timeout(SILENCE_SECONDS):
                    line = await self._reader.readline()
                if not line:
                    break
                before = self._theirs.keys()
                self._hear(line)
                streams.hurry(before - self._theirs.keys())
        except (OSError, ValueError, TimeoutError, BadStatus) as error:
            log.warning("recorder %s: the predecessor is not heard any more (%s)", self._id, type(error).__name__)
        streams.hurry(set(self._theirs))
        self._theirs = {}

    def _hear(self, line: bytes) -> None:
        self._theirs = {(one.camera, one.stream): one for one in decode_status(line).streams}

    def _order(self, order: Order) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(encode_order(order))

    # --- the lock ---------------------------------------------------------------------------------------------------

    def _displace(self) -> None:
        """It knows no orders, or does not answer: ask it to end, as a service manager would."""
        pid = running_pid(self._state_dir, self._id)
        log.warning("recorder %s: the predecessor does not hand over and is asked to end", self._id)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    async def _until_lock_is_held(self) -> None:
        told = False
        began_us = self._clock.monotonic_us()
        while not self._lock.try_hold():
            if not told and self._clock.monotonic_us() - began_us > LATE_US:
                told = True
                log.error("recorder %s: the predecessor does not end; its streams are recorded here", self._id)
            await self._clock.sleep(0.02)
