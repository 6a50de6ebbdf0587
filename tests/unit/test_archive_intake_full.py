"""What comes next in a journal is read while a batch is committed; a batch that fails is never committed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edged.archive import intake as intake_module
from edged.archive.database import Database
from edged.archive.intake import Intake
from edged.archive.volumes import open_volumes
from edged.base.clock import ManualClock
from tests.archive_kit import SHANGHAI, T0, row_of_segments, stamp, write_journal


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "index.db")
    yield database
    database.close()


async def test_a_full_disk_of_the_index_leaves_nobody_waiting_and_nothing_is_lost(
    index: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "CHUNK", 2000)
    (tmp_path / "disk-a").mkdir()
    (disk,) = await index.write(open_volumes, [("disk-a", tmp_path / "disk-a")], T0)
    write_journal(disk.path, row_of_segments(200))
    intake = Intake(index, ManualClock(), [disk], stamp, SHANGHAI)
    await index.read(lambda connection: connection.execute("PRAGMA max_page_count = 1"))
    await intake.catch_up()
    assert intake.indexed_segments < 200
    assert list(intake.stopped) == ["disk-a"]
    async with asyncio.timeout(10):
        while asyncio.all_tasks() != {asyncio.current_task()}:  # whoever reads ahead
            await asyncio.sleep(0.005)
    await index.read(lambda connection: connection.execute("PRAGMA max_page_count = 1000000"))
    await intake.catch_up()
    assert (intake.indexed_segments, intake.stopped) == (200, {})
    intake.close()
