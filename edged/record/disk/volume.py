"""One volume's writer: a thread of its own that writes, hashes, syncs, seals and journals what the streams hand it.

The streams' side never blocks: a fragment is put into a queue bounded in bytes, or refused. So a slow disk costs
footage on that disk alone, and a failing one is fenced: given up with a reason, opened anew with back-off. Its streams
go elsewhere meanwhile, and come back once it has been well for a while, longer after every failure.

A segment's end, in this order: sync the file, link it to its name (which refuses to replace), sync the folder, append
the journal line, sync the journal, unlink the ``.part`` name. A crash between any two of these loses nothing, nor does
one crash after another: a segment without a line has its ``.part`` name still (I7).
"""

import contextlib
import errno
import logging
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from edged.base.clock import SECOND, Clock
from edged.base.tasks import Backoff
from edged.model import Fact, RecorderStart, RecorderStop, VolumeStatus
from edged.record.assignment import AssignedVolume
from edged.record.buffers import Shelf
from edged.record.disk.identity import Identity
from edged.record.disk.journal_file import JournalFile, last_run
from edged.record.disk.recovery import Recovered, recover
from edged.record.disk.runs import RunCounter
from edged.record.disk.segment_file import SegmentFile
from edged.record.disk.standing import NOT_OPENED, Standing
from edged.record.disk.trial import has_room, try_out
from edged.record.errors import VolumeFenced
from edged.record.sink import SegmentEnd

log = logging.getLogger(__name__)

QUEUE_BYTES = 64 * 1024 * 1024  # at least
# Eight seconds at 4 Mbit/s, and at the least four fragments: cameras that were switched on together hand out theirs in
# the same instant, and a queue of a fixed size then calls a healthy disk too slow.
QUEUE_BYTES_PER_STREAM = 4 * 1024 * 1024
STUCK_US = 10 * SECOND  # a call to the disk that takes longer than this is reported while it lasts
_LOOK_FOR_ROOM_SECONDS = 1.0
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FACTS_KEPT = 10_000  # facts that wait for a fenced volume
_BATCH = 64  # items between two syncs of the journal


@dataclass(slots=True)
class _Write:
    file: SegmentFile
    head: bytes
    body: memoryview
    end_us: int


@dataclass(slots=True)
class _Seal:
    file: SegmentFile
    end: SegmentEnd


@dataclass(slots=True)
class _Tell:
    fact: Callable[[], Fact]


class _Stop:
    pass


_Item = _Write | _Seal | _Tell | _Stop


def queue_bytes_for(streams: int) -> int:
    """How much may wait for a volume that this many streams are recorded to."""
    return max(QUEUE_BYTES, streams * QUEUE_BYTES_PER_STREAM)


