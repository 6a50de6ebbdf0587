"""Anything that can happen to a box, in any order. The rules act; the oracle judges after every one of them."""

import shutil
import sqlite3

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from edged.archive.ledger import lines
from edged.base.clock import DAY
from edged.base.spans import Span
from edged.retain.holds import list_holds
from tests.state.controller import index_of, until_cut
from tests.state.life import Life, steps
from tests.state.oracle import Known
from tests.state.people import People
from tests.state.world import CAMERAS, DISKS


class Box(People):
    """One recorder box with two disks and three cameras, somewhere in China."""

    # --- the index lost, or from an old copy --------------------------------------------------------------------------

    @precondition(Life.is_up)
    @rule()
    def ledger_is_copied(self) -> None:
        self._copy_ledger()

    @precondition(Life.is_up)
    @rule()
    def index_is_copied(self) -> None:
        with sqlite3.connect(index_of(self.world)) as source, sqlite3.connect(self.root / "copy") as copy:
            source.backup(copy)
        source.close()
        copy.close()
        self.backup = (self.oracle.known.copy(), list(self.run(self.up.ask(lines, 0, 10**6))))

    @precondition(Life.is_up)
    @rule(from_copy=st.booleans())
    def index_is_lost(self, from_copy: bool) -> None:
        """What a running controller does every second or two has been done, and the disks are there."""
        if not all(map(self.world.in_place, DISKS)) or (from_copy and self.backup is None):
            return
        self.restart(None)
        self.run(self.up.evidence.keep_step())
        self._copy_ledger()
        self._kill()
        index = index_of(self.world)
        for name in (index, index.with_name(index.name + "-wal"), index.with_name(index.name + "-shm")):
            name.unlink(missing_ok=True)
        known, told = Known(), []
        if from_copy and self.backup is not None:
            shutil.copy(self.root / "copy", index)
            known, told = self.backup[0].copy(), self.backup[1]
        self.world.index_is_new = not from_copy
        self.oracle.index_replaced(known, told)
        self.reached["index from an old copy" if from_copy else "index lost"] += 1
        self._start(None)
        self._hear_of_holds()

    def _copy_ledger(self) -> None:
        self.run(self.up.copy_ledger())
        told = self.run(self.up.ask(lines, 0, 10**6))
        for mirror in self.up.proofs.mirrors:
            if not mirror.behind:
                self.oracle.ledger.copies[mirror.volume.id] = list(told)

    def _hear_of_holds(self) -> None:
        """Half a release may have to be said again; nothing else of a hold may be lost."""
        told = {hold.id: hold for hold in self.run(self.up.ask(list_holds, True))}
        for held in self.oracle.holds:
            if not held.released:
                assert held.id in told, f"I2: {held.id} is lost with the index"
                held.first = (told[held.id].release1_by or "").strip().lower()

    # --- the hours, and the sweep -------------------------------------------------------------------------------------

    @precondition(Life.is_up)
    @rule(cut=st.none() | steps)
    def hours_are_told(self, cut: int | None) -> None:
        self._cut_at(cut)
        done = self.run(until_cut(self._tell_hours()))
        self.step.never()
        if done is None:
            self._cut()
        else:
            self._end_after(cut)

    async def _tell_hours(self) -> bool:
        await self.up.tell_hours()
        return True

    @precondition(Life.is_up)
    @rule(cut=st.none() | steps)
    def sweep(self, cut: int | None) -> None:
        floors = {id(each): each.floor_days for each in self.world.footage}
        self.oracle.pass_begins()
        self._cut_at(cut)
        report = self.run(until_cut(self.up.one_pass()))
        self.step.never()
        if report is None:
            for footage in self.world.footage:  # perhaps the law had not reached it yet
                footage.floor_days = floors[id(footage)]
            self._cut()
            return
        self.world.passed(trusted=report.time.trusted)
        self.reached["pass refused"] += bool(report.refused)
        self.reached["kept below its floor for want of space"] += bool(report.pressed)
        self.reached["edged raised floors"] += bool(report.raised)
        self.reached["doomed and spared"] += report.spared
        self._end_after(cut)

    @rule(rounds=st.integers(1, 4), us=st.sampled_from([DAY, 5 * DAY, 12 * DAY]))
    def ordinary_days(self, rounds: int, us: int) -> None:
        for _ in range(rounds):
            for camera in CAMERAS:
                self.record(camera, "on time")
            self.world.pass_time(us)
            if self.controller is not None:
                self.read_journals(None)
                self.hours_are_told(None)
                self.sweep(None)

    @rule(after=st.sampled_from([0, 20 * DAY, 50 * DAY]))
    def all_is_well_and_space_is_short(self, after: int) -> None:
        """Progress: what may go does go, so that keeping everything for ever is no way out."""
        self.world.pass_time(after)
        self.disks_are_back()
        self.world.synchronise()
        self.others_use_the_disk("limited")
        self.oracle.failures = []
        self.restart(None)
        due = self.oracle.must_be_gone(self._held_by_edged())
        self.sweep(None)
        report = self.up.reports[-1]
        if report.refused:
            assert self.world.nudged, f"a good clock is refused: {report.refused}"
            return
        left = [str(footage.key) for footage in due if not footage.gone]
        assert not left, f"{left} should have been deleted: {report}"
        self.reached["progress checked"] += bool(due)

    def _held_by_edged(self) -> list[tuple[set[str], Span]]:
        found = self.run(self.up.ask(list_holds, False))
        return [(set(hold.cameras), Span(hold.start_us, hold.end_us or 1 << 60)) for hold in found]
