"""Which process is the recorder of an id: the one that holds its lock file, as long as it lives."""

import contextlib
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path

from edged.base.clock import SECOND, Clock
from edged.record.errors import AlreadyRunning, StateUnusable

_MOMENT_US = SECOND  # whoever asks whether a recorder is alive holds the lock for a moment
_POLL_SECONDS = 0.02


def lock_path(state_dir: Path, recorder_id: str) -> Path:
    """The file that the recorder `recorder_id` holds; its process id is in it."""
    return state_dir / f"recorder-{recorder_id}.lock"


def succession_path(state_dir: Path, recorder_id: str) -> Path:
    """The file that the successor of a running recorder holds until it is the recorder."""
    return state_dir / f"recorder-{recorder_id}.next.lock"


def is_running(state_dir: Path, recorder_id: str) -> bool:
    """Whether a recorder process of this id is alive. Raises OSError."""
    return running_pid(state_dir, recorder_id) is not None


def running_pid(state_dir: Path, recorder_id: str) -> int | None:
    """The process id of the recorder of this id, 0 where it has not said it yet, None where none is alive.

    Raises OSError.
    """
    try:
        fd = os.open(lock_path(state_dir, recorder_id), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        told = os.pread(fd, 32, 0).strip()
        return int(told) if told.isdigit() else 0
    finally:
        os.close(fd)
    return None


class Lock:
    """A lock file, held by this process until it lets go or ends, however it ends."""

    def __init__(self, path: Path) -> None:
        """Open the file, not yet locked. Raises StateUnusable."""
        self._path = path
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise StateUnusable(f"the lock {path.name} cannot be opened: {error.strerror}") from error

    def try_hold(self) -> bool:
        """Hold it where nobody else does; returns whether it is held."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        with contextlib.suppress(OSError):  # a full disk does not matter: the lock counts, its text is a courtesy
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)
        return True

    async def hold(self, clock: Clock, within_us: int = _MOMENT_US) -> None:
        """Hold it within this time. Raises AlreadyRunning."""
        deadline_us = clock.monotonic_us() + within_us
        while not self.try_hold():
            if clock.monotonic_us() >= deadline_us:
                raise AlreadyRunning(f"another recorder holds {self._path.name}")
            await clock.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """Let go, once and for all."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


@contextlib.asynccontextmanager
async def held(path: Path, clock: Clock) -> AsyncIterator[Lock]:
    """Hold the lock at `path` while inside. Raises AlreadyRunning, StateUnusable."""
    lock = Lock(path)
    try:
        await lock.hold(clock)
        yield lock
    finally:
        lock.close()
