"""Looks over the whole box and keeps the newest `Snapshot`: what MQTT, metrics, the API and systemd are told."""

import dataclasses
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from edged import __version__
from edged.archive.database import Database
from edged.archive.fixity import finding_count
from edged.archive.roster import Camera, cameras
from edged.archive.segments import begin_by_camera
from edged.archive.volumes import Volume, free_space, prove
from edged.base.clock import SECOND, Clock
from edged.base.worker import Worker
from edged.config import Config
from edged.law.site import SiteLaw
from edged.model import CameraState, RecorderStatus, StreamKind, StreamState, StreamStatus
from edged.outage.desk import OutageDesk
from edged.outage.duties import Incident
from edged.outage.view import overdue_words
from edged.report.health import CameraHealth, LedgerHealth, OutageHealth, Snapshot, VolumeForecast, VolumeHealth
from edged.report.session import Tally
from edged.retain.holds import Hold, list_holds
from edged.retain.sweep import SweepReport

EVERY_SECONDS = 1.0


class _Kept(NamedTuple):
    """What the index says, in one read."""

    cameras: list[Camera]
    oldest_us: dict[str, int]
    holds: list[Hold]
    altered: int


class Deletions:
    """What the sweep has deleted since this process started, and what its last pass said (see `rooms.Deletions`)."""

    def __init__(self) -> None:
        self.segments = 0
        self.bytes = 0
        self.trusted = False
        self.waiting = False  # for volumes that were not read since the index was lost
        self.why = "the sweep has not looked at it yet"
        self.refused = ""
        self.volumes: Mapping[str, str] = {}

    def add(self, report: SweepReport) -> None:
        self.trusted = report.time.trusted
        self.why, self.refused = report.time.why, report.refused
        self.volumes = {**report.pressed, **report.skipped}
        self.waiting = self.trusted and bool(report.refused)
        self.segments += report.erased
        self.bytes += report.bytes


