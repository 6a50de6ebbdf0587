"""What the recorder does to a volume: fragments, the end of a segment, and the recovery of what a crash left."""

import asyncio
import os
from dataclasses import replace
from functools import cache
from pathlib import Path

from edged.archive.layout import PART, segment_path
from edged.model import StreamKind
from edged.record.disk.runs import RunCounter
from edged.record.disk.segment_file import Committed, SegmentFile
from tests.cuts.box import RECORDER, SET_UP_US, Act, CutBox, Tells, minutes, recorded, segment
from tests.record_film import Recording, Tape, film, show

AT_US = SET_UP_US + 60_000_000
CAMERA = "cam-2"


@cache
def tapes() -> list[Tape]:
    """Three segments of two fragments each."""
    recording = Recording(film(), segment_s=2, fragment_s=1)
    recording.play(show(film(), 150))
    return recording.finish()


async def _nothing_yet(box: CutBox) -> None:
    await recorded(box, *minutes("cam-1", range(2)))


async def _record(box: CutBox, cue: Tells) -> None:
    """Two segments, fragment by fragment; a fragment is promised once the writer calls it committed."""
    written = tapes()[:2]
    async with box.recorder(AT_US) as writer:
        committed = Committed()
        runs = RunCounter(box.state / "runs")
        run = runs.take()
        cue.begin()
        for seq, tape in enumerate(written, start=1):
            file = SegmentFile(CAMERA, StreamKind.MAIN, replace(tape.start, run=run), seq, "boot", committed)
            for piece, end_us in zip(tape.pieces, tape.ends_us, strict=True):
                assert writer.write(file, piece[:100], memoryview(piece)[100:], end_us)
                while committed.committed_us != end_us:
                    await asyncio.sleep(0)
                cue.told(f"{end_us}")
            assert tape.end is not None
            writer.seal(file, tape.end)


def _crash_again(box: CutBox) -> None:
    """The next recorder sealed more of the camera than recovery looks back over, and was killed before it recovered."""
    box.put(*[segment(CAMERA, minute, run=20) for minute in range(600, 604)])


async def _lost_runs(box: CutBox) -> None:
    """The state folder was lost, and with it how far the runs had come."""
    await _left_by_a_crash(box)
    (box.state / f"recorder-{RECORDER}.run").unlink()


async def _left_by_a_crash(box: CutBox) -> None:
    """Every kind of leftover that recovery knows."""
    await recorded(box, *minutes("cam-1", range(2)))
    for _ in range(2):
        RunCounter(box.state / f"recorder-{RECORDER}.run")
    one, two, three = tapes()
    _leave(box, one, 1, torn=b"\0\0\xff\xffmoof" + b"x" * 300)
    _leave(box, two, 2, pieces=0, torn=one.pieces[0][:200])
    published = _leave(box, two, 3, sealed=True)
    os.link(published, published.with_name(published.name.removesuffix(PART)))
    second_name = _leave(box, three, 4, torn=b"torn")
    os.link(second_name, box.volume / "a second name")
    without_line = _leave(box, three, 5, sealed=True)
    os.rename(without_line, without_line.with_name(without_line.name.removesuffix(PART)))


def _leave(
    box: CutBox, tape: Tape, seq: int, *, pieces: int | None = None, sealed: bool = False, torn: bytes = b""
) -> Path:
    file = box.volume / segment_path(CAMERA, StreamKind.MAIN, tape.start.start_us, 20, seq)
    part = file.with_name(file.name + PART)
    part.parent.mkdir(parents=True, exist_ok=True)
    assert tape.end is not None
    part.write_bytes(b"".join(tape.pieces[:pieces]) + (tape.end.index if sealed else b"") + torn)
    return part


async def _recover(box: CutBox, cue: Tells) -> None:
    cue.begin()
    async with box.recorder(AT_US):
        pass


ACTS = {
    # A fragment outlives the process at once, and a power cut from the next sync on: tests.powercut cuts that.
    "record and seal": Act(prepare=_nothing_yet, perform=_record, start_us=AT_US, durable=False),
    "record and seal, then crash again": Act(
        prepare=_nothing_yet, perform=_record, start_us=AT_US, durable=False, meanwhile=_crash_again
    ),
    "recover open segments": Act(prepare=_left_by_a_crash, perform=_recover, start_us=AT_US),
    "recover without the run counter": Act(prepare=_lost_runs, perform=_recover, start_us=AT_US),
}
