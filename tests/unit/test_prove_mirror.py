"""The ledger's copies: equal to the index after whatever happened to them, and what differed is kept as evidence."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from edged.archive.ledger import LedgerKind, append, lines
from edged.archive.volumes import Volume
from edged.base.files import replace_file
from edged.prove import mirror_files
from edged.prove.mirror import REREAD_S, Mirror
from edged.prove.mirror_files import Content, MirrorFolder
from edged.prove.mirror_seen import Seen, remember, seen
from edged.prove.offline import check_mirror
from tests.proving import Box, box, spoil


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Box]:
    async with box(tmp_path, volumes=2) as built:
        yield built


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "disk-0" / "ledger" / "nvr"


@pytest.fixture
def file(folder: Path) -> Path:
    return folder / "000000000001.ndjson"


async def grow(site: Box, count: int) -> None:
    for number in range(count):
        await site.house.database.write(append, number, LedgerKind.DAEMON_START, {"n": number})


async def follow(site: Box) -> list[str]:
    """Let every copy catch up; returns why each does not."""
    for mirror in site.proofs.mirrors:
        await mirror.catch_up()
    return [mirror.behind for mirror in site.proofs.mirrors]


async def logged(site: Box) -> bytes:
    return b"".join(line + b"\n" for line in await site.house.database.read(lines, 0, 10**6))


def again(site: Box) -> None:
    """As after a restart: what the process knew of the files is forgotten."""
    fresh = []
    for mirror in site.proofs.mirrors:
        mirror.close()
        fresh.append(Mirror(site.house.database, site.house.clock, mirror.volume, "nvr", site.proofs.key))
    site.proofs.mirrors = fresh


async def test_a_copy_is_not_blamed_for_what_is_logged_while_it_is_checked(
    site: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry that comes after the first copy has followed, as on a box at work."""
    await grow(site, 5)
    first = site.proofs.mirrors[0]
    follows = first.catch_up

    async def and_then_something_happens() -> None:
        await follows()
        await grow(site, 1)

    monkeypatch.setattr(first, "catch_up", and_then_something_happens)
    assert (await site.proofs.verify()).problems == []


async def test_every_volume_has_all_of_it(site: Box, tmp_path: Path) -> None:
    await grow(site, 30)
    await site.proofs.finish()
    for disk in ("disk-0", "disk-1"):
        copy = tmp_path / disk / "ledger" / "nvr"
        assert (copy / "000000000001.ndjson").read_bytes() == await logged(site)
        check = check_mirror(copy, site.proofs.key.pem.encode())
        assert (check.problems, check.head and check.head.size) == ([], check.entries)
    assert (await site.proofs.verify()).problems == []


async def test_files_are_of_a_fixed_number_of_lines(site: Box, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("edged.prove.mirror", "edged.prove.mirror_files", "edged.prove.offline"):
        monkeypatch.setattr(f"{module}.LINES", 16)
    monkeypatch.setattr("edged.prove.mirror.HEIGHT", 4)
    await grow(site, 50)
    await site.proofs.finish()
    assert sorted(path.name for path in folder.glob("*.ndjson")) == [
        f"{first:012d}.ndjson" for first in (1, 17, 33, 49)
    ]
    again(site)
    assert await follow(site) == ["", ""]
    assert (await site.proofs.verify()).problems == []
    assert check_mirror(folder).problems == []
    spoil(folder / "000000000017.ndjson", 30)
    assert check_mirror(folder).problems
    again(site)
    await follow(site)
    assert [body["first"] for body in await site.told("mirror_replaced")] == [17]
    (folder / "000000000033.ndjson").unlink()
    assert check_mirror(folder).problems[:1] == ["entries 33 to 48 are missing"]
    assert mirror_files.LINES == 16


@pytest.mark.parametrize("at", [3, -40])
async def test_an_edited_copy_is_kept_as_evidence_and_written_anew(
    site: Box, folder: Path, file: Path, at: int
) -> None:
    await grow(site, 10)
    await site.proofs.finish()
    spoil(file, at)
    edited = file.read_bytes()
    assert any("disk-0" in problem for problem in (await site.proofs.verify()).problems)
    assert check_mirror(folder).problems
    again(site)
    assert await follow(site) == ["", ""]
    aside = folder / "000000000001.differs-1"
    assert aside.read_bytes() == edited
    (told,) = await site.told("mirror_replaced")
    assert (told["volume"], told["kept_as"]) == ("disk-0", aside.name)
    await follow(site)
    assert file.read_bytes() == await logged(site)


@pytest.mark.parametrize("keep", [0, 1, 100, 101, 150])
async def test_i7_a_copy_cut_anywhere_is_completed(site: Box, file: Path, keep: int) -> None:
    """A crash may cut the file at any byte, and a power cut may leave zeroes behind it."""
    await grow(site, 10)
    await site.proofs.finish()
    whole = file.read_bytes()
    for zeroes in (b"", bytes(70)):
        file.write_bytes(whole[: len(whole) - keep] + (zeroes if whole[: len(whole) - keep][-1:] != b"\n" else b""))
        again(site)
        assert await follow(site) == ["", ""]
        assert file.read_bytes() == whole
    assert await site.told("mirror_replaced") == []


async def test_a_truncated_copy_is_reported(site: Box, folder: Path, file: Path) -> None:
    await grow(site, 10)
    await site.proofs.finish()
    whole = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(whole[:-4]))
    assert [p for p in check_mirror(folder).problems if "only" in p]
    problems = await site.proofs.mirrors[0].problems(len(whole))
    assert problems == [f"its copy of the ledger ends after {len(whole) - 4} of {len(whole)} entries"]


