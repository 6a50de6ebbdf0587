"""What recovery reads of the journal."""

from pathlib import Path

from edged.archive import journal
from edged.model import Cause, Loss, RecorderStart, SegmentSealed, StreamKind
from edged.record.disk.journal_file import known_segments
from tests.record_film import START_US
from tests.recorder_kit import RECORDER

CAMERA = "c1"
START = RecorderStart(recorder=RECORDER, run=1, at_us=START_US, mono_us=5, boot_id="b", version="0")
LOSS = Loss(camera=CAMERA, stream=StreamKind.MAIN, start_us=1, end_us=2, cause=Cause.DISK, packets=0, frames=3)


def test_every_segment_line_is_recognised_by_its_pattern(tmp_path: Path) -> None:
    sealed = SegmentSealed(
        camera="a-b_1",
        stream=StreamKind.SUB,
        start_us=1,
        end_us=2,
        run=33,
        seq=44,
        bytes=5,
        frames=6,
        keyframes=1,
        codec="avc1.64001f",
        width=7,
        height=8,
        sha256="ab",
        lost_packets=0,
        recovered=True,
        boot_id="",
        start_mono_us=0,
    )
    day = tmp_path / "day"
    day.write_bytes(journal.encode(LOSS) + journal.encode(sealed) + journal.encode(START) + b'{"camera":"torn')
    assert list(known_segments(day)) == [(b"a-b_1", b"sub", 33, 44)]
