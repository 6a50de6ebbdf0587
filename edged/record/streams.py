"""The streams and volumes of one recorder process: made what the assignment says, each change on its own.

What did not change is not touched: its session, its segment and its counters go on.
"""

import asyncio
import logging

from edged.base.clock import SECOND, Clock
from edged.base.tasks import cancel, spawn
from edged.model import RecorderStart, StreamStatus, VolumeStatus
from edged.record.assignment import AssignedStream, AssignedVolume, Assignment
from edged.record.buffers import Shelf
from edged.record.disk.runs import RunCounter
from edged.record.disk.segment_file import Committed
from edged.record.disk.volume import VolumeWriter, queue_bytes_for
from edged.record.disk.volumes import Volumes
from edged.record.engine import Engine
from edged.record.net.connection import Resolve
from edged.record.net.rtp import us_to_ticks
from edged.record.orders import StreamKey
from edged.record.segmenter import Lengths
from edged.record.session import Counters
from edged.record.stream import House, StreamRecorder

log = logging.getLogger(__name__)
SEGMENT_LIMIT_SECONDS = 60.0  # DESIGN 4: one file is at most 60 s
FRAGMENT_LIMIT_SECONDS = 2.0  # and a power cut costs at most 2 s
CLOSING_SECONDS = 4.0  # how long the volumes may take to write what is queued at the end


