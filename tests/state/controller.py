"""One life of the controller, put together from the real parts in the order of edged.app.house, without its network.

Two ports let the machine in: the index counts its calls, so that a life can be cut or a hold placed between any two of
them, and `os.unlink` as the sweep's file calls it is watched and can be made to fail.
"""

import os
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import edged.retain.disk
from edged.archive import rebuilding, roster
from edged.archive.database import Database
from edged.archive.intake import Intake
from edged.archive.ledger import LedgerKind, append
from edged.archive.reconcile import Reconciled, reconcile
from edged.archive.volumes import open_volumes
from edged.base.clock import HOUR
from edged.base.worker import Worker
from edged.model import Situation, StreamKind
from edged.prove.desk import ProofDesk
from edged.prove.hours import tell_owed
from edged.prove.key import open_key
from edged.prove.restore import contradictions, restore_ledger
from edged.retain.disk import SweptVolume
from edged.retain.evidence import Evidence
from edged.retain.gate import Gate
from edged.retain.holds import Holds
from edged.retain.replay import replay
from edged.retain.sidecar import restore_holds
from edged.retain.stamp import Stamper
from edged.retain.sweep import Sweep, SweepReport
from edged.retain.timekeeping import read_state, resume
from edged.retain.witnesses import CameraClocks
from tests.state.laws import site_law
from tests.state.world import DISKS, RECORDER, World

P = ParamSpec("P")
T = TypeVar("T")

ORIGIN = "edged/test-site/nvr"
RESERVE = 2**30


class PowerCut(Exception):
    """The process ends here."""


class Steps:
    """Counts the calls that reach the index or a file; at the chosen one something happens."""

    def __init__(self) -> None:
        self._left: int | None = None
        self._then: Callable[[], None] | None = None

    def at(self, step: int, then: Callable[[], None]) -> None:
        """Do `then` at the `step`th call from now; nothing where there are fewer."""
        self._left, self._then = step, then

    def never(self) -> None:
        self._left = self._then = None

    def __call__(self) -> None:
        if self._left is None or self._then is None:
            return
        self._left -= 1
        if self._left < 0:
            then = self._then
            self.never()
            then()


