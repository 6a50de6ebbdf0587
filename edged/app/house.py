"""The wiring diagram: what there is, who is handed what, in which order it begins and ends.

Recording comes first: the assignment is written before anything that can be slow (I6). Deletion comes last: the sweep
begins only once the journals have been read and compared with the disks, so that a lost index never deletes.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from edged import __version__
from edged.app.child import children
from edged.app.dealing import process_ids
from edged.app.forecast import Forecast
from edged.app.keeper import Keeper
from edged.app.pressure import Pressure
from edged.app.proving import LedgerStart, begin_ledger, read_again, record_settings
from edged.app.survey import Deletions, Survey, fresh_within_us
from edged.app.watch import Watch
from edged.archive import outbox
from edged.archive.database import Database
from edged.archive.intake import Intake
from edged.archive.ledger import LedgerKind, append
from edged.archive.passed_over import index_passed_over
from edged.archive.reconcile import Reconciled, reconcile
from edged.archive.volumes import Volume, open_volumes
from edged.base.clock import Clock
from edged.base.sdnotify import notify
from edged.base.tasks import Backoff, Progress, supervise
from edged.base.worker import Worker
from edged.config import Config
from edged.discover.onvif_client import OnvifClients
from edged.discover.scout import Scout
from edged.law.counting import local_date
from edged.law.deadlines import Deadlines
from edged.law.own import below_the_law
from edged.law.packs import load_packs, shipped_packs
from edged.law.site import SiteLaw
from edged.model import RecorderStatus
from edged.outage.desk import OutageDesk
from edged.outage.detect import Thresholds
from edged.prove.desk import ProofDesk
from edged.prove.hours import Hours, tell_owed
from edged.prove.scrub import Scrub
from edged.record.status import status_socket_path
from edged.report.api import Api
from edged.report.feed import StateFeed
from edged.report.health import LedgerHealth, Snapshot, status_line
from edged.report.mqtt import MqttReporter
from edged.report.watchdog import Watchdog
from edged.retain.disk import SweptVolume
from edged.retain.evidence import Evidence
from edged.retain.gate import Gate
from edged.retain.holds import Holds
from edged.retain.ntp import kernel_ntp_synchronised
from edged.retain.sidecar import restore_holds
from edged.retain.stamp import Stamper
from edged.retain.sweep import Sweep, SweepReport
from edged.retain.timekeeping import nobody, read_state, resume
from edged.retain.witnesses import CameraClocks

log = logging.getLogger(__name__)

HEALTH_EVERY_SECONDS = 30.0  # where no broker is configured nobody hears it, but the feed goes on


class _Stop(Exception):
    """Raised inside the task tree to end it in order; split off from real failures outside."""


async def live(config: Config, clock: Clock, stop: asyncio.Event, *, external_recorder: bool, log_level: str) -> None:
    """Run one controller until `stop`. A defect or a Fatal passes through, alone or in an exception group."""
    async with built(config, clock, external_recorder=external_recorder, log_level=log_level) as house:
        await house.run(stop)
        await house.database.write(append, clock.wall_us(), LedgerKind.DAEMON_STOP, {"version": __version__})
        await house.proofs.finish()


@contextlib.asynccontextmanager
async def built(
    config: Config, clock: Clock, *, external_recorder: bool, log_level: str = "info"
) -> "AsyncIterator[House]":
    """One controller with its index open and its ledger begun; nothing runs yet."""
    # Read before anything begins: a bad rule pack must not be found out in the middle of it.
    packs = load_packs(config.retention.rule_packs or shipped_packs())
    for _, reason, _ in below_the_law(config, packs, local_date(clock.wall_us(), ZoneInfo(config.site.timezone))):
        log.warning("keep_at_least is without effect: %s", reason)
    law = SiteLaw(packs, config.site.jurisdiction, config.site.timezone, config.retention.grace)
    database = Database(config.recorder.state_dir / "index.sqlite3")
    try:
        ledger = await begin_ledger(database, config, clock.wall_us())
        volumes = await database.write(_open, config, clock.wall_us(), database.guards_put_back)
        for volume in volumes:
            if volume.fenced:
                log.error("volume %s is not used: %s", volume.id, volume.fenced)
        house = House(
            config, clock, database, volumes, law, ledger, external_recorder=external_recorder, log_level=log_level
        )
        try:
            yield house
        finally:
            house.proofs.close()
    finally:
        database.close()


def _open(connection: sqlite3.Connection, config: Config, now_us: int, put_back: list[str]) -> list[Volume]:
    append(connection, now_us, LedgerKind.DAEMON_START, {"version": __version__})
    if put_back:
        append(connection, now_us, LedgerKind.GUARDS_PUT_BACK, {"guards": put_back})
    record_settings(connection, config, now_us)
    outbox.switch(connection, config.mqtt is not None)
    volumes = open_volumes(connection, [(volume.id, volume.path) for volume in config.volume], now_us)
    restore_holds(connection, volumes, now_us)
    return volumes


class House:
    """Everything of one controller, built in the order of the stations."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        database: Database,
        volumes: Sequence[Volume],
        law: SiteLaw,
        ledger: LedgerStart,
        *,
        external_recorder: bool,
        log_level: str,
    ) -> None:
        recorder = config.recorder
        self.config, self.clock, self.database, self.volumes, self.law = config, clock, database, volumes, law
        self.progress = Progress(clock)
        # record
        self.stamper = Stamper(law, clock, config.situation())
        self.clocks = CameraClocks()
        self.keeper = Keeper(config, database, clock, volumes, self.stamper.know, self._clock_heard)
        processes = process_ids(recorder.id, recorder.processes)
        self.watch = Watch(clock, {process: status_socket_path(recorder.runtime_dir, process) for process in processes})
        self.children = [] if external_recorder else children(config, clock, log_level, self.watch.latest_of)
        # discover
        self.clients = OnvifClients(clock, self.keeper.login_for)
        self.scout = Scout(
            config.discovery,
            clock,
            self.clients.port,
            self.keeper.found,
            known=self.keeper.known,
            sub=recorder.sub or any(camera.sub for camera in config.camera),
        )
        # archive
        self.intake = Intake(database, clock, volumes, self.stamper, law.tz, self.progress.expect("intake", 120))
        # retain
        swept = [
            SweptVolume(volume, Worker(f"volume-{volume.id}"), configured.reserve)
            for volume, configured in zip(volumes, config.volume, strict=True)
            if not volume.fenced
        ]
        self._witness = self.clocks.vouch if config.retention.camera_clocks else nobody
        gate = Gate()
        self.holds = Holds(database, clock, gate, swept)
        self.evidence = Evidence(database, clock, swept, immutable=config.retention.immutable_holds)
        self.deletions = Deletions()
        self.sweep = Sweep(
            database,
            clock,
            law,
            swept,
            gate,
            ntp=kernel_ntp_synchronised,
            witness=self._witness,
            tell_hour=tell_owed,
            batch=config.retention.batch,
            every_s=config.retention.sweep_every,
            on_pass=self._swept,
        )
        # prove
        self.hours = Hours(
            database, clock, self.intake.catch_up, lambda: self.intake.stopped, self.progress.expect("hours", 3600)
        )
        reread_s = config.retention.scrub_within * 86_400.0
        self.proofs = ProofDesk(database, clock, ledger.key, volumes, recorder.id, law, reread_s)
        self.proofs.distrust(ledger.contradictions)
        self.scrub = Scrub(database, clock, volumes, reread_s)
        # outage
        self.desk = OutageDesk(
            database,
            clock,
            Thresholds.of(config.outage, recorder.fragment),
            self._deadlines_for,
            lambda _: self._wake(),
        )
        # report
        self.watchdog = Watchdog(clock, self.progress, lambda: status_line(self.snapshot()))
        self.mqtt = self._mqtt()
        self.survey = Survey(
            config,
            database,
            clock,
            law,
            [(volume, Worker(f"space-{volume.id}")) for volume in volumes],
            self.desk,
            self.deletions,
            status=self.watch.latest,
            complete=self.watch.complete,
            tally=self.mqtt.tally if self.mqtt else None,
            lag_us=lambda: self.watchdog.lag_us,
            fresh_us=fresh_within_us(config),
            forecasts=lambda: self.forecast.latest,
            ledger=lambda: LedgerHealth(self.proofs.behind(), bool(self.proofs.rewritten)),
            stopped_on=self.keeper.stopped_on,
        )
        self.forecast = Forecast(database, clock, law, config.volume, self.survey.volumes, config.retention.alarm_ahead)
        self.pressure = Pressure(
            clock,
            config.volume,
            {volume.id: volume.no for volume in volumes if not volume.fenced},
            self.keeper,
            spaces=self.survey.volumes,
            rates=lambda: self.forecast.rates,
            hurry=self.sweep.hurry,
        )
        self.feed = StateFeed(
            database=database,
            clock=clock,
            snapshot=self.snapshot,
            health_every=config.mqtt.health_every if config.mqtt else HEALTH_EVERY_SECONDS,
            wake=self._wake,
        )
        self.api = Api(self, look_around=self.scout.once if config.discovery.enabled else None)

    def snapshot(self) -> Snapshot:
        """The box as of now."""
        return self.survey.snapshot()

    def status(self) -> RecorderStatus | None:
        """The recorder's last word, or None."""
        return self.watch.latest()

    @property
    def roster(self) -> Keeper:
        """Who changes the roster, under the API's word for it."""
        return self.keeper

    async def run(self, stop: asyncio.Event) -> None:
        """The task tree, from the first assignment to the last farewell."""
        await self.keeper.begin()
        try:
            async with self.clients, asyncio.TaskGroup() as tree:

                def begin(name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
                    return tree.create_task(work, name=name)

                for child in self.children:
                    name = f"recorder {child.id}"
                    begin(name, supervise(name, child.run, self.clock, backoff=Backoff(0.5, 10)))
                begin("status", self.watch.listen())
                begin("watchdog", self.watchdog.run())
                await self.survey.look()
                async with self.api:
                    # Ready for requests; the journals may take their time on a long absence.
                    notify("READY=1")
                    begin("survey", self._vital("survey", self.survey.run))
                    begin("outage", self._vital("outage", lambda beat: self.watch.judge(self.desk, beat)))
                    if self.config.discovery.enabled:
                        begin("scout", supervise("scout", self.scout.run, self.clock))
                    telling = begin("mqtt", self.mqtt.run()) if self.mqtt is not None else None
                    begin("states", self._vital("states", self.feed.run))
                    begin("evidence", supervise("evidence", self.evidence.run, self.clock))
                    begin("forecast", supervise("forecast", self.forecast.run, self.clock))
                    begin("archive", self._keep_archive(tree))
                    begin("space", self._vital("space", self.pressure.run))
                    await stop.wait()
                    notify("STOPPING=1")
                    log.info("stopping")
                    await self._farewell()
                    if self.mqtt is not None and telling is not None:
                        self.mqtt.stop()
                        await telling
                raise _Stop
        except* _Stop:
            log.info("stopped in order")
        finally:
            self.intake.close()
            self.scrub.close()

    async def _vital(self, name: str, run: Callable[[Callable[[], None]], Coroutine[Any, Any, None]]) -> None:
        """What must make progress. A full disk of the index is none of it, but no reason to be restarted either."""
        beat = self.progress.expect(name, 60)
        await supervise(name, lambda: run(beat), self.clock, backoff=Backoff(0.5, 5), on_error=lambda _: beat())

    async def catch_up(self) -> None:
        """Read the journals for the first time, beside the retention clock as far as it is known."""
        # Labels far behind the retention clock are not believed, not even of what was recorded while we were away.
        if (state := await self.database.read(read_state)) is not None:
            self.stamper.follow(state.retention_us, state.reading)
        else:
            await resume(self.database, self.clock, kernel_ntp_synchronised, self._witness)
        await self.intake.catch_up()

    async def _keep_archive(self, tree: asyncio.TaskGroup) -> None:
        """Catch up, compare with the disks, and only then let the sweep begin."""
        await self.catch_up()
        tree.create_task(self.intake.run(), name="intake")
        tree.create_task(supervise("hours", self.hours.run, self.clock), name="hours")
        proofs = self.progress.expect("ledger", 3600)
        tree.create_task(supervise("ledger", lambda: self.proofs.run(self._wake, proofs), self.clock), name="ledger")
        compared = self.progress.expect("reconcile", 24 * 3600)

        async def compare() -> None:
            found = await self.compare(compared)
            unread = {*self.intake.stopped, *found.skipped}
            read = [volume.id for volume in self.volumes if volume.id not in unread]
            await self.database.write(read_again, self.config, read, self.clock.wall_us())

        await supervise("reconcile", compare, self.clock, backoff=Backoff(1, 30))
        tree.create_task(supervise("scrub", self.scrub.run, self.clock), name="scrub")
        await supervise("sweep", self.sweep.run, self.clock, backoff=Backoff(10, 600))

    async def compare(self, on_progress: Callable[[], None] = lambda: None) -> Reconciled:
        """Compare volumes and index, until nothing is missing from the index that a journal names."""
        while True:
            found = await reconcile(
                self.database, self.volumes, self.clock, settle=self.intake.catch_up, on_progress=on_progress
            )
            strays = found.strays, self.stamper, self.law.tz
            if not await index_passed_over(self.database, self.clock, self.volumes, *strays):
                return found

    async def _farewell(self) -> None:
        """End the recorders that are ours, and index what they sealed on their way out."""
        if self.children:
            await asyncio.gather(*(child.stop() for child in self.children))
            await self.intake.catch_up()

    def _mqtt(self) -> MqttReporter | None:
        if self.config.mqtt is None:
            return None
        return MqttReporter(
            self.config.mqtt,
            site=self.config.site.id,
            recorder=self.config.recorder.id,
            database=self.database,
            clock=self.clock,
            snapshot=self.snapshot,
        )

    def _wake(self) -> None:
        if self.mqtt is not None:
            self.mqtt.wake()

    def _clock_heard(self, camera: str, offset_us: int | None) -> None:
        if offset_us is None:
            self.clocks.forget(camera)
        else:
            self.clocks.hear(camera, offset_us, self.clock.wall_us(), self.clock.monotonic_us())

    def _swept(self, report: SweepReport) -> None:
        self.stamper.follow(report.time.retention_us)
        self.deletions.add(report)
        self.pressure.swept(report)

    def _deadlines_for(self, camera: str) -> Deadlines:
        outage = self.config.outage
        return self.law.deadlines(
            self.keeper.situation_of(camera),
            self.clock.wall_us(),
            contract_report_s=outage.contract_report_within,
            contract_attend_s=outage.contract_attend_within,
        )
