"""A disk that knows what a power cut would leave of it. Decides only: no files, no clock, no kernel.

The strictest reading of POSIX, as a file system without a journal may do it:

    bytes of a file      durable from the fsync or fdatasync of that file, whatever its name
    a name in a folder   durable from the fsync of that folder; a new file's own fsync does not bring its name along
    a rename             within one folder both halves together; between two, each with its own folder
    a new folder         its name with its parent's fsync; what is in it with its own

`Disk.survivors` is what is left: everything not yet synced forgotten or, with a random source, a prefix of it kept as
a real disk does that had begun to write back.
"""

import errno
import itertools
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

SECTOR = 512  # bytes a disk writes whole or not at all


class Written(NamedTuple):
    """Bytes put into a file."""

    offset: int
    data: bytes


class Resized(NamedTuple):
    """A file cut or stretched."""

    size: int


Names = tuple[tuple[str, "Node | None"], ...]  # set to the node, or removed; all of them at once


@dataclass(slots=True, eq=False, kw_only=True)
class Node:
    """What a name leads to. `number` is unique in the life of the disk; `mode` holds the permission bits alone."""

    number: int
    mode: int
    mtime_ns: int
    durable_mode: int


@dataclass(slots=True, eq=False, kw_only=True)
class File(Node):
    """`durable` is what the last sync left, `pending` what came since, in order."""

    live: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Written | Resized] = field(default_factory=list)
    links: int = 0


@dataclass(slots=True, eq=False, kw_only=True)
class Folder(Node):
    """Names as they are, as the last sync left them, and the changes since, in order."""

    live: dict[str, Node] = field(default_factory=dict)
    durable: dict[str, Node] = field(default_factory=dict)
    pending: list[Names] = field(default_factory=list)


class Disk:
    """One mounted file system of `size` bytes. Methods raise OSError with the errno a kernel would give.

    `now_ns` labels what is made or changed.
    """

    def __init__(self, size: int = 1 << 36) -> None:
        self.size = size
        self.used = 0
        self._numbers = itertools.count(1)
        self.root = self._new_folder(0o755, 0)

    # --- names -------------------------------------------------------------------------------------------------------

    def look_up(self, folder: Node, name: str) -> Node:
        node = _folder(folder).live.get(name)
        if node is None:
            raise _error(errno.ENOENT)
        return node

    def create(self, folder: Node, name: str, mode: int, now_ns: int) -> File:
        """A new, empty file."""
        self._refuse_taken(folder, name)
        file = File(number=next(self._numbers), mode=mode, mtime_ns=now_ns, durable_mode=mode)
        self._change(_folder(folder), ((name, file),), now_ns)
        return file

    def make_folder(self, folder: Node, name: str, mode: int, now_ns: int) -> Folder:
        self._refuse_taken(folder, name)
        made = self._new_folder(mode, now_ns)
        self._change(_folder(folder), ((name, made),), now_ns)
        return made

    def link(self, node: Node, folder: Node, name: str, now_ns: int) -> File:
        """A second name for the file."""
        file = _file(node, errno.EPERM)
        self._refuse_taken(folder, name)
        self._change(_folder(folder), ((name, file),), now_ns)
        return file

    def unlink(self, folder: Node, name: str, now_ns: int) -> None:
        _file(self.look_up(folder, name), errno.EISDIR)
        self._change(_folder(folder), ((name, None),), now_ns)

    def remove_folder(self, folder: Node, name: str, now_ns: int) -> None:
        if _folder(self.look_up(folder, name)).live:
            raise _error(errno.ENOTEMPTY)
        self._change(_folder(folder), ((name, None),), now_ns)

    def rename(self, folder: Node, name: str, into: Node, new: str, now_ns: int, *, replace: bool = True) -> None:
        """Move a name; where `replace` is false a taken name refuses."""
        source, target = _folder(folder), _folder(into)
        node, old = self.look_up(source, name), target.live.get(new)
        if old is not None and not replace:
            raise _error(errno.EEXIST)
        if old is node:
            return  # two names of one file: POSIX leaves both
        if isinstance(old, Folder):
            if not isinstance(node, Folder):
                raise _error(errno.EISDIR)
            if old.live:
                raise _error(errno.ENOTEMPTY)
        elif old is not None and isinstance(node, Folder):
            raise _error(errno.ENOTDIR)
        if source is target:
            self._change(source, ((name, None), (new, node)), now_ns)
        else:
            self._change(target, ((new, node),), now_ns)
            self._change(source, ((name, None),), now_ns)

    # --- bytes -------------------------------------------------------------------------------------------------------

    def read(self, node: Node, offset: int, size: int) -> bytes:
        return bytes(_file(node).live[offset : offset + size])

    def write(self, node: Node, offset: int, data: bytes, now_ns: int) -> None:
        file = _file(node)
        self._grow(max(0, offset + len(data) - len(file.live)))
        change = Written(offset, data)
        _apply(change, file.live)
        file.pending.append(change)
        file.mtime_ns = now_ns

    def resize(self, node: Node, size: int, now_ns: int) -> None:
        file = _file(node)
        self._grow(size - len(file.live))
        change = Resized(size)
        _apply(change, file.live)
        file.pending.append(change)
        file.mtime_ns = now_ns

    # --- durability --------------------------------------------------------------------------------------------------

    def sync(self, node: Node) -> None:
        """Make this node durable, and nothing else: a file's bytes, or a folder's names."""
        if isinstance(node, File):
            for change in node.pending:
                _apply(change, node.durable)
            node.pending.clear()
        else:
            folder = _folder(node)
            folder.durable = dict(folder.live)
            folder.pending.clear()
        node.durable_mode = node.mode

    def sync_everything(self) -> None:
        """What an orderly unmount does."""
        for node in walk(self.root):
            self.sync(node)

    def unsynced_bytes(self) -> int:
        """Bytes written since the last sync of their file."""
        files = {node.number: node for node in walk(self.root) if isinstance(node, File)}
        return sum(
            len(change.data) for file in files.values() for change in file.pending if isinstance(change, Written)
        )

    def survivors(self, draw: random.Random | None = None) -> Folder:
        """The tree after a power cut now. Without `draw` all that is not synced is gone; with it a prefix stays.

        What stays of a file's last write ends at a sector. A folder that two synced folders name is kept once.
        """
        kept: dict[int, Node] = {}

        def keep(node: Node) -> Node | None:
            if node.number in kept:
                return None if isinstance(node, Folder) else kept[node.number]
            copy: Node
            if isinstance(node, File):
                copy = File(number=node.number, mode=node.durable_mode, mtime_ns=node.mtime_ns, durable_mode=0)
                copy.live = _kept_bytes(node, draw)
                kept[node.number] = copy
            else:
                folder = _folder(node)
                copy = Folder(number=node.number, mode=node.durable_mode, mtime_ns=node.mtime_ns, durable_mode=0)
                kept[node.number] = copy
                for name, child in sorted(_kept_names(folder, draw).items()):
                    child_copy = keep(child)
                    if child_copy is not None:
                        copy.live[name] = child_copy
            return copy

        root = keep(self.root)
        assert isinstance(root, Folder)
        return root

    # --- inside ------------------------------------------------------------------------------------------------------

    def _new_folder(self, mode: int, now_ns: int) -> Folder:
        return Folder(number=next(self._numbers), mode=mode, mtime_ns=now_ns, durable_mode=mode)

    def _refuse_taken(self, folder: Node, name: str) -> None:
        if name in _folder(folder).live:
            raise _error(errno.EEXIST)

    def _grow(self, more: int) -> None:
        if more > 0 and self.used + more > self.size:
            raise _error(errno.ENOSPC)
        self.used += more

    def _change(self, folder: Folder, names: Names, now_ns: int) -> None:
        for name, node in names:
            old = folder.live.pop(name, None)
            if isinstance(old, File):
                old.links -= 1
                if not old.links and old is not node:
                    self.used -= len(old.live)
            if node is not None:
                folder.live[name] = node
            if isinstance(node, File):
                node.links += 1
        folder.pending.append(names)
        folder.mtime_ns = now_ns


