"""A volume's writer as one recorder process would have it, and what a crash of that process leaves."""

import hashlib
from dataclasses import replace
from pathlib import Path

from edged.base.clock import SystemClock
from edged.model import RecorderStart, StreamKind
from edged.record.assignment import AssignedVolume
from edged.record.buffers import Shelf
from edged.record.disk.runs import RunCounter
from edged.record.disk.segment_file import Committed, SegmentFile
from edged.record.disk.volume import VolumeWriter
from tests.record_film import START_US, Recording, Tape, film, show
from tests.recorder_kit import RECORDER, Site, until

CAMERA = "c1"
START = RecorderStart(recorder=RECORDER, run=1, at_us=START_US, mono_us=5, boot_id="b", version="0")


def tapes(seconds: int = 6) -> list[Tape]:
    clip = film()
    recording = Recording(clip, segment_s=2)
    recording.play(show(clip, seconds * 25))
    return recording.finish()


class Writer:
    """A running VolumeWriter, as one recorder process would have it."""

    def __init__(self, site: Site, volume: AssignedVolume | None = None, queue_bytes: int = 1 << 26) -> None:
        self.runs = RunCounter(site.state / "run")
        self.run = self.runs.take()
        self.committed = Committed()
        self.writer = VolumeWriter(
            volume or site.volumes["v1"],
            replace(START, run=self.run),
            self.runs,
            SystemClock(),
            Shelf(),
            sync_us=100_000,
            queue_bytes=queue_bytes,
        )

    async def ready(self) -> None:
        await until(lambda: not self.writer.fenced)

    def open(self, tape: Tape, seq: int) -> SegmentFile:
        start = replace(tape.start, run=self.run)
        return SegmentFile(CAMERA, StreamKind.MAIN, start, seq, "b", self.committed)

    def record(self, tape: Tape, seq: int, *, seal: bool = True) -> SegmentFile:
        file = self.open(tape, seq)
        for piece, end_us in zip(tape.pieces, tape.ends_us, strict=True):
            assert self.writer.write(file, piece[:100], memoryview(piece)[100:], end_us)
        if seal:
            assert tape.end is not None
            self.writer.seal(file, tape.end)
        return file

    async def stop(self) -> None:
        self.writer.stop()
        await until(lambda: self.writer.stopped)


async def run_once(site: Site) -> None:
    """A recorder starts, recovers, and stops."""
    writer = Writer(site)
    await writer.ready()
    await until(lambda: not writer.writer.recovering)
    await writer.stop()
    assert not site.files(part=True)


def check_journal_equals_files(site: Site) -> None:
    """I7: every journalled segment is on disk as it says, and every file on disk is journalled, once."""
    files = site.files()
    segments = site.segments()
    assert sorted((one.camera, one.run, one.seq) for one in segments) == sorted(files)
    for one in segments:
        content = files[one.camera, one.run, one.seq].read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (one.bytes, one.sha256)


async def crashed(site: Site, tape: Tape, tail: bytes = b"") -> Path:
    """Sealed segment 1, and segment 2 open as a killed process leaves it, with `tail` behind its last fragment."""
    writer = Writer(site)
    await writer.ready()
    writer.record(tapes()[0], 1)
    writer.record(tape, 2, seal=False)
    await until(lambda: writer.committed.committed_us == tape.ends_us[-1])
    await writer.stop()
    (part,) = site.files(part=True).values()
    with part.open("ab") as file:
        file.write(tail)
    return part
