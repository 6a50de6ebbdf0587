"""I2 on the disk: held files have a second name, each hold a file of its own, and both outlive a lost index."""

import json
from pathlib import Path

import pytest

from edged.archive import roster
from edged.archive.database import Database
from edged.archive.ledger import LedgerKind
from edged.archive.schema import DOOMED
from edged.archive.segments import SegmentKey
from edged.archive.volumes import open_volumes
from edged.base.clock import DAY, HOUR, MINUTE
from edged.retain import held_list
from edged.retain.doom import Grounds, doom_due
from edged.retain.evidence import Evidence
from edged.retain.held_list import list_held
from edged.retain.holds import BadHold, HoldExtension, list_holds
from edged.retain.sidecar import HELD, SIDECAR, restore_holds, sidecar
from tests.retaining import START_US, House, house


def evidence(box: House) -> Evidence:
    return Evidence(box.database, box.clock, box.volumes)


def link(box: House, hold: str, key: SegmentKey, volume: int = 0) -> Path:
    file = box.file(key, volume)
    return box.volumes[volume].volume.path / HELD / hold / file.relative_to(box.volumes[volume].volume.path)


async def test_i2_what_a_hold_covers_has_a_second_name_on_its_own_volume(tmp_path: Path) -> None:
    async with house(tmp_path, volumes=2) as box:
        await box.camera("cam-a")
        before = await box.record("cam-a", START_US - DAY)
        first, second = await box.record("cam-a"), await box.record("cam-a", START_US + MINUTE, volume=1)
        hold = await box.hold("cam-a", start_us=START_US - MINUTE, end_us=START_US + HOUR)
        await evidence(box).keep_step()
        assert link(box, hold.id, first).samefile(box.file(first))
        assert link(box, hold.id, second, 1).samefile(box.file(second, 1))
        assert not link(box, hold.id, before).exists()
        for volume in (0, 1):
            told = json.loads((box.volumes[volume].volume.path / HELD / hold.id / SIDECAR).read_bytes())
            assert (told["hold"], told["cameras"], told["case"]) == (hold.id, ["cam-a"], "case-1")


