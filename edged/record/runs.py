"""The run counter: part of every segment's name, so that a clock that steps back can never reuse one.

Runs are reserved on disk in blocks. Taking one within a block touches no disk, so a clock that jumps while the state
folder hangs does not hold up recording (I6); a crash skips what is left of the block.
"""

import logging
import threading
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
        try:
            self._next = int(path.read_bytes()) if path.exists() else 1
            self._reserved = self._next + BLOCK
            replace_file(path, b"%d\n" % self._reserved)
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
            if self._next >= self._reserved:
                try:
                    replace_file(self._path, b"%d\n" % (self._reserved + BLOCK))
                    self._reserved += BLOCK
                except OSError as error:
                    # Names stay safe without it: files are created and published by calls that refuse to replace.
                    log.error("the run counter cannot be saved, going on without: %s", error)
            return run
