"""Where things lie on a volume, and how they are named. Pure.

    <volume>/VOLUME.json                                             identity, checked before anything is written
    <volume>/segments/<camera>/<YYYY-MM-DD>/<HHMMSS>Z-<run>-<seq>.mp4   (*.mp4.part while open; "<camera>~sub" for sub)
    <volume>/journal/<recorder>/<YYYY-MM-DD>.ndjson

All dates and times in names are UTC.
"""

import datetime as dt
import functools
import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from edged.base.clock import DAY, SECOND
from edged.model import StreamKind

SEGMENTS = "segments"
JOURNAL = "journal"
LEDGER = "ledger"
IDENTITY = "VOLUME.json"
PART = ".part"

_NAME = re.compile(r"(\d{6})Z-(\d+)-(\d+)\.mp4(\.part)?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


# A camera's id becomes a folder's name; nothing that a volume claims may lead out of its own folders.
_CAMERA = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


def is_camera_id(text: str) -> bool:
    """Whether `text` can be a camera's id, and its folder's name."""
    return _CAMERA.fullmatch(text) is not None


class SegmentName(NamedTuple):
    """What a segment's path tells about it."""

    camera: str
    stream: StreamKind
    start_s: int  # whole seconds UTC, rounded down
    run: int
    seq: int
    part: bool


def utc(at_us: int) -> dt.datetime:
    """`at_us` as an aware datetime."""
    return dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=at_us)


def segment_path(camera: str, stream: StreamKind, start_us: int, run: int, seq: int) -> PurePosixPath:
    """A sealed segment's path below its volume."""
    folder = camera if stream is StreamKind.MAIN else f"{camera}~{stream}"
    return PurePosixPath(SEGMENTS, folder, _date(start_us // DAY), segment_name(start_us, run, seq))


@functools.lru_cache(1000)
def _date(day: int) -> str:
    """The UTC date of a day counted from 1970: asked for every segment, and there are few."""
    return f"{utc(day * DAY):%Y-%m-%d}"


def segment_name(start_us: int, run: int, seq: int) -> str:
    """A sealed segment's file name. Without a calendar, because the names of a whole disk are compared."""
    second = start_us % DAY // SECOND
    return f"{second // 3600:02}{second // 60 % 60:02}{second % 60:02}Z-{run}-{seq}.mp4"


def parse_segment_path(path: PurePosixPath | Path) -> SegmentName | None:
    """The meaning of a path below a volume, or None where it is not a segment's."""
    parts = path.parts
    if len(parts) != 4 or parts[0] != SEGMENTS or not _DATE.fullmatch(parts[2]):
        return None
    name = _NAME.fullmatch(parts[3])
    if name is None:
        return None
    camera, _, stream = parts[1].partition("~")
    try:
        start = dt.datetime.strptime(f"{parts[2]} {name[1]} +0000", "%Y-%m-%d %H%M%S %z")
        kind = StreamKind(stream or "main")
    except ValueError:
        return None
    return SegmentName(camera, kind, int(start.timestamp()), int(name[2]), int(name[3]), name[4] is not None)


def journal_path(recorder: str, at_us: int) -> PurePosixPath:
    """The journal file that a fact written at `at_us` goes to, below its volume."""
    return PurePosixPath(JOURNAL, recorder, f"{utc(at_us):%Y-%m-%d}.ndjson")
