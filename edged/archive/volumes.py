"""Which disk is which: every volume carries an identity, checked against the index in both directions.

A volume that is not proven to be the one the index means is *fenced*: nothing is written to it, nothing on it is
deleted, nothing is concluded from what it does not hold. An unmounted disk leaves an empty folder behind, and the
worst answer to an empty folder is to believe it.

A new volume gets its file first and its row second. A crash between the two leaves a proper VOLUME.json that the
index does not know, which is also what a lost database looks like: both are adopted by the uuid in the file.
"""

import json
import os
import sqlite3
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edged.archive import rebuilding
from edged.archive.layout import IDENTITY
from edged.archive.ledger import LedgerKind, append
from edged.base.files import canonical_json, replace_file, working_name

VERSION = 1
# What replace_file leaves where the power goes before the rename; it must not make a new disk look used.
_LEFTOVER = working_name(Path(IDENTITY)).name


@dataclass(frozen=True, slots=True)
class Volume:
    """One configured volume. `fenced` is empty, or says why nothing may be done with it.

    `no` is 0 and `uuid` empty where a fenced volume was never known to the index.
    """

    id: str
    no: int
    uuid: str
    path: Path
    fenced: str = ""


class Space(NamedTuple):
    """A file system's size, in bytes: all of it, and what an ordinary process may still fill."""

    total: int
    free: int


class _Fenced(Exception):
    """Carries one volume's reason out of the checks."""


def open_volumes(connection: sqlite3.Connection, configured: Sequence[tuple[str, Path]], now_us: int) -> list[Volume]:
    """Prove, adopt or initialise each configured volume (id, folder), in order; one that cannot be is fenced alone.

    Runs inside one write transaction; reads and writes small files. Each volume new to the index is a ledger entry.
    """
    volumes = []
    for volume_id, path in configured:
        row = connection.execute("SELECT no, uuid FROM volume WHERE id = ?", (volume_id,)).fetchone()
        no, known = (row["no"], row["uuid"]) if row is not None else (0, "")
        try:
            if known:
                _prove(path, volume_id, known)
            else:
                no, known = _add(connection, volume_id, path, now_us)
            _check_writable(path)
        except _Fenced as reason:
            volumes.append(Volume(volume_id, no, known, path, str(reason)))
        else:
            volumes.append(Volume(volume_id, no, known, path))
    return volumes


def prove(volume: Volume) -> str:
    """Empty where the folder shows this volume's identity right now; otherwise why it does not. Reads one file."""
    if volume.fenced:
        return volume.fenced
    try:
        _prove(volume.path, volume.id, volume.uuid)
    except _Fenced as reason:
        return str(reason)
    return ""


def free_space(path: Path) -> Space | None:
    """The space of the file system that holds `path`; None where it cannot be told, which means: do nothing, say so."""
    try:
        stat = os.statvfs(path)
    except OSError:
        return None
    if stat.f_blocks == 0:
        return None
    return Space(stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize)


def _add(connection: sqlite3.Connection, volume_id: str, path: Path, now_us: int) -> tuple[int, str]:
    found = _read(path, volume_id)
    if found is None:
        _check_empty(path, volume_id)
        found, how = str(uuid.uuid4()), "new"
        try:
            replace_file(path / IDENTITY, canonical_json({"v": VERSION, "volume": volume_id, "uuid": found}) + b"\n")
        except OSError as error:
            raise _Fenced(f"volume {volume_id}: cannot write {IDENTITY} ({error.strerror})") from error
    else:
        how = "adopted"
        rebuilding.wait_for(connection, [volume_id])  # it had an earlier life that this index has not read
        other = connection.execute("SELECT id FROM volume WHERE uuid = ?", (found,)).fetchone()
        if other is not None:
            raise _Fenced(
                f"volume {volume_id} carries the identity of volume {other['id']};"
                " a copied disk cannot stand in for another: empty it or mount the right one"
            )
    cursor = connection.execute(
        "INSERT INTO volume (id, uuid, added_us) VALUES (?, ?, ?) RETURNING no", (volume_id, found, now_us)
    )
    no: int = cursor.fetchone()["no"]
    append(connection, now_us, LedgerKind.VOLUME_ADDED, {"volume": volume_id, "uuid": found, "how": how})
    return no, found


def _prove(path: Path, volume_id: str, known: str) -> None:
    found = _read(path, volume_id)
    if found is None:
        raise _Fenced(
            f"volume {volume_id}: {IDENTITY} is missing; mount the disk that belongs here (is it mounted at all?)"
        )
    if found != known:
        raise _Fenced(f"volume {volume_id}: this is another disk of the same name; mount the one that belongs here")


def _read(path: Path, volume_id: str) -> str | None:
    """The uuid in VOLUME.json, None where there is none. Raises _Fenced where it cannot be read or names another."""
    try:
        fields = json.loads((path / IDENTITY).read_bytes())
        version, name, found = fields["v"], fields["volume"], fields["uuid"]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _Fenced(f"volume {volume_id}: {IDENTITY} cannot be read ({error.strerror}); check the disk") from error
    except (ValueError, KeyError, TypeError) as error:
        raise _Fenced(f"volume {volume_id}: {IDENTITY} is damaged; restore it before using the disk") from error
    if version != VERSION or not isinstance(found, str) or not found:
        raise _Fenced(f"volume {volume_id}: {IDENTITY} is of another version than {VERSION}")
    if name != volume_id:
        raise _Fenced(f"volume {volume_id}: the disk mounted here says it is volume {name}; mount the right one")
    return found


def _check_empty(path: Path, volume_id: str) -> None:
    try:
        names = os.listdir(path)
    except FileNotFoundError as error:
        raise _Fenced(f"volume {volume_id}: its folder does not exist; mount the disk or create the folder") from error
    except OSError as error:
        raise _Fenced(f"volume {volume_id}: its folder cannot be listed ({error.strerror}); check the disk") from error
    if set(names) - {_LEFTOVER, "lost+found"}:
        raise _Fenced(
            f"volume {volume_id}: its folder holds files but no {IDENTITY}; use an empty folder or mount the right disk"
        )


def _check_writable(path: Path) -> None:
    # No trial file: a full disk must stay usable, because the sweep is what frees it.
    try:
        read_only = bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError as error:
        raise _Fenced(f"the state of its file system cannot be read ({error.strerror}); check the disk") from error
    if read_only or not os.access(path, os.W_OK | os.X_OK):
        raise _Fenced("the folder cannot be written; check the mount (read-only?) and the owner of the folder")