async def test_a_copy_with_more_than_the_index_is_set_aside_not_followed(site: Box, folder: Path, file: Path) -> None:
    await grow(site, 4)
    await site.proofs.finish()
    with file.open("ab") as appended:
        appended.write(b'{"at_us":1,"body":{},"kind":"daemon_stop","seq":99}\n')
    again(site)
    await follow(site)
    assert (folder / "000000000001.differs-1").exists()
    await follow(site)
    assert file.read_bytes() == await logged(site)


async def test_a_copy_changed_while_edged_runs_is_noticed_at_the_next_entry(site: Box, file: Path) -> None:
    await grow(site, 4)
    await follow(site)
    file.write_bytes(file.read_bytes()[:50])
    await grow(site, 1)
    assert "cannot be written" in (await follow(site))[0]
    assert await follow(site) == ["", ""]
    assert file.read_bytes() == await logged(site)


async def test_a_volume_that_is_away_catches_up_later(site: Box, tmp_path: Path) -> None:
    disk = tmp_path / "disk-0"
    await grow(site, 3)
    await follow(site)
    os.rename(disk, tmp_path / "pulled")
    disk.mkdir()
    await grow(site, 3)
    behind = await follow(site)
    assert "VOLUME.json is missing" in behind[0]
    assert behind[1] == ""
    assert site.proofs.behind() == (site.proofs.mirrors[0].volume.id,)
    assert list(disk.iterdir()) == [], "nothing is written to what is not the volume"
    assert any("disk-0" in problem for problem in (await site.proofs.verify()).problems)
    disk.rmdir()
    os.rename(tmp_path / "pulled", disk)
    assert await follow(site) == ["", ""]
    assert (disk / "ledger/nvr/000000000001.ndjson").read_bytes() == await logged(site)


