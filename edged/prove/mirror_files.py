"""The ledger's mirror on one volume: files of 4,096 lines each, appended and synced, never rewritten.

    <volume>/ledger/<recorder>/<number of the first entry, 12 digits>.ndjson
    <volume>/ledger/<recorder>/checkpoint, key.pem            the newest signed head that the files reach, its key
    <volume>/ledger/<recorder>/checkpoint-*, key-*.pem        the last head of a key before this one, and that key

A full file is a complete subtree of the ledger's Merkle tree, so one stored hash of the index checks all of it.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edged.archive import merkle
from edged.archive.layout import LEDGER
from edged.base.files import make_folder, replace_file, sync_folder

HEIGHT = 12  # a file of 22 MB, where an hour of one-minute segments makes a line of 5 kB: read as a whole
LINES = 1 << HEIGHT  # in one file
_SUFFIX = ".ndjson"
CHECKPOINT, KEY = "checkpoint", "key.pem"
_MOST_KEYS = 20  # that are read: nobody changes a key more often


class FileChanged(OSError):
    """A file of the mirror is not as it was left."""


@dataclass(frozen=True, slots=True)
class Content:
    """What lies in one file: its whole lines, and what a crash left after the last of them.

    `root` is the hash of the subtree over a full file; empty for any other.
    """

    lines: list[bytes]
    torn: bytes
    root: bytes

    @property
    def whole_bytes(self) -> int:
        return sum(map(len, self.lines)) + len(self.lines)

    def torn_from(self, line: bytes) -> bool:
        """Whether the torn end can be what a crash left of appending `line`; power cuts leave zeroes, too."""
        return line.startswith(self.torn.rstrip(b"\0"))


class FileLooks(NamedTuple):
    """What shows a change of a file without reading it. `changed_ns` is the one that no program can set back."""

    bytes: int
    modified_ns: int
    changed_ns: int
    inode: int


class MirrorFolder:
    """One recorder's mirror on one volume. Every call may raise OSError."""

    def __init__(self, volume: Path, recorder: str) -> None:
        self.path = volume / LEDGER / recorder

    def file(self, number: int) -> Path:
        """The file that begins with entry `number` * LINES + 1."""
        return self.path / f"{number * LINES + 1:012d}{_SUFFIX}"

    def numbers(self) -> list[int]:
        """Which files there are, in order."""
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return []
        firsts = [int(name[: -len(_SUFFIX)]) for name in names if name.endswith(_SUFFIX) and name[:12].isdecimal()]
        return sorted((first - 1) // LINES for first in firsts if first % LINES == 1)

    def read(self, number: int) -> Content:
        """The content of a file; empty where there is none."""
        try:
            content = self.file(number).read_bytes()
        except FileNotFoundError:
            content = b""
        *lines, torn = content.split(b"\n")
        root = merkle.complete([merkle.leaf_hash(line) for line in lines]) if len(lines) == LINES else b""
        return Content(lines, torn, root)

    def looks(self, number: int) -> FileLooks | None:
        """How a file looks now, None where there is none."""
        try:
            found = os.stat(self.file(number))
        except FileNotFoundError:
            return None
        return FileLooks(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)

    def size(self) -> int:
        """How many entries the mirror reaches up to."""
        numbers = self.numbers()
        return numbers[-1] * LINES + len(self.read(numbers[-1]).lines) if numbers else 0

    def append(self, number: int, lines: list[bytes], at: int) -> int:
        """Add whole lines to a file of `at` bytes, durably; the file's name too where it is new. Returns its length.

        Raises FileChanged where it has another length than that: somebody else wrote to it.
        """
        path = self.file(number)
        new = not path.exists()
        if new:
            make_folder(path.parent)
        with path.open("ab", buffering=0) as file:
            if os.fstat(file.fileno()).st_size != at:
                raise FileChanged(0, f"{path.name} was changed by somebody else")
            content = b"".join(line + b"\n" for line in lines)
            while content:
                content = content[file.write(content) :]
            os.fsync(file.fileno())
            length = os.fstat(file.fileno()).st_size
        if new:
            sync_folder(path.parent)
        return length

    def cut(self, number: int, length: int) -> None:
        """Take off a torn end, so that the next line begins a line."""
        with self.file(number).open("r+b") as file:
            file.truncate(length)
            os.fsync(file.fileno())

    def name_aside(self, number: int) -> str:
        """A name that is free, for a file that is not what it must be."""
        path = self.file(number)
        count = 1
        while (aside := path.with_suffix(f".differs-{count}")).exists():
            count += 1
        return aside.name

    def set_aside(self, number: int, name: str) -> None:
        """Keep a file under that name instead of its own."""
        os.rename(self.file(number), self.path / name)
        sync_folder(self.path)

    def checkpoint(self) -> str | None:
        """The signed head beside the files, None where there is none."""
        return _text(self.path / CHECKPOINT)

    def checkpoints(self) -> list[str]:
        """The signed heads beside the files: the newest, and the last of each key before. Raises OSError."""
        kept = sorted(self.path.glob(f"{CHECKPOINT}-*"))[:_MOST_KEYS]
        return [note for path in (self.path / CHECKPOINT, *kept) if (note := _text(path)) is not None]

    def put_head(self, note: str, key_pem: str) -> None:
        """Set the signed head and its public key beside the files, where they are not there already.

        Those of another key are kept beside them: they show what that key has signed.
        """
        before = _text(self.path / KEY)
        if before is not None and before != key_pem:
            kept = hashlib.sha256(before.encode()).hexdigest()[:8]
            for name, aside in ((CHECKPOINT, f"{CHECKPOINT}-{kept}"), (KEY, f"key-{kept}.pem")):
                if (self.path / name).exists():
                    os.rename(self.path / name, self.path / aside)
            sync_folder(self.path)
        for name, text in ((KEY, key_pem), (CHECKPOINT, note)):
            path = self.path / name
            if not path.exists() or path.read_bytes() != text.encode():
                replace_file(path, text.encode())


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
