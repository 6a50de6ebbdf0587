"""A volume's writer on a real folder: what is published or refused, what a crash leaves and how that is mended."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.archive.layout import segment_path
from edged.model import Cause, Loss, RecorderStart, RecorderStop, StreamKind
from simulators.judge import check_gapless, decode_all, read_frames
from tests.record_film import START_US
from tests.recorder_kit import RECORDER, Site, until
from tests.writer_kit import CAMERA, Writer, check_journal_equals_files, crashed, run_once, tapes

LOSS = Loss(camera=CAMERA, stream=StreamKind.MAIN, start_us=1, end_us=2, cause=Cause.DISK, packets=0, frames=3)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def test_what_is_written_is_published_and_journalled(site: Site) -> None:
    writer = Writer(site)
    await writer.ready()
    for seq, tape in enumerate(tapes(), start=1):
        writer.record(tape, seq)
    await writer.stop()
    check_journal_equals_files(site)
    assert site.files(part=True) == {}
    sealed = site.segments()
    assert [one.seq for one in sealed] == [1, 2, 3]
    assert writer.committed.committed_us == sealed[-1].end_us == START_US + 6_000_000
    facts = site.facts()
    assert isinstance(facts[0], RecorderStart)
    assert isinstance(facts[-1], RecorderStop)
    path = site.recording(CAMERA)[0]
    assert decode_all(path) == 50
    assert path.stat().st_mode & 0o777 == 0o640
    assert writer.writer.status().written_bytes == sum(len(piece) for tape in tapes() for piece in tape.pieces)


async def test_a_name_that_is_taken_is_never_written_over(site: Site) -> None:
    tape = tapes()[0]
    taken = site.path() / segment_path(CAMERA, StreamKind.MAIN, tape.start.start_us, 1, 1)
    part = site.path() / (str(segment_path(CAMERA, StreamKind.MAIN, tape.start.start_us, 2, 1)) + ".part")
    taken.parent.mkdir(parents=True)
    taken.write_bytes(b"somebody else's")
    writer = Writer(site)
    await writer.ready()
    part.write_bytes(b"and this")
    file = writer.record(tape, 1, seal=False)
    await until(lambda: writer.committed.committed_us == tape.ends_us[-1])
    # The name the segment is to be published under appears while it is open.
    rival = site.path() / segment_path(CAMERA, StreamKind.MAIN, tape.start.start_us, 3, 1)
    assert not rival.exists()
    rival.write_bytes(b"a rival's")
    assert tape.end is not None
    writer.writer.seal(file, tape.end)
    await writer.stop()
    assert taken.read_bytes() == b"somebody else's"
    assert part.read_bytes() == b"and this"
    assert rival.read_bytes() == b"a rival's"
    assert [one.run for one in site.segments()] == [4]


async def test_a_full_queue_refuses_and_says_so(site: Site) -> None:
    writer = Writer(site, queue_bytes=10_000)
    await writer.ready()
    tape = tapes()[0]
    assert not writer.writer.write(writer.open(tape, 1), b"", memoryview(bytes(10_001)), 5)
    assert writer.writer.write(writer.open(tape, 1), tape.pieces[0][:4000], memoryview(b""), 5)
    assert writer.writer.status().overflows == 1
    await writer.stop()


# --- identity ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"[]",
        b"\xff",
        b'{"v":1,"volume":"v1","uuid":"another"}',
        b'{"v":1,"volume":"v2","uuid":"uuid-of-v1"}',
        b'{"v":2,"volume":"v1","uuid":"uuid-of-v1"}',
    ],
)
async def test_a_volume_that_is_not_the_right_one_is_not_written_to(site: Site, content: bytes | None) -> None:
    identity = site.path() / "VOLUME.json"
    right = identity.read_bytes()
    identity.unlink()
    if content is not None:
        identity.write_bytes(content)
    writer = Writer(site)
    await until(lambda: not writer.writer.opening)
    tape = tapes()[0]
    assert not writer.writer.write(writer.open(tape, 1), b"x", memoryview(b"y"), 1)
    writer.writer.tell(LOSS)
    status = writer.writer.status()
    assert not status.ok
    assert "VOLUME.json" in status.reason
    assert sorted(path.name for path in site.path().iterdir()) in ([], ["VOLUME.json"])
    identity.write_bytes(right)
    await writer.ready()
    await writer.stop()
    kinds = [type(fact) for fact in site.facts()]
    assert kinds == [RecorderStart, Loss, RecorderStop], "facts wait for the volume"


async def test_a_disk_that_goes_away_while_recording_is_fenced_before_the_next_segment(site: Site) -> None:
    writer = Writer(site)
    await writer.ready()
    first, second, third = tapes()
    writer.record(first, 1)
    open_file = writer.record(second, 2, seal=False)
    await until(lambda: writer.committed.committed_us == second.ends_us[-1])
    (site.path() / "VOLUME.json").rename(site.root / "aside")
    writer.writer.write(writer.open(third, 3), third.pieces[0], memoryview(b""), 1)
    await until(lambda: bool(writer.writer.fenced))
    assert open_file.spent
    assert not writer.writer.write(open_file, b"never", memoryview(b"again"), 1)
    assert len(site.files()) == 1
    (site.root / "aside").rename(site.path() / "VOLUME.json")
    await writer.ready()
    await until(lambda: not site.files(part=True))
    await writer.stop()
    check_journal_equals_files(site)
    assert [one.recovered for one in site.segments()] == [False, True]


# --- after a crash -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tail", [b"", b"\0" * 5000, b"\0\0\xff\xffmoof" + b"x" * 300])
async def test_i7_an_open_segment_is_recovered_to_its_last_whole_fragment(site: Site, tail: bytes) -> None:
    tape = tapes()[1]
    await crashed(site, tape, tail)
    await run_once(site)
    check_journal_equals_files(site)
    recovered = site.segments()[1]
    assert recovered.recovered
    assert (recovered.start_us, recovered.end_us) == (tape.start.start_us, tape.ends_us[-1])
    assert (recovered.frames, recovered.keyframes, recovered.seq) == (50, 2, 2)
    path = site.recording(CAMERA)[1]
    assert decode_all(path) == 50
    assert check_gapless([frame for one in site.recording(CAMERA) for frame in read_frames(one)]).ok
    assert tape.end is not None
    assert path.read_bytes() == b"".join(tape.pieces) + tape.end.index, "as if it had been sealed in order"


async def test_i7_a_segment_without_a_whole_fragment_is_removed(site: Site) -> None:
    part = await crashed(site, tapes()[1])
    part.write_bytes(part.read_bytes()[:2000])
    await run_once(site)
    check_journal_equals_files(site)
    assert len(site.segments()) == 1


async def test_i7_a_crash_between_link_and_unlink(site: Site) -> None:
    part = await crashed(site, tapes()[1])
    os.link(part, part.with_name(part.name.removesuffix(".part")))
    before = part.read_bytes()
    await run_once(site)
    check_journal_equals_files(site)
    assert site.recording(CAMERA)[1].read_bytes() == before


async def test_i7_a_crash_between_link_and_journal_line(site: Site) -> None:
    writer = Writer(site)
    await writer.ready()
    for seq, tape in enumerate(tapes(), start=1):
        writer.record(tape, seq)
    await writer.stop()
    (day,) = (site.path() / "journal" / RECORDER).iterdir()
    lines = day.read_bytes().splitlines(keepends=True)
    # The last line torn in the middle, as a crash leaves it; what came after was never written.
    torn = lines[3]
    assert b'"seq":3' in torn
    day.write_bytes(b"".join(lines[:3]) + torn[:50])
    await run_once(site)
    check_journal_equals_files(site)
    assert [one.recovered for one in site.segments()] == [False, False, True]
    assert b"\n".join([torn[:50], b""]) in day.read_bytes(), "the torn line stays, ended"


async def test_i2_what_a_hold_links_to_is_never_cut(site: Site) -> None:
    """I2: a truncate would reach through the link into evidence."""
    part = await crashed(site, tapes()[1], tail=b"torn fragment")
    held = site.path() / "held.mp4"
    os.link(part, held)
    before = held.read_bytes()
    await run_once(site)
    check_journal_equals_files(site)
    assert held.read_bytes() == before
    assert held.stat().st_nlink == 1


async def test_a_segment_that_is_being_written_is_no_leftover(site: Site) -> None:
    """Two recorders share the volume; the second one starts while the first one records."""
    first = Writer(site)
    await first.ready()
    tape = tapes()[0]
    file = first.record(tape, 1, seal=False)
    await until(lambda: first.committed.committed_us == tape.ends_us[-1])
    second = Writer(site)
    await second.ready()
    second.record(tapes()[1], 7)
    await until(lambda: len(site.segments()) == 1)
    await second.stop()
    assert len(site.files(part=True)) == 1
    assert tape.end is not None
    first.writer.seal(file, tape.end)
    await first.stop()
    check_journal_equals_files(site)
    assert not any(one.recovered for one in site.segments())


async def test_recording_does_not_wait_for_recovery(site: Site) -> None:
    """I6: however much there is to recover, new footage goes to disk at once."""
    part = await crashed(site, tapes()[1])
    content = part.read_bytes()
    for index in range(200):
        copy = site.path() / "segments" / f"x{index}" / part.parent.name / part.name
        copy.parent.mkdir(parents=True)
        copy.write_bytes(content)
    writer = Writer(site)
    await writer.ready()
    writer.record(tapes()[2], 9)
    await until(lambda: any(one.seq == 9 for one in site.segments()))
    assert site.files(part=True), "recovery was over before the new segment was in"
    await until(lambda: not site.files(part=True))
    await writer.stop()
    check_journal_equals_files(site)
    assert len(site.segments()) == 203


# --- disks that fail -----------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine does not let its root mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


async def test_a_full_disk_is_fenced_alone_and_taken_up_again(site: Site, small_disk: Path) -> None:
    site.add_volume("small", small_disk)
    small, other = Writer(site, site.volumes["small"]), Writer(site)
    await small.ready()
    await other.ready()
    tape = tapes()[0]
    small.record(tape, 1)
    await until(lambda: len(site.segments("small")) == 1)
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space"):
        ballast.write_bytes(bytes(2 << 20))
    file = small.open(tapes()[1], 2)
    await until(lambda: not small.writer.write(file, tapes()[1].pieces[0], memoryview(bytes(20_000)), 1) or file.spent)
    await until(lambda: bool(small.writer.fenced))
    assert small.writer.status().reason == "No space left on device"
    other.record(tape, 1)
    await until(lambda: len(site.segments()) == 1)
    assert other.writer.status().ok
    ballast.unlink()
    await small.ready()
    small.record(tapes()[2], 3)
    await small.stop()
    await other.stop()
    assert [one.seq for one in site.segments("small") if not one.recovered] == [1, 3]
    assert site.files("small", part=True) == {}


# --- runs ----------------------------------------------------------------------------------------------------------
