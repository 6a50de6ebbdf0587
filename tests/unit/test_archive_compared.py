"""I7 at size: a folder found equal is not read again, and everything that changes it has it read again."""

import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from edged.archive.compared import FRESH_US, RACY_US
from edged.archive.database import Database
from edged.archive.indexing import index_facts
from edged.archive.reconcile import Reconciled, reconcile
from edged.archive.schema import MISSING
from edged.archive.volumes import Volume, open_volumes
from edged.base.clock import DAY, MINUTE, SECOND, ManualClock
from tests.archive_kit import SHANGHAI, T0, row_of_segments, sealed, stamp, write_files

NOW = T0 + 3 * DAY
SEGMENTS = [*row_of_segments(3), *row_of_segments(3, start_us=T0 + DAY, run=2), *row_of_segments(3, "cam-2")]
FOLDERS = 3


class House(NamedTuple):
    database: Database
    volume: Volume
    files: list[Path]

    async def walk(self, at_us: int = NOW) -> Reconciled:
        return await reconcile(self.database, [self.volume], ManualClock(at_us))

    def date(self, at_us: int) -> None:
        """Every folder was last changed then."""
        for folder in {file.parent for file in self.files}:
            os.utime(folder, ns=(at_us * 1000, at_us * 1000))

    async def missing(self) -> int:
        def count(connection: sqlite3.Connection) -> int:
            number: int = connection.execute("SELECT count(*) FROM segment WHERE state = ?", (MISSING,)).fetchone()[0]
            return number

        return await self.database.read(count)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Three camera-day folders, compared once."""
    index = Database(tmp_path / "index.db")
    (tmp_path / "disk").mkdir()
    (volume,) = await index.write(open_volumes, [("disk-a", tmp_path / "disk")], T0)
    await index.write(index_facts, volume.no, SEGMENTS, stamp, SHANGHAI)
    built = House(index, volume, write_files(volume.path, SEGMENTS))
    built.date(NOW - MINUTE)
    first = await built.walk()
    assert (first.folders, first.unchanged) == (FOLDERS, 0)
    yield built
    index.close()


async def test_a_second_start_reads_no_folder(house: House) -> None:
    again = await house.walk()
    assert (again.folders, again.unchanged) == (0, FOLDERS)


async def test_i7_a_file_taken_away_or_laid_down_is_noticed(house: House) -> None:
    content = house.files[0].read_bytes()
    house.files[0].unlink()
    gone = await house.walk()
    assert (gone.folders, gone.missing, await house.missing()) == (1, 1, 1)
    house.files[0].write_bytes(content)
    (house.files[3].parent / "000000Z-9-9.mp4").write_bytes(b"")
    back = await house.walk()
    assert (back.folders, back.found, back.stray_count, await house.missing()) == (2, 1, 1, 0)


async def test_i7_a_folder_that_is_gone_is_noticed(house: House) -> None:
    for file in house.files[:3]:
        file.unlink()
    house.files[0].parent.rmdir()
    assert (await house.walk()).missing == 3
    assert (await house.walk()).missing == 0


async def test_i7_what_is_indexed_into_a_known_folder_is_looked_for(house: House) -> None:
    """A journal read late may name a file that went before anybody compared; the folder's date tells nothing of it."""
    late = sealed(start_us=T0 + 10 * MINUTE, seq=10)
    await house.database.write(index_facts, house.volume.no, [late], stamp, SHANGHAI)
    found = await house.walk()
    assert (found.folders, found.missing, found.unchanged) == (1, 1, FOLDERS - 1)


async def test_a_folder_changed_just_now_is_read_again(house: House) -> None:
    house.date(NOW - RACY_US + SECOND)
    assert (await house.walk()).folders == FOLDERS
    assert (await house.walk()).folders == FOLDERS
    assert (await house.walk(NOW + RACY_US)).folders == FOLDERS
    assert (await house.walk(NOW + RACY_US)).folders == 0


async def test_an_old_comparison_and_one_from_the_future_are_not_believed(house: House) -> None:
    assert (await house.walk(NOW - SECOND)).folders == FOLDERS
    assert (await house.walk(NOW + FRESH_US - 2 * SECOND)).folders == 0
    assert (await house.walk(NOW + FRESH_US)).folders == FOLDERS
