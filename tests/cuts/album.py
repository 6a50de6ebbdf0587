"""Photographs of a box: copies that keep what a start can see of it, and when two of them show the same.

A copy keeps hard links, modes, times and the immutable attribute; of the index's shared memory nothing is kept, which
no process trusts that opens an index alone. An index shows what SQLite reads from it and its log: so the pages of a
commit that has not come to its end, and those that are copied back from the log, are all alike.
"""

import hashlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edged.base.immutable import is_immutable, set_immutable

_INDEX, _WAL, _WAL_INDEX = ".sqlite3", "-wal", "-shm"


def copy(box: Path, into: Path) -> None:
    """Copy the tree `box` to `into`, which does not exist yet."""
    first: dict[int, Path] = {}
    folders = [(box, into)]
    locked = []
    into.mkdir()
    for entry in _entries(box):
        target = into / os.path.relpath(entry.path, box)
        status = entry.stat(follow_symlinks=False)
        if entry.is_dir(follow_symlinks=False):
            target.mkdir()
            folders.append((Path(entry.path), target))
        elif status.st_ino in first:
            os.link(first[status.st_ino], target)
        elif not entry.name.endswith(_WAL_INDEX):
            shutil.copy2(entry.path, target)
            first[status.st_ino] = target
            locked += [target] if is_immutable(Path(entry.path)) else []
    for target in locked:
        set_immutable(target, True)
    for folder, target in reversed(folders):
        shutil.copystat(folder, target)


def remove(box: Path) -> None:
    """Remove a tree, immutable files too."""
    for entry in _entries(box):
        if entry.is_file(follow_symlinks=False) and is_immutable(Path(entry.path)):
            set_immutable(Path(entry.path), False)
    shutil.rmtree(box)


def looks(box: Path) -> str:
    """A digest that is the same for two boxes where a start finds the same in both, but for the times of files."""
    seen: dict[int, str] = {}
    digest = hashlib.blake2b()
    for entry in _entries(box):
        name = os.path.relpath(entry.path, box)
        if entry.is_dir(follow_symlinks=False):
            digest.update(f"{name}/\n".encode())
        elif not name.endswith(_WAL_INDEX):
            path = Path(entry.path)
            file = seen.setdefault(entry.stat(follow_symlinks=False).st_ino, name)
            content = hashlib.blake2b(_shown(path)).hexdigest() if file == name else ""
            digest.update(f"{name} {file} {is_immutable(path)} {content}\n".encode())
    return digest.hexdigest()


def _shown(file: Path) -> bytes:
    """What a start reads from a file."""
    if file.name.endswith(f"{_INDEX}{_WAL}"):
        return b""  # told with its index
    if not file.name.endswith(_INDEX):
        return file.read_bytes()
    log = file.with_name(file.name + _WAL)
    with tempfile.TemporaryDirectory(dir=file.parents[2]) as folder:
        for part in (file, log):
            if part.exists():
                shutil.copy(part, folder)
        index = sqlite3.connect(Path(folder) / file.name)
        try:
            return index.serialize()
        except sqlite3.Error:  # it is for the start to find out what is wrong with it
            return file.read_bytes() + b"".join(part.read_bytes() for part in (log,) if part.exists())
        finally:
            index.close()


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Everything below a folder, each folder before what it holds."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        yield entry
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(Path(entry.path))
