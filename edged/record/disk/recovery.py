"""What a crash left on a volume, put in order: open segments are cut to their last whole fragment, sealed and
journalled as recovered; sealed ones that no journal line names are journalled.

A generator, stepped by the volume's writer thread between the writes of new fragments: recording goes on at once,
however much there is to recover. It does small amounts of work between steps.

    .part, whole fragments    cut, index appended, synced, linked to its name, journalled; then the .part name goes
    .part, no whole fragment  removed: there is nothing to see in it
    .part with its own name   the crash came between link and unlink: journalled where that is still due, then the .part
                              name goes. A file that has other names may be held as evidence, and cutting reaches
                              through links: it is copied instead
    .mp4, not in the journal  its line was synced and is lost all the same: hashed and journalled
"""

import contextlib
import fcntl
import hashlib
import itertools
import logging
import os
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from edged.archive.layout import PART, SEGMENTS, SegmentName, parse_segment_path
from edged.base.clock import SECOND
from edged.base.files import sync_folder
from edged.model import Fact, SegmentSealed, StreamKind
from edged.record.disk.journal_file import known_segments, recent_days
from edged.record.mp4.fmp4 import random_access
from edged.record.mp4.fmp4_read import Salvage, salvage

log = logging.getLogger(__name__)
_CHUNK = 4 * 1024 * 1024
_LAST = 3
_OUT_OF_THE_WAY = 1_000_000  # a name that somebody else took: step far out of what its run goes on to use
_STEP = 256  # directory entries or journal lines between two steps


@dataclass(frozen=True, slots=True)
class Recovered:
    """What recovery did so far."""

    sealed: int = 0
    journalled: int = 0
    removed: int = 0


def recover(volume: Path, tell: Callable[[Fact], None]) -> Generator[None, None, Recovered]:
    """Recover `volume`; `tell` appends a fact to the journal and makes it durable. Raises OSError."""
    parts: list[Path] = []
    days, since = recent_days(volume)
    # A segment keeps its .part name until its line is durable. So a line can be missing behind the back of the disk
    # only, and then of a stream's last ones: the journal's end is what a failing disk has not kept.
    newest: dict[tuple[str, StreamKind], list[tuple[int, int, Path]]] = {}
    for path in _walk(volume):
        if path is None:
            yield
            continue
        if path.name.endswith(PART):
            parts.append(path)
            continue
        name = parse_segment_path(path.relative_to(volume))
        if name is not None:
            last = newest.setdefault((name.camera, name.stream), [])
            last.append((name.run, name.seq, path))
            if len(last) > _LAST:
                last.remove(min(last))
    unknown = {
        (camera.encode(), stream.encode(), run, seq): path
        for (camera, stream), last in newest.items()
        for run, seq, path in last
        if _sealed_at(path) >= since
    }
    for day in days:
        for number, key in enumerate(known_segments(day)):
            unknown.pop(key, None)
            if number % _STEP == 0:
                yield
    sealed = removed = journalled = 0
    for path in parts:
        try:
            outcome = yield from _recover_part(volume, path, tell)
        except OSError as error:
            # One file that cannot be read must not keep the volume from being recorded to.
            log.error("an open segment could not be recovered, it is left as it is: %s", error.strerror)
            continue
        except Exception:
            log.exception("an open segment could not be recovered, it is left as it is")
            continue
        sealed += outcome == "sealed"
        journalled += outcome == "journalled"
        removed += outcome == "removed"
    for key, path in unknown.items():
        name = parse_segment_path(path.relative_to(volume))
        if name is None:
            continue
        fact = yield from _describe(path, name)
        # Another recorder on this volume may have been between link and line; it has caught up by now.
        if fact is not None and not any(key in known_segments(day) for day in recent_days(volume)[0]):
            tell(fact)
            journalled += 1
    return Recovered(sealed, journalled, removed)


def _walk(volume: Path) -> Iterator[Path | None]:
    """The files of the segments tree, oldest day first; None now and then, where a step may be taken."""
    cameras = volume / SEGMENTS
    if not cameras.is_dir():
        return
    seen = 0
    for camera in sorted(cameras.iterdir()):
        if not camera.is_dir():
            continue
        for day in sorted(camera.iterdir()):
            if not day.is_dir():
                continue
            yield None
            for name in os.listdir(day):
                seen += 1
                if seen % _STEP == 0:
                    yield None
                yield day / name


def _sealed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0  # swept in the meantime


