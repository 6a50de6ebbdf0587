"""A ledger whose key was lost goes on under a new one, and who has the old one can still tell that it is the same."""

import os
from pathlib import Path
from typing import Any

import pytest

from edged.archive import rebuilding, tree
from edged.archive.database import Database
from edged.archive.ledger import LedgerKind, entries
from edged.prove.key import LedgerKey, open_key
from edged.prove.mirror_files import MirrorFolder
from edged.prove.succession import kept_heads, signed_by, tell_keys
from edged.prove.verify_retention import Head, verify_checkpoint
from tests.proving import ORIGIN
from tests.unit.test_prove_restore import Recorder, grow


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path)


def lose_key(recorder: Recorder) -> LedgerKey:
    """The key is gone; returns it, for whoever has kept its public half."""
    old = recorder.key
    os.unlink(recorder.path / "ledger-key.pem")
    return old


async def told(database: Database) -> list[dict[str, Any]]:
    return [e.body for e in await database.read(entries, 0, 10**6) if e.kind is LedgerKind.KEY_CHANGED]


async def tell(recorder: Recorder, database: Database) -> int:
    return await tell_keys(database, recorder.folders, "nvr", recorder.key, 11)


@pytest.mark.parametrize("index_lost", [False, True])
async def test_a_change_of_key_is_an_entry_once_that_names_the_last_head(recorder: Recorder, index_lost: bool) -> None:
    async with recorder.started() as (database, _, _):
        assert await tell(recorder, database) == 0, "the first key is no change"
    await recorder.run(20)
    old = lose_key(recorder)
    if index_lost:
        os.unlink(recorder.path / "index.db")
    for changes in (1, 0, 0):
        async with recorder.started() as (database, _, _):
            assert await tell(recorder, database) == changes
            (body,) = await told(database)
            assert body["key"] == recorder.key.verifier
            (note,) = body["heads"]
            assert verify_checkpoint(note, old.public).size == 21
    folder = MirrorFolder(recorder.disk, "nvr")
    newest, kept = folder.checkpoints()
    assert verify_checkpoint(newest, recorder.key.public).size > verify_checkpoint(kept, old.public).size == 21
    assert old.pem in {path.read_text() for path in folder.path.glob("key-*.pem")}


async def test_a_head_that_the_ledger_does_not_continue_is_not_named(
    recorder: Recorder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody can write a head on a volume; one of another history is no earlier key of this ledger."""
    (tmp_path / "other").mkdir()
    other = Recorder(tmp_path / "other")
    await other.run(5)
    await recorder.run(20)
    folder = MirrorFolder(recorder.disk, "nvr").path
    forged = MirrorFolder(other.disk, "nvr").checkpoint()
    assert forged is not None
    (folder / "checkpoint-0badf00d").write_text(forged)
    (folder / "checkpoint-nonsense").write_bytes(b"\xff\x00")
    async with recorder.started() as (database, _, against):
        assert await tell(recorder, database) == 0
        assert against == []
    assert "the ledger is not the one" in caplog.text


async def test_a_key_that_somebody_vouches_for_answers_for_what_it_signed_and_no_more(recorder: Recorder) -> None:
    await recorder.run(20)
    old = lose_key(recorder)
    async with recorder.started() as (database, _, _):
        await tell(recorder, database)
        await grow(database, 5)
    async with recorder.started() as (database, _, _):
        kept = kept_heads(recorder.folders, "nvr")
        assert await database.read(signed_by, kept, [old.public]) == 21
        assert await database.read(signed_by, [], [old.public]) == 21, "by the ledger's own entry alone"
        assert await database.read(signed_by, kept, [open_key(recorder.disk, ORIGIN).public]) == 0
        assert await database.read(signed_by, kept, []) == 0
        another = old.sign(Head(ORIGIN, 23, bytes(32)))
        assert await database.read(signed_by, [another], [old.public]) == 21, "of another history than this one"


async def test_i2_a_later_head_does_not_prove_what_no_key_answered_for(recorder: Recorder) -> None:
    """The index is lost with the key, and then lost again: the new key signed all of it, but saw none of it made."""
    await recorder.run(20)
    lose_key(recorder)
    for _ in range(2):
        os.unlink(recorder.path / "index.db")
        async with recorder.started() as (database, back, _):
            assert back is not None
            ranges = await database.read(rebuilding.restored_ranges)
            assert [rebuilding.proven(ranges, seq) for seq in (1, 20, 21)] == [False] * 3
            await grow(database, 3)
            size = await database.read(tree.size)
            assert rebuilding.proven(ranges, size), "what this index made itself is its own"
    os.unlink(recorder.path / "index.db")
    async with recorder.started() as (database, _, _):
        ranges = await database.read(rebuilding.restored_ranges)
        assert [rebuilding.proven(ranges, seq) for seq in (1, 21, size)] == [False, False, True]
        await database.write(rebuilding.believe, 21)
        ranges = await database.read(rebuilding.restored_ranges)
        assert all(rebuilding.proven(ranges, seq) for seq in range(1, size + 1))
