"""Fragmented MP4 of edged's own making, read back: what a crash left whole. No files: the caller lends `read`.

Only the heads of boxes and of NAL units are read, so a file of 30 MB costs a few thousand small reads.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from edged.record.mp4.boxes import Damaged, children, descend
from edged.record.mp4.fmp4 import SOUND_TRACK, SYNC_SAMPLE, TRACK, SyncPoint, indexed_keys, wall_time
from edged.record.mp4.sample_entry import read_entry
from edged.record.net.rtp import CLOCK, ticks_to_us

Read = Callable[[int, int], bytes]  # (offset, size) -> at most size bytes, as os.pread
_BLOCK = 4096  # what file systems lose, they lose in multiples of this
_ZEROS = 64
_LONGEST = 60 * CLOCK  # a fragment, or a silence before one: more is a turned bit, and would claim hours of footage
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
    sound: int = 0  # bytes of sound in front of the video's samples


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
                entry = _read_tracks(_body(read, body, after))
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
                if not _samples_are_whole(read, body, after, fragment, entry[0]):
                    break
                begins = fragment.time - started[1]
                reach = begins + max(fragment.durations, fragment.last_shown)
                if not (started[1] <= _LONGEST and 0 <= begins <= end + _LONGEST and 0 <= reach - begins <= _LONGEST):
                    break
                frames += len(fragment.sizes)
                keyframes += len(fragment.keys)
                indexed = indexed_keys(fragment.keys, len(fragment.sizes))
                points += [SyncPoint(time, position, sample) for time, sample in indexed]
                end = max(end, reach)
                length, moof = after, None
        except (Damaged, struct.error, IndexError):
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
        raise Damaged
    content = read(start, stop - start)
    if len(content) != stop - start:
        raise Damaged
    return content


def _read_tracks(moov: bytes) -> tuple[str, int, int]:
    """(codecs after RFC 6381, width, height)."""
    codecs: list[str] = []
    size = 0, 0
    for kind, track in children(moov):
        if kind != b"trak":
            continue
        (name, entry), *_ = children(descend(track, b"mdia", b"minf", b"stbl", b"stsd")[8:])
        codec, *dimensions = read_entry(name, entry)
        if not codecs:
            size = dimensions[0], dimensions[1]
        codecs.append(codec)
    if not codecs:
        raise Damaged
    return ",".join(codecs), *size


def _parse_moof(content: bytes) -> _Fragment:
    video: _Fragment | None = None
    sound = 0
    for kind, track in children(content):
        if kind != b"traf":
            continue
        parts = dict(children(track))
        if not {b"tfhd", b"tfdt", b"trun"} <= parts.keys():
            raise Damaged
        (number,) = struct.unpack_from(">I", parts[b"tfhd"], 4)
        if number == TRACK:
            video = _parse_video(parts)
        elif number == SOUND_TRACK:
            run = parts[b"trun"]
            flags, count = struct.unpack_from(">II", run)
            if flags & 0xFFF != 0x301 or 12 + 8 * count != len(run):
                raise Damaged
            sound = sum(struct.unpack_from(f">{2 * count}I", run, 12)[1::2])
    if video is None:
        raise Damaged
    video.sound = sound
    return video


def _parse_video(parts: dict[bytes, bytes]) -> _Fragment:
    (time,) = struct.unpack_from(">Q", parts[b"tfdt"], 4)
    run = parts[b"trun"]
    flags, count = struct.unpack_from(">II", run)
    width = 4 if flags & 0x800 else 3
    if flags & 0x701 != 0x701 or not count or 12 + 4 * width * count != len(run):
        raise Damaged
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
    return _Fragment(time, list(sizes), at, shown, keys, 0)


def _samples_are_whole(read: Read, at: int, stop: int, fragment: _Fragment, codec: str) -> bool:
    """Whether the samples fill the box, and nothing in them was lost.

    After a power cut a file system may give back a length whose blocks were never written: those read as zeros. NAL
    units lie behind their lengths; of sound, and of a picture that is one piece, every byte has to be looked at.
    """
    video = at + fragment.sound
    if video + sum(fragment.sizes) != stop or _has_hole(read, at, video):
        return False
    if codec.startswith("jpeg"):
        return not _has_hole(read, video, stop)
    return _units_are_whole(read, video, fragment.sizes)


def _units_are_whole(read: Read, at: int, sizes: list[int]) -> bool:
    """Whether the samples' NAL units fill the samples."""
    for size in sizes:
        end = at + size
        while at < end:
            length = int.from_bytes(read(at, 4), "big")
            if length == 0 or at + 4 + length > end:
                return False
            at += 4 + length
    return True


def _has_hole(read: Read, start: int, stop: int) -> bool:
    """Whether blocks there were never written. Neither sound nor JPEG has that many zeros in a row."""
    while start < stop:
        block = read(start, min(_BLOCK - start % _BLOCK, stop - start))
        if not any(block) and (len(block) >= _ZEROS or not block):
            return True
        start += len(block)
    return False