class Streams:
    """All that is recorded. `start` is what the volumes' journals are told of this process.

    `beside`: another process still records what this one begins, until `hurry` or `taken_over` says otherwise.
    """

    def __init__(
        self,
        start: RecorderStart,
        runs: RunCounter,
        clock: Clock,
        engine: Engine,
        resolve: Resolve,
        *,
        beside: bool = False,
    ) -> None:
        self._start = start
        self._runs = runs
        self._clock = clock
        self._lengths = Lengths(us_to_ticks(60 * SECOND), us_to_ticks(2 * SECOND))
        self._shelf = Shelf()
        self._volumes = Volumes(lambda: (recorder.writer for recorder, _ in self._streams.values()))
        self._house = House(clock, engine, self._lengths, self._shelf, resolve, self._volumes)
        self._streams: dict[StreamKey, tuple[StreamRecorder, asyncio.Task[None]]] = {}
        self._memory: dict[StreamKey, tuple[Counters, Committed]] = {}
        self._leaving: list[VolumeWriter] = []
        self._changing = asyncio.Lock()
        self._beside = beside

    def statuses(self) -> tuple[StreamStatus, ...]:
        """Each stream as it is now."""
        return tuple(stream.status() for stream, _ in self._streams.values())

    def volume_statuses(self) -> tuple[VolumeStatus, ...]:
        """Each volume as it is now."""
        return tuple(writer.status() for writer in self._volumes.writers.values())

    async def apply(self, assignment: Assignment) -> None:
        """Make it so."""
        async with self._changing:
            await self._apply(assignment)

    async def _apply(self, assignment: Assignment) -> None:
        self._lengths.segment = us_to_ticks(_microseconds(assignment.segment_seconds, SEGMENT_LIMIT_SECONDS))
        self._lengths.fragment = us_to_ticks(_microseconds(assignment.fragment_seconds, FRAGMENT_LIMIT_SECONDS))
        sync_us = _microseconds(assignment.sync_seconds, SEGMENT_LIMIT_SECONDS)
        volumes = {volume.id: volume for volume in assignment.volumes}
        wanted = {(stream.camera, stream.stream): stream for stream in assignment.streams}
        same_volumes = {name for name, writer in self._volumes.writers.items() if volumes.get(name) == writer.volume}
        gone = [
            key
            for key, (recorder, _) in self._streams.items()
            if wanted.get(key) != recorder.assigned
            or not {recorder.assigned.volume, recorder.writer.volume.id} <= same_volumes
        ]
        for key in gone:
            # Its successor says why it stops or goes on; an end on purpose in between would be a false one.
            recorder, after = self._streams[key][0], wanted.get(key)
            recorder.handed_over |= after is not None and after.no_room != recorder.assigned.no_room
        await cancel(*[self._streams.pop(key)[1] for key in gone])
        writers = self._volumes.writers
        for name in writers.keys() - same_volumes:
            writer = writers.pop(name)
            writer.stop()
            self._leaving.append(writer)
        self._leaving = [writer for writer in self._leaving if not writer.stopped]
        for name, volume in volumes.items():
            if name not in writers:
                writers[name] = self._open_volume(volume, sync_us)
            writers[name].sync_us = sync_us
            guests = sum(
                recorder.writer is writers[name] and recorder.assigned.volume != name
                for recorder, _ in self._streams.values()
            )
            own = sum(stream.volume == name for stream in assignment.streams)
            writers[name].queue_bytes = queue_bytes_for(own + guests)
        for key, stream in wanted.items():
            if key not in self._streams:
                self._begin_stream(stream)

    def _open_volume(self, volume: AssignedVolume, sync_us: int) -> VolumeWriter:
        return VolumeWriter(volume, self._start, self._runs, self._clock, self._shelf, sync_us=sync_us)

    def _begin_stream(self, stream: AssignedStream) -> None:
        writer = self._volumes.writers.get(stream.volume)
        if writer is None:
            log.error("camera %s/%s is assigned to a volume that is not: not recorded", stream.camera, stream.stream)
            return
        counters, progress = self._memory.setdefault((stream.camera, stream.stream), (Counters(), Committed()))
        recorder = StreamRecorder(stream, writer, self._house, counters, progress)
        recorder.beside = self._beside
        task = spawn(f"record:{stream.camera}/{stream.stream}", recorder.run())
        self._streams[stream.camera, stream.stream] = recorder, task

    # --- successions ------------------------------------------------------------------------------------------------

    async def until_keyframe_is_near(self, key: StreamKey) -> None:
        """Wait for the moment in which ending the stream's session costs least."""
        if key in self._streams:
            await self._streams[key][0].until_keyframe_is_near()

    async def release(self, key: StreamKey) -> None:
        """Hand the stream over to a successor: end it, and say nothing of an end. Nothing where it is not recorded."""
        if key not in self._streams:
            return
        recorder, task = self._streams[key]
        recorder.handed_over = True
        await cancel(task)
        # Only now is it gone from the status, which is how the successor knows that the camera is free.
        if key in self._streams and self._streams[key][1] is task:
            del self._streams[key]

    def hurry(self, keys: set[StreamKey]) -> None:
        """The predecessor let go of these: they are this process's own now, and what is down is tried at once."""
        for key in keys & self._streams.keys():
            self._streams[key][0].hurry()

    def taken_over(self) -> None:
        """No other process records any of the streams now."""
        self._beside = False
        self.hurry({key for key, (recorder, _) in self._streams.items() if recorder.beside})

    # --- the end ----------------------------------------------------------------------------------------------------

    async def leave(self, *, handed_over: bool = False) -> None:
        """Streams first, so that all they have is queued; then the volumes, which write it and say goodbye.

        `handed_over`: a successor records already, and the journals are told nothing of an end.
        """
        streams, self._streams = self._streams, {}
        for recorder, _ in streams.values():
            recorder.handed_over |= handed_over
        await cancel(*[task for _, task in streams.values()])
        writers = [*self._volumes.writers.values(), *self._leaving]
        self._volumes.writers, self._leaving = {}, []
        for writer in writers:
            writer.stop(silently=handed_over)
        deadline_us = self._clock.monotonic_us() + round(CLOSING_SECONDS * SECOND)
        while not all(writer.stopped for writer in writers):
            if self._clock.monotonic_us() > deadline_us:
                late = ", ".join(writer.volume.id for writer in writers if not writer.stopped)
                log.error(
                    "volume %s is too slow to close: what is still open will be recovered at the next start", late
                )
                break
            await self._clock.sleep(0.02)


def _microseconds(seconds: float, limit: float) -> int:
    return round(min(max(seconds, 0.1), limit) * SECOND)
