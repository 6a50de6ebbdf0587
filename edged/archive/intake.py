"""Tails the journals of every volume into the index. Catching up after a crash, after an upgrade and in normal
running are this one code path.

The offset reached in a journal file moves in the same transaction as the rows read up to it, and only from where it
stood: so no line is lost, none is indexed twice, and a restart needs to know nothing. It never moves back. A journal
that shrank, vanished or is not at a line's beginning where reading stopped means that this is not the disk it was:
intake stops on that volume alone, says so, and goes on by itself once the right disk is back.
"""

import asyncio
import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import aiofiles

from edged.archive.database import Database, IndexFull
from edged.archive.indexing import Indexed, Stamp, index_facts
from edged.archive.journal import BadLine, decode
from edged.archive.late import tell_late
from edged.archive.layout import JOURNAL, segment_path
from edged.archive.rebuilding import restored_ranges
from edged.archive.segments import SegmentKey
from edged.archive.volumes import Volume, prove
from edged.base.clock import Clock
from edged.base.worker import Worker
from edged.model import Fact, SegmentSealed

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
CHUNK = 640 * 1024  # bytes read at once: about 1,500 segment lines, some 40 ms of one transaction
LONGEST_LINE = 64 * 1024 * 1024  # bytes; a damaged stretch longer than this is for the owner to look at
LINES = 2000  # at most this many in one transaction, so that nobody waits long for the database


class _Stopped(Exception):
    """Carries the reason why a volume's journals cannot be followed now."""


class _Tail(NamedTuple):
    file: str  # below the volume
    size: int


class _Parsed(NamedTuple):
    """The facts of the next lines of a file, from byte `start` to `end`; `bad` lines told none."""

    file: str
    start: int
    end: int
    lines: int
    facts: list[Fact]
    bad: int


@dataclass(slots=True)
class _Followed:
    """One volume being read: its own thread for the disk, and how far each file has been read."""

    volume: Volume
    worker: Worker
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    offsets: dict[str, int] | None = None
    ahead: "_Parsed | None" = None  # read while what comes before it was being indexed
    restored: bool = False  # whether the ledger came back from a volume: then files that are not there may be lawful


