"""A small real ext4 disk on a loop device, in the hands of a test. Needs root.

All mounts are made in a mount namespace of the test's own process (see `alone`), and the loop devices clear themselves
with their last mount: whatever ends the tests, nothing stays behind.
"""

import ctypes
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

MIB = 2**20
_CLONE_NEWNS = 0x00020000
_EXT4_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
_NO_LOG_FLUSH = 2
_FOREIGN = "someone-elses-file"


def missing() -> str:
    """Why there can be no such disk here; "" where there can."""
    if os.geteuid() != 0:
        return "loop devices and mounting need root"
    absent = [tool for tool in ("mount", "umount", "mkfs.ext4", "losetup") if shutil.which(tool) is None]
    if absent:
        return f"{', '.join(absent)} not installed"
    try:
        with tempfile.TemporaryDirectory() as folder, LoopDisk(Path(folder), size=4 * MIB):
            return ""
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no loop device can be mounted here ({error})"


def alone() -> None:
    """Give this thread, and all that it starts, a mount namespace of their own."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


class LoopDisk:
    """Use as a context manager: formatted and mounted on the way in at `path`, gone on the way out.

    The foreign file stands for whatever else fills a disk: logs, a database, somebody's copy.
    """

    def __init__(self, folder: Path, name: str = "disk", *, size: int = 96 * MIB) -> None:
        self.path = folder / name
        self.image = folder / f"{name}.img"
        self.foreign = self.path / "lost+found" / _FOREIGN
        self._size = size
        self._mounted = False

    def __enter__(self) -> Self:
        self.path.mkdir(parents=True, exist_ok=True)
        with self.image.open("wb") as image:
            image.truncate(self._size)
        _run("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0", str(self.image))
        self.mount()
        return self

    def __exit__(self, *_: object) -> None:
        while self._mounted:
            try:
                self.unmount(lazily=True)
            except subprocess.CalledProcessError:
                break
        self.image.unlink(missing_ok=True)

    # --- how full ---------------------------------------------------------------------------------------------------

    @property
    def free(self) -> int:
        stat = os.statvfs(self.path)
        return stat.f_bavail * stat.f_frsize

    @property
    def size(self) -> int:
        stat = os.statvfs(self.path)
        return stat.f_blocks * stat.f_frsize

    def fill(self, leave: int = 0) -> None:
        """Let the foreign file grow until no more than `leave` bytes are free; 0: to the last block."""
        fd = os.open(self.foreign, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while (free := self.free) > leave:
                at = os.fstat(fd).st_size
                try:
                    os.posix_fallocate(fd, at, min(free - leave, 4 * MIB))
                except OSError:
                    # Fewer blocks than asked for, some of them for the file's own map: one by one.
                    try:
                        while self.free > leave:
                            os.posix_fallocate(fd, os.fstat(fd).st_size, 4096)
                    except OSError:
                        return
        finally:
            os.close(fd)

    def free_up(self) -> None:
        """Remove the foreign file."""
        self.foreign.unlink()

    # --- there and gone -----------------------------------------------------------------------------------------------

    def mount(self, at: Path | None = None) -> None:
        """Where it belongs, or `at` another folder, which is its place from then on."""
        self.path = at or self.path
        _run("mount", "-o", "loop", str(self.image), str(self.path))
        self._mounted = True

    def unmount(self, *, lazily: bool = False) -> None:
        """`lazily`: whoever has files open keeps them, everybody else finds an empty folder."""
        _run("umount", *(["-l"] if lazily else []), str(self.path))
        self._mounted = False

    def unmount_soon(self, seconds: float = 30) -> None:
        """Unmount as soon as nobody has a file open there any more."""
        deadline = time.monotonic() + seconds
        while self._mounted:
            try:
                self.unmount()
            except subprocess.CalledProcessError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def read_only(self) -> None:
        """As the kernel does it when it meets an error on the disk, under the feet of whoever has files open."""
        _run("mount", "-o", "remount,abort", str(self.path))

    def pull(self) -> None:
        """As if the cable had been pulled: from here on every call fails, and what was not synced is lost."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, _EXT4_IOC_SHUTDOWN, _NO_LOG_FLUSH.to_bytes(4, "little"))
        finally:
            os.close(fd)


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