def _recover_part(volume: Path, path: Path, tell: Callable[[Fact], None]) -> Generator[None, None, str]:
    name = parse_segment_path(path.relative_to(volume))
    if name is None:
        return "foreign"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return "gone"
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return "in use"  # by this recorder, which writes already, or by another one on the same volume
        published = _published_as(path, fd)
        if published is not None:
            fact = yield from _undescribed(volume, published)
            if fact is not None:
                sync_folder(path.parent)
                tell(fact)
            path.unlink()
            sync_folder(path.parent)
            return "published" if fact is None else "journalled"
        yield
        size = os.fstat(fd).st_size
        found = salvage(lambda offset, count: os.pread(fd, count, offset), size)
        if found is None:
            path.unlink()
            sync_folder(path.parent)
            log.warning("camera %s: an open segment held no whole fragment after a crash and was removed", name.camera)
            return "removed"
        if os.fstat(fd).st_nlink > 1:
            fd = _copy_apart(fd, path, found.length)
        digest, length = yield from _seal(fd, found)
        seq = _publish(path)
        log.warning("camera %s: an open segment was recovered after a crash, %d frames", name.camera, found.frames)
        tell(_fact(name._replace(seq=seq), found, digest, length))
        # The last of all: as long as it has this name, the next recovery asks whether its line was written.
        path.unlink()
        sync_folder(path.parent)
        return "sealed"
    finally:
        os.close(fd)


def _copy_apart(fd: int, path: Path, length: int) -> int:
    """Put a copy of the first `length` bytes in the place of `path`, whose file has other names; returns its fd."""
    working = path.with_name(f"{path.name}.copy")
    new = os.open(working, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    try:
        at = 0
        while at < length:
            at += os.write(new, os.pread(fd, min(_CHUNK, length - at), at))
        os.fsync(new)  # else the power may go behind the new name and before the bytes
        os.replace(working, path)
    except BaseException:
        os.close(new)
        raise
    os.close(fd)
    return new


def _seal(fd: int, found: Salvage) -> Generator[None, None, tuple[str, int]]:
    """Cut and index the file; returns its hash and length."""
    index = random_access(found.points)
    if os.fstat(fd).st_size != found.length:
        os.ftruncate(fd, found.length)
    at = found.length
    while at < found.length + len(index):
        at += os.pwrite(fd, index[at - found.length :], at)
    os.fdatasync(fd)
    digest = yield from _hash(fd, at)
    return digest, at


def _hash(fd: int, length: int) -> Generator[None, None, str]:
    digest = hashlib.sha256()
    at = 0
    while at < length:
        chunk = os.pread(fd, min(_CHUNK, length - at), at)
        if not chunk:
            raise OSError("a segment shrank while it was read")
        digest.update(chunk)
        at += len(chunk)
        yield
    return digest.hexdigest()


def _names(path: Path) -> Iterator[tuple[Path, int]]:
    """The sealed names that the open segment at `path` may be given, with the sequence number in each."""
    stem, _, seq = path.name.removesuffix(f".mp4{PART}").rpartition("-")
    for number in itertools.count(int(seq), _OUT_OF_THE_WAY):
        yield path.with_name(f"{stem}-{number}.mp4"), number


def _published_as(path: Path, fd: int) -> Path | None:
    """The sealed name that the open segment at `path` has already."""
    for final, _ in _names(path):
        try:
            if os.path.samestat(os.fstat(fd), final.stat()):
                return final
        except FileNotFoundError:
            return None
    return None


def _publish(path: Path) -> int:
    """Give the file its sealed name, durably, without ever replacing another; returns the sequence number in it."""
    for final, number in _names(path):
        with contextlib.suppress(FileExistsError):
            os.link(path, final)
            sync_folder(path.parent)
            return number
    raise AssertionError("there is always another name")


def _undescribed(volume: Path, final: Path) -> Generator[None, None, SegmentSealed | None]:
    """The fact about a sealed segment, None where the journal has it."""
    name = parse_segment_path(final.relative_to(volume))
    days, since = recent_days(volume)
    if name is None or _sealed_at(final) < since:
        return None
    key = name.camera.encode(), name.stream.encode(), name.run, name.seq
    if any(key in known_segments(day) for day in days):
        return None
    return (yield from _describe(final, name))


def _describe(path: Path, name: SegmentName) -> Generator[None, None, SegmentSealed | None]:
    """The fact about a sealed segment that no journal line names."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None  # swept in the meantime
    try:
        size = os.fstat(fd).st_size
        found = salvage(lambda offset, count: os.pread(fd, count, offset), size)
        if found is None:
            log.warning("camera %s: a sealed segment cannot be read, it is left alone", name.camera)
            return None
        digest = yield from _hash(fd, size)
    finally:
        os.close(fd)
    return _fact(name, found, digest, size)


def _fact(name: SegmentName, found: Salvage, digest: str, length: int) -> SegmentSealed:
    # The name and the file say the same; where they do not, a bit turned over in the file, and a label of another year
    # would let it be deleted too early or never (I1).
    start_us = found.start_us if found.start_us // SECOND == name.start_s else name.start_s * SECOND
    return SegmentSealed(
        camera=name.camera,
        stream=name.stream,
        start_us=start_us,
        end_us=start_us + found.duration_us,
        run=name.run,
        seq=name.seq,
        bytes=length,
        frames=found.frames,
        keyframes=found.keyframes,
        codec=found.codec,
        width=found.width,
        height=found.height,
        sha256=digest,
        lost_packets=0,
        recovered=True,
        boot_id="",
        start_mono_us=0,
    )
