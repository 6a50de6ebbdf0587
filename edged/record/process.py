"""The recorder process: reads what is wanted, keeps a stream recorder for each of it, and ends in order.

It takes no calls but those of its own successor. Desired state comes from one file, facts go into the volumes'
journals, and the status socket tells the live state to whoever listens; so the controller may come and go (I6).
"""

import asyncio
import gc
import logging
import os
from pathlib import Path

import edged
from edged.base.clock import SECOND, Clock
from edged.base.files import make_folder
from edged.base.sdnotify import notify, watchdog_interval_us
from edged.base.tasks import Progress, cancel
from edged.model import RecorderStart, RecorderStatus
from edged.record.assignment import Assignment, BadAssignment, read_assignment
from edged.record.disk.runs import RunCounter
from edged.record.engine import Engine
from edged.record.errors import StateUnusable
from edged.record.handover import Handover
from edged.record.lock import Lock, lock_path
from edged.record.net.names import Names
from edged.record.status import StatusServer, status_socket_path
from edged.record.streams import Streams
from edged.record.yielding import Yielding

log = logging.getLogger(__name__)
_POLL_SECONDS = 0.5
_TICK_LIMIT_SECONDS = 10.0  # a heartbeat later than this is a hang, and the watchdog's business


def assignment_path(state_dir: Path, recorder_id: str) -> Path:
    """Where the controller writes what recorder `recorder_id` is to record."""
    return state_dir / f"assignment-{recorder_id}.json"


async def run_recorder(
    recorder_id: str, state_dir: Path, runtime_dir: Path, clock: Clock, stop: asyncio.Event, *, takeover: bool = False
) -> None:
    """Record what the assignment says until `stop` is set; then seal everything and return, within some 5 s.

    With `takeover`, a recorder that runs under this id already hands its streams over, one by one and without a frame
    lost where a camera allows a second session, and ends.

    Raises AlreadyRunning where another process records under this id (with `takeover`: is taking over already),
    StateUnusable where `state_dir` or `runtime_dir` cannot be used.
    """
    try:
        make_folder(runtime_dir)
    except OSError as error:
        raise StateUnusable(f"the runtime folder cannot be made: {error.strerror}") from error
    lock = Lock(lock_path(state_dir, recorder_id))
    socket = status_socket_path(runtime_dir, recorder_id)
    handover: Handover | None = None
    try:
        if not takeover:
            await lock.hold(clock)
        elif not lock.try_hold():
            handover = Handover(recorder_id, state_dir, socket, lock, clock)
            await handover.begin()
        runs = RunCounter(state_dir / f"recorder-{recorder_id}.run")
        recorder = _Recorder(recorder_id, assignment_path(state_dir, recorder_id), runs, clock, stop, handover)
        server = StatusServer(socket, recorder.status, clock, recorder.yielding)
        try:
            await server.open()
        except OSError as error:
            raise StateUnusable(f"the status socket cannot be opened: {error.strerror}") from error
        async with server:
            await recorder.run(server)
    finally:
        if handover is not None:
            handover.close()
        lock.close()


