"""One segment as a file: created as ``.part``, written, hashed as written, published under its name by a link; the
``.part`` name, and the lock on it, stay until the journal has it.

Everything but the constructor is called by the volume's thread and raises OSError.
"""

import fcntl
import hashlib
import os
from pathlib import Path

from edged.archive.layout import PART, segment_path
from edged.base.files import make_folder, sync_folder
from edged.model import SegmentSealed, StreamKind
from edged.record.disk.runs import RunCounter
from edged.record.sink import SegmentEnd, SegmentStart


class Committed:
    """What of one stream has reached the volume: written by the volume's thread, read by the event loop."""

    __slots__ = ("committed_us",)

    def __init__(self) -> None:
        self.committed_us: int | None = None  # end of the last frame for which write() has returned


class SegmentFile:
    """`boot_id` is that of the running system."""

    __slots__ = (
        "_digest",
        "_dirty",
        "_fd",
        "_length",
        "_named",
        "_path",
        "_run",
        "boot_id",
        "camera",
        "progress",
        "seq",
        "spent",
        "start",
        "stream",
    )

    def __init__(
        self, camera: str, stream: StreamKind, start: SegmentStart, seq: int, boot_id: str, progress: Committed
    ) -> None:
        self.camera = camera
        self.stream = stream
        self.start = start
        self.seq = seq
        self.boot_id = boot_id
        self.progress = progress
        self.spent = False  # closed for good; set by the volume's thread, read by both
        self._run = start.run
        self._path = Path()
        self._fd = -1
        self._digest = hashlib.sha256()
        self._length = 0
        self._dirty = False
        self._named = False  # the folder has been synced since the file was created

    @property
    def is_open(self) -> bool:
        return self._fd >= 0

    def create(self, volume: Path, runs: RunCounter) -> None:
        """Create the ``.part`` file, under another run where its name is taken or its run was used before."""
        if self._run < runs.least:
            self._run = runs.take()
        while True:
            path = self._final(volume)
            part = path.with_name(path.name + PART)
            if not part.parent.is_dir():
                make_folder(part.parent)
            # A sealed segment of that name would be found out at the link only: look now.
            fd = -1 if path.exists() else _create_locked(part)
            if fd >= 0:
                break
            self._run = runs.take()
        self._fd, self._path = fd, part

    def write(self, *pieces: bytes | memoryview) -> None:
        """Append the pieces, and hash what went out."""
        length = sum(map(len, pieces))
        self._dirty = True
        written = os.writev(self._fd, pieces)
        if written != length:  # a full disk takes part of it; the rest says why
            rest = memoryview(b"".join(pieces))
            while written < length:
                written += os.write(self._fd, rest[written:])
        for piece in pieces:
            self._digest.update(piece)
        self._length += length

    def sync(self) -> None:
        """Make what was written durable, and the ``.part`` name with it."""
        if self._dirty:
            os.fdatasync(self._fd)
            self._dirty = False
        if not self._named:
            sync_folder(self._path.parent)
            self._named = True

    def seal(self, volume: Path, runs: RunCounter, end: SegmentEnd) -> SegmentSealed:
        """Append the index and publish; returns the fact to journal, and `let_go` follows. Never replaces a file."""
        self.write(end.index)
        os.fdatasync(self._fd)
        while True:
            final = self._final(volume)
            try:
                os.link(self._path, final)
                break
            except FileExistsError:
                self._run = runs.take()
        sync_folder(final.parent)
        self.spent = True
        return SegmentSealed(
            camera=self.camera,
            stream=self.stream,
            start_us=self.start.start_us,
            end_us=end.end_us,
            run=self._run,
            seq=self.seq,
            bytes=self._length,
            frames=end.frames,
            keyframes=end.keyframes,
            codec=end.codec,
            width=end.width,
            height=end.height,
            sha256=self._digest.hexdigest(),
            lost_packets=end.lost_packets,
            recovered=False,
            boot_id=self.boot_id,
            start_mono_us=self.start.start_mono_us,
            rtcp_offset_us=end.rtcp_offset_us,
        )

    def let_go(self) -> None:
        """Remove the ``.part`` name: the last of all, once the journal line is durable.

        As long as it is there the next recovery asks whether that line was written; no crash after another makes it
        look for segments without one. Nothing is synced: a name that is back after a power cut is removed again.
        """
        try:
            self._path.unlink(missing_ok=True)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the file as it is; nothing more can be written to it."""
        self.spent = True
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _final(self, volume: Path) -> Path:
        return volume / segment_path(self.camera, self.stream, self.start.start_us, self._run, self.seq)


def _create_locked(part: Path) -> int:
    """The descriptor of a new file at `part`; -1 where the name is taken.

    The lock says to a recovery, in this process or another, that the file is in use. One that was faster than the lock
    takes the file for what a crash left, and removes it.
    """
    try:
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    except FileExistsError:
        return -1
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), part.stat()):
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return -1
