"""A recorder that crashes again and again, or loses its state folder: no journal line is lost, no name given twice."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from edged.model import StreamKind
from edged.record.disk.journal_file import JournalFile
from edged.record.disk.runs import RunCounter
from edged.record.disk.segment_file import Committed, SegmentFile
from tests.record_film import START_US
from tests.recorder_kit import RECORDER, Site, until
from tests.writer_kit import CAMERA, Writer, check_journal_equals_files, crashed, run_once, tapes


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def test_i7_crash_after_crash_loses_no_line(site: Site) -> None:
    """After a crash between link and line the next recorder seals more of the camera than recovery looks back over, and
    is killed before it has recovered."""
    part = await crashed(site, tapes()[1])
    os.link(part, part.with_name(part.name.removesuffix(".part")))
    runs = RunCounter(site.state / "run")
    journal = JournalFile(site.path(), RECORDER)
    for seq, tape in enumerate(tapes(12), start=1):
        file = SegmentFile(CAMERA, StreamKind.MAIN, replace(tape.start, run=runs.take()), seq, "b", Committed())
        file.create(site.path(), runs)
        file.write(*tape.pieces)
        assert tape.end is not None
        journal.append(file.seal(site.path(), runs, tape.end), START_US)
        file.let_go()
    journal.close()
    await run_once(site)
    check_journal_equals_files(site)


async def test_i7_the_working_name_outlives_everything_but_a_durable_journal_line(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there when the journal is synced: both names, and the line."""
    seen: list[tuple[int, int]] = []
    sync = JournalFile.sync

    def look(journal: JournalFile) -> None:
        seen.append((len(site.files()), len(site.files(part=True))))
        sync(journal)

    monkeypatch.setattr(JournalFile, "sync", look)
    writer = Writer(site)
    await writer.ready()
    writer.record(tapes()[0], 1)
    await writer.stop()
    assert (1, 1) in seen
    assert (1, 0) not in seen[: seen.index((1, 1)) + 1]
    assert site.files(part=True) == {}


async def test_a_recorder_without_its_state_goes_on_behind_the_runs_of_the_volume(site: Site) -> None:
    """Neither a name is given twice nor a segment of an earlier life taken for this one's (I7)."""
    for _ in range(3):
        await crashed(site, tapes()[1])
        await run_once(site)
    before = {one.run for one in site.segments()}
    day = next((site.path() / "journal" / RECORDER).iterdir())
    day.write_bytes(b"".join(day.read_bytes().splitlines(keepends=True)[:-2]))  # a crash: the last line was not written
    (site.state / "run").unlink()
    writer = Writer(site)
    assert writer.run == 1
    await writer.ready()
    await until(lambda: not writer.writer.recovering)
    check_journal_equals_files(site)
    writer.record(tapes()[2], 9)
    await writer.stop()
    check_journal_equals_files(site)
    assert max(one.run for one in site.segments()) > max(before)
    assert RunCounter(site.state / "run").take() > max(one.run for one in site.segments())
