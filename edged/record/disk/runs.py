"""The run counter: part of every segment's name, so that a clock that steps back can never reuse one.

Runs are reserved on disk in blocks. Taking one within a block touches no disk, so a clock that jumps while the state
folder hangs does not hold up recording (I6); a crash skips what is left of the block. A recorder and its successor
reserve from the one file, under a lock, so that they never share a run. Where that file was lost with the state folder,
or is an old copy, the journals on the volumes still tell how far the runs had come: see `known`.
"""

import fcntl
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edged.base.files import replace_file
from edged.record.errors import StateUnusable

log = logging.getLogger(__name__)
BLOCK = 16


class RunCounter:
    """Gives each run number once in the life of the state folder. Safe to use from every thread."""

    def __init__(self, path: Path) -> None:
        """Reserve the first block. Raises StateUnusable."""
        self._path = path
        self._lock = threading.Lock()
        self.least = 1  # whoever has a run below this takes another
        try:
            self._next = self._reserve(1)
        except (OSError, ValueError) as error:
            raise StateUnusable(
                f"the run counter {path.name} cannot be kept: {error}",
                hint="check the state folder; if the file is damaged, write a number into it that is larger than every "
                "run in the segments' names",
            ) from error

    def take(self) -> int:
        """The next run."""
        with self._lock:
            run = self._next
            self._next += 1
            if self._next >= self._end:
                self._go_on()
            return run

    def known(self, run: int) -> None:
        """A volume's journal tells of this run, so none up to it is given any more. Not of this counter's own."""
        with self._lock:
            if run >= self._next:
                log.warning("a volume knows of run %d: the state folder was lost or is an old copy", run)
                self._next = self.least = run + 1
                self._go_on()

    def _go_on(self) -> None:
        """Reserve the next block."""
        try:
            self._next = self._reserve(self._next)
        except (OSError, ValueError) as error:
            # Names stay safe without it: files are created and published by calls that refuse to replace.
            log.error("the run counter cannot be saved, going on without: %s", error)

    def _reserve(self, least: int) -> int:
        """Reserve a block of runs, none below `least`; returns its first. Raises OSError, ValueError."""
        with self._alone():
            first = max(least, int(self._path.read_bytes()) if self._path.exists() else 1)
            replace_file(self._path, b"%d\n" % (first + BLOCK))
        self._end = first + BLOCK
        return first

    @contextmanager
    def _alone(self) -> Iterator[None]:
        # A lock file of its own: the counter itself is replaced.
        fd = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)