async def test_a_full_disk_says_so_and_is_followed_again(
    site: Box, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await grow(site, 3)

    def full(self: MirrorFolder, number: int, told: list[bytes], at: int) -> int:
        with self.file(number).open("ab") as appended:
            appended.write(told[0][:10])  # part of it fits
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    await follow(site)
    await grow(site, 2)
    monkeypatch.setattr(MirrorFolder, "append", full)
    assert ["No space" in why for why in await follow(site)] == [True, True]
    monkeypatch.undo()
    assert await follow(site) == ["", ""]
    assert file.read_bytes() == await logged(site)


async def test_a_fenced_volume_is_left_alone(site: Box, tmp_path: Path) -> None:
    path = tmp_path / "fenced"
    path.mkdir()
    mirror = Mirror(site.house.database, site.house.clock, Volume("d", 0, "", path, "why"), "nvr", site.proofs.key)
    await mirror.catch_up()
    mirror.close()
    assert (mirror.behind, list(path.iterdir())) == ("why", [])


async def test_it_follows_by_itself(site: Box, file: Path) -> None:
    async def until_equal() -> None:
        while not file.exists() or file.read_bytes() != await logged(site):
            site.house.clock.advance(1)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        running = group.create_task(site.proofs.run())
        await asyncio.wait_for(until_equal(), 20)
        await grow(site, 5)
        await asyncio.wait_for(until_equal(), 20)
        running.cancel()


@pytest.mark.parametrize(
    ("trigger", "change"),
    [
        ("ledger_fixed", "UPDATE ledger SET body = '{}' WHERE seq = 20"),
        ("ledger_fixed", "UPDATE ledger SET at_us = at_us + 1 WHERE seq = 20"),
        ("ledger_fixed", "UPDATE ledger SET kind = 'daemon_stop' WHERE seq = 20"),
        ("ledger_fixed", "UPDATE ledger SET leaf = zeroblob(32) WHERE seq = 20"),
        ("ledger_kept", "DELETE FROM ledger WHERE seq = 20"),
        ("ledger_kept", "DELETE FROM ledger WHERE seq > 20"),
        ("ledger_node_fixed", "UPDATE ledger_node SET hash = zeroblob(32) WHERE number = 1"),
        ("ledger_node_kept", "DELETE FROM ledger_node WHERE number = 1"),
        ("ledger_checkpoint_fixed", "UPDATE ledger_checkpoint SET note = replace(note, 'test-site', 'test-sitf')"),
    ],
)
async def test_i3_a_change_behind_the_guards_back_is_found(site: Box, trigger: str, change: str) -> None:
    await grow(site, 40)
    await site.proofs.finish()
    assert (await site.proofs.verify()).problems == []
    await site.house.sql("PRAGMA defer_foreign_keys = ON")
    await site.house.sql(f"DROP TRIGGER {trigger}")
    await site.house.sql(change)
    assert (await site.proofs.verify()).problems


def test_a_mirror_without_a_head_or_with_another_key_says_so(tmp_path: Path) -> None:
    (tmp_path / "ledger" / "nvr").mkdir(parents=True)
    replace_file(tmp_path / "ledger" / "nvr" / "000000000001.ndjson", b"rubbish\n")
    problems = check_mirror(tmp_path / "ledger" / "nvr").problems
    assert len(problems) == 2
    assert problems[1] == "entry 1 is not there"


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files of sixteen lines; returns the names of those that are read from now on."""
    read: list[str] = []
    whole = MirrorFolder.read

    def noted(self: MirrorFolder, number: int) -> Content:
        if self.file(number).exists():
            read.append(f"{self.path.parent.parent.name}/{self.file(number).name}")
        return whole(self, number)

    for module in ("edged.prove.mirror", "edged.prove.mirror_files", "edged.prove.offline"):
        monkeypatch.setattr(f"{module}.LINES", 16)
    monkeypatch.setattr("edged.prove.mirror.HEIGHT", 4)
    monkeypatch.setattr(MirrorFolder, "read", noted)
    return read


async def test_a_start_reads_the_newest_file_of_each_copy_and_no_other(site: Box, short: list[str]) -> None:
    await grow(site, 100)
    await site.proofs.finish()
    for _ in range(2):
        again(site)
        short.clear()
        assert await follow(site) == ["", ""]
        assert short == ["disk-0/000000000097.ndjson", "disk-1/000000000097.ndjson"]
    assert (await site.proofs.verify()).problems == [], "whoever asks has all of it read"
    assert len(short) > 10


def rewritten(file: Path) -> None:
    """Other content of the same length, under the date of before."""
    at = os.stat(file)
    spoil(file, 30)
    os.utime(file, ns=(at.st_atime_ns, at.st_mtime_ns))


def replaced(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[30] ^= 1
    replace_file(file, bytes(content))


def cut(file: Path) -> None:
    os.truncate(file, 50)


@pytest.mark.parametrize("harm", [rewritten, replaced, cut, Path.unlink])
async def test_a_full_file_changed_while_edged_was_away_is_found_at_the_next_start(
    site: Box, folder: Path, short: list[str], harm: Callable[[Path], None]
) -> None:
    await grow(site, 60)
    await site.proofs.finish()
    whole = (folder / "000000000017.ndjson").read_bytes()
    harm(folder / "000000000017.ndjson")
    again(site)
    short.clear()
    assert await follow(site) == ["", ""]
    assert short.count("disk-0/000000000033.ndjson") == 0, "its neighbours are not read for it"
    assert (folder / "000000000017.ndjson").read_bytes() == whole
    if harm in (rewritten, replaced):
        assert [body["first"] for body in await site.told("mirror_replaced")] == [17]


async def test_what_no_date_shows_is_found_when_the_file_is_read_again(
    site: Box, folder: Path, short: list[str]
) -> None:
    """A disk that loses bits changes no date. Each file has its turn within the time, and one alone at once."""
    await grow(site, 60)
    await site.proofs.finish()
    file = folder / "000000000017.ndjson"
    whole = file.read_bytes()
    spoil(file, 30)
    mirror = site.proofs.mirrors[0]
    looks = await site.house.database.read(seen, mirror.volume.no)
    now = MirrorFolder(folder.parent.parent, "nvr").looks(1)
    assert now is not None
    await site.house.database.write(remember, mirror.volume.no, 1, Seen(now, looks[1].read_us))
    again(site)
    assert await follow(site) == ["", ""]
    mirror = site.proofs.mirrors[0]
    assert not await mirror.reread(), "nothing is due yet"
    site.house.clock.advance(REREAD_S + 1)
    short.clear()
    while await mirror.reread():
        pass
    assert set(short) == {f"disk-0/{first:012d}.ndjson" for first in (1, 17, 33, 49)}
    assert [body["first"] for body in await site.told("mirror_replaced")] == [17]
    assert not file.exists(), "it is kept under another name"
    assert await follow(site) == ["", ""]
    assert file.read_bytes() == whole
    assert not await mirror.reread()
