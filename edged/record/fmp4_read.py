"""Fragmented MP4 of edged's own making, read back: what a crash left whole. No files: the caller lends `read`.

Only the heads of boxes and of NAL units are read, so a file of 30 MB costs a few thousand small reads.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from edged.record.fmp4 import SYNC_SAMPLE, SyncPoint, wall_time
from edged.record.rtp import ticks_to_us

Read = Callable[[int, int], bytes]  # (offset, size) -> at most size bytes, as os.pread
_HEAD_LIMIT = 4 * 1024 * 1024  # the largest moov or moof believed


@dataclass(frozen=True, slots=True)
class Salvage:
    """What is whole in a segment file, counted up to `length` bytes: the end of its last whole fragment."""

    length: int
    start_us: int  # arrival of the first frame, as the first fragment says
    duration_us: int
    frames: int
    keyframes: int
    codec: str
    width: int
    height: int
    points: tuple[SyncPoint, ...]

    @property
    def end_us(self) -> int:
        return self.start_us + self.duration_us


@dataclass(slots=True)
class _Fragment:
    time: int
    sizes: list[int]
    durations: int
    last_shown: int  # end of the sample shown last, relative to time
    keys: list[tuple[int, int]]  # (decoding time, number from 1) of each keyframe


class _Damaged(Exception):
    """The bytes are not what edged writes: everything before them still counts."""


def salvage(read: Read, size: int) -> Salvage | None:
    """What is whole in a file of `size` bytes; None where not even one fragment is. Raises what `read` raises."""
    at = 0
    entry: tuple[str, int, int] | None = None
    wall: int | None = None
    started: tuple[int, int] | None = None  # wall clock and time of the first fragment
    moof: tuple[int, _Fragment] | None = None
    length = end = frames = keyframes = 0
    points: list[SyncPoint] = []
    while True:
        head = _box_head(read, at, size)
        if head is None:
            break
        kind, body, after = head
        try:
            if kind == b"moov":
                entry = _sample_entry(_body(read, body, after))
            elif kind == b"prft":
                wall = wall_time(struct.unpack_from(">Q", _body(read, body, after), 8)[0])
            elif kind == b"moof":
                moof = at, _parse_moof(_body(read, body, after))
            elif kind == b"mdat" and moof is not None and entry is not None:
                position, fragment = moof
                if started is None:
                    if wall is None:
                        break
                    started = wall, fragment.time
                if not _units_are_whole(read, body, after, fragment.sizes):
                    break
                frames += len(fragment.sizes)
                keyframes += len(fragment.keys)
                points += [SyncPoint(time, position, sample) for time, sample in fragment.keys]
                end = max(end, fragment.time + max(fragment.durations, fragment.last_shown) - started[1])
                length, moof = after, None
        except (_Damaged, struct.error, IndexError):
            break
        at = after
    if entry is None or started is None or not frames:
        return None
    codec, width, height = entry
    return Salvage(length, started[0], ticks_to_us(end), frames, keyframes, codec, width, height, tuple(points))


def _box_head(read: Read, at: int, size: int) -> tuple[bytes, int, int] | None:
    """(kind, position of the body, position behind the box), or None where no whole box begins at `at`."""
    if at + 8 > size:
        return None
    head = read(at, 8)
    if len(head) < 8:
        return None
    length = int.from_bytes(head[:4], "big")
    # edged writes no 64-bit sizes and no boxes that reach to the end of the file
    return (head[4:], at + 8, at + length) if 8 <= length <= size - at else None


def _body(read: Read, start: int, stop: int) -> bytes:
    if stop - start > _HEAD_LIMIT:
        raise _Damaged
    content = read(start, stop - start)
    if len(content) != stop - start:
        raise _Damaged
    return content


def _children(content: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    at = 0
    while at + 8 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        if length < 8 or at + length > len(content):
            raise _Damaged
        found[content[at + 4 : at + 8]] = content[at + 8 : at + length]
        at += length
    return found


def _descend(content: bytes, *path: bytes) -> bytes:
    for kind in path:
        try:
            content = _children(content)[kind]
        except KeyError:
            raise _Damaged from None
    return content


def _sample_entry(moov: bytes) -> tuple[str, int, int]:
    description = _descend(moov, b"trak", b"mdia", b"minf", b"stbl", b"stsd")
    entry = _descend(description[8:], b"avc1")
    width, height = struct.unpack_from(">HH", entry, 24)
    profile, compatibility, level = _descend(entry[78:], b"avcC")[1:4]
    return f"avc1.{profile:02x}{compatibility:02x}{level:02x}", width, height


def _parse_moof(content: bytes) -> _Fragment:
    track = _descend(content, b"traf")
    parts = _children(track)
    if b"tfdt" not in parts or b"trun" not in parts:
        raise _Damaged
    (time,) = struct.unpack_from(">Q", parts[b"tfdt"], 4)
    run = parts[b"trun"]
    flags, count = struct.unpack_from(">II", run)
    width = 4 if flags & 0x800 else 3
    if flags & 0x701 != 0x701 or not count or 12 + 4 * width * count != len(run):
        raise _Damaged
    numbers = struct.unpack_from(f">{width * count}I", run, 12)
    durations, sizes, kinds = numbers[0::width], numbers[1::width], numbers[2::width]
    keys = []
    shown = at = 0
    for index, duration in enumerate(durations):
        shift = struct.unpack_from(">i", run, 12 + 16 * index + 12)[0] if width == 4 else 0
        shown = max(shown, at + shift + duration)
        if kinds[index] == SYNC_SAMPLE:
            keys.append((time + at, index + 1))
        at += duration
    return _Fragment(time, list(sizes), at, shown, keys)


def _units_are_whole(read: Read, at: int, stop: int, sizes: list[int]) -> bool:
    """Whether the samples fill the box and their NAL units fill the samples.

    After a power cut a file system may give back a length whose blocks were never written: those read as zeros.
    """
    if at + sum(sizes) != stop:
        return False
    for size in sizes:
        end = at + size
        while at < end:
            length = int.from_bytes(read(at, 4), "big")
            if length == 0 or at + 4 + length > end:
                return False
            at += 4 + length
    return True
