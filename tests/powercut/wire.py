"""The kernel's FUSE protocol, version 7.31, spoken over a Disk: bytes in, bytes out, no files and no clock.

Layouts and numbers are those of `include/uapi/linux/fuse.h`. Spoken directly because it is the inode-based half of
FUSE that hard links and unlinked open files need, and because it asks nothing of the machine but /dev/fuse: the inode
based libraries have no wheel, and those with one are path-based.

Locks (flock, fcntl) are the kernel's own: none of the flags that would hand them over is set. The write-back cache is
off, so every write(2) arrives here before it returns; only pages of a shared mapping are written later.
"""

import errno
import itertools
import os
import stat
import struct
from collections.abc import Callable
from typing import NamedTuple

from tests.powercut.disk import Disk, File, Folder, Node

MAX_WRITE = 1 << 20
BUFFER = MAX_WRITE + 4096
ROOT = 1  # the node id of the root, by the protocol

_IN = struct.Struct("<IIQQIIIHH")  # len, opcode, unique, node, uid, gid, pid, extensions, padding
_OUT = struct.Struct("<IiQ")  # len, error, unique
_ATTR = struct.Struct("<6Q10I")
_ENTRY = struct.Struct("<4Q2I")
_ATTR_HEAD = struct.Struct("<QII")
_SETATTR = struct.Struct("<II6Q8I")
_READ = struct.Struct("<QQIIQII")
_INIT_OUT = struct.Struct("<4I2H2I2HI28x")
_STATFS = struct.Struct("<5Q4I24x")
_DIRENT = struct.Struct("<QQII")

_BIG_WRITES, _MAX_PAGES = 1 << 5, 1 << 22  # flags of INIT
_SET_MODE, _SET_SIZE, _SET_MTIME, _SET_MTIME_NOW = 1, 8, 32, 256  # bits of SETATTR
_NOREPLACE = 1
_BLOCK = 4096

_NO_ANSWER = {2: "FORGET", 36: "INTERRUPT", 42: "BATCH_FORGET"}
# Operations that change the disk or make it durable: the moments a cut can fall between.
STEPS = frozenset({4, 8, 9, 10, 11, 12, 13, 16, 20, 30, 35, 45})
_CHANGES = STEPS - {20, 30}


class Request(NamedTuple):
    """One request of the kernel."""

    opcode: int
    unique: int
    node: int
    body: bytes


def parse(raw: bytes) -> Request:
    """Raises ValueError for what is no request."""
    if len(raw) < _IN.size:
        raise ValueError(f"a request of {len(raw)} bytes")
    _, opcode, unique, node, *_ = _IN.unpack_from(raw)
    return Request(opcode, unique, node, raw[_IN.size :])


def refuse(request: Request, number: int) -> bytes | None:
    """The answer to a request on a disk that cannot serve it; None where none is awaited."""
    return None if request.opcode in _NO_ANSWER else _OUT.pack(_OUT.size, -number, request.unique)