class Survey:
    """`snapshot` is never older than about a second while `run` runs."""

    def __init__(
        self,
        config: Config,
        database: Database,
        clock: Clock,
        law: SiteLaw,
        volumes: Sequence[tuple[Volume, Worker]],
        desk: OutageDesk,
        deletions: Deletions,
        *,
        status: Callable[[], RecorderStatus | None],
        complete: Callable[[], bool],
        tally: Tally | None,
        lag_us: Callable[[], int],
        fresh_us: int,
        forecasts: Callable[[], tuple[VolumeForecast, ...]],
        ledger: Callable[[], LedgerHealth],
        stopped_on: Callable[[str], int],
    ) -> None:
        """`complete` says whether every recorder process answers.

        `fresh_us` is how far behind the present a recording camera's last committed frame may be, `stopped_on` how many
        cameras are stopped because that volume is full.
        """
        self._config = config
        self._database = database
        self._clock = clock
        self._law = law
        self._volumes = volumes
        self._desk = desk
        self._deletions = deletions
        self._status = status
        self._complete = complete
        self._tally = tally
        self._lag_us = lag_us
        self._fresh_us = fresh_us
        self._forecasts = forecasts
        self._ledger = ledger
        self._stopped_on = stopped_on
        self._spaces: dict[str, VolumeHealth] = {}
        self._kept = _Kept([], {}, [], 0)
        self._started_us = clock.wall_us()

    async def run(self, beat: Callable[[], None]) -> None:
        """Look once a second until cancelled; `beat` tells the watchdog."""
        while True:
            await self.look()
            beat()
            await self._clock.sleep(EVERY_SECONDS)

    async def look(self) -> None:
        """Ask the index and the disks once. A disk that hangs keeps its last answer, as offline."""
        self._kept = await self._database.read(_ask)
        for volume, worker in self._volumes:
            if worker.waiting():
                self._spaces[volume.id] = VolumeHealth(volume=volume.id, online=False, size_bytes=None, free_bytes=None)
                continue
            worker.submit(self._measure, volume)

    def snapshot(self) -> Snapshot:
        """Everything as of now; cheap, touches no disk."""
        now = self._clock.wall_us()
        status = self._status()
        streams = {s.camera: s for s in status.streams if s.stream is StreamKind.MAIN} if status else {}
        incidents = self._desk.open_incidents()
        open_by_camera = {incident.outage.camera: incident.outage.id for incident in incidents}
        return Snapshot(
            at_us=now,
            site=self._config.site.id,
            recorder=self._config.recorder.id,
            version=__version__,
            started_us=self._started_us,
            recorder_online=self._complete(),
            cameras=tuple(
                self._camera(camera, streams.get(camera.id), open_by_camera.get(camera.id), now)
                for camera in self._kept.cameras
            ),
            outages=tuple(_outage(incident) for incident in incidents),
            volumes=self.volumes(),
            forecasts=self._forecasts(),
            ledger=self._ledger(),
            index_full=self._database.full,
            retention_clock_trusted=self._deletions.trusted,
            archive_incomplete=self._deletions.waiting,
            retention_deleted_segments=self._deletions.segments,
            retention_deleted_bytes=self._deletions.bytes,
            hold_active=len(self._kept.holds),
            hold_reminders=tuple(hold.id for hold in self._kept.holds if hold.reminds(now)),
            footage_altered=self._kept.altered,
            event_loop_lag_us=self._lag_us(),
            mqtt_connected=self._tally is not None and self._tally.connected,
            mqtt_outbox_messages=0 if self._tally is None else self._tally.waiting,
        )

    def volumes(self) -> tuple[VolumeHealth, ...]:
        """The volumes alone, as of now: a snapshot of hundreds of cameras is much to ask for once a second more."""
        status = self._status()
        return tuple(self._volume(volume, status) for volume, _ in self._volumes)

    def _camera(self, camera: Camera, stream: StreamStatus | None, outage: str | None, now: int) -> CameraHealth:
        floor_days = self._law.decision(camera.situation, now).floor.days
        oldest_us = self._kept.oldest_us.get(camera.id)
        if stream is None:
            return CameraHealth(
                camera=camera.id,
                recording=False,
                state=None,
                since_us=None,
                cause=None,
                last_committed_us=None,
                floor_days=floor_days,
                oldest_us=oldest_us,
                outage=outage,
            )
        committed = stream.committed_us
        fresh = committed is not None and now - committed <= self._fresh_us
        return CameraHealth(
            camera=camera.id,
            recording=fresh and stream.state is StreamState.STREAMING,
            state=stream.state,
            since_us=stream.since_us,
            cause=stream.cause,
            last_committed_us=committed,
            frames=stream.frames,
            received_bytes=stream.bytes,
            received_packets=stream.packets,
            lost_packets=stream.lost_packets,
            sessions=stream.sessions,
            floor_days=floor_days,
            oldest_us=oldest_us,
            outage=outage,
        )

    def _volume(self, volume: Volume, status: RecorderStatus | None) -> VolumeHealth:
        if volume.fenced:
            return VolumeHealth(volume=volume.id, online=False, size_bytes=None, free_bytes=None)
        known = self._spaces.get(volume.id)
        if known is None:
            return VolumeHealth(volume=volume.id, online=True, size_bytes=None, free_bytes=None)
        written = {v.volume: v.ok for v in status.volumes} if status else {}
        return dataclasses.replace(
            known,
            online=known.online and written.get(volume.id, True),
            cameras_stopped=self._stopped_on(volume.id),
        )

    def _measure(self, volume: Volume) -> None:
        space = None if prove(volume) else free_space(volume.path)  # of an empty mount point: not this volume's
        self._spaces[volume.id] = VolumeHealth(
            volume=volume.id,
            online=space is not None,
            size_bytes=space.total if space else None,
            free_bytes=space.free if space else None,
        )


def _ask(connection: sqlite3.Connection) -> _Kept:
    return _Kept(
        cameras=cameras(connection, CameraState.ADOPTED),
        oldest_us=begin_by_camera(connection, StreamKind.MAIN),
        holds=list_holds(connection, False),
        altered=finding_count(connection),
    )


def _outage(incident: Incident) -> OutageHealth:
    outage = incident.outage
    reported = all(duty.done_us is not None for duty in incident.reports)
    return OutageHealth(
        outage=outage.id,
        camera=outage.camera,
        state=outage.state.value,
        cause=outage.cause,
        t0_us=outage.t0_us,
        report_due_us=None if reported else outage.report_due_us,
        attend_due_us=None if outage.attended_us is not None else outage.attend_due_us,
        overdue=tuple(overdue_words(incident)),
    )


def fresh_within_us(config: Config) -> int:
    """How old the newest committed frame of a camera that is being recorded may be."""
    return round(max(config.outage.outage_after, config.recorder.fragment + 3) * SECOND)
