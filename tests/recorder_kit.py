"""What tests of the recorder share: a volume, an assignment, a recorder in this process or in one of its own."""

import asyncio
import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from edged.archive import journal
from edged.archive.layout import parse_segment_path
from edged.base.clock import Clock, SystemClock
from edged.base.tasks import spawn
from edged.model import Cause, Fact, Loss, RecorderStatus, SegmentSealed, StreamKind, StreamStatus
from edged.record.assignment import AssignedStream, AssignedVolume, Assignment, write_assignment
from edged.record.errors import RecorderAbsent
from edged.record.process import assignment_path, run_recorder
from edged.record.status import follow_status, status_socket_path
from simulators.judge import check_gapless, decode_all, read_frames

RECORDER = "r1"
T = TypeVar("T")
PATIENCE_S = 60.0  # for what comes in a second or two where the machine has nothing else to do


class Site:
    """One recorder's folders below `root`, and what it is told to record."""

    def __init__(self, root: Path, *, segment_seconds: float = 2.0, volumes: Iterable[str] = ("v1",)) -> None:
        self.root = root
        self.state = root / "state"
        self.runtime = root / "run"
        self.state.mkdir(exist_ok=True)
        self.runtime.mkdir(exist_ok=True)
        self.segment_seconds = segment_seconds
        self.fragment_seconds = 1.0
        self.sync_seconds = 0.5
        self.volumes: dict[str, AssignedVolume] = {}
        self.streams: dict[str, AssignedStream] = {}
        self.generation = 0
        for name in volumes:
            self.add_volume(name, root / name)

    def add_volume(self, name: str, path: Path, uuid: str | None = None) -> None:
        path.mkdir(exist_ok=True)
        volume = AssignedVolume(id=name, path=str(path), uuid=uuid or f"uuid-of-{name}")
        identity = {"v": 1, "volume": name, "uuid": f"uuid-of-{name}"}
        (path / "VOLUME.json").write_text(json.dumps(identity))
        self.volumes[name] = volume

    def record(
        self,
        camera: str,
        url: str,
        *,
        username: str = "admin",
        password: str = "secret",
        volume: str = "v1",
        **options: Any,
    ) -> None:
        """`options` are further fields of AssignedStream."""
        self.streams[camera] = AssignedStream(
            camera=camera,
            stream=StreamKind.MAIN,
            url=url,
            username=username,
            password=password,
            volume=volume,
            **options,
        )

    def assign(self) -> None:
        self.generation += 1
        write_assignment(
            assignment_path(self.state, RECORDER),
            Assignment(
                generation=self.generation,
                recorder=RECORDER,
                segment_seconds=self.segment_seconds,
                fragment_seconds=self.fragment_seconds,
                sync_seconds=self.sync_seconds,
                volumes=tuple(self.volumes.values()),
                streams=tuple(self.streams.values()),
            ),
        )

    def path(self, volume: str = "v1") -> Path:
        return Path(self.volumes[volume].path)

    def facts(self, volume: str = "v1") -> list[Fact]:
        """Every whole line of the volume's journals."""
        lines: list[bytes] = []
        for day in sorted((self.path(volume) / "journal").glob("*/*.ndjson")):
            lines += [line for line in day.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        found: list[Fact] = []
        for line in lines:
            try:
                found.append(journal.decode(line))
            except journal.BadLine:
                continue  # torn by a crash
        return found

    def segments(self, volume: str = "v1", camera: str | None = None) -> list[SegmentSealed]:
        found = [fact for fact in self.facts(volume) if isinstance(fact, SegmentSealed)]
        return sorted((one for one in found if camera in (None, one.camera)), key=lambda one: (one.start_us, one.seq))

    def losses(self, volume: str = "v1", camera: str | None = None) -> list[Loss]:
        """Each loss once, however often it was told, as the index has it."""
        told: dict[tuple[str, StreamKind, int, Cause], Loss] = {}
        for fact in self.facts(volume):
            if isinstance(fact, Loss) and camera in (None, fact.camera):
                before = told.get((fact.camera, fact.stream, fact.start_us, fact.cause), fact)
                told[fact.camera, fact.stream, fact.start_us, fact.cause] = dataclasses.replace(
                    fact,
                    end_us=max(before.end_us, fact.end_us),
                    packets=max(before.packets, fact.packets),
                    frames=max(before.frames, fact.frames),
                )
        return list(told.values())

    def files(self, volume: str = "v1", *, part: bool = False) -> dict[tuple[str, int, int], Path]:
        """Segment files by (camera, run, seq)."""
        found = {}
        for path in (self.path(volume) / "segments").glob("*/*/*"):
            name = parse_segment_path(path.relative_to(self.path(volume)))
            assert name is not None, path
            if name.part == part:
                found[name.camera, name.run, name.seq] = path
        return found

    def recording(self, camera: str, volume: str = "v1") -> list[Path]:
        """The sealed files of one camera, oldest first."""
        files = self.files(volume)
        return [files[one.camera, one.run, one.seq] for one in self.segments(volume, camera)]

    async def status(self, accept: Callable[[RecorderStatus], bool], seconds: float = PATIENCE_S) -> RecorderStatus:
        """The first status that `accept` takes; one that lacks a stream it asks for is none."""
        deadline = time.monotonic() + seconds
        last: RecorderStatus | None = None
        while time.monotonic() < deadline:
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    async for last in follow_status(status_socket_path(self.runtime, RECORDER)):
                        with contextlib.suppress(NoSuchStream):
                            if accept(last):
                                return last
            except (RecorderAbsent, TimeoutError):
                await asyncio.sleep(0.05)
        raise AssertionError(f"no such status within {seconds} s; the last was {last}")

    @asynccontextmanager
    async def recorder(self, clock: Clock | None = None) -> AsyncIterator[None]:
        """A recorder in this process; it has stopped in order when the block is left."""
        stop = asyncio.Event()
        task = spawn("recorder", run_recorder(RECORDER, self.state, self.runtime, clock or SystemClock(), stop))
        try:
            yield
        finally:
            stop.set()
            await task

    @asynccontextmanager
    async def recorder_process(self, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """`edged recorder` in a process of its own; killed where the block has not ended it."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "edged", "recorder", "--id", RECORDER),
            *("--state-dir", str(self.state), "--runtime-dir", str(self.runtime), *options),
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


class NoSuchStream(LookupError):
    """The status does not speak of that camera: not yet, or not any more."""


def stream_of(status: RecorderStatus, camera: str) -> StreamStatus:
    for one in status.streams:
        if one.camera == camera:
            return one
    raise NoSuchStream(camera)


def judged(site: Site, camera: str = "c1") -> None:
    """What was recorded of a camera is without a gap, and can be decoded."""
    files = site.recording(camera)
    report = check_gapless([frame for file in files for frame in read_frames(file)])
    assert report.ok, report
    for file in files:
        decode_all(file)


async def until(probe: Callable[[], T], seconds: float = PATIENCE_S) -> T:
    """What `probe` returns as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        await asyncio.sleep(0.02)
    return found