class Wire:
    """Answers requests from `disk`. `now_ns` is asked for the time that new and changed nodes are labelled with."""

    def __init__(self, disk: Disk, now_ns: Callable[[], int]) -> None:
        self.disk = disk
        self.fail_changes_with = 0  # an errno for everything that would change the disk, 0 for none
        self._spoiled: dict[int, int] = {}  # by number of a file: the errno with which its content cannot be read
        self._now_ns = now_ns
        self._nodes: dict[int, Node] = {ROOT: disk.root}
        self._lookups: dict[int, int] = {}
        self._listings: dict[int, list[tuple[str, Node]]] = {}  # by handle: each reader sees one state of the folder
        self._handles = itertools.count(1)
        self._answers: dict[int, Callable[[Request], bytes]] = {
            1: self._look_up,
            3: self._get_attributes,
            4: self._set_attributes,
            8: self._make_node,
            9: self._make_folder,
            10: self._unlink,
            11: self._remove_folder,
            12: self._rename,
            13: self._link,
            14: self._open,
            15: self._read,
            16: self._write,
            17: self._statistics,
            18: lambda _: b"",  # RELEASE
            20: self._sync,
            25: lambda _: b"",  # FLUSH: a close makes nothing durable
            26: self._begin,
            27: self._open_folder,
            28: self._list,
            29: self._close_folder,
            30: self._sync,
            35: self._create,
            38: lambda _: b"",  # DESTROY
            45: self._rename,
        }

    def answer(self, request: Request) -> bytes | None:
        """The bytes to write back; None where the kernel awaits none."""
        if request.opcode in _NO_ANSWER:
            self._forget(request)
            return None
        try:
            if self.fail_changes_with and request.opcode in _CHANGES:
                return refuse(request, self.fail_changes_with)
            handler = self._answers.get(request.opcode)
            if handler is None:
                return refuse(request, errno.ENOSYS)
            body = handler(request)
        except OSError as error:
            return refuse(request, error.errno or errno.EIO)
        return _OUT.pack(_OUT.size + len(body), 0, request.unique) + body

    def spoil(self, path: str, number: int) -> None:
        """Have reading the file's content fail with errno `number` from here on; 0 ends it. Raises KeyError."""
        node: Node = self.disk.root
        for name in path.split("/"):
            if not isinstance(node, Folder):
                raise KeyError(path)
            node = node.live[name]
        self._spoiled[node.number] = number

    # --- the session -------------------------------------------------------------------------------------------------

    def _begin(self, request: Request) -> bytes:
        major, _, read_ahead, flags = struct.unpack_from("<4I", request.body)
        if major != 7:
            raise OSError(errno.EPROTO, "the kernel speaks another FUSE")
        flags &= _BIG_WRITES | _MAX_PAGES
        return _INIT_OUT.pack(7, 31, read_ahead, flags, 16, 12, MAX_WRITE, 1, MAX_WRITE // _BLOCK, 0, 0)

    def _forget(self, request: Request) -> None:
        if request.opcode == 2:
            self._drop(request.node, *struct.unpack_from("<Q", request.body))
        elif request.opcode == 42:
            (count,) = struct.unpack_from("<I", request.body)
            for at in range(count):
                self._drop(*struct.unpack_from("<QQ", request.body, 8 + 16 * at))

    def _drop(self, node: int, lookups: int) -> None:
        left = self._lookups.get(node, 0) - lookups
        if left > 0:
            self._lookups[node] = left
        elif node != ROOT:
            self._lookups.pop(node, None)
            self._nodes.pop(node, None)

    def _node(self, number: int) -> Node:
        node = self._nodes.get(number)
        if node is None:
            raise OSError(errno.ESTALE, "no such node")
        return node

    # --- names -------------------------------------------------------------------------------------------------------

    def _look_up(self, request: Request) -> bytes:
        return self._entry(self.disk.look_up(self._node(request.node), _name(request.body)))

    def _make_node(self, request: Request) -> bytes:
        mode, *_ = struct.unpack_from("<4I", request.body)
        if not stat.S_ISREG(mode):
            raise OSError(errno.EPERM, "regular files and folders only")
        return self._entry(self._created(request, 16, mode))

    def _create(self, request: Request) -> bytes:
        _, mode, *_ = struct.unpack_from("<4I", request.body)
        return self._entry(self._created(request, 16, mode)) + bytes(16)

    def _created(self, request: Request, skip: int, mode: int) -> File:
        # The kernel has taken the umask off already.
        return self.disk.create(
            self._node(request.node), _name(request.body[skip:]), stat.S_IMODE(mode), self._now_ns()
        )

    def _make_folder(self, request: Request) -> bytes:
        mode, _ = struct.unpack_from("<II", request.body)
        name = _name(request.body[8:])
        return self._entry(self.disk.make_folder(self._node(request.node), name, stat.S_IMODE(mode), self._now_ns()))

    def _link(self, request: Request) -> bytes:
        (old,) = struct.unpack_from("<Q", request.body)
        name = _name(request.body[8:])
        return self._entry(self.disk.link(self._node(old), self._node(request.node), name, self._now_ns()))

    def _unlink(self, request: Request) -> bytes:
        self.disk.unlink(self._node(request.node), _name(request.body), self._now_ns())
        return b""

    def _remove_folder(self, request: Request) -> bytes:
        self.disk.remove_folder(self._node(request.node), _name(request.body), self._now_ns())
        return b""

    def _rename(self, request: Request) -> bytes:
        (into,) = struct.unpack_from("<Q", request.body)
        flags, skip = 0, 8
        if request.opcode == 45:
            (flags,) = struct.unpack_from("<I", request.body, 8)
            skip = 16
        if flags & ~_NOREPLACE:
            raise OSError(errno.EINVAL, "names cannot be exchanged here")
        old, new, *_ = (os.fsdecode(part) for part in request.body[skip:].split(b"\0"))
        source, target = self._node(request.node), self._node(into)
        self.disk.rename(source, old, target, new, self._now_ns(), replace=not flags)
        return b""

    # --- bytes and attributes ----------------------------------------------------------------------------------------

    def _open(self, request: Request) -> bytes:
        self._node(request.node)
        return bytes(16)

    def _read(self, request: Request) -> bytes:
        _, offset, size, *_ = _READ.unpack_from(request.body)
        node = self._node(request.node)
        if number := self._spoiled.get(node.number, 0):
            raise OSError(number, "a bad sector")
        return self.disk.read(node, offset, size)

    def _write(self, request: Request) -> bytes:
        _, offset, size, *_ = _READ.unpack_from(request.body)
        data = request.body[_READ.size : _READ.size + size]
        self.disk.write(self._node(request.node), offset, data, self._now_ns())
        return struct.pack("<II", len(data), 0)

    def _sync(self, request: Request) -> bytes:
        self.disk.sync(self._node(request.node))
        return b""

    def _get_attributes(self, request: Request) -> bytes:
        return _ATTR_HEAD.pack(0, 0, 0) + self._attributes(self._node(request.node))

    def _set_attributes(self, request: Request) -> bytes:
        fields = _SETATTR.unpack_from(request.body)
        valid, size, mtime, mtime_ns, mode = fields[0], fields[3], fields[6], fields[9], fields[11]
        node = self._node(request.node)
        if valid & _SET_SIZE:
            self.disk.resize(node, size, self._now_ns())
        if valid & _SET_MODE:
            node.mode = stat.S_IMODE(mode)
        if valid & _SET_MTIME_NOW:
            node.mtime_ns = self._now_ns()
        elif valid & _SET_MTIME:
            node.mtime_ns = mtime * 10**9 + mtime_ns
        return _ATTR_HEAD.pack(0, 0, 0) + self._attributes(node)

    def _statistics(self, _: Request) -> bytes:
        blocks, free = self.disk.size // _BLOCK, max(0, self.disk.size - self.disk.used) // _BLOCK
        return _STATFS.pack(blocks, free, free, 1 << 20, 1 << 19, _BLOCK, 255, _BLOCK, 0)

    # --- folders -----------------------------------------------------------------------------------------------------

    def _open_folder(self, request: Request) -> bytes:
        self._node(request.node)
        return struct.pack("<QII", next(self._handles), 0, 0)

    def _list(self, request: Request) -> bytes:
        handle, offset, size, *_ = _READ.unpack_from(request.body)
        node = self._node(request.node)
        if offset == 0 or handle not in self._listings:
            if not isinstance(node, Folder):
                raise OSError(errno.ENOTDIR, "not a folder")
            self._listings[handle] = [(".", node), ("..", node), *node.live.items()]
        found = b""
        for at, (name, child) in enumerate(self._listings[handle][offset:], start=offset + 1):
            raw = os.fsencode(name)
            kind = stat.S_IFDIR if isinstance(child, Folder) else stat.S_IFREG
            entry = _DIRENT.pack(child.number, at, len(raw), kind >> 12) + raw
            entry += bytes(-len(entry) % 8)
            if len(found) + len(entry) > size:
                break
            found += entry
        return found

    def _close_folder(self, request: Request) -> bytes:
        (handle,) = struct.unpack_from("<Q", request.body)
        self._listings.pop(handle, None)
        return b""

    # --- layouts -----------------------------------------------------------------------------------------------------

    def _entry(self, node: Node) -> bytes:
        """A node handed to the kernel: it counts these, and says in FORGET how many it lets go."""
        self._nodes[node.number] = node
        self._lookups[node.number] = self._lookups.get(node.number, 0) + 1
        # Valid for no time at all: what the kernel remembers would hide a cut.
        return _ENTRY.pack(node.number, 0, 0, 0, 0, 0) + self._attributes(node)

    def _attributes(self, node: Node) -> bytes:
        if isinstance(node, File):
            size, kind, links = len(node.live), stat.S_IFREG, node.links
        else:
            size, kind, links = _BLOCK, stat.S_IFDIR, 2
        seconds, rest = divmod(node.mtime_ns, 10**9)
        times = (seconds, seconds, seconds, rest, rest, rest)
        owner = (0, 0)
        return _ATTR.pack(node.number, size, (size + 511) // 512, *times, kind | node.mode, links, *owner, 0, _BLOCK, 0)


def _name(body: bytes) -> str:
    return os.fsdecode(body.partition(b"\0")[0])