class VolumeWriter:
    """The streams' side runs on the event loop, ``_work`` and all it calls on the volume's thread."""

    def __init__(
        self,
        volume: AssignedVolume,
        start: RecorderStart,
        runs: RunCounter,
        clock: Clock,
        shelf: Shelf,
        *,
        sync_us: int,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        self.volume = volume
        self.sync_us = sync_us
        self._start = start
        self._runs = runs
        self._clock = clock
        self._shelf = shelf
        self.queue_bytes = queue_bytes  # the most that may wait; memory is taken only while the disk is behind
        self._items: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        # Each of these has one writing thread, so none needs a lock.
        self._taken = 0  # bytes, by the loop
        self._overflows = 0
        self._done = 0  # bytes, by the thread
        self._written = 0
        self._standing = Standing()
        self.free_bytes, self._roomy = 0, False  # as of the last sync
        self.recovering = True  # what a crash left has not been put in order yet
        self._busy_since_us: int | None = None
        self._root = Path(volume.path)
        self._identity = Identity(volume)
        self._journal = JournalFile(self._root, start.recorder)
        self._open: dict[SegmentFile, None] = {}
        self._published: list[SegmentFile] = []  # their lines are appended, and not yet synced
        self._waiting: deque[Fact] = deque([start], maxlen=_FACTS_KEPT)
        self._next_sync_us = 0
        self._stopping = threading.Event()
        self._silently = False
        self._thread = threading.Thread(target=self._work, name=f"volume-{volume.id}", daemon=True)
        self._thread.start()

    # --- the streams' side ---------------------------------------------------------------------------------------

    @property
    def fenced(self) -> str:
        """Why the volume cannot be written to; "" where it can."""
        return self._standing.reason

    @property
    def opening(self) -> bool:
        """Whether the first attempt to open the volume is still under way."""
        return self._standing.reason is NOT_OPENED

    @property
    def trusted(self) -> bool:
        """Whether streams may come (back) to it: it is well, has been for long enough, and has room."""
        return self._roomy and self._standing.trusted(self._clock.monotonic_us())

    def write(self, file: SegmentFile, head: bytes, body: memoryview, end_us: int) -> bool:
        """Queue one fragment; False where the volume is fenced or its queue is full, and then nothing is taken."""
        size = len(head) + len(body)
        if self._standing.reason or file.spent:
            return False
        if self._taken - self._done + size > self.queue_bytes:
            self._overflows += 1
            return False
        self._taken += size
        self._items.put(_Write(file, head, body, end_us))
        return True

    def seal(self, file: SegmentFile, end: SegmentEnd) -> None:
        """Queue the end of a segment. Where its volume was fenced meanwhile, recovery will seal it instead."""
        self._items.put(_Seal(file, end))

    def tell(self, fact: Fact | Callable[[], Fact]) -> None:
        """Queue a fact for the journal; a callable is asked once everything queued before it has been written."""
        self._items.put(_Tell(fact if callable(fact) else lambda: fact))

    def status(self) -> VolumeStatus:
        """What the status socket says about this volume."""
        reason = self._standing.reason
        since = self._busy_since_us
        if not reason and since is not None and self._clock.monotonic_us() - since > STUCK_US:
            reason = "the disk has not answered for more than ten seconds"
        return VolumeStatus(
            volume=self.volume.id,
            ok=not reason,
            reason=reason,
            queued_bytes=self._taken - self._done,
            written_bytes=self._written,
            overflows=self._overflows,
        )

    def stop(self, *, silently: bool = False) -> None:
        """Finish what is queued, write recorder_stop, end. See `stopped`.

        `silently`: write none, because a successor of this process records already.
        """
        self._silently = silently
        self._stopping.set()
        self._items.put(_Stop())

    @property
    def stopped(self) -> bool:
        """Whether the thread has ended; one that a dead disk holds never does, and ends with the process."""
        return not self._thread.is_alive()

    # --- the thread's side ---------------------------------------------------------------------------------------

    def _work(self) -> None:
        backoff = Backoff(first=0.5, longest=10.0)
        while True:
            try:
                recovery = self._reopen()
                backoff.reset()
                with contextlib.closing(recovery):
                    self._serve(recovery)
                return
            except (OSError, VolumeFenced) as error:
                self._fence(error)
            except Exception:
                # A bug here must not end the writing for good while the process seems alive.
                log.exception("volume %s: the writer failed", self.volume.id)
                self._fence(OSError("the writer failed, see the log"))
            wait = backoff.next_wait()
            if self._stopping.wait(min(wait, _LOOK_FOR_ROOM_SECONDS) if self._standing.full else wait):
                return
            self._discard_queue()

    def _reopen(self) -> Generator[None, None, Recovered]:
        self._busy_since_us = self._clock.monotonic_us()
        self._identity.check()
        self._discard_queue()
        if self._standing.full and not has_room(self._root):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self._standing.has_failed:
            try_out(self._root)
        self._runs.known(last_run(self._root, self._start.recorder))
        while self._waiting:
            self._journal.append(self._waiting[0], self._clock.wall_us())
            self._waiting.popleft()
        self._journal.sync()
        self._measure()
        self._busy_since_us = None
        if self._standing.reason:
            log.info("volume %s: ready", self.volume.id)
        self._standing.opened(self._clock.monotonic_us())
        self.recovering = True
        if self._stopping.is_set():
            self._items.put(_Stop())  # the first one may have been discarded
        return recover(self._root, self._tell_durably)

    def _fence(self, error: OSError | VolumeFenced) -> None:
        reason = error.what if isinstance(error, VolumeFenced) else error.strerror or str(error)
        full = isinstance(error, OSError) and error.errno in _FULL
        if self._standing.failed(reason, self._clock.monotonic_us(), full=full):
            log.error("volume %s is fenced: %s", self.volume.id, reason)
        self._busy_since_us = None
        for file in (*self._open, *self._published):
            with contextlib.suppress(OSError):
                file.abandon()
        self._open.clear()
        self._published.clear()
        with contextlib.suppress(OSError):
            self._journal.abandon()
        self._discard_queue()

    def _discard_queue(self) -> None:
        """Let go of what was queued for a fenced volume; facts are kept until it is back."""
        with contextlib.suppress(queue.Empty):
            while True:
                item = self._items.get_nowait()
                if isinstance(item, _Write):
                    self._done += len(item.head) + len(item.body)
                elif isinstance(item, _Tell):
                    self._waiting.append(item.fact())

    def _serve(self, recovery: Generator[None, None, Recovered]) -> None:
        handled = 0
        self._next_sync_us = self._clock.monotonic_us() + self.sync_us
        while True:
            item: _Item | None = None
            with contextlib.suppress(queue.Empty):
                # Between fragments: recovery first, then wait, but not longer than until the next sync is due.
                if self.recovering or handled:
                    item = self._items.get_nowait()
                else:
                    due = self._next_sync_us - self._clock.monotonic_us()
                    item = self._items.get(timeout=min(max(due, 0), SECOND) / SECOND)
            self._busy_since_us = self._clock.monotonic_us()
            if item is None and self.recovering:
                self.recovering = self._step(recovery)
            elif isinstance(item, _Stop):
                self._finish()
                return
            elif item is not None:
                self._handle(item)
                handled += 1
            if handled and (item is None or handled >= _BATCH):
                self._sync_journal()
                handled = 0
            if self._busy_since_us >= self._next_sync_us:
                self._sync()
                self._next_sync_us = self._clock.monotonic_us() + self.sync_us
            self._busy_since_us = None

    def _step(self, recovery: Generator[None, None, Recovered]) -> bool:
        """One step of the recovery; returns whether there are more."""
        try:
            next(recovery)
            return True
        except StopIteration as end:
            done: Recovered = end.value
            if done.sealed or done.journalled or done.removed:
                log.info(
                    "volume %s: recovered %d segments, journalled %d more, removed %d empty ones",
                    self.volume.id,
                    done.sealed,
                    done.journalled,
                    done.removed,
                )
            return False

    def _handle(self, item: _Item) -> None:
        match item:
            case _Write():
                size = len(item.head) + len(item.body)
                try:
                    if item.file.spent:
                        return  # it was open when the volume was fenced: recovery seals it as far as it had come
                    if not item.file.is_open:
                        self._identity.check_again()
                        item.file.create(self._root, self._runs)
                        self._open[item.file] = None
                    item.file.write(item.head, item.body)
                finally:
                    self._done += size
                self._written += size
                self._shelf.put_back(item.body)
                item.file.progress.committed_us = item.end_us
            case _Seal():
                # One that never came to disk has nothing to seal.
                if item.file in self._open:
                    sealed = item.file.seal(self._root, self._runs, item.end)
                    del self._open[item.file]
                    self._published.append(item.file)
                    self._keep(sealed)
            case _Tell():
                self._keep(item.fact())

    def _keep(self, fact: Fact) -> None:
        """Append to the journal; if that fails, the fact waits for the volume to come back."""
        try:
            self._journal.append(fact, self._clock.wall_us())
        except OSError:
            self._waiting.append(fact)
            raise

    def _tell_durably(self, fact: Fact) -> None:
        self._keep(fact)
        self._sync_journal()

    def _sync_journal(self) -> None:
        self._journal.sync()
        while self._published:
            self._published[-1].let_go()
            self._published.pop()

    def _sync(self) -> None:
        for file in self._open:
            file.sync()
        self._sync_journal()
        self._measure()

    def _measure(self) -> None:
        space = os.statvfs(self._root)
        self.free_bytes = space.f_bavail * space.f_frsize
        self._roomy = has_room(self._root)

    def _finish(self) -> None:
        # What is still open belongs to streams that ended without a seal: the next start recovers it.
        for file in self._open:
            file.abandon()
        self._open.clear()
        start = self._start
        if not self._silently:
            self._keep(
                RecorderStop(
                    recorder=start.recorder,
                    run=start.run,
                    at_us=self._clock.wall_us(),
                    mono_us=self._clock.monotonic_us(),
                    boot_id=start.boot_id,
                )
            )
        self._sync_journal()
        self._journal.close()
