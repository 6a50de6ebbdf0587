"""I7: the power is cut after every step of a recovery, on a disk that keeps part of what was not synced; the next
recovery still finds every fragment that was durable before the first."""

import os
from pathlib import Path

import pytest

from edged.archive.layout import PART, segment_path
from edged.model import Fact, SegmentSealed, StreamKind
from edged.record.disk.recovery import recover
from tests.cuts.acts_record import tapes
from tests.powercut.powered import PoweredDisk, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"no file system to cut the power of: {missing()}")


@pytest.mark.parametrize("seed", range(6))
def test_i7_a_segment_with_a_second_name_is_recovered_whole_whenever_the_power_goes(tmp_path: Path, seed: int) -> None:
    tape = tapes()[0]
    assert tape.end is not None
    final = segment_path("cam-1", StreamKind.MAIN, tape.start.start_us, 1, 1)
    disk, album = PoweredDisk(tmp_path), tmp_path / "album"
    part = disk.backing / f"{final}{PART}"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"".join(tape.pieces) + b"torn")
    os.link(part, disk.backing / "held.mp4")  # so that it is copied, not cut
    with disk:
        disk.photograph(album, seed)
        assert recovered(disk.path)[0].frames == 50
    for step in sorted(album.iterdir(), key=lambda each: int(each.name)):
        recovered(step)
        assert (step / final).read_bytes() == b"".join(tape.pieces) + tape.end.index, f"cut after step {step.name}"


def recovered(volume: Path) -> list[SegmentSealed]:
    """Recover a volume; what the journal is told."""
    told: list[Fact] = []
    for _ in recover(volume, told.append):
        pass
    return [fact for fact in told if isinstance(fact, SegmentSealed)]
