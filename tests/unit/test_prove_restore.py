"""A lost, old or rewritten index: its ledger comes back from the volumes, or the contradiction shows (LAW 12, 29)."""

import os
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edged.archive import tree
from edged.archive.database import Database
from edged.archive.ledger import LedgerKind, about, append, camera_topic, entries, lines
from edged.archive.rebuilding import awaited
from edged.archive.volumes import open_volumes
from edged.base.clock import ManualClock
from edged.prove import restore
from edged.prove.checkpoints import sign_head
from edged.prove.key import LedgerKey, open_key
from edged.prove.mirror import Mirror
from edged.prove.mirror_files import LINES
from edged.prove.restore import Restored, contradictions, restore_ledger
from tests.proving import ORIGIN, edit


class Recorder:
    """An index, its key and one volume, without anything else of a box."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.disk = path / "disk"
        self.disk.mkdir(exist_ok=True)
        self.clock = ManualClock()
        self.folders = [("disk", self.disk)]

    @property
    def key(self) -> LedgerKey:
        return open_key(self.path, ORIGIN)

    @property
    def copy(self) -> Path:
        return self.disk / "ledger" / "nvr" / "000000000001.ndjson"

    @asynccontextmanager
    async def started(self) -> AsyncIterator[tuple[Database, Restored | None, list[str]]]:
        """A start: the ledger brought back and compared before anything is appended; at the end signed and copied."""
        database = Database(self.path / "index.db")
        try:
            back = await restore_ledger(database, self.folders, "nvr", self.key, 7)
            against = await contradictions(database, self.folders, "nvr", [self.key.public])
            (volume,) = await database.write(open_volumes, self.folders, 5)
            yield database, back, against
            if not against:
                await database.write(sign_head, self.key, 9)
            mirror = Mirror(database, self.clock, volume, "nvr", self.key)
            await mirror.catch_up()
            mirror.close()
            assert mirror.behind == ""
        finally:
            database.close()

    async def run(self, count: int, camera: str = "cam-1") -> None:
        """One orderly run that appends `count` entries."""
        async with self.started() as (database, _, _):
            await grow(database, count, camera)

    def save(self) -> None:
        """Keep a copy of the index, as a backup does."""
        shutil.copy(self.path / "index.db", self.path / "saved.db")

    def put_back(self) -> None:
        """Put the copy in the place of the index."""
        shutil.copy(self.path / "saved.db", self.path / "index.db")


async def grow(database: Database, count: int, camera: str = "cam-1") -> None:
    for number in range(count):
        await database.write(append, number, LedgerKind.CAMERA_ADOPTED, {"camera": camera, "n": number})


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path)


async def test_nothing_to_bring_back(recorder: Recorder) -> None:
    await recorder.run(10)
    async with recorder.started() as (_, back, against):
        assert (back, against) == (None, [])


@pytest.mark.parametrize("keep_key", [True, False])
async def test_a_lost_index_gets_its_ledger_back(recorder: Recorder, keep_key: bool) -> None:
    await recorder.run(40)
    whole = recorder.copy.read_bytes()
    os.unlink(recorder.path / "index.db")
    if not keep_key:
        os.unlink(recorder.path / "ledger-key.pem")
    async with recorder.started() as (database, back, against):
        assert back == Restored("disk", 1, 41, keep_key, 41 if keep_key else 0)
        assert against == []
        told = await database.read(lines, 0, 41)
        assert b"".join(line + b"\n" for line in told) == whole
        (entry,) = [e for e in await database.read(entries) if e.kind is LedgerKind.LEDGER_RESTORED]
        assert entry.body == {
            "volume": "disk",
            "first": 1,
            "last": 41,
            "signed": keep_key,
            "proven": 41 if keep_key else 0,
        }
        assert len(await database.read(about, camera_topic("cam-1"))) == 40, (
            "what is looked up by camera is found again"
        )
    assert recorder.copy.read_bytes().startswith(whole), "the ledger goes on where it was"


async def test_an_old_copy_of_the_index_gets_what_it_lacks(recorder: Recorder) -> None:
    await recorder.run(20)
    recorder.save()
    await recorder.run(20)
    recorder.put_back()
    async with recorder.started() as (database, back, against):
        assert back == Restored("disk", 22, 41, True, 41)
        assert against == []
        assert await database.read(tree.root, 41)


async def test_i1_a_restore_that_is_cut_off_has_retention_wait_and_is_told_whole(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files of a copy are two transactions; nothing may be deleted by half a ledger, nor half of it be told."""
    async with recorder.started() as (database, _, _):
        await database.write(grow_at_once, LINES)
    os.unlink(recorder.path / "index.db")
    database = Database(recorder.path / "index.db")
    with monkeypatch.context() as power:
        power.setattr(restore, "_take_last", cut_power)
        with pytest.raises(PowerCut):
            await restore_ledger(database, recorder.folders, "nvr", recorder.key, 7)
    assert await database.read(tree.size) == LINES, "the first file came back, the second did not"
    assert await database.read(awaited) == ["disk"]
    database.close()
    async with recorder.started() as (database, back, against):
        assert back == Restored("disk", 1, LINES + 1, True, LINES + 1)
        assert against == []
        (entry,) = [e for e in await database.read(entries, LINES) if e.kind is LedgerKind.LEDGER_RESTORED]
        assert (entry.body["first"], entry.body["last"]) == (1, LINES + 1)


