"""The rules by which a disk forgets, one test each."""

import errno
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.powercut.disk import SECTOR, Disk, File, Folder, Node


def tree(folder: Folder) -> dict[str, object]:
    """Names to bytes, or to another such tree."""
    return {
        name: tree(node) if isinstance(node, Folder) else bytes(node.live) if isinstance(node, File) else None
        for name, node in folder.live.items()
    }


def left(disk: Disk, seed: int | None = None) -> dict[str, object]:
    return tree(disk.survivors(None if seed is None else random.Random(seed)))


@pytest.fixture
def disk() -> Disk:
    return Disk()


def make(disk: Disk, name: str, data: bytes, folder: Node | None = None) -> File:
    file = disk.create(folder or disk.root, name, 0o640, 1)
    disk.write(file, 0, data, 1)
    return file


def make_durable(disk: Disk, name: str, data: bytes) -> File:
    file = make(disk, name, data)
    disk.sync(file)
    disk.sync(disk.root)
    return file


def test_bytes_and_name_that_were_synced_stay(disk: Disk) -> None:
    make_durable(disk, "a", b"one")
    assert left(disk) == {"a": b"one"}


def test_a_synced_file_whose_folder_was_not_is_gone(disk: Disk) -> None:
    disk.sync(make(disk, "a", b"one"))
    assert left(disk) == {}


def test_a_name_that_was_synced_before_its_bytes_leads_to_an_empty_file(disk: Disk) -> None:
    make(disk, "a", b"one")
    disk.sync(disk.root)
    assert left(disk) == {"a": b""}


def test_bytes_since_the_last_sync_are_gone_and_those_before_stay(disk: Disk) -> None:
    file = make_durable(disk, "a", b"one")
    disk.write(file, 3, b"two", 2)
    assert disk.read(file, 0, 100) == b"onetwo"
    assert disk.unsynced_bytes() == 3
    assert left(disk) == {"a": b"one"}
    disk.sync(file)
    assert left(disk) == {"a": b"onetwo"}
    assert disk.unsynced_bytes() == 0


def test_bytes_written_over_come_back(disk: Disk) -> None:
    file = make_durable(disk, "a", b"one")
    disk.write(file, 0, b"two", 2)
    assert left(disk) == {"a": b"one"}


def test_a_cut_off_end_comes_back_until_it_is_synced(disk: Disk) -> None:
    file = make_durable(disk, "a", b"one")
    disk.resize(file, 1, 2)
    assert disk.read(file, 0, 10) == b"o"
    assert left(disk) == {"a": b"one"}
    disk.sync(file)
    assert left(disk) == {"a": b"o"}


def test_a_hole_reads_as_zeros(disk: Disk) -> None:
    file = make_durable(disk, "a", b"one")
    disk.write(file, 5, b"two", 2)
    disk.resize(file, 10, 2)
    disk.sync(file)
    assert left(disk) == {"a": b"one\0\0two\0\0"}


def test_syncing_one_file_makes_no_other_durable(disk: Disk) -> None:
    first, second = make_durable(disk, "a", b""), make_durable(disk, "b", b"")
    disk.write(first, 0, b"one", 2)
    disk.write(second, 0, b"two", 2)
    disk.sync(first)
    assert left(disk) == {"a": b"one", "b": b""}


def test_an_unlinked_name_is_back_until_its_folder_is_synced(disk: Disk) -> None:
    make_durable(disk, "a", b"one")
    disk.unlink(disk.root, "a", 2)
    with pytest.raises(FileNotFoundError):
        disk.look_up(disk.root, "a")
    assert left(disk) == {"a": b"one"}
    disk.sync(disk.root)
    assert left(disk) == {}


def test_an_unlinked_file_can_still_be_read_by_who_holds_it(disk: Disk) -> None:
    file = make_durable(disk, "a", b"one")
    disk.unlink(disk.root, "a", 2)
    assert disk.read(file, 0, 3) == b"one"
    assert file.links == 0


def test_a_link_is_durable_with_its_folder_and_shares_the_bytes(disk: Disk) -> None:
    file = make_durable(disk, "a", b"one")
    disk.link(file, disk.root, "b", 2)
    assert file.links == 2
    assert left(disk) == {"a": b"one"}
    disk.sync(disk.root)
    kept = disk.survivors()
    assert kept.live["a"] is kept.live["b"]