class _Recorder:
    def __init__(
        self,
        recorder_id: str,
        assignment: Path,
        runs: RunCounter,
        clock: Clock,
        stop: asyncio.Event,
        handover: Handover | None,
    ) -> None:
        self._id = recorder_id
        self._path = assignment
        self._clock = clock
        self._stop = stop
        self._handover = handover
        self._engine = Engine(clock, runs)
        self._names = Names()
        self._start = RecorderStart(
            recorder=recorder_id,
            run=self._engine.run,
            at_us=clock.wall_us(),
            mono_us=clock.monotonic_us(),
            boot_id=clock.boot_id(),
            version=edged.__version__,
        )
        self._streams = Streams(
            self._start, runs, clock, self._engine, self._names.resolve, beside=handover is not None
        )
        self.yielding = Yielding(self._streams, stop, self._take_back)
        self._generation = 0
        self._assigned = asyncio.Event()
        self._seen: tuple[int, int, int] | None = None
        self._failure: StateUnusable | None = None

    async def run(self, server: StatusServer) -> None:
        self.yielding.attach(server)
        progress = Progress(self._clock)
        beat = progress.expect("tick", _TICK_LIMIT_SECONDS)
        try:
            async with asyncio.TaskGroup() as house:
                following = house.create_task(self._follow_assignment(), name="assignment")
                workers = [
                    house.create_task(self._engine.tick_for_ever(beat), name="tick"),
                    house.create_task(server.publish_for_ever(), name="status"),
                    house.create_task(self._feed_watchdog(progress), name="watchdog"),
                ]
                if self._handover is not None:
                    workers.append(house.create_task(self._take_over(self._handover), name="handover"))
                notify("READY=1")
                log.info("recorder %s: ready, run %d", self._id, self._start.run)
                # What was loaded so far lives as long as the process: the collector need not look at it again.
                gc.collect()
                gc.freeze()
                await self._stop.wait()
                if not self.yielding.handed_over:
                    notify("STOPPING=1")
                log.info("recorder %s: stopping", self._id)
                await cancel(following)
                await self._leave()
                for worker in workers:
                    worker.cancel()
        finally:
            await self._leave()
            self._names.close()
        if self._failure is not None:
            raise self._failure

    def status(self) -> RecorderStatus:
        start, clock = self._start, self._clock
        mine = self._streams.statuses()
        return RecorderStatus(
            recorder=self._id,
            pid=os.getpid(),
            version=start.version,
            run=self._engine.run,
            boot_id=start.boot_id,
            started_us=start.at_us,
            at_us=clock.wall_us(),
            mono_us=clock.monotonic_us(),
            generation=self._generation,
            streams=mine if self._handover is None else self._handover.statuses(mine),
            volumes=self._streams.volume_statuses(),
        )

    # --- what is wanted --------------------------------------------------------------------------------------------

    async def _follow_assignment(self) -> None:
        while True:
            # A successor has the say already; should it end before its time, all is read anew.
            assignment = None if self.yielding.active else self._read_if_changed()
            if assignment is not None:
                await self._streams.apply(assignment)
                self._generation = assignment.generation
                self._assigned.set()
            await self._clock.sleep(_POLL_SECONDS)

    async def _take_back(self) -> None:
        self._seen = None

    def _read_if_changed(self) -> Assignment | None:
        try:
            status = self._path.stat()
            seen = status.st_ino, status.st_mtime_ns, status.st_size
            if seen == self._seen:
                return None
            assignment = read_assignment(self._path)
            self._seen = seen
        except FileNotFoundError:
            return None
        except OSError as error:
            log.error("%s cannot be read, going on with what was wanted before: %s", self._path.name, error.strerror)
            return None
        except BadAssignment as error:
            self._seen = seen
            log.error("going on with what was wanted before: [%s] %s", error.code, error)
            return None
        if assignment.recorder != self._id:
            log.error("going on with what was wanted before: %s is for another recorder", self._path.name)
            return None
        return assignment

    # --- the end, and the rest ----------------------------------------------------------------------------------------

    async def _take_over(self, handover: Handover) -> None:
        try:
            await handover.run(self._streams, self._assigned)
        except StateUnusable as error:
            self._failure = error
            self._stop.set()

    async def _leave(self) -> None:
        # Whoever records in the place of this process has told the journals, or has never told them of an end.
        other = self.yielding.handed_over or (self._handover is not None and not self._handover.done)
        await self._streams.leave(handed_over=other)

    async def _feed_watchdog(self, progress: Progress) -> None:
        interval_us = watchdog_interval_us()
        if interval_us is None:
            return
        while True:
            if not progress.stalled():
                notify("WATCHDOG=1")
            await self._clock.sleep(interval_us / 2 / SECOND)
