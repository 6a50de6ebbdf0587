"""The immutable attribute of held files on a real ext4: set and cleared with the holds, whatever crashes in between."""

import errno
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.base.clock import HOUR
from edged.base.immutable import is_immutable, set_immutable
from edged.retain.evidence import Evidence
from edged.retain.held_list import to_link_by_hold
from edged.retain.holds import HoldExtension
from edged.retain.locks import kept_as
from edged.retain.sidecar import HELD
from tests.disks.conftest import need_disks, need_immutable
from tests.disks.loop import LoopDisk
from tests.retaining import START_US, House, house

DAYS_40 = 40 * 86_400


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[Path]:
    """The volume of a house in `tmp_path`; no file on it is immutable at the end."""
    need_disks()
    with LoopDisk(tmp_path, "disk-0") as disk:
        try:
            need_immutable(disk.path / "lost+found")
            yield disk.path
        finally:
            for file in disk.path.rglob("*.mp4"):
                set_immutable(file, False)


def evidence(box: House, *, immutable: bool = True) -> Evidence:
    return Evidence(box.database, box.clock, box.volumes, immutable=immutable)


def link(box: House, hold: str, file: Path) -> Path:
    volume = box.volumes[0].volume.path
    return volume / HELD / hold / file.relative_to(volume)