def test_a_rename_within_a_folder_is_whole_or_not_at_all(disk: Disk) -> None:
    make_durable(disk, "a", b"one")
    disk.rename(disk.root, "a", disk.root, "b", 2)
    assert left(disk) == {"a": b"one"}
    for seed in range(20):
        assert left(disk, seed) in ({"a": b"one"}, {"b": b"one"})
    disk.sync(disk.root)
    assert left(disk) == {"b": b"one"}


def test_a_rename_over_another_file_brings_that_back(disk: Disk) -> None:
    make_durable(disk, "a", b"one")
    make_durable(disk, "b", b"two")
    disk.rename(disk.root, "a", disk.root, "b", 2)
    assert tree(disk.root) == {"b": b"one"}
    assert left(disk) == {"a": b"one", "b": b"two"}


def test_a_rename_that_must_not_replace_refuses(disk: Disk) -> None:
    make_durable(disk, "a", b"one")
    make_durable(disk, "b", b"two")
    with pytest.raises(FileExistsError):
        disk.rename(disk.root, "a", disk.root, "b", 2, replace=False)
    assert tree(disk.root) == {"a": b"one", "b": b"two"}


def test_a_rename_between_folders_is_durable_half_by_half(disk: Disk) -> None:
    make_durable(disk, "a", b"one")
    into = disk.make_folder(disk.root, "d", 0o755, 1)
    disk.sync(disk.root)
    disk.rename(disk.root, "a", into, "b", 2)
    assert left(disk) == {"a": b"one", "d": {}}
    disk.sync(into)
    assert left(disk) == {"a": b"one", "d": {"b": b"one"}}
    disk.sync(disk.root)
    assert left(disk) == {"d": {"b": b"one"}}


def test_a_rename_whose_old_folder_alone_was_synced_loses_the_file(disk: Disk) -> None:
    make_durable(disk, "a", b"one")
    into = disk.make_folder(disk.root, "d", 0o755, 1)
    disk.rename(disk.root, "a", into, "b", 2)
    disk.sync(disk.root)
    assert left(disk) == {"d": {}}


def test_a_new_folder_comes_with_its_parent_and_its_names_with_itself(disk: Disk) -> None:
    inner = disk.make_folder(disk.root, "d", 0o755, 1)
    disk.sync(make(disk, "a", b"one", inner))
    disk.sync(inner)
    assert left(disk) == {}, "the folder's own name"
    disk.sync(disk.root)
    assert left(disk) == {"d": {"a": b"one"}}


def test_a_folder_whose_names_were_not_synced_is_empty(disk: Disk) -> None:
    inner = disk.make_folder(disk.root, "d", 0o755, 1)
    disk.sync(make(disk, "a", b"one", inner))
    disk.sync(disk.root)
    assert left(disk) == {"d": {}}


def test_a_removed_folder_is_back_until_its_parent_is_synced(disk: Disk) -> None:
    disk.make_folder(disk.root, "d", 0o755, 1)
    disk.sync(disk.root)
    disk.remove_folder(disk.root, "d", 2)
    assert left(disk) == {"d": {}}
    disk.sync(disk.root)
    assert left(disk) == {}


def test_permissions_are_durable_with_the_sync_of_the_file(disk: Disk) -> None:
    file = make_durable(disk, "a", b"one")
    file.mode = 0o600
    assert disk.survivors().live["a"].mode == 0o640
    disk.sync(file)
    assert disk.survivors().live["a"].mode == 0o600


def test_an_orderly_end_makes_everything_durable(disk: Disk) -> None:
    inner = disk.make_folder(disk.root, "d", 0o755, 1)
    make(disk, "a", b"one", inner)
    disk.sync_everything()
    assert left(disk) == {"d": {"a": b"one"}}


