"""The journal as a file: appended to by the volume's writer thread, read back when a recorder starts.

A recorder and its successor append to the one file for a while. Each line is one write at the file's end, under a
lock, and behind a whole line: what a crash or a full disk left of another's line never swallows the next.
"""

import fcntl
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from edged.archive import journal
from edged.archive.layout import JOURNAL, journal_path
from edged.base.files import make_folder, sync_folder
from edged.model import Fact

log = logging.getLogger(__name__)
_RUN = re.compile(rb'"kind":"(?:segment|recorder_start)".*"run":(\d{1,15}),')
_END = 1 << 20  # bytes; far more lines than a recovery tells of old runs before a recorder's own follow
_SEGMENT = re.compile(rb'"camera":"([^"]+)".*"kind":"segment".*"run":(\d+),"seq":(\d+).*"stream":"(\w+)"')


class JournalFile:
    """One recorder's journal on one volume. Used by one thread. Every method raises OSError."""

    def __init__(self, volume: Path, recorder: str) -> None:
        self._volume = volume
        self._recorder = recorder
        self._path: PurePosixPath | None = None
        self._fd = -1
        self._dirty = False

    def append(self, fact: Fact, now_us: int) -> None:
        """Write one line into the file of the day; `sync` makes it durable."""
        path = journal_path(self._recorder, now_us)
        if path != self._path:
            self.close()
            self._open(path)
        line = journal.encode(fact)
        self._dirty = True
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            self._mend()
            # One write: what a crash leaves of a line is at most its beginning.
            if os.write(self._fd, line) != len(line):
                raise OSError("the journal's line was written in part only")
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def sync(self) -> None:
        """Make every line durable."""
        if self._dirty:
            os.fdatasync(self._fd)
            self._dirty = False

    def close(self) -> None:
        """Sync and close; `append` opens again."""
        if self._fd >= 0:
            try:
                self.sync()
            finally:
                os.close(self._fd)
                self._fd, self._path, self._dirty = -1, None, False

    def abandon(self) -> None:
        """Close without a word, on a volume that no longer answers."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._path, self._dirty = -1, None, False

    def _open(self, path: PurePosixPath) -> None:
        full = self._volume / path
        make_folder(full.parent)
        fd = os.open(full, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            sync_folder(full.parent)
        except BaseException:
            os.close(fd)
            raise
        self._fd, self._path = fd, path

    def _mend(self) -> None:
        """End a torn line."""
        size = os.fstat(self._fd).st_size
        if size and os.pread(self._fd, 1, size - 1) != b"\n":
            log.warning("the journal of %s ends in a torn line, which is left as it is", self._path and self._path.stem)
            os.write(self._fd, b"\n")


def recent_days(volume: Path) -> tuple[list[Path], float]:
    """The two files of every recorder's journal on the volume that were written to last.

    And the time after which everything that was journalled is in one of them: of the files' own clock, as `st_mtime`,
    because dates in names follow a wall clock that may have been wrong. Raises OSError.
    """
    recent: list[Path] = []
    since = 0.0
    root = volume / JOURNAL
    for recorder in sorted(root.iterdir()) if root.is_dir() else ():
        written = sorted((day.stat().st_mtime, day) for day in recorder.glob("????-??-??.ndjson"))
        recent += [day for _, day in written[-2:]]
        since = max([since, *(at for at, _ in written[:-2])])
    return recent, since


def last_run(volume: Path, recorder: str) -> int:
    """The largest run that the end of the recorder's journal on the volume tells of, 0 where it tells of none.

    Runs only grow, and every recorder begins its journal with its own. Raises OSError.
    """
    found = 0
    written = sorted((day.stat().st_mtime, day) for day in (volume / JOURNAL / recorder).glob("????-??-??.ndjson"))
    for _, day in written[-2:]:
        with day.open("rb") as lines:
            lines.seek(max(0, os.fstat(lines.fileno()).st_size - _END))
            found = max([found, *(int(run[1]) for line in lines if (run := _RUN.search(line)))])
    return found


def known_segments(day: Path) -> Iterator[tuple[bytes, bytes, int, int]]:
    """(camera, stream, run, seq) of every segment line. Raises OSError.

    Lines are canonical, so a pattern finds their keys; parsing a day's JSON would hold up the recording around it.
    """
    with day.open("rb") as lines:
        for line in lines:
            found = _SEGMENT.search(line)
            if found is not None:
                yield found[1], found[4], int(found[2]), int(found[3])
