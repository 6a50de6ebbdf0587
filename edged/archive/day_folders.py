"""What the disk shows of the segments: a folder for each stream and UTC day, and the names in it. Reads, never writes.

Each function runs on the volume's own thread, because any of its calls can hang with the disk.
"""

import datetime as dt
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from edged.archive import compared
from edged.archive.layout import PART, SEGMENTS, segment_path
from edged.archive.schema import STREAM_NO
from edged.archive.volumes import Volume
from edged.base.clock import DAY
from edged.model import StreamKind

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class DayFolder(NamedTuple):
    """One folder: a camera's stream on one UTC day."""

    camera: str
    stream: StreamKind
    day: int  # days since 1970-01-01

    @property
    def path(self) -> PurePosixPath:
        """Below its volume."""
        return segment_path(self.camera, self.stream, self.day * DAY, 0, 0).parent

    @property
    def key(self) -> compared.FolderKey:
        return compared.FolderKey(self.camera, STREAM_NO[self.stream], self.day)


def list_folders(volume: Volume) -> tuple[set[DayFolder], list[PurePosixPath]]:
    """The folders on the disk, and what lies among them that is none. Raises OSError."""
    found: set[DayFolder] = set()
    odd: list[PurePosixPath] = []
    try:
        names = sorted(os.listdir(volume.path / SEGMENTS))
    except FileNotFoundError:  # nothing was recorded here yet, or all of it is gone: the rows will tell
        return found, odd
    for name in names:
        camera, _, kind = name.partition("~")
        below = PurePosixPath(SEGMENTS, name)
        if kind not in ("", StreamKind.SUB) or not (volume.path / below).is_dir():
            odd.append(below)
            continue
        for date in sorted(os.listdir(volume.path / below)):
            day = _parse_date(date)
            if day is None:
                odd.append(below / date)
            else:
                found.add(DayFolder(camera, StreamKind(kind or "main"), day))
    return found, odd


def changed(
    volume: Volume, folders: Iterable[DayFolder], remembered: Mapping[compared.FolderKey, int]
) -> list[DayFolder]:
    """Those of `folders` whose date is not the remembered one, or cannot be read."""

    def same(folder: DayFolder) -> bool:
        try:
            return compared.date_of(volume.path / folder.path) == remembered.get(folder.key)
        except OSError:
            return False  # to be read, and said to be unreadable

    return [folder for folder in folders if not same(folder)]


def list_names(volume: Volume, folder: DayFolder) -> set[str]:
    """The names of sealed files and of anything odd; open segments are left out. Raises OSError."""
    try:
        return {name for name in os.listdir(volume.path / folder.path) if not name.endswith(PART)}
    except FileNotFoundError:
        return set()


def still_gone(volume: Volume, folder: DayFolder, names: Iterable[str]) -> set[str]:
    """Those of `names` that the disk says are not there; where it does not answer, that is not the answer "gone"."""
    gone: set[str] = set()
    for name in names:
        try:
            os.lstat(volume.path / folder.path / name)
        except FileNotFoundError:
            gone.add(name)
        except OSError:
            continue
    return gone


def _parse_date(text: str) -> int | None:
    if not _DATE.fullmatch(text):
        return None
    try:
        return dt.date.fromisoformat(text).toordinal() - dt.date(1970, 1, 1).toordinal()
    except ValueError:
        return None
