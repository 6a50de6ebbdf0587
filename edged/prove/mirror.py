"""Keeps a copy of the ledger on every volume: verified when a volume is met, then appended after each commit.

A volume that is away catches up when it is back; a file that differs from the index is set aside, told to the ledger
and written anew, so that whoever changed it has made evidence rather than destroyed it. What a crash left unwritten is
found by looking at the files.

A full file that was right once and still looks the same is not read when a volume is met (see mirror_seen): a year's
ledger is many gigabytes. The newest file always is; each other one again within `reread_s`, at idle priority.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from edged.archive import tree
from edged.archive.database import Database
from edged.archive.ledger import LedgerKind, append, lines
from edged.archive.volumes import Volume, prove
from edged.base.clock import SECOND, Clock
from edged.base.files import canonical_json
from edged.base.gently import idle_thread
from edged.base.worker import Worker
from edged.prove.checkpoints import latest
from edged.prove.key import LedgerKey
from edged.prove.mirror_files import HEIGHT, LINES, Content, FileLooks, MirrorFolder
from edged.prove.mirror_seen import Seen, due, remember, seen
from edged.prove.verify_retention import parse_head

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
NOT_YET = "not looked at yet"
REREAD_S = 30 * 86_400.0
BATCH = 1000  # lines read from the index at once: some five milliseconds


class _Reached(NamedTuple):
    """What is known of one file: so many lines, and bytes, are what the index says."""

    lines: int
    length: int


class Mirror:
    """The copy on one volume. `behind` is empty while it follows, or says why it does not."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        volume: Volume,
        recorder: str,
        key: LedgerKey,
        reread_s: float = REREAD_S,
    ) -> None:
        self.volume = volume
        self.behind = NOT_YET
        self._database = database
        self._clock = clock
        self._key = key
        self._folder = MirrorFolder(volume.path, recorder)
        self._worker = Worker(f"mirror-{volume.id}")
        self._reread_us = round(reread_s * SECOND)
        self._idle: Worker | None = None
        self._good: dict[int, _Reached] = {}  # by file
        self._seen: dict[int, Seen] | None = None  # full files that were right, and how they looked then
        self._lock = asyncio.Lock()

    async def run(self, on_progress: Callable[[], None] = lambda: None) -> None:
        """Follow the ledger until cancelled."""
        while True:
            await self.catch_up()
            await self.reread()
            on_progress()
            await self._clock.sleep(POLL_SECONDS)

    async def catch_up(self) -> None:
        """Bring the copy up to the ledger as it is now; where the volume does not allow it, `behind` says why."""
        try:
            async with self._lock:
                why = await self._worker.run(prove, self.volume)
                if why:
                    self._good.clear()  # what comes back may be another disk, or the same one with other content
                else:
                    await self._follow()
        except OSError as error:
            why = f"its copy of the ledger cannot be written ({error.strerror})"
        if why and why != self.behind:
            log.error("volume %s: the ledger is not mirrored there: %s", self.volume.id, why)
        self.behind = why

    async def problems(self, size: int) -> list[str]:
        """How the copy differs from the ledger's first `size` entries; changes nothing."""
        async with self._lock:
            return await self._problems(size)

    def close(self) -> None:
        """End the volume's threads, without waiting for a disk that hangs."""
        for worker in filter(None, (self._worker, self._idle)):
            worker.shutdown(wait=False)

    async def reread(self) -> bool:
        """Read the full file again whose turn it is; False where none is due, or the volume is away."""
        number = due(self._seen or {}, self._reread_us, self._clock.wall_us())
        if number is None or self.behind:
            return False
        if self._idle is None:
            self._idle = Worker(f"mirror-idle-{self.volume.id}")
            self._idle.submit(idle_thread)
        try:
            looks = await self._idle.run(self._folder.looks, number)
            content = await self._idle.run(self._folder.read, number)
            async with self._lock:
                if await self._worker.run(prove, self.volume):
                    return False
                if len(content.lines) == LINES and not await differs(self._database, number, content, LINES):
                    await self._remember(number, looks)
                    return True
                for known in (self._good, await self._all_seen()):
                    known.pop(number, None)
                await self._check(number, LINES)  # what it sets aside, the next catch-up writes anew
        except OSError as error:
            log.error("volume %s: its copy of the ledger cannot be read (%s)", self.volume.id, error.strerror)
            return False
        return True

    async def _problems(self, size: int) -> list[str]:
        try:
            why = await self._worker.run(prove, self.volume)
            if why:
                return [f"its copy of the ledger cannot be checked: {why}"]
            found, reached = [], 0
            for number in await self._worker.run(self._folder.numbers):
                content = await self._worker.run(self._folder.read, number)
                known = await self._database.read(tree.size)  # it may have grown, and the copy with it
                why = await differs(self._database, number, content, max(0, min(LINES, known - number * LINES)))
                if why:
                    found.append(f"its copy of the ledger {why}")
                elif reached == number * LINES:
                    reached += len(content.lines)
            if reached < size:
                found.append(f"its copy of the ledger ends after {reached} of {size} entries")
        except OSError as error:
            return [f"its copy of the ledger cannot be read ({error.strerror})"]
        return found

    async def _follow(self) -> None:
        size = await self._database.read(tree.size)
        for number in range(-(-size // LINES)):
            wanted = min(LINES, size - number * LINES)
            known = self._good.get(number)
            if known is not None and known.lines == wanted:
                continue
            # Until this write has succeeded, the file has to be looked at again.
            self._good.pop(number, None)
            if wanted == LINES and known is None and (length := await self._looks_right(number)):
                self._good[number] = _Reached(LINES, length)
                continue
            looks = await self._worker.run(self._folder.looks, number)
            have, length = known or await self._check(number, wanted)
            grows = have < wanted
            while have < wanted:
                batch = await self._database.read(lines, number * LINES + have, min(BATCH, wanted - have))
                length = await self._worker.run(self._folder.append, number, batch, length)
                have += len(batch)
            self._good[number] = _Reached(have, length)
            if wanted == LINES:
                await self._remember(number, await self._worker.run(self._folder.looks, number) if grows else looks)
        note = await self._database.read(latest)
        if note is not None and parse_head(note).size <= size:
            await self._worker.run(self._folder.put_head, note, self._key.pem)

    async def _looks_right(self, number: int) -> int:
        """The length of a full file that looks as it did when it was found right; 0 where it has to be read."""
        one = (await self._all_seen()).get(number)
        if one is None or await self._worker.run(self._folder.looks, number) != one.looks:
            return 0
        return one.looks.bytes

    async def _remember(self, number: int, looks: FileLooks | None) -> None:
        """A full file that looked so before it was read, or after it was written, is right."""
        if looks is not None:
            one = Seen(looks, self._clock.wall_us())
            (await self._all_seen())[number] = one
            await self._database.write(remember, self.volume.no, number, one)

    async def _all_seen(self) -> dict[int, Seen]:
        if self._seen is None:
            self._seen = await self._database.read(seen, self.volume.no)
        return self._seen

    async def _check(self, number: int, wanted: int) -> _Reached:
        """How much of a file is there and right; a file that is wrong is set aside."""
        content = await self._worker.run(self._folder.read, number)
        why = await differs(self._database, number, content, wanted)
        if why:
            aside = await self._worker.run(self._folder.name_aside, number)
            log.error("volume %s: the ledger's copy %s; it is kept as %s", self.volume.id, why, aside)
            body = {"volume": self.volume.id, "first": number * LINES + 1, "why": why, "kept_as": aside}
            # Told first: once the file has moved nothing shows that it was not what it should be.
            await self._database.write(_tell_once, self._clock.wall_us(), body)
            await self._worker.run(self._folder.set_aside, number, aside)
            return _Reached(0, 0)
        if content.torn:
            await self._worker.run(self._folder.cut, number, content.whole_bytes)
        return _Reached(len(content.lines), content.whole_bytes)


async def differs(database: Database, number: int, content: Content, wanted: int) -> str:
    """Empty where a mirror file is the index's entries, or the first of them; otherwise how it is not."""
    first = number * LINES
    have = len(content.lines)
    if have > wanted:
        return f"has {have - wanted} more entries than the index"
    if have == LINES:
        same = content.root == await database.read(_node, number)
        return "" if same and not content.torn else f"differs among entries {first + 1} to {first + LINES}"
    for at in range(0, have, BATCH):
        told = content.lines[at : at + BATCH]
        for offset, line in enumerate(await database.read(lines, first + at, len(told))):
            if line != told[offset]:
                return f"differs at entry {first + at + offset + 1}"
    if content.torn:
        following: Sequence[bytes] = await database.read(lines, first + have, 1)
        if not content.torn_from(following[0] if following else b""):
            return f"ends with something else than entry {first + have + 1}"
    return ""


def _tell_once(connection: sqlite3.Connection, now_us: int, body: dict[str, Any]) -> None:
    """The entry about a copy that is set aside. A crash may have come after it and before the file was moved."""
    known = connection.execute(
        "SELECT 1 FROM ledger WHERE kind = ? AND body = ?",
        (LedgerKind.MIRROR_REPLACED.value, canonical_json(body).decode()),
    ).fetchone()
    if known is None:
        append(connection, now_us, LedgerKind.MIRROR_REPLACED, body)


def _node(connection: sqlite3.Connection, number: int) -> bytes:
    return tree.subtree(connection, HEIGHT, number)
