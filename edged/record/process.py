"""The recorder process: reads what is wanted, keeps a stream recorder for each of it, and ends in order.

It takes no calls. Desired state comes from one file, facts go into the volumes' journals, and the status socket tells
the live state to whoever listens; so the controller may come and go (I6).
"""

import asyncio
import contextlib
import fcntl
import gc
import ipaddress
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import edged
from edged.base.clock import SECOND, Clock
from edged.base.errors import TryAgain
from edged.base.files import make_folder
from edged.base.sdnotify import notify, watchdog_interval_us
from edged.base.tasks import Progress, cancel, spawn
from edged.base.worker import Worker
from edged.model import RecorderStart, RecorderStatus, StreamKind
from edged.record.assignment import AssignedStream, AssignedVolume, Assignment, BadAssignment, read_assignment
from edged.record.buffers import Shelf
from edged.record.engine import Engine
from edged.record.errors import AlreadyRunning, StateUnusable, Unreachable
from edged.record.rtp import us_to_ticks
from edged.record.runs import RunCounter
from edged.record.segment_file import Committed
from edged.record.segmenter import Lengths
from edged.record.session import Counters
from edged.record.status import StatusServer, status_socket_path
from edged.record.stream import House, StreamRecorder
from edged.record.volume import VolumeWriter

log = logging.getLogger(__name__)
SEGMENT_LIMIT_SECONDS = 60.0  # DESIGN 4: one file is at most 60 s
FRAGMENT_LIMIT_SECONDS = 2.0  # and a power cut costs at most 2 s
CLOSING_SECONDS = 4.0  # how long the volumes may take to write what is queued at the end
_POLL_SECONDS = 0.5
_TICK_LIMIT_SECONDS = 10.0  # a heartbeat later than this is a hang, and the watchdog's business


def assignment_path(state_dir: Path, recorder_id: str) -> Path:
    """Where the controller writes what recorder `recorder_id` is to record."""
    return state_dir / f"assignment-{recorder_id}.json"


async def run_recorder(recorder_id: str, state_dir: Path, runtime_dir: Path, clock: Clock, stop: asyncio.Event) -> None:
    """Record what the assignment says until `stop` is set; then seal everything and return, within some 5 s.

    Raises AlreadyRunning where another process records under this id, StateUnusable where `state_dir` or
    `runtime_dir` cannot be used.
    """
    with _lock(state_dir / f"recorder-{recorder_id}.lock"):
        runs = RunCounter(state_dir / f"recorder-{recorder_id}.run")
        recorder = _Recorder(recorder_id, assignment_path(state_dir, recorder_id), runs, clock)
        server = StatusServer(status_socket_path(runtime_dir, recorder_id), recorder.status, clock)
        try:
            make_folder(runtime_dir)
            await server.__aenter__()
        except OSError as error:
            raise StateUnusable(f"the status socket cannot be opened: {error.strerror}") from error
        try:
            await recorder.run(server, stop)
        finally:
            await server.__aexit__()


