"""Reads whole files without being in anybody's way: idle priority on the disk, nothing left in the page cache."""

import contextlib
import ctypes
import hashlib
import os
import platform
from pathlib import Path

CHUNK = 1 << 20
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
_THIS_THREAD = (1, 0)  # IOPRIO_WHO_PROCESS, 0
_IDLE = 3 << 13  # IOPRIO_CLASS_IDLE: served when nobody else asks (ioprio_set(2))


def idle_thread() -> bool:
    """Give the calling thread idle priority on every disk; False where the kernel or its scheduler does not know it."""
    number = _IOPRIO_SET.get(platform.machine())
    if number is None:
        return False
    return bool(ctypes.CDLL(None, use_errno=True).syscall(number, *_THIS_THREAD, _IDLE) == 0)


def sha256_of(file: Path) -> tuple[str, int]:
    """The SHA-256 of a file's content, lower-case hex, and its length; pages are given back as they are read.

    Links are not followed: a recording is a file, and what leads elsewhere is not one. Raises OSError.
    """
    digest, length = hashlib.sha256(), 0
    fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        while chunk := os.read(fd, CHUNK):
            digest.update(chunk)
            with contextlib.suppress(OSError):
                os.posix_fadvise(fd, length, len(chunk), os.POSIX_FADV_DONTNEED)
            length += len(chunk)
    finally:
        os.close(fd)
    return digest.hexdigest(), length
