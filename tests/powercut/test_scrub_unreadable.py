"""A sector that cannot be read any more: the scrub says so, and nothing else changes (I1, I3)."""

import errno
from pathlib import Path

import pytest

from edged.archive import fixity
from edged.archive.fixity import Found
from edged.archive.layout import segment_path
from edged.archive.ledger import LedgerKind
from edged.archive.reconcile import reconcile
from edged.archive.segments import SegmentKey, find_segment
from edged.prove.scrub import Scrub
from tests.powercut.powered import PoweredDisk, missing
from tests.retaining import House, house

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


async def look(built: House, scrub: Scrub, key: SegmentKey) -> str:
    row = await built.database.read(find_segment, key)
    assert row is not None
    return (await scrub.now([row]))[str(key)]


async def test_i1_a_file_that_gives_eio_stays_with_its_row_and_hash(tmp_path: Path) -> None:
    """Real EIO from a real file system: told once, row, hash and file stay, and it is sound once it can be read."""
    disk = PoweredDisk(tmp_path / "powered")
    disk.path = tmp_path / "disk-0"
    disk.path.mkdir()
    with disk:
        async with house(tmp_path) as built:
            scrub = Scrub(built.database, built.clock, [built.volumes[0].volume], 30 * 86_400.0)
            try:
                await built.camera("cam-a")
                await built.tick()
                key, other = await built.record("cam-a"), await built.record("cam-a")
                row = await built.row(key)
                assert row is not None
                assert await look(built, scrub, key) == Found.SOUND
                disk.tell("spoil", path=str(segment_path(*key)), errno=errno.EIO)
                with pytest.raises(OSError, match="Input/output error"):
                    built.file(key).read_bytes()
                for _ in range(2):
                    assert await look(built, scrub, key) == Found.UNREADABLE
                assert await look(built, scrub, other) == Found.SOUND
                (entry,) = await built.told(LedgerKind.FOOTAGE_ALTERED)
                assert (entry.body["segments"], entry.body["what"]) == ([str(key)], Found.UNREADABLE)
                found = await reconcile(built.database, [built.volumes[0].volume], built.clock)
                assert (found.missing, found.deleted) == (0, 0)
                assert (await built.one_pass()).erased == 0
                assert await built.row(key) == row, "row and expected hash are as they were"
                assert built.file(key).stat().st_size == row.bytes
                disk.tell("spoil", path=str(segment_path(*key)), errno=0)
                assert await look(built, scrub, key) == Found.SOUND
                assert await built.database.read(fixity.finding_count) == 0
            finally:
                scrub.close()
