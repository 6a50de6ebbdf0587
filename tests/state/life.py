"""What every rule of the machine stands on: the box, the judge, and the controller's lives."""

import asyncio
import collections
import logging
import shutil
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

from hypothesis import currently_in_test_context, event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edged.base.clock import MINUTE
from tests.state.controller import Controller, PowerCut, Steps, WatchedOs, index_of, until_cut
from tests.state.laws import LAWS
from tests.state.oracle import Known, Oracle
from tests.state.turns import Turns
from tests.state.world import CAMERAS, DISKS, World, scratch

T = TypeVar("T")

REACHED: collections.Counter[str] = collections.Counter()  # over all examples of this process

cameras = st.sampled_from(sorted(CAMERAS))
disks = st.sampled_from(DISKS)
people = st.sampled_from(["ann", "Ann ", "ben", "cai"])
steps = st.integers(0, 40)


class Life(RuleBasedStateMachine):
    """One recorder box with two disks and three cameras, somewhere in China."""

    controller: Controller | None = None

    def is_up(self) -> bool:
        return self.controller is not None

    def is_down(self) -> bool:
        return self.controller is None

    @property
    def up(self) -> Controller:
        assert self.controller is not None
        return self.controller

    @initialize()
    def begin(self) -> None:
        logging.disable(logging.CRITICAL)
        self.turns = Turns()
        self.turns.install()
        self.runner = asyncio.Runner(loop_factory=lambda: self.turns.loop)
        self.root = Path(tempfile.mkdtemp(prefix="edged-state-", dir=scratch()))
        self.world = World(self.root / "box")
        self.reached: collections.Counter[str] = collections.Counter()
        self.oracle = Oracle(self.world, index_of(self.world), self.reached)
        self.step = Steps()
        self.backup: tuple[Known, list[bytes]] | None = None
        WatchedOs(self.oracle, self.step).install()
        self._start(None)
        for camera in CAMERAS:
            made = self.world.record(camera)
            assert made is not None
            self.world.journal(made)
        self.world.pass_time(MINUTE)  # a segment is in its journal a little after it ended
        self.run(self.up.intake.catch_up())
        self.oracle.indexed(set())
        self.oracle.pass_begins()
        self.run(self.up.one_pass())

    def teardown(self) -> None:
        if not hasattr(self, "runner"):
            return
        self._kill()
        WatchedOs.take_out()
        self.turns.take_out()
        self.runner.close()
        shutil.rmtree(self.root)
        logging.disable(logging.NOTSET)
        for what in sorted(self.reached) if currently_in_test_context() else ():
            event(what)
        REACHED.update(self.reached)

    @invariant()
    def nothing_is_broken(self) -> None:
        if hasattr(self, "oracle"):
            self.oracle.look_at_disks()
            if self.controller is not None:
                self.run(self.controller.ask(self.oracle.look_at_index))

    # --- the controller's lives -------------------------------------------------------------------------------------

    @precondition(is_down)
    @rule(cut=st.none() | steps)
    def start(self, cut: int | None) -> None:
        self._start(cut)

    @rule(law=st.none() | st.sampled_from(sorted(LAWS)))
    def restart(self, law: str | None) -> None:
        """Also how another law comes into force: packs are read at the start."""
        self._kill()
        if law is not None and law != self.world.law:
            self.world.law = law
            self.reached["law changed"] += 1
        self._start(None)

    @precondition(is_up)
    @rule()
    def crash(self) -> None:
        self._kill()

    @rule(camera=cameras, designated=st.booleans())
    def designate(self, camera: str, designated: bool) -> None:
        if camera in self.world.configured:
            self.world.designations[camera] = ("key_target",) if designated else ()
            self.world.ever_designated |= {camera} if designated else set()
            self.restart(None)

    def _start(self, cut: int | None) -> None:
        controller = self.controller = Controller(self.world, self.step)
        self._cut_at(cut)
        report = self.run(until_cut(controller.start()))
        self.step.never()
        if report is None:
            self._cut()
            return
        self.oracle.indexed(set(controller.intake.stopped))
        self.oracle.adopted(dict.fromkeys(self.world.configured, self.world.clock.wall_us()))
        fenced = {volume.id for volume in controller.volumes if volume.fenced} | set(controller.intake.stopped)
        self.oracle.look_after_start(self._rows(), fenced)
        self.reached["volume fenced"] += bool(fenced)
        self._end_after(cut)

    def _kill(self) -> None:
        if self.controller is not None:
            self.controller.kill()
        self.controller = None

    def _end_after(self, cut: int | None) -> None:
        """What was to be cut and had fewer steps is cut right behind the last."""
        if cut is not None:
            self._kill()

    def _cut_at(self, step: int | None) -> None:
        def cut() -> None:
            raise PowerCut

        if step is not None:
            self.step.at(step, cut)

    def _cut(self) -> None:
        """The power went within what was under way: only the file tells how far it had come."""
        self.reached["cut between two steps"] += 1
        found = self.run(self.up.sql("SELECT id, adopted_us FROM camera WHERE state = 'adopted'"))
        self.oracle.adopted({row["id"]: row["adopted_us"] for row in found})
        ends = self.run(
            self.up.sql("SELECT volume.id, file, offset FROM intake JOIN volume ON volume.no = intake.volume")
        )
        self.oracle.read_partly(set(self._rows()), {(row["id"], row["file"]): row["offset"] for row in ends})
        self._kill()

    def _rows(self) -> dict[str, int]:
        rows = self.run(
            self.up.sql(
                "SELECT id, start_us, run, seq, segment.state FROM segment JOIN camera ON camera.no = segment.camera"
            )
        )
        return {f"{row['id']}/main/{row['start_us']}-{row['run']}-{row['seq']}": row["state"] for row in rows}

    def run(self, work: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await work

        return self.runner.run(awaited())
