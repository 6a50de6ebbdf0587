"""Files that are either there whole or not there at all, and JSON that always has the same bytes."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> bytes:
    """The one byte form of a JSON value: keys sorted, no blanks, UTF-8, no NaN. Two equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def replace_file(path: Path, content: bytes, *, mode: int = 0o640) -> None:
    """Replace `path` by `content` atomically and durably: a reader sees the old bytes or the new, never a mix.

    `mode` counts from the first byte, so a secret is never readable in between. One process at a time may replace a
    file: the working name is always the same, so that what a crash leaves there goes with the next try. Raises OSError.
    """
    working = working_name(path)
    fd = os.open(working, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(working, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(working)
        raise
    sync_folder(path.parent)


def working_name(path: Path) -> Path:
    """Where `replace_file` prepares the new content of `path`."""
    return path.with_name(f".{path.name}.tmp")


def make_folder(folder: Path, *, mode: int = 0o750) -> None:
    """Create `folder` and its missing parents, each name durable. Raises OSError."""
    missing = []
    at = folder
    while not at.exists():
        missing.append(at)
        at = at.parent
    for new in reversed(missing):
        with contextlib.suppress(FileExistsError):
            new.mkdir(mode=mode)
        sync_folder(new.parent)
