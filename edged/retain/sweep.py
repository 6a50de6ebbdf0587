"""The sweep: deletes what must or may go, and nothing else.

One pass, in order: compare the index's guards; move the retention clock; put back holds that the ledger knows better;
raise floors where the law or a corrected clock demands it; prove the volumes; complete what a crash left; delete what
a duty to delete has reached; where a volume is below its reserve, delete the oldest footage past its floor, looking
again at the free space before deleting more. Each deletion is a ledger entry + mark in one transaction, unlink, sync of
the folder, and then the row is forgotten. Before anything is marked the ledger is asked whether it knows of a longer
floor.

Nothing is deleted where the retention clock is not trusted, the volume's identity is not proven, or its free space
cannot be read; the report says so.
"""

import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edged.archive.database import Database, keep_guards
from edged.archive.ledger import LedgerKind, append, lines
from edged.archive.rebuilding import awaited
from edged.archive.volumes import Space, free_space
from edged.base.clock import SECOND, Clock
from edged.base.errors import OwnerMustAct
from edged.law.site import SiteLaw
from edged.retain.as_told import put_back_holds
from edged.retain.clock import Reading, RetentionTime
from edged.retain.disk import SweptVolume, foreign, look, still_there, unlink
from edged.retain.doom import (
    Doomed,
    Grounds,
    Reached,
    Stream,
    TellHour,
    all_told,
    doom_due,
    doom_for_space,
    forget,
    may_give,
    pairs,
    sort_doomed,
)
from edged.retain.gate import Gate
from edged.retain.holds import spare_doomed
from edged.retain.raising import count_anew, raise_floors
from edged.retain.rows import StoredSegment, doomed_segments
from edged.retain.timekeeping import nobody, tick

log = logging.getLogger(__name__)

# A pass ends after so many deleting transactions; what is left waits for the next, so that nothing else starves.
BATCHES_PER_PASS = 800
# Between the passes that `hurry` asks for: each looks at every camera.
HURRIED_S = 10.0
_LOOK_S = 1.0


class GuardRefused(OwnerMustAct):
    """The index itself refused a deletion that the verdict had allowed: the second line of defence had to act."""

    code = "RET-001"
    hint = "nothing was deleted; this is a defect of edged: keep the database and report it"


@dataclass(slots=True, kw_only=True)
class SweepReport:
    """What one pass did.

    `refused` is not empty where it deleted nothing at all. `examined` counts what came into question: past its floor
    and its grace, or past its floor on a volume that needs space; `kept` what of it stays, by verdict. `skipped` and
    `pressed` are by volume: why nothing was deleted there, and why it stays below its reserve all the same; `exhausted`
    are the volumes of these where nothing more may be deleted. `failed` is by segment id: files that could not be
    unlinked.
    """

    time: RetentionTime
    refused: str = ""
    examined: int = 0
    erased: int = 0
    bytes: int = 0
    spared: int = 0
    raised: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    skipped: dict[str, str] = field(default_factory=dict)
    pressed: dict[str, str] = field(default_factory=dict)
    exhausted: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)