class Intake:
    """Follows the journals of `volumes`; a fenced one is left alone.

    `stamp` gives each segment its floor and date (see Stamp); `timezone` is where civil days are counted;
    `on_progress` is called after every pass over a volume and every batch, for the watchdog.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        volumes: Sequence[Volume],
        stamp: Stamp,
        timezone: ZoneInfo,
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._volumes = [volume for volume in volumes if not volume.fenced]
        self._stamp = stamp
        self._zone = timezone
        self._on_progress = on_progress
        self._followed: dict[str, _Followed] = {}
        self.indexed_segments = 0
        self._late = True  # what an earlier controller noted may not have been told
        self.deleted_segments = 0  # read again from a journal, but gone lawfully
        self.bad_lines = 0
        self.stopped: dict[str, str] = {volume.id: volume.fenced for volume in volumes if volume.fenced}

    async def catch_up(self) -> int:
        """Read all that the journals hold now; returns the lines read. A volume that cannot be read is in `stopped`."""
        async with asyncio.TaskGroup() as group:
            passes = [group.create_task(self._pass(self._follow(volume))) for volume in self._volumes]
        return sum(each.result() for each in passes)

    async def run(self) -> None:
        """Follow the journals until cancelled. Each volume has its own loop: a stalled disk holds up no other."""
        async with asyncio.TaskGroup() as group:
            for volume in self._volumes:
                group.create_task(self._loop(self._follow(volume)), name=f"intake:{volume.id}")

    def close(self) -> None:
        """End the volumes' threads, without waiting for a disk that hangs."""
        for followed in self._followed.values():
            followed.worker.shutdown(wait=False)
        self._followed.clear()

    def _follow(self, volume: Volume) -> _Followed:
        followed = self._followed.get(volume.id)
        if followed is None:
            followed = self._followed[volume.id] = _Followed(volume, Worker(f"journal-{volume.id}"))
        return followed

    async def _loop(self, followed: _Followed) -> None:
        while True:
            await self._pass(followed)
            await self._clock.sleep(POLL_SECONDS)

    async def _pass(self, followed: _Followed) -> int:
        """Read one volume up to its journals' present ends."""
        name = followed.volume.id
        lines = 0
        async with followed.lock:
            followed.ahead = None
            try:
                if followed.offsets is None:
                    followed.offsets = await self._database.read(_offsets, followed.volume.no)
                    followed.restored = bool(await self._database.read(restored_ranges))
                tails = await followed.worker.run(_look, followed.volume, followed.offsets)
                behind = sum(tail.size - followed.offsets.get(tail.file, 0) for tail in tails)
                async with self._database.in_bulk() if behind > CHUNK else contextlib.nullcontext():
                    for tail in tails:
                        while read := await self._batch(followed, followed.offsets, tail):
                            lines += read
                if self._late:
                    await self._database.write(tell_late, self._clock.wall_us())
                    self._late = False
            except (_Stopped, OSError, IndexFull) as error:
                reason = f"cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
                if self.stopped.get(name) != reason:
                    log.error("volume %s: its journals are not followed: %s", name, reason)
                self.stopped[name] = reason
            else:
                if self.stopped.pop(name, ""):
                    log.warning("volume %s: its journals are followed again", name)
        self._on_progress()
        return lines

    async def _batch(self, followed: _Followed, offsets: dict[str, int], tail: _Tail) -> int:
        """Index the next lines of one file; returns how many, 0 where no whole line is there beyond its offset."""
        volume, start = followed.volume, offsets.get(tail.file, 0)
        if start >= tail.size:
            return 0
        batch, followed.ahead = followed.ahead, None
        if batch is None or (batch.file, batch.start) != (tail.file, start):
            batch = await _parsed(followed, tail.file, start)
        if not batch.lines:
            return 0
        absent = await followed.worker.run(_absent, volume, batch.facts) if followed.restored else frozenset()
        entered = asyncio.Event()
        (reached, done), followed.ahead = await asyncio.gather(
            self._enter(volume, batch, absent, entered),
            _read_ahead(followed, tail, batch.end, entered),
        )
        offsets[tail.file] = reached
        self.indexed_segments += done.segments
        self._late |= done.late > 0
        self.deleted_segments += done.deleted
        self.bad_lines += batch.bad
        if batch.bad:
            log.warning("volume %s: %d journal lines cannot be understood and were skipped", volume.id, batch.bad)
        if done.conflicting:
            log.error(
                "volume %s: %d journal lines name a segment that is indexed with another hash; the first entry stays",
                volume.id,
                done.conflicting,
            )
        self._on_progress()
        return batch.lines

    async def _enter(
        self, volume: Volume, batch: _Parsed, absent: frozenset[SegmentKey], entered: asyncio.Event
    ) -> tuple[int, Indexed]:
        """One transaction; `entered` is set when all that is left of it is to commit, or it has failed."""
        loop = asyncio.get_running_loop()

        def enter(connection: sqlite3.Connection) -> tuple[int, Indexed]:
            done = _store(connection, volume.no, batch, self._stamp, self._zone, absent)
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                loop.call_soon_threadsafe(entered.set)
            return done

        try:
            return await self._database.write(enter)
        finally:
            entered.set()


def _offsets(connection: sqlite3.Connection, volume_no: int) -> dict[str, int]:
    return dict(connection.execute("SELECT file, offset FROM intake WHERE volume = ?", (volume_no,)).fetchall())


def _look(volume: Volume, offsets: dict[str, int]) -> list[_Tail]:
    """The journal files, recorder by recorder and oldest first. Raises _Stopped where this is not the same disk."""
    reason = prove(volume)
    if reason:
        raise _Stopped(reason)
    root = volume.path / JOURNAL
    sizes: dict[str, int] = {}
    for folder in _folders(root):
        with os.scandir(folder) as items:
            for item in items:
                if item.name.endswith(".ndjson") and item.is_file(follow_symlinks=False):
                    sizes[f"{JOURNAL}/{folder.name}/{item.name}"] = item.stat(follow_symlinks=False).st_size
    for file, offset in offsets.items():
        if sizes.get(file, 0) < offset:
            what = "is shorter than what was read of it" if file in sizes else "is gone"
            raise _Stopped(f"{file} {what}; put back the disk or the file that belongs here")
    return [_Tail(file, sizes[file]) for file in sorted(sizes)]


def _folders(root: Path) -> list[Path]:
    try:
        with os.scandir(root) as items:
            return [root / item.name for item in items if item.is_dir(follow_symlinks=False)]
    except FileNotFoundError:  # nothing was ever recorded here
        return []