def test_a_disk_that_had_begun_to_write_back_keeps_a_prefix_that_ends_at_a_sector(disk: Disk) -> None:
    file = make_durable(disk, "a", b"")
    pieces = [bytes([number]) * 3000 for number in range(1, 5)]
    for number, piece in enumerate(pieces):
        disk.write(file, number * 3000, piece, 2)
    whole = b"".join(pieces)
    lengths = set()
    for seed in range(200):
        kept = left(disk, seed)["a"]
        assert isinstance(kept, bytes)
        assert whole.startswith(kept)
        assert len(kept) % 3000 == 0 or len(kept) % SECTOR == 0
        lengths.add(len(kept))
    assert {0, 12000} < lengths, "nothing and everything are among what can be left"
    assert any(length % 3000 for length in lengths), "and so is a write torn in the middle"


def test_what_a_sync_has_settled_never_comes_up_again(disk: Disk) -> None:
    make_durable(disk, "a", b"one")
    disk.unlink(disk.root, "a", 2)
    disk.sync(disk.root)
    assert all(left(disk, seed) == {} for seed in range(50))


def test_a_seed_leaves_the_same_each_time(disk: Disk) -> None:
    for number in range(20):
        make(disk, f"f{number}", b"x" * 5000)
    assert [left(disk, 7) for _ in range(3)] == [left(disk, 7)] * 3
    assert left(disk, 7) != left(disk, 8)


def test_a_full_disk_refuses_growth_and_takes_it_again_after_an_unlink() -> None:
    disk = Disk(size=10)
    make(disk, "a", b"12345678")
    file = make(disk, "b", b"")
    grows: list[Callable[[], None]] = [lambda: disk.write(file, 0, b"123", 2), lambda: disk.resize(file, 3, 2)]
    for grow in grows:
        with pytest.raises(OSError, match="No space") as refused:
            grow()
        assert refused.value.errno == errno.ENOSPC
    assert bytes(file.live) == b""
    disk.unlink(disk.root, "a", 2)
    disk.write(file, 0, b"123", 2)
    assert disk.used == 3


@pytest.mark.parametrize(
    ("act", "number"),
    [
        (lambda disk: disk.create(disk.root, "a", 0o640, 1), errno.EEXIST),
        (lambda disk: disk.make_folder(disk.root, "a", 0o755, 1), errno.EEXIST),
        (lambda disk: disk.link(disk.root.live["a"], disk.root, "d", 1), errno.EEXIST),
        (lambda disk: disk.link(disk.root.live["d"], disk.root, "b", 1), errno.EPERM),
        (lambda disk: disk.unlink(disk.root, "b", 1), errno.ENOENT),
        (lambda disk: disk.unlink(disk.root, "d", 1), errno.EISDIR),
        (lambda disk: disk.remove_folder(disk.root, "a", 1), errno.ENOTDIR),
        (lambda disk: disk.remove_folder(disk.root, "d", 1), errno.ENOTEMPTY),
        (lambda disk: disk.rename(disk.root, "a", disk.root, "d", 1), errno.EISDIR),
        (lambda disk: disk.rename(disk.root, "d", disk.root, "a", 1), errno.ENOTDIR),
        (lambda disk: disk.look_up(disk.root.live["a"], "b"), errno.ENOTDIR),
        (lambda disk: disk.read(disk.root.live["d"], 0, 1), errno.EISDIR),
    ],
)
def test_what_a_kernel_refuses_is_refused(disk: Disk, act: Callable[[Disk], object], number: int) -> None:
    make(disk, "a", b"one")
    inner = disk.make_folder(disk.root, "d", 0o755, 1)
    make(disk, "c", b"two", inner)
    with pytest.raises(OSError) as refused:
        act(disk)
    assert refused.value.errno == number


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2000), st.integers(0, 2000)), max_size=30))
def test_after_any_writes_a_synced_file_survives_as_it_is(steps: list[tuple[int, int, int]]) -> None:
    disk = Disk()
    file = make_durable(disk, "a", b"")
    as_synced = b""
    for number, (kind, at, size) in enumerate(steps):
        if kind == 0:
            disk.write(file, at, bytes([number]) * size, 1)
        elif kind == 1:
            disk.resize(file, at, 1)
        else:
            disk.sync(file)
            as_synced = bytes(file.live)
        assert left(disk) == {"a": as_synced}
    disk.sync(file)
    assert left(disk) == {"a": bytes(file.live)}