async def test_i2_an_old_index_learns_from_the_volume_what_a_hold_was_extended_to(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        for camera in ("cam-a", "cam-b"):
            await box.camera(camera)
        hold = await box.hold("cam-a", start_us=START_US, end_us=START_US + HOUR)
        before = sidecar(hold)
        wider = HoldExtension(start_us=START_US - HOUR, open_end=True, cameras=("cam-b",), document="letter-2", by="a")
        extended = await box.holds.extend(hold.id, wider)
        await evidence(box).keep_step()
        volume = box.volumes[0].volume
        old = Database(tmp_path / "old.sqlite")
        try:
            (volume,) = await old.write(open_volumes, [(volume.id, volume.path)], START_US)
            (told,) = (volume.path / HELD).glob("*/hold.json")
            content = told.read_bytes()
            told.write_bytes(before)
            assert await old.write(restore_holds, [volume], START_US) == 1
            told.write_bytes(content)
            assert await old.write(restore_holds, [volume], START_US) == 1
            (found,) = await old.read(list_holds, False)
            assert (found.start_us, found.end_us, found.cameras) == (START_US - HOUR, None, extended.cameras)
            assert await old.write(restore_holds, [volume], START_US) == 0
            told.write_bytes(before)
            assert await old.write(restore_holds, [volume], START_US) == 0, "a hold never shrinks"
        finally:
            old.close()


async def test_i2_a_hold_learned_from_its_file_keeps_its_reminder_and_needs_none(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        hold = await box.hold("cam-a", start_us=START_US)
        reminder = HoldExtension(remind_us=START_US + DAY, document="letter-2", by="person-a")
        told = sidecar(await box.holds.extend(hold.id, reminder))
        volume = box.volumes[0].volume
        file = volume.path / HELD / hold.id / SIDECAR
        file.parent.mkdir(parents=True)
        without = {name: value for name, value in json.loads(told).items() if name != "remind_us"}
        for number, (content, wanted) in enumerate(((told, START_US + DAY), (json.dumps(without).encode(), None))):
            file.write_bytes(content)
            index = Database(tmp_path / f"{number}.sqlite")
            try:
                (known,) = await index.write(open_volumes, [(volume.id, volume.path)], START_US)
                assert await index.write(restore_holds, [known], START_US) == 1
                (found,) = await index.read(list_holds, False)
                assert found.remind_us == wanted
                assert [found.reminds(START_US + DAY + at) for at in (-1, 0)] == [False, wanted is not None]
            finally:
                index.close()


async def test_i2_footage_that_comes_later_is_linked_when_it_comes(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        keeper = evidence(box)
        hold = await box.hold("cam-a", start_us=START_US, end_us=START_US + HOUR)
        await keeper.keep_step()
        inside = await box.record("cam-a", START_US + 5 * MINUTE)
        outside = await box.record("cam-a", START_US + 2 * HOUR)
        await keeper.keep_step()
        assert link(box, hold.id, inside).exists()
        assert not link(box, hold.id, outside).exists()
        await box.holds.extend(hold.id, HoldExtension(open_end=True, document="letter-2", by="person-a"))
        await keeper.keep_step()
        assert link(box, hold.id, outside).samefile(box.file(outside))
        assert json.loads((box.volumes[0].volume.path / HELD / hold.id / SIDECAR).read_bytes())["end_us"] is None
        assert await box.sql("SELECT * FROM held_due") == []


async def test_i2_the_links_go_only_when_two_people_have_released(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        keeper, key = evidence(box), await box.record("cam-a")
        hold = await box.hold("cam-a", start_us=0)
        await keeper.keep_step()
        await box.holds.release(hold.id, "person-b")
        await keeper.keep_step()
        assert link(box, hold.id, key).exists()
        await box.holds.release(hold.id, "person-c")
        await keeper.keep_step()
        assert not (box.volumes[0].volume.path / HELD / hold.id).exists()
        assert box.file(key).exists()


async def test_i1_a_file_that_only_its_link_has_saved_is_put_back_at_the_release(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        keeper, key = evidence(box), await box.record("cam-a")
        hold = await box.hold("cam-a", start_us=0)
        await keeper.keep_step()
        content = box.file(key).read_bytes()
        box.file(key).unlink()  # a stray rm
        await box.release(hold.id)
        await keeper.keep_step()
        assert box.file(key).read_bytes() == content
        assert not link(box, hold.id, key).exists()


async def test_footage_deleted_after_the_release_leaves_no_second_name(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        keeper, key = evidence(box), await box.record("cam-a")
        hold = await box.hold("cam-a", start_us=0)
        await keeper.keep_step()
        box.clock.advance(40 * 86_400)
        assert (await box.one_pass()).erased == 0
        await box.release(hold.id)
        assert (await box.one_pass()).erased == 1
        await keeper.keep_step()
        assert not link(box, hold.id, key).exists()
        assert not box.file(key).exists()


async def test_i2_a_lost_index_learns_its_holds_from_the_volumes(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        hold = await box.hold("cam-a", start_us=START_US, end_us=START_US + HOUR)
        await box.holds.release(hold.id, "person-b")
        await evidence(box).keep_step()
        fresh = Database(tmp_path / "fresh.sqlite")
        try:
            configured = [(box.volumes[0].volume.id, box.volumes[0].volume.path)]
            volumes = await fresh.write(open_volumes, configured, START_US)
            assert await fresh.write(restore_holds, volumes, START_US) == 1
            (back,) = await fresh.read(list_holds, False)
            assert (back.id, back.cameras, back.start_us, back.end_us) == (
                hold.id,
                hold.cameras,
                hold.start_us,
                hold.end_us,
            )
            assert back.release1_by is None
            assert await fresh.write(restore_holds, volumes, START_US) == 0
        finally:
            fresh.close()


@pytest.mark.parametrize("content", [b"", b"{", b'{"v": 2}', b"[]"])
async def test_a_sidecar_that_cannot_be_understood_is_said_and_left(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with house(tmp_path) as box:
        folder = box.volumes[0].volume.path / HELD / "hold-7"
        folder.mkdir(parents=True)
        (folder / SIDECAR).write_bytes(content)
        assert await box.database.write(restore_holds, [box.volumes[0].volume], START_US) == 0
        assert "hold-7 cannot be understood" in caplog.text
        assert (folder / SIDECAR).exists()


async def test_an_extension_spares_what_is_doomed_and_enters_the_ledger(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        await box.camera("cam-b")
        key = await box.record("cam-b")
        hold = await box.hold("cam-a", start_us=START_US - HOUR, end_us=START_US)
        box.clock.advance(40 * 86_400)
        await box.tick()
        grounds = Grounds(law=box.law, clock_trusted=True, proven=frozenset({"disk-0"}))
        await box.database.write(doom_due, "cam-b", 0, grounds, 100, box.clock.wall_us())
        row = await box.row(key)
        assert row is not None
        assert row.state == DOOMED
        wider = await box.holds.extend(
            hold.id, HoldExtension(end_us=START_US + HOUR, cameras=("cam-b",), document="letter-2", by="person-a")
        )
        assert wider.cameras == ("cam-a", "cam-b")
        assert (await box.one_pass()).erased == 0
        assert box.file(key).exists()
        (entry,) = await box.told(LedgerKind.HOLD_EXTENDED)
        assert (entry.body["document"], entry.body["end_us"]) == ("letter-2", START_US + HOUR)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"start_us": START_US + 1}, "would cover less"),
        ({"end_us": START_US + 1}, "would cover less"),
        ({}, "covers that already"),
        ({"cameras": ("cam-z",)}, "no camera cam-z"),
        ({"open_end": True, "by": " "}, "by is empty"),
    ],
)
async def test_i2_an_extension_never_takes_away(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        hold = await box.hold("cam-a", start_us=START_US, end_us=START_US + HOUR)
        fields: dict[str, object] = {"document": "letter-2", "by": "person-a"}
        with pytest.raises(BadHold, match=said):
            await box.holds.extend(hold.id, HoldExtension(**(fields | changes)))  # type: ignore[arg-type]
        assert await box.holds.list() == [hold]


async def test_i2_what_one_person_has_released_is_not_extended(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        hold = await box.hold("cam-a", start_us=START_US, end_us=START_US + HOUR)
        await box.holds.release(hold.id, "person-b")
        with pytest.raises(BadHold, match="half released"):
            await box.holds.extend(hold.id, HoldExtension(open_end=True, document="letter-2", by="person-a"))


async def test_i2_a_removed_camera_is_not_adopted_again_while_it_is_held(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        await box.database.write(roster.remove, "cam-a", START_US, "person-a")
        hold = await box.hold("cam-a", start_us=0)
        with pytest.raises(roster.CameraHeld, match=hold.id):
            await box.database.write(roster.adopt, "cam-a", START_US, "person-a")
        await box.release(hold.id)
        await box.database.write(roster.adopt, "cam-a", START_US, "person-a")


async def test_i2_a_long_hold_is_one_note_a_camera_and_listed_in_bounded_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Placing it does not wait for its files to be listed; what is indexed meanwhile is linked too."""
    monkeypatch.setattr(held_list, "PAGE", 3)
    async with house(tmp_path) as box:
        for camera in ("cam-a", "cam-b"):
            await box.camera(camera)
        keys = [await box.record(camera, START_US + n * MINUTE) for n in range(7) for camera in ("cam-a", "cam-b")]
        hold = await box.hold("cam-a", "cam-b", start_us=0)
        assert await box.sql("SELECT * FROM held_due") == []
        assert len(await box.sql("SELECT * FROM held_unlisted")) == 2
        box.clock.advance(40 * 86_400)
        assert (await box.one_pass()).erased == 0, "it protects what is not listed"
        assert await box.database.write(list_held)
        assert len(await box.sql("SELECT * FROM held_due")) == 3
        keys += [await box.record("cam-a", START_US - MINUTE), await box.record("cam-a", START_US + DAY)]
        await evidence(box).keep_step()
        assert all(link(box, hold.id, key).samefile(box.file(key)) for key in keys)
        assert await box.sql("SELECT * FROM held_due") == await box.sql("SELECT * FROM held_unlisted") == []


async def test_i2_an_extension_lists_what_is_new_on_either_side(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        for camera in ("cam-a", "cam-b"):
            await box.camera(camera)
        at = [START_US + n * HOUR for n in range(7)]
        keys = {(camera, n): await box.record(camera, at[n]) for n in range(7) for camera in ("cam-a", "cam-b")}
        hold = await box.hold("cam-a", start_us=at[3], end_us=at[4])
        keeper = evidence(box)
        await keeper.keep_step()
        # A segment ends at its hour.
        wider = HoldExtension(start_us=at[2], end_us=at[5], cameras=("cam-b",), document="letter-2", by="person-a")
        await box.holds.extend(hold.id, wider)
        await keeper.keep_step()
        linked = {key for key in keys if link(box, hold.id, keys[key]).exists()}
        assert linked == {(camera, n) for n in (3, 4, 5) for camera in ("cam-a", "cam-b")}
        await box.holds.extend(hold.id, HoldExtension(open_end=True, document="letter-3", by="person-a"))
        await box.holds.release(hold.id, "person-b")
        await box.holds.release(hold.id, "person-c")
        assert await box.sql("SELECT * FROM held_due") == await box.sql("SELECT * FROM held_unlisted") == []