async def test_i2_not_even_root_removes_what_is_held(ext4: Path, tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        held = box.file(await box.record("cam-a"))
        free = box.file(await box.record("cam-a", START_US + 2 * HOUR))
        hold = await box.hold("cam-a", start_us=0, end_us=START_US + HOUR)
        keeper = evidence(box)
        await keeper.keep_step()
        removed = subprocess.run(["rm", "-rf", ext4 / "segments", ext4 / HELD], capture_output=True, check=False)
        assert removed.returncode != 0
        assert held.samefile(link(box, hold.id, held))
        assert not free.exists()
        with pytest.raises(PermissionError):
            held.open("ab")
        assert kept_as(0, keeper.locks.values()) == "immutable"


async def test_i2_what_two_holds_name_stays_immutable_until_both_are_released(ext4: Path, tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        await box.camera("cam-b")
        key, keeper = await box.record("cam-a"), evidence(box)
        other = box.file(await box.record("cam-b"))
        file = box.file(key)
        first = await box.hold("cam-a", start_us=0)
        await keeper.keep_step()
        second = await box.hold("cam-a", start_us=0)
        await box.holds.extend(second.id, HoldExtension(cameras=("cam-b",), document="letter-2", by="person-a"))
        await keeper.keep_step()
        assert [link(box, hold.id, file).samefile(file) for hold in (first, second)] == [True, True]
        assert is_immutable(file)
        assert is_immutable(other)
        await box.release(first.id)
        await keeper.keep_step()
        assert not link(box, first.id, file).exists()
        assert is_immutable(file)
        await box.holds.release(second.id, "person-b")
        await keeper.keep_step()
        assert is_immutable(file), "one person's release changes nothing"
        await box.holds.release(second.id, "person-c")
        await keeper.keep_step()
        assert not is_immutable(file)
        assert not (ext4 / HELD / second.id).exists()


async def test_i3_the_sweep_deletes_what_is_released_and_waits_for_its_attribute(ext4: Path, tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        key, keeper = await box.record("cam-a"), evidence(box)
        hold = await box.hold("cam-a", start_us=0)
        await keeper.keep_step()
        box.clock.advance(DAYS_40)
        assert (await box.one_pass()).erased == 0
        await box.release(hold.id)
        between = await box.one_pass()  # before the evidence has noticed
        assert (between.erased, [*between.failed.values()]) == (
            0,
            ["it is immutable, as held evidence is until its holds are released"],
        )
        await keeper.keep_step()
        assert (await box.one_pass()).erased == 1
        assert not box.file(key).exists()
        assert not (ext4 / HELD / hold.id).exists()


async def test_i2_a_file_whose_link_alone_is_left_is_put_back_and_is_free_then(ext4: Path, tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        key, keeper = await box.record("cam-a"), evidence(box)
        hold = await box.hold("cam-a", start_us=0)
        await evidence(box, immutable=False).keep_step()
        box.file(key).unlink()  # a stray rm, before the attribute was wanted
        await keeper.keep_step()
        assert is_immutable(link(box, hold.id, box.file(key)))
        await box.release(hold.id)
        await keeper.keep_step()
        assert not is_immutable(box.file(key))


async def test_a_start_with_another_configuration_sets_or_clears_what_was(ext4: Path, tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        file = box.file(await box.record("cam-a"))
        await box.hold("cam-a", start_us=0)
        for wanted in (False, True, False, True):
            await evidence(box, immutable=wanted).keep_step()
            assert is_immutable(file) is wanted


async def test_a_segment_with_its_working_name_still_is_locked_once_that_is_gone(ext4: Path, tmp_path: Path) -> None:
    """The recorder's recovery writes the journal first and removes the working name last."""
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        file, keeper = box.file(await box.record("cam-a")), evidence(box)
        working = file.with_name(f"{file.name}.part")
        os.link(file, working)
        await box.hold("cam-a", start_us=0)
        await keeper.keep_step()
        assert kept_as(0, keeper.locks.values()) == "linked, 1 not yet immutable"
        working.unlink()
        await keeper.keep_step()
        assert is_immutable(file)
        assert kept_as(0, keeper.locks.values()) == "immutable"


async def test_i2_a_crash_at_any_step_is_set_right_by_the_next_start(ext4: Path, tmp_path: Path) -> None:
    """I2, I3: placing a second hold, releasing the first, releasing both; killed before every act on a file or row."""
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        file = box.file(await box.record("cam-a"))
        killed, acts = [0, 0, 0], 0
        died = True
        while died:
            acts += 1
            died = False
            first = await box.hold("cam-a", start_us=0)
            await evidence(box).keep_step()
            second = await box.hold("cam-a", start_us=0)
            for act, held_by in enumerate(({first.id, second.id}, {second.id}, set())):
                for hold in ({first.id, second.id} - held_by) if act else ():
                    if (await box.sql("SELECT released_us FROM hold WHERE id = ?", hold))[0][0] is None:
                        await box.release(hold)
                code = subprocess.run(
                    [sys.executable, "-m", "tests.disks.evidence_step", str(tmp_path), str(acts)], check=False
                ).returncode
                assert code in (0, -9)
                died |= code != 0
                killed[act] += code != 0
                assert file.exists()
                await evidence(box).keep_step()  # the next start
                assert {one.name for one in (ext4 / HELD).iterdir()} == held_by, (acts, act)
                assert all(link(box, hold, file).samefile(file) for hold in held_by), (acts, act)
                assert is_immutable(file) is bool(held_by), (acts, act)
                assert await box.sql("SELECT * FROM held_due") == []
        assert min(killed) >= 6, killed
        box.clock.advance(DAYS_40)
        assert (await box.one_pass()).erased == 1


async def test_i2_a_link_that_cannot_be_made_or_removed_leaves_the_file_immutable(ext4: Path, tmp_path: Path) -> None:
    """An immutable folder stands for what can go wrong between unlocking a file and locking it again."""
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        file, keeper = box.file(await box.record("cam-a")), evidence(box)
        first = await box.hold("cam-a", start_us=0)
        await keeper.keep_step()
        second = await box.hold("cam-a", start_us=0)
        stuck = link(box, second.id, file).parent
        stuck.mkdir(parents=True)
        set_immutable(stuck, True)
        try:
            await keeper.keep_step()
            assert (is_immutable(file), list(stuck.iterdir())) == (True, [])
        finally:
            set_immutable(stuck, False)
        await keeper.keep_step()
        assert (is_immutable(file), link(box, second.id, file).samefile(file)) == (True, True)
        await box.release(first.id)
        stuck = link(box, first.id, file).parent
        set_immutable(stuck, True)
        try:
            await keeper.keep_step()
            assert (is_immutable(file), len(list(stuck.iterdir()))) == (True, 1)
        finally:
            set_immutable(stuck, False)
        await keeper.keep_step()
        assert (is_immutable(file), stuck.exists()) == (True, False)


async def test_i2_where_the_file_system_knows_no_attribute_the_hold_has_its_links(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    need_disks()
    path = tmp_path / "disk-0"
    path.mkdir()
    subprocess.run(["mount", "-t", "ramfs", "ramfs", path], check=True)
    try:
        async with house(tmp_path) as box:
            await box.camera("cam-a")
            files = [box.file(await box.record("cam-a")), box.file(await box.record("cam-a", START_US + HOUR))]
            hold, keeper = await box.hold("cam-a", start_us=0), evidence(box)
            with caplog.at_level(logging.WARNING):
                for _ in range(3):
                    await keeper.keep_step()
            assert all(link(box, hold.id, file).samefile(file) for file in files)
            assert caplog.text.count("cannot be made immutable") == 1
            assert keeper.locks["disk-0"].refused == os.strerror(errno.ENOTTY)
            assert kept_as(0, keeper.locks.values()) == "linked"
            await box.release(hold.id)
            await keeper.keep_step()
            assert not (path / HELD / hold.id).exists()
    finally:
        subprocess.run(["umount", path], check=True)


async def test_i2_without_the_capability_it_is_said_and_nothing_else_suffers(ext4: Path, tmp_path: Path) -> None:
    """Also with a file that was made immutable while there was the capability: it stays, and waits for its new link."""
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        old = box.file(await box.record("cam-a"))
        first = await box.hold("cam-a", start_us=0)
        await evidence(box).keep_step()
        second = await box.hold("cam-a", start_us=0)
        new = box.file(await box.record("cam-a", START_US + HOUR))
        step = [sys.executable, "-m", "tests.disks.evidence_step", str(tmp_path), "0"]
        without = ["setpriv", "--bounding-set=-linux_immutable", *step]
        done = subprocess.run(without, capture_output=True, text=True, check=True)
        assert "volume disk-0: held files cannot be made immutable (Operation not permitted)" in done.stderr
        assert "is immutable and edged may not change that: give it CAP_LINUX_IMMUTABLE" in done.stderr
        assert [link(box, hold.id, new).exists() for hold in (first, second)] == [True, True]
        assert not is_immutable(new)
        assert is_immutable(old)
        assert await box.database.read(to_link_by_hold) == {second.id: 1}
        await evidence(box).keep_step()  # started with the capability again
        assert await box.database.read(to_link_by_hold) == {}
        assert link(box, second.id, old).samefile(old)
        assert is_immutable(new)
