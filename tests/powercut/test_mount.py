"""The file system as programs see it: the kernel's calls, cut and mounted again."""

import contextlib
import errno
import fcntl
import itertools
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edged.base.files import make_folder, replace_file, sync_folder
from tests.powercut.powered import PoweredDisk, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"no file system to cut the power of: {missing()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[PoweredDisk]:
    with PoweredDisk(tmp_path) as disk:
        yield disk


def write(path: Path, data: bytes, *, sync: bool) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o640)
    os.write(fd, data)
    if sync:
        os.fsync(fd)
    os.close(fd)


def test_it_is_an_ordinary_file_system_until_the_cut(disk: PoweredDisk) -> None:
    root = disk.path
    data = os.urandom(3_000_001)
    (root / "folder" / "inner").mkdir(parents=True)
    (root / "folder" / "a").write_bytes(data)
    os.link(root / "folder" / "a", root / "b")
    assert (root / "b").stat().st_nlink == 2
    assert (root / "b").stat().st_ino == (root / "folder" / "a").stat().st_ino
    os.rename(root / "b", root / "folder" / "inner" / "c")
    assert (root / "folder" / "inner" / "c").read_bytes() == data
    with (root / "folder" / "a").open("r+b") as file:
        file.seek(10)
        file.write(b"changed")
        file.flush()
        os.ftruncate(file.fileno(), 100)
    assert (root / "folder" / "inner" / "c").read_bytes() == data[:10] + b"changed" + data[17:100]
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == [
        "folder",
        "folder/a",
        "folder/inner",
        "folder/inner/c",
    ]
    os.chmod(root / "folder" / "a", 0o600)
    os.utime(root / "folder" / "a", ns=(5, 1_700_000_000_123_456_789))
    status = (root / "folder" / "a").stat()
    assert (status.st_mode & 0o7777, status.st_mtime_ns) == (0o600, 1_700_000_000_123_456_789)
    (root / "folder" / "a").unlink()
    with pytest.raises(OSError, match="not empty"):
        (root / "folder").rmdir()
    with pytest.raises(FileExistsError):
        os.open(root / "folder" / "inner" / "c", os.O_CREAT | os.O_EXCL)
    with (root / "folder" / "inner" / "c").open("ab") as file:
        file.write(b"end")
    assert (root / "folder" / "inner" / "c").read_bytes().endswith(b"end")


def test_a_folder_of_thousands_of_names_is_listed_whole(disk: PoweredDisk) -> None:
    names = {f"a-rather-long-name-of-a-file-{number:05d}" for number in range(3000)}
    for name in names:
        (disk.path / name).touch()
    assert set(os.listdir(disk.path)) == names


def test_an_orderly_end_keeps_what_nobody_synced(disk: PoweredDisk) -> None:
    (disk.path / "a").write_bytes(b"one")
    os.link(disk.path / "a", disk.path / "b")
    disk.switch_off()
    assert (disk.backing / "a").read_bytes() == b"one"
    assert (disk.backing / "a").stat().st_ino == (disk.backing / "b").stat().st_ino
    disk.switch_on()
    assert (disk.path / "b").read_bytes() == b"one"
    assert (disk.path / "b").stat().st_nlink == 2


def test_a_cut_forgets_what_was_not_synced(disk: PoweredDisk) -> None:
    root = disk.path
    write(root / "whole", b"one", sync=True)
    write(root / "named", b"two", sync=False)
    sync_folder(root)
    write(root / "nameless", b"three", sync=True)
    write(root / "neither", b"four", sync=False)
    disk.cut()
    disk.after_cut()
    assert {path.name: path.read_bytes() for path in root.iterdir()} == {"whole": b"one", "named": b""}


@pytest.mark.parametrize("call", ["fsync", "fdatasync"])
def test_either_sync_of_the_kernel_makes_bytes_durable(disk: PoweredDisk, call: str) -> None:
    fd = os.open(disk.path / "a", os.O_WRONLY | os.O_CREAT)
    sync_folder(disk.path)
    os.write(fd, b"kept")
    getattr(os, call)(fd)
    os.write(fd, b"lost")
    disk.cut()
    with contextlib.suppress(OSError):
        os.close(fd)
    disk.after_cut()
    assert (disk.path / "a").read_bytes() == b"kept"


def test_a_dead_disk_answers_every_call_with_an_error(disk: PoweredDisk) -> None:
    write(disk.path / "a", b"one", sync=True)
    fd = os.open(disk.path / "a", os.O_RDWR)
    disk.cut()
    calls: list[Callable[[], object]] = [
        lambda: os.write(fd, b"x"),
        lambda: os.fsync(fd),
        lambda: os.listdir(disk.path),
        lambda: os.open(disk.path / "b", os.O_CREAT),
        lambda: os.close(fd),
    ]
    for call in calls:
        with pytest.raises(OSError) as refused:
            call()
        assert refused.value.errno == errno.EIO


def test_replacing_a_file_in_the_house_way_leaves_the_old_or_the_new(disk: PoweredDisk) -> None:
    """`replace_file` under a cut at each of its steps: never an empty file, never a mix."""
    path = disk.path / "state" / "number"
    make_folder(path.parent)
    replace_file(path, b"old")
    for steps in range(1, 12):
        disk.cut_after(steps)
        before = path.read_bytes()
        done = False
        with contextlib.suppress(OSError):
            replace_file(path, b"new %d" % steps)
            done = True
        if not disk.is_cut():
            disk.cut()
        disk.after_cut()
        if done:
            assert path.read_bytes() == b"new %d" % steps
        else:
            assert path.read_bytes() in (before, b"new %d" % steps)