class SteppedDatabase(Database):
    """The index as it is, with a step before and after every call."""

    def __init__(self, path: Path, step: Callable[[], None]) -> None:
        super().__init__(path)
        self._step = step

    async def read(
        self, query: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        self._step()
        return await super().read(query, *args, **kwargs)

    async def write(self, act: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        self._step()
        result = await super().write(act, *args, **kwargs)
        self._step()
        return result


class Judge(Protocol):
    """Who hears of every file that the sweep unlinks."""

    def before_unlink(self, path: Path) -> None:
        """Raises AssertionError where it must not go, OSError where the disk is to refuse."""

    def after_unlink(self, path: Path) -> None:
        """It is gone."""


class WatchedOs:
    """`os` as edged.retain.disk sees it."""

    def __init__(self, judge: Judge, step: Callable[[], None]) -> None:
        self._judge = judge
        self._step = step

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def unlink(self, path: Path) -> None:
        self._step()
        self._judge.before_unlink(path)
        os.unlink(path)
        self._judge.after_unlink(path)
        self._step()

    def install(self) -> None:
        setattr(edged.retain.disk, "os", self)  # noqa: B010 - mypy knows the module's own os

    @staticmethod
    def take_out() -> None:
        setattr(edged.retain.disk, "os", os)  # noqa: B010


class Controller:
    """Use `start` once, then the parts; `kill` at any time."""

    def __init__(self, world: World, step: Steps) -> None:
        self.world = world
        self.step = step
        clock, law = world.clock, site_law(world.law)
        self.clock, self.law = clock, law
        self.database = SteppedDatabase(index_of(world), self.step)
        self.clocks = CameraClocks()
        self.stamper = Stamper(law, clock, Situation("listed"))
        self.reports: list[SweepReport] = []
        self._close: list[Callable[[], object]] = []

    async def start(self) -> Reconciled:
        """As edged.app.house begins: the ledger, the volumes, the holds, the roster, the journals, the comparison."""
        world, clock, database = self.world, self.clock, self.database
        key = open_key(world.root / "state", ORIGIN)
        folders = [(disk, world.path(disk)) for disk in DISKS]
        await restore_ledger(database, folders, RECORDER, key, clock.wall_us())
        while await database.write(replay, self.law.tz):
            pass
        against = await contradictions(database, folders, RECORDER, [key.public])
        self.volumes = await database.write(self._open, folders, clock.wall_us())
        for camera in sorted(world.configured):
            self.stamper.know(camera, world.situation(camera))
        await database.write(self._enter_roster, clock.wall_us())
        self.intake = Intake(database, clock, self.volumes, self.stamper, self.law.tz)
        self._close.append(self.intake.close)
        swept = [SweptVolume(v, Worker(f"volume-{v.id}"), RESERVE) for v in self.volumes if not v.fenced]
        self._close += [each.worker.shutdown for each in swept]
        gate = Gate()
        self.holds = Holds(database, clock, gate, swept)
        self.evidence = Evidence(database, clock, swept)
        self.sweep = Sweep(
            database,
            clock,
            self.law,
            swept,
            gate,
            ntp=lambda: world.ntp,
            witness=self.clocks.vouch,
            tell_hour=tell_owed,
            batch=3,
            every_s=600,
            space=world.space,
        )
        self.proofs = ProofDesk(database, clock, key, self.volumes, RECORDER, self.law)
        self._close.append(self.proofs.close)
        self.proofs.distrust(against)
        if (state := await database.read(read_state)) is not None:
            self.stamper.follow(state.retention_us, state.reading)
        else:
            await resume(database, clock, lambda: world.ntp, self.clocks.vouch)
        await self.intake.catch_up()
        found = await reconcile(database, self.volumes, clock, settle=self.intake.catch_up)
        read = set(DISKS) - {*self.intake.stopped, *found.skipped}
        await database.write(rebuilding.done_with, read)
        return found

    def _open(self, connection: sqlite3.Connection, folders: list[tuple[str, Path]], now_us: int) -> Any:
        append(connection, now_us, LedgerKind.DAEMON_START, {"version": "0"})
        volumes = open_volumes(connection, folders, now_us)
        restore_holds(connection, volumes, now_us)
        return volumes

    def _enter_roster(self, connection: sqlite3.Connection, now_us: int) -> None:
        for camera in sorted(self.world.configured):
            situation = self.world.situation(camera)
            roster.upsert_found(connection, camera, source="static", situation=situation, at_us=now_us)
            if roster.get(connection, camera).state.value != "adopted":
                try:
                    roster.adopt(connection, camera, now_us, "configuration")
                except roster.CameraHeld:
                    continue

    async def one_pass(self) -> SweepReport:
        report = await self.sweep.one_pass()
        self.stamper.follow(report.time.retention_us)
        self.reports.append(report)
        return report

    async def tell_hours(self) -> None:
        """What the ledger is owed of the hours that something was indexed into; of the many others, nothing."""
        complete = self.clock.wall_us() // HOUR - 1
        owed = (
            "SELECT id, hour FROM hour_due JOIN camera ON no = camera WHERE stream = 0 AND hour < ? ORDER BY id, hour"
        )
        for camera, hour in [tuple(row) for row in await self.sql(owed, complete)]:
            await self.database.write(tell_owed, camera, StreamKind.MAIN, hour, self.clock.wall_us())

    async def copy_ledger(self) -> None:
        """A signed head, and every volume's mirror as far as the ledger goes."""
        await self.proofs.finish()

    async def sql(self, statement: str, *values: object) -> list[sqlite3.Row]:
        return await Database.read(self.database, lambda connection: connection.execute(statement, values).fetchall())

    async def ask(self, query: Callable[..., T], *args: Any) -> T:
        """A question of the machine's own, which is no step of the controller's."""
        return await Database.read(self.database, query, *args)

    def kill(self) -> None:
        """The process is gone; the kernel closes its files."""
        self.step.never()
        for close in reversed(self._close):
            close()
        self._close.clear()
        self.database.close()


async def until_cut(work: Awaitable[T]) -> T | None:
    """The result, or None where the power went first."""
    try:
        return await work
    except PowerCut:
        return None
    except BaseExceptionGroup as group:
        if group.split(PowerCut)[1] is not None:
            raise
        return None


def index_of(world: World) -> Path:
    return world.root / "state" / "index.sqlite3"
