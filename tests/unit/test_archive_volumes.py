"""The identity of volumes: proven, adopted or new, and fenced alone where it is none of these."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.archive.database import open_database, transact
from edged.archive.ledger import LedgerKind, entries
from edged.archive.volumes import Volume, free_space, open_volumes, prove
from tests.archive_kit import T0, make_volume


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_database(tmp_path / "index.db")
    yield connection
    connection.close()


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


def opened(connection: sqlite3.Connection, path: Path, volume_id: str = "disk-a") -> Volume:
    (volume,) = transact(connection, open_volumes, [(volume_id, path)], T0)
    return volume


def test_an_empty_folder_becomes_a_volume_once(connection: sqlite3.Connection, disk: Path) -> None:
    (disk / "lost+found").mkdir()
    first = opened(connection, disk)
    assert json.loads((disk / "VOLUME.json").read_text()) == {"v": 1, "volume": "disk-a", "uuid": first.uuid}
    assert (opened(connection, disk), first.fenced, prove(first)) == (first, "", "")
    assert [(entry.kind, entry.body["how"]) for entry in entries(connection)] == [(LedgerKind.VOLUME_ADDED, "new")]


def test_i7_a_crash_between_file_and_row_is_adopted(connection: sqlite3.Connection, disk: Path) -> None:
    """The file is written first; a rollback leaves it without its row, as a power cut does."""

    def cut(connection: sqlite3.Connection) -> None:
        open_volumes(connection, [("disk-a", disk)], T0)
        raise LookupError("power")

    with pytest.raises(LookupError):
        transact(connection, cut)
    assert connection.execute("SELECT count(*) FROM volume").fetchone()[0] == 0
    written = json.loads((disk / "VOLUME.json").read_text())["uuid"]
    volume = opened(connection, disk)
    assert (volume.uuid, volume.fenced) == (written, "")


def test_i7_a_crash_before_the_rename_leaves_an_empty_folder(connection: sqlite3.Connection, disk: Path) -> None:
    (disk / ".VOLUME.json.tmp").write_bytes(b'{"v":1')
    assert not opened(connection, disk).fenced
    assert sorted(os.listdir(disk)) == ["VOLUME.json"]


def test_a_lost_database_adopts_the_volume_by_its_uuid(
    connection: sqlite3.Connection, disk: Path, tmp_path: Path
) -> None:
    before = opened(connection, disk)
    (disk / "segments").mkdir()
    fresh = open_database(tmp_path / "fresh.db")
    after = opened(fresh, disk)
    assert (after.uuid, after.fenced) == (before.uuid, "")
    assert entries(fresh)[0].body["how"] == "adopted"
    fresh.close()


def identity(**changes: object) -> bytes:
    return json.dumps({"v": 1, "volume": "disk-a", "uuid": "00000000-aaaa", **changes}).encode()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "is missing; mount the disk"),
        (identity(), "another disk of the same name"),
        (identity(volume="disk-b"), "says it is volume disk-b"),
        (identity(v=2), "another version"),
        (identity(uuid=""), "another version"),
        (b"", "is damaged"),
        (b"[1]", "is damaged"),
    ],
)
def test_a_known_volume_with_another_face_is_fenced_alone(
    connection: sqlite3.Connection, disk: Path, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    known = opened(connection, disk)
    if content is None:
        (disk / "VOLUME.json").unlink()
    else:
        (disk / "VOLUME.json").write_bytes(content)
    other = tmp_path / "other"
    other.mkdir()
    fenced, sound = transact(connection, open_volumes, [("disk-a", disk), ("disk-b", other)], T0)
    assert reason in fenced.fenced
    assert (fenced.no, fenced.uuid) == (known.no, known.uuid)
    assert not sound.fenced
    assert reason in prove(known)
    assert content is None or (disk / "VOLUME.json").read_bytes() == content
    assert content is not None or os.listdir(disk) == []


def test_a_folder_with_files_and_no_identity_is_fenced_and_left_alone(
    connection: sqlite3.Connection, disk: Path
) -> None:
    (disk / "holiday.mp4").write_bytes(b"x")
    volume = opened(connection, disk)
    assert (volume.no, volume.uuid) == (0, "")
    assert "holds files but no VOLUME.json" in volume.fenced
    assert os.listdir(disk) == ["holiday.mp4"]
    assert entries(connection) == []


def test_a_folder_that_does_not_exist_is_not_created(connection: sqlite3.Connection, tmp_path: Path) -> None:
    assert "does not exist" in opened(connection, tmp_path / "absent").fenced
    assert not (tmp_path / "absent").exists()


def test_a_copied_disk_cannot_stand_in_for_another(connection: sqlite3.Connection, disk: Path, tmp_path: Path) -> None:
    first = opened(connection, disk)
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "VOLUME.json").write_bytes(identity(volume="disk-b", uuid=first.uuid))
    assert "the identity of volume disk-a" in opened(connection, copy, "disk-b").fenced


def test_a_read_only_mount_is_fenced(tmp_path: Path) -> None:
    """In a mount namespace of its own, so that the machine's mounts stay as they are."""
    connection = open_database(tmp_path / "index.db")
    make_volume(connection, tmp_path / "disk")
    connection.close()
    script = (
        "import sys; from pathlib import Path; from edged.archive.database import open_database, transact\n"
        "from edged.archive.volumes import open_volumes\n"
        "c = open_database(Path(sys.argv[1]))\n"
        "print(transact(c, open_volumes, [('disk-a', Path(sys.argv[2]))], 1)[0].fenced)\n"
    )
    disk = tmp_path / "disk"
    mounted = f'mount --bind "{disk}" "{disk}" && mount -o remount,bind,ro "{disk}"'
    arguments = ["-c", script, str(tmp_path / "index.db"), str(disk)]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f'{mounted} && exec "$0" "$@"', sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if "unshare failed" in done.stderr or "permission denied" in done.stderr.lower():
        pytest.skip("this machine allows no mount namespaces")
    assert "cannot be written" in done.stdout, done.stderr


def test_space_that_cannot_be_told_is_none(disk: Path) -> None:
    space = free_space(disk)
    assert space is not None
    assert 0 <= space.free <= space.total
    assert free_space(disk / "absent") is None
    assert free_space(Path("/proc")) is None