def test_every_committed_transaction_of_sqlite_in_wal_mode_outlives_the_cut(disk: PoweredDisk) -> None:
    for turn, steps in enumerate(itertools.chain(range(1, 30, 4), (90, 400))):
        seed = None if turn % 2 else turn
        database = disk.path / f"{turn}.sqlite3"
        disk.cut_after(steps, seed)
        committed = -1
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_autocheckpoint = 8")
            connection.execute("CREATE TABLE fact (number INTEGER PRIMARY KEY, filler BLOB)")
            committed = 0
            for number in range(1, 1000):
                connection.execute("INSERT INTO fact VALUES (?, ?)", (number, bytes(2000)))
                connection.commit()
                committed = number
        assert disk.is_cut(), "the cut came while the database was in use"
        assert committed < 999
        disk.after_cut()
        with contextlib.closing(sqlite3.connect(database)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            if committed >= 0:
                [found] = connection.execute("SELECT count(*) FROM fact").fetchone()
                # The one that the cut fell into may have come through or not.
                assert committed <= found <= committed + 1


def test_two_connections_share_a_database_and_its_memory(disk: PoweredDisk) -> None:
    with (
        contextlib.closing(sqlite3.connect(disk.path / "index")) as writer,
        contextlib.closing(sqlite3.connect(disk.path / "index")) as reader,
    ):
        assert writer.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
        writer.execute("CREATE TABLE fact (number INTEGER)")
        for number in range(50):
            writer.execute("INSERT INTO fact VALUES (?)", (number,))
            writer.commit()
            assert reader.execute("SELECT count(*) FROM fact").fetchone() == (number + 1,)


def test_a_lock_is_held_against_others_and_gone_with_its_holder(disk: PoweredDisk) -> None:
    path = disk.path / "lock"
    holder = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    other = os.open(path, os.O_RDWR)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(holder)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)


def test_a_stalled_disk_answers_late_and_loses_nothing(disk: PoweredDisk) -> None:
    disk.tell("stall", seconds=60)
    written = threading.Thread(target=write, args=(disk.path / "a", b"one"), kwargs={"sync": True})
    written.start()
    written.join(0.3)
    assert written.is_alive(), "the call waits for the disk"
    disk.tell("stall", seconds=0)
    written.join(10)
    assert not written.is_alive()
    assert (disk.path / "a").read_bytes() == b"one"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_failing_disk_refuses_changes_and_can_be_read(disk: PoweredDisk, number: int) -> None:
    (disk.path / "a").write_bytes(b"one")
    disk.tell("fail", errno=number)
    changes: list[Callable[[], object]] = [
        lambda: (disk.path / "b").touch(),
        lambda: (disk.path / "a").unlink(),
        lambda: os.truncate(disk.path / "a", 0),
    ]
    for change in changes:
        with pytest.raises(OSError) as refused:
            change()
        assert refused.value.errno == number
    assert (disk.path / "a").read_bytes() == b"one"
    disk.tell("fail", errno=0)
    (disk.path / "a").unlink()


def test_a_full_disk_says_so(tmp_path: Path) -> None:
    with PoweredDisk(tmp_path, size=1 << 20) as disk:
        before = os.statvfs(disk.path)
        assert before.f_blocks * before.f_frsize == 1 << 20
        with pytest.raises(OSError, match="No space"):
            (disk.path / "a").write_bytes(bytes(2 << 20))
        (disk.path / "a").unlink()
        (disk.path / "c").write_bytes(bytes(1 << 19))
        assert os.statvfs(disk.path).f_bavail <= before.f_bavail // 2


def test_a_cut_falls_at_the_very_step_it_was_ordered_for(disk: PoweredDisk) -> None:
    for number in range(3):
        write(disk.path / f"before-{number}", b"", sync=False)
    disk.cut_after(2)
    fd = os.open(disk.path / "a", os.O_WRONLY | os.O_CREAT)
    assert not disk.is_cut()
    os.write(fd, b"one")
    assert disk.is_cut()
    with contextlib.suppress(OSError):
        os.close(fd)


def test_orders_that_cannot_be_are_refused_in_words(disk: PoweredDisk) -> None:
    with pytest.raises(ValueError, match="no such order: explode"):
        disk.tell("explode")
    with pytest.raises(ValueError, match="steps"):
        disk.tell("cut_after")
    assert not disk.is_cut()


def test_a_signal_ends_it_in_order_and_leaves_no_mount_behind(tmp_path: Path) -> None:
    backing, at, control = tmp_path / "backing", tmp_path / "disk", tmp_path / "control"
    backing.mkdir()
    at.mkdir()
    command = [sys.executable, "-m", "tests.powercut.mount", str(backing), str(at), "--control", str(control)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "mounted\n"
        (at / "a").write_bytes(b"one")
        process.terminate()
        assert process.wait(20) == 0
    assert (backing / "a").read_bytes() == b"one"
    assert str(at) not in Path("/proc/mounts").read_text()
    assert not control.exists()
    assert list(at.iterdir()) == []


def test_a_disk_killed_outright_is_an_error_to_its_users_and_can_be_mounted_again(tmp_path: Path) -> None:
    with PoweredDisk(tmp_path) as disk:
        (disk.path / "a").write_bytes(b"one")
        fd = os.open(disk.path / "a", os.O_RDWR)
        disk.kill()
        with pytest.raises(OSError) as refused:
            os.fsync(fd)
        assert refused.value.errno in (errno.ENOTCONN, errno.ECONNABORTED)
        with contextlib.suppress(OSError):
            os.close(fd)
        disk.switch_on()
        assert os.listdir(disk.path) == []
