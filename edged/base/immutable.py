"""The immutable attribute of a file (`chattr +i`): while it is set nobody, root included, may write, rename, link or
unlink the file under any of its names.

ext4, XFS, Btrfs, F2FS and, since Linux 6.0, tmpfs have it (ioctl_iflags(2)). Setting and clearing want
CAP_LINUX_IMMUTABLE in the namespace the file system was mounted in: a process within a user namespace never has it.
"""

import errno
import fcntl
import os
import struct
from pathlib import Path

# _IOR('f', 1, long) and _IOW('f', 2, long) of the generic ioctl encoding (x86, ARM, RISC-V). The size that is encoded
# is that of a long; what is read and written is an int, on every machine.
_LONG = struct.calcsize("l")
_GETFLAGS = 0x80006601 | _LONG << 16
_SETFLAGS = 0x40006602 | _LONG << 16
_IMMUTABLE = 0x00000010

_NO_ATTRIBUTES = frozenset({errno.ENOTTY, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
CANNOT = _NO_ATTRIBUTES | {errno.EPERM, errno.EACCES}
"""What the system answers where the attribute cannot be set at all: no such attribute here, or no right to it."""


def is_immutable(path: Path) -> bool:
    """Whether the file has the attribute; False where its file system knows none. Raises OSError."""
    fd = _open(path)
    try:
        return bool(_flags(fd) & _IMMUTABLE)
    except OSError as error:
        if error.errno in _NO_ATTRIBUTES:
            return False
        raise
    finally:
        os.close(fd)


def set_immutable(path: Path, wanted: bool) -> None:
    """Set or clear the attribute; nothing is written where it is so already, and its other attributes stay.

    Raises OSError, with an errno of CANNOT where there is no way to do it here.
    """
    fd = _open(path)
    try:
        before = _flags(fd)
        after = before | _IMMUTABLE if wanted else before & ~_IMMUTABLE
        if after != before:
            fcntl.ioctl(fd, _SETFLAGS, struct.pack("i", after))
    finally:
        os.close(fd)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _flags(fd: int) -> int:
    flags: int = struct.unpack("i", fcntl.ioctl(fd, _GETFLAGS, bytes(4)))[0]
    return flags