class _Recorder:
    def __init__(self, recorder_id: str, assignment: Path, runs: RunCounter, clock: Clock) -> None:
        self._id = recorder_id
        self._path = assignment
        self._runs = runs
        self._clock = clock
        self._engine = Engine(clock, runs)
        self._lengths = Lengths(us_to_ticks(60 * SECOND), us_to_ticks(2 * SECOND))
        self._names = Worker("resolve", depth=256)
        self._shelf = Shelf()
        self._house = House(clock, self._engine, self._lengths, self._shelf, self._resolve)
        self._start = RecorderStart(
            recorder=recorder_id,
            run=self._engine.run,
            at_us=clock.wall_us(),
            mono_us=clock.monotonic_us(),
            boot_id=clock.boot_id(),
            version=edged.__version__,
        )
        self._generation = 0
        self._volumes: dict[str, VolumeWriter] = {}
        self._streams: dict[tuple[str, StreamKind], tuple[StreamRecorder, asyncio.Task[None]]] = {}
        self._memory: dict[tuple[str, StreamKind], tuple[Counters, Committed]] = {}
        self._leaving: list[VolumeWriter] = []
        self._seen: tuple[int, int, int] | None = None

    async def run(self, server: StatusServer, stop: asyncio.Event) -> None:
        progress = Progress(self._clock)
        beat = progress.expect("tick", _TICK_LIMIT_SECONDS)
        try:
            async with asyncio.TaskGroup() as house:
                workers = [
                    house.create_task(self._engine.tick_for_ever(beat), name="tick"),
                    house.create_task(self._follow_assignment(), name="assignment"),
                    house.create_task(server.publish_for_ever(), name="status"),
                    house.create_task(self._feed_watchdog(progress), name="watchdog"),
                ]
                notify("READY=1")
                log.info("recorder %s: ready, run %d", self._id, self._start.run)
                # What was loaded so far lives as long as the process: the collector need not look at it again.
                gc.collect()
                gc.freeze()
                await stop.wait()
                notify("STOPPING=1")
                log.info("recorder %s: stopping", self._id)
                await cancel(workers[1])
                await self._leave()
                for worker in workers:
                    worker.cancel()
        finally:
            await self._leave()
            self._names.shutdown(wait=False)

    def status(self) -> RecorderStatus:
        start, clock = self._start, self._clock
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
            streams=tuple(stream.status() for stream, _ in self._streams.values()),
            volumes=tuple(writer.status() for writer in self._volumes.values()),
        )

    # --- what is wanted --------------------------------------------------------------------------------------------

    async def _follow_assignment(self) -> None:
        while True:
            assignment = self._read_if_changed()
            if assignment is not None:
                await self._apply(assignment)
            await self._clock.sleep(_POLL_SECONDS)

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

    async def _apply(self, assignment: Assignment) -> None:
        """Make it so. What did not change is not touched: its session, its segment and its counters go on."""
        self._generation = assignment.generation
        self._lengths.segment = us_to_ticks(_microseconds(assignment.segment_seconds, SEGMENT_LIMIT_SECONDS))
        self._lengths.fragment = us_to_ticks(_microseconds(assignment.fragment_seconds, FRAGMENT_LIMIT_SECONDS))
        sync_us = _microseconds(assignment.sync_seconds, SEGMENT_LIMIT_SECONDS)
        volumes = {volume.id: volume for volume in assignment.volumes}
        wanted = {(stream.camera, stream.stream): stream for stream in assignment.streams}
        same_volumes = {name for name, writer in self._volumes.items() if volumes.get(name) == writer.volume}
        gone = [
            key
            for key, (recorder, _) in self._streams.items()
            if wanted.get(key) != recorder.assigned or recorder.assigned.volume not in same_volumes
        ]
        await cancel(*[self._streams.pop(key)[1] for key in gone])
        for name in self._volumes.keys() - same_volumes:
            writer = self._volumes.pop(name)
            writer.stop()
            self._leaving.append(writer)
        self._leaving = [writer for writer in self._leaving if not writer.stopped]
        for name, volume in volumes.items():
            if name not in self._volumes:
                self._volumes[name] = self._open_volume(volume, sync_us)
            self._volumes[name].sync_us = sync_us
        for key, stream in wanted.items():
            if key not in self._streams:
                self._begin_stream(stream)

    def _open_volume(self, volume: AssignedVolume, sync_us: int) -> VolumeWriter:
        return VolumeWriter(volume, self._start, self._runs, self._clock, self._shelf, sync_us=sync_us)

    def _begin_stream(self, stream: AssignedStream) -> None:
        writer = self._volumes.get(stream.volume)
        if writer is None:
            log.error("camera %s/%s is assigned to a volume that is not: not recorded", stream.camera, stream.stream)
            return
        counters, progress = self._memory.setdefault((stream.camera, stream.stream), (Counters(), Committed()))
        recorder = StreamRecorder(stream, writer, self._house, counters, progress)
        task = spawn(f"record:{stream.camera}/{stream.stream}", recorder.run())
        self._streams[stream.camera, stream.stream] = recorder, task

    # --- the end, and the rest ----------------------------------------------------------------------------------------

    async def _leave(self) -> None:
        """Streams first, so that all they have is queued; then the volumes, which write it and say goodbye."""
        streams, self._streams = self._streams, {}
        await cancel(*[task for _, task in streams.values()])
        writers = [*self._volumes.values(), *self._leaving]
        self._volumes, self._leaving = {}, []
        for writer in writers:
            writer.stop()
        deadline_us = self._clock.monotonic_us() + round(CLOSING_SECONDS * SECOND)
        while not all(writer.stopped for writer in writers):
            if self._clock.monotonic_us() > deadline_us:
                late = ", ".join(writer.volume.id for writer in writers if not writer.stopped)
                log.error(
                    "volume %s is too slow to close: what is still open will be recovered at the next start", late
                )
                break
            await self._clock.sleep(0.02)

    async def _feed_watchdog(self, progress: Progress) -> None:
        interval_us = watchdog_interval_us()
        if interval_us is None:
            return
        while True:
            if not progress.stalled():
                notify("WATCHDOG=1")
            await self._clock.sleep(interval_us / 2 / SECOND)

    async def _resolve(self, host: str, port: int) -> tuple[int, tuple[str | int, ...]]:
        """The address of `host`. Names are looked up on a thread of their own: a dead name server must not be felt."""
        try:
            version = ipaddress.ip_address(host).version
        except ValueError:
            pass
        else:
            return (socket.AF_INET, (host, port)) if version == 4 else (socket.AF_INET6, (host, port, 0, 0))
        try:
            found = await self._names.run(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        except (OSError, TryAgain):
            raise Unreachable(
                "the camera's name has no address", hint="check the name server, or use its address"
            ) from None
        family, _, _, _, address = found[0]
        return family, tuple(part for part in address if isinstance(part, str | int))


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold the recorder's lock; it goes with the process, however that ends."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise StateUnusable(f"the lock {path.name} cannot be opened: {error.strerror}") from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(f"another recorder holds {path.name}") from None
        yield
    finally:
        os.close(fd)


def _microseconds(seconds: float, limit: float) -> int:
    return round(min(max(seconds, 0.1), limit) * SECOND)
