"""One assigned stream: session after session, with what the journal and the status say about it."""

import asyncio
import contextlib
import logging
import zlib
from dataclasses import dataclass, field

from edged.base.clock import SECOND, Clock
from edged.base.errors import OwnerMustAct
from edged.base.tasks import Backoff
from edged.model import Cause, Loss, StreamDown, StreamState, StreamStatus, StreamUp
from edged.record.assignment import AssignedStream
from edged.record.buffers import Shelf
from edged.record.codecs.tracks import audio_format
from edged.record.disk.segment_file import Committed, SegmentFile
from edged.record.disk.volume import VolumeWriter
from edged.record.disk.volumes import Volumes
from edged.record.engine import Engine
from edged.record.errors import BadStream, NoRoom, StreamFailed, VolumeFenced
from edged.record.mp4.formats import VideoFormat
from edged.record.net.connection import Caller, Connection, Resolve, say_teardown
from edged.record.net.tls import Trust
from edged.record.quirks import Quirk
from edged.record.segmenter import Lengths, Segmenter
from edged.record.session import Counters, Session
from edged.record.sink import SegmentEnd, SegmentStart

log = logging.getLogger(__name__)
HEALTHY_US = 10 * SECOND  # a session that stored frames for this long begins the back-off anew
GOODBYE_SECONDS = 1.0  # for the answer to TEARDOWN, when a running session is ended on purpose
OPENING_US = 5 * SECOND  # a volume that takes longer to open counts as fenced
_VOLUME_POLL_SECONDS = 0.5
HURRY_US = 5 * SECOND  # some cameras notice late that a session has ended
_HURRIED_SECONDS = 0.2
_LOOK_SECONDS = 0.05
KEYFRAME_LEAD_US = 8 * SECOND // 10  # ending a session and beginning another takes half of it
LONGEST_GOP_US = 15 * SECOND


@dataclass(frozen=True, slots=True)
class House:
    """What every stream is handed."""

    clock: Clock
    engine: Engine
    lengths: Lengths
    shelf: Shelf
    resolve: Resolve
    volumes: Volumes
    trust: Trust = field(default_factory=Trust)  # of cameras over TLS