async def _read(followed: _Followed, file: str, start: int) -> bytes:
    """The bytes from `start` on: CHUNK, or more where that holds no line's end (zeroes after a power cut).

    Raises _Stopped where `start` is not a line's beginning, or no line ends for LONGEST_LINE bytes.
    """
    before = 1 if start else 0
    # Not by `async with`: that would close it on the executor that everybody shares, and a hanging disk would keep it.
    journal = await aiofiles.open(followed.volume.path / file, "rb", executor=followed.worker)
    try:
        await journal.seek(start - before)
        chunk = await journal.read(CHUNK + before)
        while b"\n" not in chunk[before:] and (more := await journal.read(CHUNK)):
            chunk += more
            if len(chunk) > LONGEST_LINE:
                raise _Stopped(f"{file} has no line's end where one was expected; restore the file")
    finally:
        await journal.close()
    if before and chunk[:1] != b"\n":
        raise _Stopped(f"{file} has other content than what was read of it; put back the disk that belongs here")
    return chunk[before:]


async def _parsed(followed: _Followed, file: str, start: int) -> _Parsed:
    """The next lines of a file from `start` on, none where no whole one is there yet. Raises _Stopped, OSError."""
    chunk = await _read(followed, file, start)
    return await followed.worker.run(_parse, chunk, file, start)


async def _read_ahead(followed: _Followed, tail: _Tail, start: int, entered: asyncio.Event) -> _Parsed | None:
    """What follows, if it can be read; whatever is in the way is met again, and said, when it is its turn.

    It is read while the database's thread waits for the disk to commit what was `entered`: before, the two would wait
    for each other's turn at the interpreter.
    """
    if start >= tail.size:
        return None
    await entered.wait()
    try:
        return await _parsed(followed, tail.file, start)
    except (_Stopped, OSError):
        return None


def _parse(chunk: bytes, file: str, start: int) -> _Parsed:
    """The facts in the whole lines of `chunk`, which begins at byte `start` of `file`."""
    end = chunk.rfind(b"\n") + 1
    lines = chunk[:end].split(b"\n")[:-1]
    if len(lines) > LINES:
        lines = lines[:LINES]
        end = sum(map(len, lines)) + LINES
    facts: list[Fact] = []
    bad = 0
    for line in lines:
        try:
            facts.append(decode(line))
        except BadLine:
            bad += bool(line)
    return _Parsed(file, start, start + end, len(lines), facts, bad)


def _absent(volume: Volume, facts: list[Fact]) -> frozenset[SegmentKey]:
    """Segments among `facts` whose files are not there. None where the disk is not the volume's, or does not tell."""
    sealed = [fact for fact in facts if isinstance(fact, SegmentSealed)]
    keys = [SegmentKey(fact.camera, fact.stream, fact.start_us, fact.run, fact.seq) for fact in sealed]
    absent = set()
    for key in keys:
        try:
            os.lstat(volume.path / segment_path(*key))
        except FileNotFoundError:
            absent.add(key)
        except OSError:
            continue
    return frozenset() if prove(volume) else frozenset(absent)


def _store(
    connection: sqlite3.Connection,
    volume_no: int,
    batch: _Parsed,
    stamp: Stamp,
    zone: ZoneInfo,
    absent: frozenset[SegmentKey],
) -> tuple[int, Indexed]:
    """Rows and offset, in the caller's one transaction. Returns the offset in force and what was entered."""
    row = connection.execute(
        "SELECT offset FROM intake WHERE volume = ? AND file = ?", (volume_no, batch.file)
    ).fetchone()
    stored: int = 0 if row is None else row["offset"]
    if stored != batch.start:
        # A wait that was cancelled after its transaction had begun: the rows are there, go on from where they end.
        return stored, Indexed()
    recorder = batch.file.split("/")[1]  # journal/<recorder>/<day>.ndjson
    done = index_facts(connection, volume_no, batch.facts, stamp, zone, recorder, absent)
    # Not as one upsert: before the row that looks like a REPLACE, which the guards refuse.
    if row is None:
        connection.execute(
            "INSERT INTO intake (volume, file, offset) VALUES (?, ?, ?)", (volume_no, batch.file, batch.end)
        )
    else:
        connection.execute(
            "UPDATE intake SET offset = ? WHERE volume = ? AND file = ?", (batch.end, volume_no, batch.file)
        )
    return batch.end, done