class Sweep:
    """Owns deletion on `volumes`. `ntp` tells whether the kernel's clock is disciplined and `witness` who else vouches
    for it; `gate` is shared with Holds. `tell_hour` has the ledger name what goes before it goes (see Grounds).

    `batch` is how many segments one deleting transaction takes; `every_s` the pause between passes in seconds;
    `on_pass` hears every report, `space` reads a file system's free bytes. Begin when the journals have been read once.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        law: SiteLaw,
        volumes: Sequence[SweptVolume],
        gate: Gate,
        *,
        ntp: Callable[[], bool],
        witness: Callable[[Reading], str | None] = nobody,
        tell_hour: TellHour = all_told,
        batch: int,
        every_s: float,
        on_pass: Callable[[SweepReport], None] = lambda report: None,
        space: Callable[[Path], Space | None] = free_space,
    ) -> None:
        self._database = database
        self._clock = clock
        self._law = law
        self._volumes = {swept.volume.id: swept for swept in volumes}
        self._gate = gate
        self._ntp = ntp
        self._witness = witness
        self._tell_hour = tell_hour
        self._batch = batch
        self._every_s = every_s
        self._on_pass = on_pass
        self._space = space
        self._hurried = False
        self._told: dict[str, str] = {}  # by volume: why it is skipped or pressed

    async def run(self) -> None:
        """Sweep until cancelled. Raises GuardRefused and WorkerFull, for whoever supervises."""
        while True:
            report = await self.one_pass()
            self._tell(report)
            self._on_pass(report)
            await self._rest()

    def hurry(self) -> None:
        """A volume is below its reserve: have the next pass soon, whatever the pause between passes."""
        self._hurried = True

    async def _rest(self) -> None:
        began_us = self._clock.monotonic_us()
        self._hurried = False  # the pass that has just ended saw what there was
        while (rested_s := (self._clock.monotonic_us() - began_us) / SECOND) < self._every_s:
            if self._hurried and rested_s >= HURRIED_S:
                return
            await self._clock.sleep(min(_LOOK_S, self._every_s - rested_s))

    async def one_pass(self) -> SweepReport:
        """One pass, as the module's text tells. Raises GuardRefused, and BadDatabase where a table is not edged's."""
        if dropped := await self._database.read(keep_guards):
            body = {"guards": dropped}
            await self._database.write(append, self._clock.wall_us(), LedgerKind.GUARDS_PUT_BACK, body)
        report = SweepReport(time=await tick(self._database, self._clock, self._ntp, self._witness))
        await self._database.write(put_back_holds, self._clock.wall_us())
        today = self._law.today(self._clock.wall_us(), report.time.retention_us)
        report.raised = await raise_floors(self._database, self._law, *today)
        report.raised += await count_anew(self._database, self._law, max(today))
        if not report.time.trusted:
            report.refused = report.time.why
            return report
        if waited := await self._database.read(awaited):
            names = ", ".join(waited)
            report.refused = f"the index was lost or old, and volume {names} has not been read and compared since"
            return report
        proven: set[str] = set()
        first_line = (await self._database.read(lines, 0, 1))[0]  # there is one: of the clock's first tick at least
        for name, swept in self._volumes.items():
            reason, _ = await look(swept, self._space)
            if reason := reason or await foreign(swept, first_line):
                report.skipped[name] = reason
            else:
                proven.add(name)
        grounds = Grounds(
            law=self._law,
            clock_trusted=report.time.trusted,
            proven=frozenset(proven),
            tell_hour=self._tell_hour,
        )
        try:
            await self._complete(grounds, report)
            left = await self._erase_due(grounds, report)
            for name in sorted(proven):
                left = await self._make_room(name, grounds, report, left)
        except sqlite3.IntegrityError as error:
            raise GuardRefused(f"the index refused a deletion ({error})") from error
        return report

    async def _erase_due(self, grounds: Grounds, report: SweepReport) -> int:
        left = BATCHES_PER_PASS
        for camera_id, stream_no in await self._database.read(pairs):
            done = Doomed(more=True)
            while left and done.more:
                done = await self._database.write(
                    doom_due, camera_id, stream_no, grounds, self._batch, self._clock.wall_us(), done.reached
                )
                report.examined += done.examined
                report.kept.update(done.kept)
                if done.segments:
                    left -= 1
                    await self._complete(grounds, report)
        return left

    async def _make_room(self, name: str, grounds: Grounds, report: SweepReport, left: int) -> int:
        """Below the reserve, delete the oldest past its floor; by what is seen to be free now, not at the beginning."""
        reserve = self._volumes[name].reserve_bytes
        reached: Reached = {}
        among: list[Stream] | None = None
        before: int | None = None
        while True:
            reason, space = await look(self._volumes[name], self._space)
            if space is None:
                report.skipped[name] = reason
                break
            if space.free >= reserve:
                break
            if before is not None and space.free <= before:
                report.pressed[name] = "space freed is not seen yet; nothing more is deleted before it is"
                break
            if not left:
                report.pressed[name] = "the pass has reached its limit; the next goes on"
                break
            if among is None:
                every = await self._database.read(pairs)
                among = [stream for stream in every if await self._database.read(may_give, *stream, name)]
            done = Doomed(more=True)
            while done.more and not done.segments:  # all it has looked at so far has to stay
                done = await self._database.write(
                    doom_for_space,
                    name,
                    reserve - space.free,
                    grounds,
                    self._batch,
                    self._clock.wall_us(),
                    reached,
                    among,
                )
                reached |= done.reached
            left -= 1
            if not done.segments:
                report.pressed[name] = "its free space is below the reserve, but nothing on it may be deleted"
                report.exhausted.add(name)
                break
            await self._complete(grounds, report)
            before = space.free
        return left

    async def _complete(self, grounds: Grounds, report: SweepReport) -> None:
        """Unlink and forget whatever is doomed; spare what may not go any more."""
        last: StoredSegment | None = None
        while page := await self._database.read(doomed_segments, self._batch, last):
            last = page[-1]
            for name in grounds.proven & {segment.volume for segment in page}:
                await self._complete_on(name, [s for s in page if s.volume == name], grounds, report)

    async def _complete_on(self, name: str, doomed: list[StoredSegment], grounds: Grounds, report: SweepReport) -> None:
        swept = self._volumes[name]
        async with self._gate.deleting():
            go, spare = await self._database.read(sort_doomed, [segment.key for segment in doomed], grounds)
            there = await still_there(swept, [segment.file for segment, _ in spare])
            for segment, because in spare:
                if segment.file in there and await self._database.write(
                    spare_doomed, segment.key, because, self._clock.wall_us()
                ):
                    report.spared += 1
            done = await unlink(swept, [segment.file for segment in go], self._gate.stop_asked)
            gone = [segment for segment in go if segment.file in done.gone]
            report.erased += await self._database.write(forget, gone, grounds)
            report.bytes += sum(segment.bytes for segment in gone)
            report.failed |= {
                str(segment.key): done.failed[segment.file] for segment in go if segment.file in done.failed
            }

    def _tell(self, report: SweepReport) -> None:
        """Log what is news: on a full disk pass follows pass, each with the same words."""
        now = {"": f"nothing is deleted: {report.refused}"} if report.refused else {}
        now |= {name: f"volume {name}: nothing is deleted: {why}" for name, why in report.skipped.items()}
        now |= {name: f"volume {name}: {why}" for name, why in report.pressed.items()}
        for name, words in now.items():
            if self._told.get(name) != words:
                log.warning("%s", words)
        self._told = now
        for segment, why in report.failed.items():
            log.error("segment %s could not be deleted (%s); it is tried again at the next pass", segment, why)
        if report.erased or report.raised or report.spared:
            log.info(
                "sweep: %d segments deleted (%d bytes), %d floors raised, %d spared",
                report.erased,
                report.bytes,
                report.raised,
                report.spared,
            )
