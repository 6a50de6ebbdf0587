"""I7: the power is cut after every single step of a segment's end, which a timer would hardly ever hit."""

import contextlib
from pathlib import Path

import pytest

from edged.model import StreamKind
from edged.record.disk.journal_file import JournalFile
from edged.record.disk.runs import RunCounter
from edged.record.disk.segment_file import Committed, SegmentFile
from edged.record.sink import SegmentEnd, SegmentStart
from tests.powercut.aftermath import SECOND, check_journal_is_true, path_of, sealed_of
from tests.powercut.powered import PoweredDisk, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"no file system to cut the power of: {missing()}")
NOW_US = 1_790_000_000 * SECOND
STEPS = 25  # more than the end of a segment has
END = SegmentEnd(
    index=b"an index",
    end_us=NOW_US + SECOND,
    frames=1,
    keyframes=1,
    codec="h264",
    width=640,
    height=360,
    lost_packets=0,
    rtcp_offset_us=None,
)


@pytest.mark.parametrize("seed", [None, 7])
def test_i7_a_journal_line_is_a_promise_whenever_the_power_goes(tmp_path: Path, seed: int | None) -> None:
    outcomes = set()
    runs = RunCounter(tmp_path / "run")
    with PoweredDisk(tmp_path) as disk:
        for step in range(1, STEPS):
            disk.cut_after(step, seed)
            journalled = False
            journal = JournalFile(disk.path, "r1")
            file = SegmentFile(
                "c1", StreamKind.MAIN, SegmentStart(NOW_US, SECOND, runs.take()), step, "boot", Committed()
            )
            with contextlib.suppress(OSError):
                file.create(disk.path, runs)
                file.write(b"head", bytes(5000))
                file.sync()
                file.write(b"head", bytes(6000))
                sealed = file.seal(disk.path, runs, END)
                journal.append(sealed, NOW_US)
                journal.sync()
                file.let_go()
                journalled = True
            with contextlib.suppress(OSError):
                file.abandon()
            with contextlib.suppress(OSError):
                journal.abandon()
            if not disk.is_cut():
                disk.cut(seed)
            disk.after_cut()
            check_journal_is_true(disk.path)
            mine = [fact for fact in sealed_of(disk.path) if fact.seq == step]
            if journalled:
                assert mine == [sealed], "a line whose sync has returned is there"
            outcomes.add((journalled, bool(mine) and path_of(disk.path, mine[0]).exists()))
    assert outcomes >= {(False, False), (True, True)}, "some cuts came before the end, some after it"