class StreamRecorder:
    """Records `assigned` for as long as `run` runs: to `writer`, its own volume's, or while that fails to another's."""

    def __init__(
        self, assigned: AssignedStream, writer: VolumeWriter, house: House, counters: Counters, progress: Committed
    ) -> None:
        self.assigned = assigned
        self.writer = writer  # of the volume that its segments go to now
        self.beside = False  # another process still records this stream: that it fails here is no news
        self.handed_over = False  # somebody else tells the journal about this stream now: that it ends here is no news
        self._house = house
        self._clock = house.clock
        self._caller = Caller(assigned, house.resolve, house.trust)
        self._boot_id = house.clock.boot_id()
        self._counters = counters
        self._progress = progress
        self._state = StreamState.CONNECTING
        self._since_us = house.clock.wall_us()
        self._cause: Cause | None = None
        self._told: Cause | None = None  # the cause the journal knows the stream to be down for
        self._code = ""
        self._codec, self._width, self._height = "", 0, 0
        self._backoff = Backoff(first=1.0, longest=15.0)
        self._owner_backoff = Backoff(first=15.0, longest=60.0)
        self._hurry_until_us = 0
        # the session that plays
        self._session: Session | None = None
        self._file: SegmentFile | None = None
        self._up_mono_us: int | None = None

    async def run(self) -> None:
        """Until cancelled; then what was received is sealed and the camera told goodbye."""
        connection: Connection | None = None
        try:
            while self.assigned.no_room:
                # Until the assignment says otherwise. Told anew where a predecessor of this process has told it before.
                await self._rest(self._went_down(NoRoom("the volume is full of footage that must be kept")))
            while True:
                try:
                    await self._until_volume_is_open()
                    connection = await self._caller.call()
                    error = await self._play(connection)
                except StreamFailed as failure:
                    error = failure
                except Exception:
                    # A bug must not leave this camera unrecorded until somebody restarts the recorder.
                    log.exception("camera %s/%s: unforeseen", self.assigned.camera, self.assigned.stream)
                    error = BadStream("what the camera sent was not foreseen; see the log")
                self._end_session()
                wait = self._went_down(error)
                if connection is not None:
                    leaving, connection = connection, None
                    await self._caller.hang_up(leaving)
                await self._rest(wait)
                self._become(StreamState.CONNECTING)
        finally:
            # Cancelled: the stream is not wanted any more, here or at all.
            try:
                if connection is not None and self._session is not None:
                    await self._take_last_frames(connection, self._session)
            finally:
                self._end_session()
                self._tell_down(Cause.PLANNED, "")
                if connection is not None:
                    connection.close()

    def hurry(self) -> None:
        """The camera has just become free: try at once, and again in quick succession for a while."""
        self.beside = False
        self._hurry_until_us = self._clock.monotonic_us() + HURRY_US

    async def until_keyframe_is_near(self) -> None:
        """Wait until the camera's next keyframe is due in less than KEYFRAME_LEAD_US, going by the last two.

        At once where keyframes come that often anyway, the stream is down, or none is seen for long.
        """
        counters, clock = self._counters, self._clock
        give_up_us = clock.monotonic_us() + LONGEST_GOP_US * 2
        seen, last_us = counters.keyframes, 0
        while self._state is StreamState.STREAMING and (now_us := clock.monotonic_us()) < give_up_us:
            if counters.keyframes != seen:
                if last_us:
                    await clock.sleep(max(0, now_us - last_us - KEYFRAME_LEAD_US) / SECOND)
                    return
                seen, last_us = counters.keyframes, now_us
            await clock.sleep(_LOOK_SECONDS)

    def status(self) -> StreamStatus:
        """What the status socket says about this stream."""
        counters = self._counters
        return StreamStatus(
            camera=self.assigned.camera,
            stream=self.assigned.stream,
            state=self._state,
            since_us=self._since_us,
            cause=self._cause,
            code=self._code,
            last_frame_us=counters.last_frame_us,
            committed_us=self._progress.committed_us,
            frames=counters.frames,
            keyframes=counters.keyframes,
            bytes=counters.bytes,
            packets=counters.packets,
            lost_packets=counters.lost_packets,
            sessions=counters.sessions,
            codec=self._codec,
            width=self._width,
            height=self._height,
            quirks=tuple(sorted(counters.quirks)),
        )

    # --- what the segmenter decides (its Sink) --------------------------------------------------------------------

    def begin(self, start: SegmentStart, video: VideoFormat, codec: str) -> None:
        self._go_home()
        self._codec, self._width, self._height = codec, video.width, video.height
        if self._up_mono_us is None:
            self._up_mono_us = start.start_mono_us
            self._went_up(start)
        self._counters.segments += 1
        assigned, seq = self.assigned, self._counters.segments
        self._file = SegmentFile(assigned.camera, assigned.stream, start, seq, self._boot_id, self._progress)

    def write(self, head: bytes, body: memoryview, end_us: int) -> bool:
        return self._file is not None and self.writer.write(self._file, head, body, end_us)

    def end(self, end: SegmentEnd) -> None:
        if self._file is not None:
            self.writer.seal(self._file, end)
            self._file = None

    def loss(self, start_us: int, end_us: int, cause: Cause, packets: int, frames: int) -> None:
        assigned = self.assigned
        self.writer.tell(
            Loss(
                camera=assigned.camera,
                stream=assigned.stream,
                start_us=start_us,
                end_us=end_us,
                cause=cause,
                packets=packets,
                frames=frames,
            )
        )

    def current_run(self) -> int:
        return self._house.engine.run

    def lost_packets(self) -> int:
        return self._session.lost_packets() if self._session is not None else 0

    def quirk(self, quirk: Quirk) -> None:
        known = self._counters.quirks
        if quirk not in known:
            known.add(quirk)
            log.info(
                "camera %s/%s has a quirk, %s: %s", self.assigned.camera, self.assigned.stream, quirk, quirk.meaning
            )

    # --- sessions --------------------------------------------------------------------------------------------------

    async def _until_volume_is_open(self) -> None:
        writer = self.writer
        opened_by_us = self._clock.monotonic_us() + OPENING_US
        while writer.opening and self._clock.monotonic_us() < opened_by_us:
            await self._clock.sleep(_VOLUME_POLL_SECONDS / 10)
        if reason := self._no_volume():
            self._went_down(VolumeFenced(f"the volume is fenced: {reason}"))
        while self._no_volume():
            await self._clock.sleep(_VOLUME_POLL_SECONDS)

    def _no_volume(self) -> str:
        """Why the stream cannot be stored anywhere; "" where it can, on another volume from now on if need be."""
        failed = self.writer
        if not (reason := failed.fenced):
            return ""
        chosen = self._house.volumes.choose(self.assigned.volume)
        if chosen is None:
            return reason
        log.warning(
            "camera %s/%s: volume %s is fenced (%s), going on on volume %s",
            self.assigned.camera,
            self.assigned.stream,
            failed.volume.id,
            reason,
            chosen.volume.id,
        )
        self.writer = chosen
        if self._session is not None and self._up_mono_us is not None:
            # The session goes on. What belongs to the open segment is lost with it, and the next keyframe begins anew.
            self._file, self._up_mono_us = None, None
            self._became_down(VolumeFenced.cause, VolumeFenced.code)
            self._session.leave_volume()
        return ""

    def _go_home(self) -> None:
        """A segment begins: on the stream's own volume again, where that has come back."""
        home = self._house.volumes.writers.get(self.assigned.volume)
        if home is not None and home is not self.writer and home.trusted:
            self.writer = home
            log.info("camera %s/%s: on volume %s again", self.assigned.camera, self.assigned.stream, home.volume.id)

    async def _play(self, connection: Connection) -> StreamFailed:
        self._counters.sessions += 1
        # Streams that started together rotate apart, each always at the same place.
        name = f"{self.assigned.camera}/{self.assigned.stream}".encode()
        sound = audio_format(connection.playing.audio, self.quirk)
        stagger = zlib.crc32(name) % 1000 / 1000
        segmenter = Segmenter(self, self._house.lengths, stagger, self._clock.wall_us(), sound)
        self._session = Session(
            connection,
            segmenter,
            self._counters,
            self._no_volume,
            self._house.shelf,
            self._clock.monotonic_us(),
            self.quirk,
        )
        return await self._house.engine.drain_until_failure(self._session)

    async def _take_last_frames(self, connection: Connection, session: Session) -> None:
        """Say goodbye and take what the camera had sent before it heard it: no frame is lost to a planned end."""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await say_teardown(connection)
                await self._house.engine.drain_until_failure(session)

    async def _rest(self, seconds: float) -> None:
        """Wait before the next try; `hurry` ends the wait."""
        clock, hurried = self._clock, self._hurry_until_us
        now_us = clock.monotonic_us()
        if now_us < hurried:
            seconds = min(seconds, _HURRIED_SECONDS)
        until_us = now_us + round(seconds * SECOND)
        while now_us < until_us and self._hurry_until_us == hurried:
            left = (until_us - now_us) / SECOND
            await clock.sleep(min(left, _LOOK_SECONDS) if self.beside else left)
            now_us = clock.monotonic_us()

    def _end_session(self) -> None:
        if self._session is not None:
            self._session.finish(self._clock.wall_us())
            self._session = self._file = None

    def _become(self, state: StreamState) -> None:
        if state is not self._state:
            self._state = state
            self._since_us = self._clock.wall_us()

    def _went_up(self, start: SegmentStart) -> None:
        self._become(StreamState.STREAMING)
        if self._told is not None or self._cause is not None:
            log.info("camera %s/%s: recording again", self.assigned.camera, self.assigned.stream)
        self._cause, self._code, self._told = None, "", None
        self.writer.tell(
            StreamUp(
                camera=self.assigned.camera,
                stream=self.assigned.stream,
                at_us=start.start_us,
                mono_us=start.start_mono_us,
                boot_id=self._boot_id,
            )
        )

    def _went_down(self, error: StreamFailed) -> float:
        """Say so where it is news; returns how long to wait."""
        if error.cause is not self._told and not self.beside:
            log.warning(
                "camera %s/%s is not being recorded: [%s] %s",
                self.assigned.camera,
                self.assigned.stream,
                error.code,
                error,
            )
        self._became_down(error.cause, error.code)
        healthy_since_us, self._up_mono_us = self._up_mono_us, None
        if healthy_since_us is not None and self._clock.monotonic_us() - healthy_since_us >= HEALTHY_US:
            self._backoff.reset()
        if isinstance(error, OwnerMustAct):
            return self._owner_backoff.next_wait()
        self._owner_backoff.reset()
        return self._backoff.next_wait()

    def _became_down(self, cause: Cause, code: str) -> None:
        self._become(StreamState.DOWN)
        self._cause, self._code = cause, code
        self._tell_down(cause, code)

    def _tell_down(self, cause: Cause, code: str) -> None:
        if cause is self._told or self.beside or self.handed_over:
            return
        self._told = cause
        at_us, mono_us = self._clock.wall_us(), self._clock.monotonic_us()
        progress, assigned, boot_id = self._progress, self.assigned, self._boot_id
        # The last frame stored is known once the writer has come to this point of the queue.
        self.writer.tell(
            lambda: StreamDown(
                camera=assigned.camera,
                stream=assigned.stream,
                at_us=at_us,
                mono_us=mono_us,
                boot_id=boot_id,
                cause=cause,
                last_frame_us=progress.committed_us,
                code=code,
            )
        )