def walk(folder: Folder) -> Iterator[Node]:
    """The folder and all that is below it, by its live names; a file once a name."""
    yield folder
    for node in folder.live.values():
        if isinstance(node, Folder):
            yield from walk(node)
        else:
            yield node


def _apply(change: Written | Resized, content: bytearray) -> None:
    if isinstance(change, Resized):
        del content[change.size :]
        content.extend(bytes(change.size - len(content)))
    else:
        content.extend(bytes(max(0, change.offset - len(content))))  # a hole reads as zeros
        content[change.offset : change.offset + len(change.data)] = change.data


def _kept_bytes(file: File, draw: random.Random | None) -> bytearray:
    content = bytearray(file.durable)
    if draw is None or not file.pending:
        return content
    whole = draw.randint(0, len(file.pending))
    for change in file.pending[:whole]:
        _apply(change, content)
    if whole < len(file.pending):
        torn = file.pending[whole]
        if isinstance(torn, Written):
            end = (torn.offset + draw.randint(0, len(torn.data))) // SECTOR * SECTOR
            if end > torn.offset:
                _apply(Written(torn.offset, torn.data[: end - torn.offset]), content)
    return content


def _kept_names(folder: Folder, draw: random.Random | None) -> dict[str, Node]:
    names = dict(folder.durable)
    if draw is not None:
        for change in folder.pending[: draw.randint(0, len(folder.pending))]:
            for name, node in change:
                names.pop(name, None)
                if node is not None:
                    names[name] = node
    return names


def _folder(node: Node) -> Folder:
    if not isinstance(node, Folder):
        raise _error(errno.ENOTDIR)
    return node


def _file(node: Node, otherwise: int = errno.EISDIR) -> File:
    if not isinstance(node, File):
        raise _error(otherwise)
    return node


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
