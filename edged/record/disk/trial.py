"""Whether a volume that failed has room and takes data again: asked before any stream comes back to it.

A disk that refuses to write can still be opened and read, and says so only when footage is lost on it.
"""

import contextlib
import os
from pathlib import Path

NAME = ".edged-trial"
# A disk that was full is opened again with so much room: what recovery gives back, or a line's worth in a block that is
# not quite full, would have every camera called again to be let go at its next fragment.
ROOM_TO_RETURN = 4 * 1024 * 1024
SIZE = 256 * 1024


def try_out(root: Path) -> None:
    """Write a file of SIZE bytes, make it durable, remove it. Raises OSError."""
    path = root / NAME
    with contextlib.suppress(FileNotFoundError):
        path.unlink()  # of a trial that a crash ended
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        rest = memoryview(bytes(SIZE))
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.fsync(fd)
    finally:
        os.close(fd)
        path.unlink()


def has_room(folder: Path) -> bool:
    """Whether an ordinary process may fill ROOM_TO_RETURN, or an eighth of a very small disk. Raises OSError."""
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize >= min(ROOM_TO_RETURN, stat.f_blocks * stat.f_frsize // 8)
