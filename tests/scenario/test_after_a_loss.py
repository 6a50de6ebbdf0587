"""What an index that was lost or old must not do before, and must do after, it has been compared with its volumes."""

from pathlib import Path

from edged.archive import rebuilding
from edged.archive.database import Database
from edged.archive.ledger import LedgerKind
from edged.archive.reconcile import reconcile
from edged.archive.schema import DOOMED, MISSING
from edged.archive.volumes import open_volumes
from edged.base.clock import DAY, SECOND
from edged.retain.evidence import Evidence
from edged.retain.sidecar import HELD, SIDECAR, restore_holds
from tests.law_box import World
from tests.retaining import house

PAST_ITS_FLOOR_S = 40 * 86_400


async def test_i1_i2_nothing_is_deleted_before_every_awaited_volume_has_been_read(tmp_path: Path) -> None:
    """A hold or a raised floor may stand on the volume that has not been read yet."""
    async with house(tmp_path, volumes=2) as built:
        await built.camera("cam-a")
        await built.tick()
        key = await built.record("cam-a")
        built.clock.advance(PAST_ITS_FLOOR_S)
        await built.database.write(rebuilding.wait_for, ["disk-0", "disk-1"])
        for left in (["disk-0", "disk-1"], ["disk-1"]):
            assert await built.database.read(rebuilding.awaited) == left
            report = await built.one_pass()
            assert (report.erased, "has not been read and compared" in report.refused) == (0, True)
            assert built.file(key).exists()
            await built.database.write(rebuilding.done_with, [left[0]])
        assert (await built.one_pass()).erased == 1, "past its floor nothing else had kept it"


async def test_i3_what_a_restored_ledger_has_on_record_as_deleted_is_handed_to_the_sweep(tmp_path: Path) -> None:
    """An old copy of the index has rows of files that went lawfully since; without that record they are missing."""
    async with house(tmp_path) as built:
        await built.camera("cam-a")
        await built.tick()
        await built.record("cam-a")
        (old,) = await built.sql("SELECT * FROM segment")
        built.clock.advance(PAST_ITS_FLOOR_S)
        assert (await built.one_pass()).erased == 1
        (entry,) = await built.told(LedgerKind.SEGMENTS_DELETED)
        await built.database.write(rebuilding.note_restored, rebuilding.Restored(1, entry.seq, entry.seq))
        await built.sql(f"INSERT INTO segment VALUES ({', '.join('?' * len(old))})", *old)  # as in the old copy
        await built.record("cam-a")  # this file goes without a record
        volume = built.volumes[0].volume
        for file in (volume.path / "segments").rglob("*.mp4"):
            file.unlink()
        found = await reconcile(built.database, [volume], built.clock)
        assert (found.deleted, found.missing) == (1, 1)
        states = await built.sql("SELECT state FROM segment ORDER BY seq")
        assert [row["state"] for row in states] == [DOOMED, MISSING]
        await built.one_pass()
        assert len(await built.told(LedgerKind.FOOTAGE_MISSING)) == 1


async def test_i2_a_hold_s_file_goes_after_all_that_lies_beside_it(tmp_path: Path) -> None:
    """Taking a released hold's links away does not come to its end; an index lost then still learns of the hold."""
    async with house(tmp_path) as built:
        await built.camera("cam-a")
        await built.tick()
        key = await built.record("cam-a")
        hold = await built.hold("cam-a", start_us=0)
        evidence = Evidence(built.database, built.clock, built.volumes)
        await evidence.keep_step()
        volume = built.volumes[0].volume
        folder = volume.path / HELD / hold.id
        (folder / "letter.pdf").write_bytes(b"laid there by hand")
        await built.release(hold.id)
        await evidence.keep_step()
        assert sorted(path.name for path in folder.iterdir()) == [SIDECAR, "letter.pdf"]
        assert built.file(key).exists()
        fresh = Database(tmp_path / "fresh.sqlite")
        try:
            opened = await fresh.write(open_volumes, [(volume.id, volume.path)], built.clock.wall_us())
            assert await fresh.write(restore_holds, opened, built.clock.wall_us()) == 1
        finally:
            fresh.close()


async def test_i1_a_clock_that_stood_still_while_the_index_was_lost_shortens_no_floor(tmp_path: Path) -> None:
    """A month in the dark; then the box labels footage as if it had not been, until a time service answers."""
    world = World(tmp_path)
    async with world.box() as box:
        await box.sweep()
        await box.house.proofs.finish()
    for file in (tmp_path / "state").glob("index.sqlite3*"):
        file.unlink()
    world.ntp = False
    world.clock.reboot(34 * DAY / SECOND)
    world.clock.step_wall(-34 * DAY / SECOND)
    async with world.box() as box:
        await box.house.catch_up()
        world.clock.advance(600)
        key = await box.record()
        world.clock.advance(600)
        world.ntp = True
        world.clock.step_wall(34 * DAY / SECOND)
        truly_ended_us = world.clock.wall_us() - 600 * SECOND
        await box.sweep()
        row = await box.row(key)
        assert row is not None
        assert row.keep_until_us >= truly_ended_us + 30 * DAY