class PowerCut(Exception):
    pass


def cut_power(*_: object) -> None:
    raise PowerCut


def grow_at_once(connection: sqlite3.Connection, count: int) -> None:
    for number in range(count):
        append(connection, number, LedgerKind.CAMERA_ADOPTED, {"camera": "cam-1", "n": number})


async def test_law_29_an_index_rewritten_beside_its_copies_is_found(recorder: Recorder) -> None:
    """Another history under the same key: neither brought back nor signed, and the copy is kept as evidence."""
    await recorder.run(5)
    recorder.save()
    await recorder.run(20)
    true = recorder.copy.read_bytes()
    recorder.put_back()
    connection = sqlite3.connect(recorder.path / "index.db")
    for trigger in ("ledger_fixed", "ledger_kept", "ledger_checkpoint_kept", "ledger_topic_kept"):
        connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute('UPDATE ledger SET body = \'{"camera":"cam-1","n":77}\' WHERE seq = 3')
    connection.commit()
    connection.close()
    async with recorder.started() as (_, back, against):
        assert back is None
        assert any("disk" in why for why in against)
    assert recorder.copy.with_suffix(".differs-1").read_bytes() == true


@pytest.mark.parametrize(
    ("old", "new"),
    [('"n":10}', '"n":11}'), ('"seq":12}', '"seq":13}'), ('{"at_us":10,', '{"at_us":10, '), ('"n":10}', '"n":10')],
)
async def test_a_damaged_copy_is_not_brought_back(recorder: Recorder, old: str, new: str) -> None:
    await recorder.run(20)
    os.unlink(recorder.path / "index.db")
    edit(recorder.copy, old, new)
    async with recorder.started() as (database, back, against):
        assert back is None
        assert await database.read(tree.size) == 1
        assert against, "a longer ledger was signed"


async def test_the_copy_of_another_recorder_is_not_brought_back(recorder: Recorder, tmp_path: Path) -> None:
    await recorder.run(20)
    os.unlink(recorder.path / "index.db")
    database = Database(tmp_path / "index.db")
    (tmp_path / "other").mkdir()
    other = open_key(tmp_path / "other", "edged/other-site/nvr")
    assert await restore_ledger(database, recorder.folders, "nvr", other, 7) is None
    assert await database.read(tree.size) == 0
    database.close()


async def test_the_longest_copy_that_fits_is_taken(recorder: Recorder, tmp_path: Path) -> None:
    await recorder.run(20)
    short = tmp_path / "short"
    shutil.copytree(recorder.disk, short)
    await recorder.run(20)
    os.unlink(recorder.path / "index.db")
    recorder.folders.insert(0, ("short", short))
    database = Database(tmp_path / "index.db")
    back = await restore_ledger(database, recorder.folders, "nvr", recorder.key, 7)
    assert back == Restored("disk", 1, 41, True, 41)
    database.close()
