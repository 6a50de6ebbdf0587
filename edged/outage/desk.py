"""Where outages are kept: looks at the recorder once a second, takes entries from people, tells of every change.

Each look and each entry is one transaction: row, history, ledger entry and MQTT message. Nothing is told to anyone
before it is durable, and the detectors in memory move on only with it. After a restart they are built anew from the
index: an open outage stays open, with its beginning and its deadlines unchanged (I5).
"""

import asyncio
import copy
import logging
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edged.archive import outbox
from edged.archive.database import Database, IndexFull
from edged.base.clock import Clock
from edged.law.deadlines import Deadlines
from edged.model import RecorderStatus, StreamStatus
from edged.outage import book, entries, view
from edged.outage.detect import (
    STALLED_US,
    Detector,
    Flapped,
    Good,
    Happening,
    Opened,
    Sustained,
    Thresholds,
)
from edged.outage.duties import Countdown, Duty, Incident, Outage, Step, incident

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to an outage, and how it stands since."""

    event: str
    incident: Incident


@dataclass(frozen=True, slots=True)
class _Withdrawn:
    """The camera is no longer to be recorded."""


class OutageDesk:
    """The outages of one recorder.

    `deadlines_for` gives the limits in force for a camera when its outage opens; it is asked within the transaction, on
    the database's thread, so it must neither block nor ask the database. `on_change` is called on the event
    loop after each transaction with what changed, in order; it must not raise.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        thresholds: Thresholds,
        deadlines_for: Callable[[str], Deadlines],
        on_change: Callable[[Sequence[Change]], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._thresholds = thresholds
        self._deadlines_for = deadlines_for
        self._on_change = on_change
        self._lock = asyncio.Lock()
        self._loaded = False
        self._started_mono_us = 0
        self._detectors: dict[str, Detector] = {}
        self._owed: list[tuple[str, Happening]] = []  # seen, and not written yet for want of room
        self._open: dict[str, Incident] = {}  # by camera
        self._countdown = Countdown()
        self._last_status: tuple[int, int, int] | None = None  # pid, run and monotonic reading it came with
        self._status_seen_mono_us = 0
        self._heard = False

    # --- looking --------------------------------------------------------------------------------------------------

    async def observe(
        self, status: RecorderStatus | None, reaches: Callable[[str], bool] = lambda _: True
    ) -> tuple[Change, ...]:
        """Judge every adopted camera by the recorder's latest status; None while it cannot be reached.

        Call it once a second. The same status given again and again counts as unreachable. Where several processes
        record, `status` is theirs together and `reaches` says of a camera whether its own process is there: one that
        died is no word about the cameras of the others. Returns the changes, which `on_change` has been told.

        Raises IndexFull; what was seen is written when there is room: an outage that comes and goes meanwhile is one.
        """
        async with self._lock:
            now_us, mono_us = self._clock.wall_us(), self._clock.monotonic_us()
            if not self._loaded:
                await self._load(now_us, mono_us)
            alive = self._is_fresh(status, mono_us)
            self._heard |= alive
            streams = {s.camera: s for s in status.streams if s.stream is book.STREAM} if status and alive else {}
            detectors = await self._watching(now_us)
            seen = [one for one in self._owed if one[0] in detectors]
            seen += _look(detectors, streams, lambda camera: alive and reaches(camera), now_us, mono_us)
            found = [*seen, *((camera, _Withdrawn()) for camera in self._open if camera not in detectors)]
            try:
                changes = await self._write(self._settle, found, now_us, mono_us) if found else []
            except IndexFull:
                self._detectors, self._owed = detectors, seen
                raise
            self._detectors, self._owed = detectors, []
            changes += await self._mark_overdue(now_us, mono_us)
            self._tell(changes)
            return tuple(changes)

    async def _load(self, now_us: int, mono_us: int) -> None:
        opened = await self._database.read(book.outages, open_only=True)
        self._open = {outage.camera: incident(outage, self._countdown, now_us, mono_us) for outage in opened}
        self._detectors = {
            outage.camera: Detector(
                self._thresholds, outage.t0_us, open_t0_us=outage.t0_us, good_since_us=outage.good_since_us
            )
            for outage in opened
        }
        self._started_mono_us = mono_us
        self._loaded = True

    def _is_fresh(self, status: RecorderStatus | None, mono_us: int) -> bool:
        if status is None:
            return False
        key = (status.pid, status.run, status.mono_us)
        if key != self._last_status:
            self._last_status, self._status_seen_mono_us = key, mono_us
        return mono_us - self._status_seen_mono_us <= STALLED_US

    async def _watching(self, now_us: int) -> dict[str, Detector]:
        """A detector for every adopted camera, each a copy, so that a failed transaction leaves the old ones."""
        watched = await self._database.read(book.watched)
        new = [camera for camera, _ in watched if camera not in self._detectors]
        again = await self._database.read(_adopted_again, new) if new else {}
        detectors = {}
        for camera, since_us in watched:
            known = self._detectors.get(camera)
            since_us = max(since_us, again.get(camera, 0)) or now_us
            detectors[camera] = copy.copy(known) if known else Detector(self._thresholds, since_us)
        return detectors

    def _settle(
        self,
        connection: sqlite3.Connection,
        found: Iterable[tuple[str, Happening | _Withdrawn]],
        now_us: int,
        mono_us: int,
    ) -> list[Change]:
        happened: list[tuple[str, str]] = []
        opened: dict[str, str] = {camera: incident.outage.id for camera, incident in self._open.items()}
        for camera, what in found:
            if isinstance(what, Opened):
                deadlines = self._deadlines_for(camera)
                opened[camera] = entries.open_outage(connection, camera, what.t0_us, what.cause, deadlines, now_us)
                happened.append((opened[camera], "opened"))
                continue
            outage = entries.existing(connection, opened[camera])
            if isinstance(what, Good):
                event = entries.good(connection, outage, what.since_us, now_us)
            elif isinstance(what, Flapped):
                event = entries.flapped(connection, outage, now_us)
            elif isinstance(what, Sustained):
                event = entries.close_sustained(connection, outage, what.restored_at_us, now_us)
            else:
                event = entries.withdraw(connection, outage, now_us)
            happened.append((outage.id, event))
        return self._enqueue(connection, happened, now_us, mono_us)

    async def _mark_overdue(self, now_us: int, mono_us: int) -> list[Change]:
        # Just started and nothing heard yet: the feed may have come back while nobody looked.
        if not self._heard and mono_us - self._started_mono_us < self._thresholds.outage_after_us:
            return []
        self._open = {
            camera: incident(known.outage, self._countdown, now_us, mono_us) for camera, known in self._open.items()
        }
        missed = [
            (known.outage, duty)
            for known in self._open.values()
            for duty in known.overdue
            if duty.name not in known.outage.missed
        ]
        return await self._write(self._miss, missed, now_us, mono_us) if missed else []

    def _miss(
        self, connection: sqlite3.Connection, missed: Iterable[tuple[Outage, Duty]], now_us: int, mono_us: int
    ) -> list[Change]:
        happened = [(outage.id, entries.miss(connection, outage, duty, now_us)) for outage, duty in missed]
        return self._enqueue(connection, list(dict.fromkeys(happened)), now_us, mono_us)

    # --- entries by people ----------------------------------------------------------------------------------------

    async def report(
        self, outage_id: str, addressee: str, received_by: str, received_us: int | None = None
    ) -> Incident:
        """A named person at the addressee (`repair_unit` or `superior_department`) has received the report.

        `received_us` is when, by default now; also long after, and after the outage is closed. Raises UnknownOutage,
        BadEntry, AlreadyEntered.
        """
        return await self._enter(entries.report, outage_id, addressee, received_by, received_us)

    async def attended(self, outage_id: str, by: str, at_us: int | None = None) -> Incident:
        """The repair unit's `by` is on site since `at_us`, by default now. Raises UnknownOutage, BadEntry,
        AlreadyEntered."""
        return await self._enter(entries.attended, outage_id, by, at_us)

    async def restored(self, outage_id: str, by: str) -> Incident:
        """The site's `by` records that the feed is good again. Raises UnknownOutage, BadEntry, AlreadyEntered,
        NotGoodYet."""
        return await self._enter(entries.restored, outage_id, by)

    async def _enter(self, enter: Callable[..., str], outage_id: str, *values: object) -> Incident:
        async with self._lock:
            now_us, mono_us = self._clock.wall_us(), self._clock.monotonic_us()

            def act(connection: sqlite3.Connection) -> list[Change]:
                event = enter(connection, outage_id, *values, now_us)
                return self._enqueue(connection, [(outage_id, event)], now_us, mono_us)

            changes = await self._write(act)
            self._tell(changes)
            return changes[-1].incident

    # --- answers --------------------------------------------------------------------------------------------------

    def open_incidents(self) -> tuple[Incident, ...]:
        """The open outages as they stand now, from memory; empty before the first look."""
        now_us, mono_us = self._clock.wall_us(), self._clock.monotonic_us()
        return tuple(incident(known.outage, self._countdown, now_us, mono_us) for known in self._open.values())

    def overdue(self) -> tuple[Incident, ...]:
        """The open outages with a deadline that passed unfulfilled."""
        return tuple(known for known in self.open_incidents() if known.overdue)

    async def incidents(self, *, open_only: bool = True, limit: int = 1000) -> list[Incident]:
        """Outages from the index, the newest first."""
        async with self._lock:
            now_us, mono_us = self._clock.wall_us(), self._clock.monotonic_us()
            found = await self._database.read(book.outages, open_only=open_only, limit=limit)
            return [incident(outage, self._countdown, now_us, mono_us) for outage in found]

    async def show(self, outage_id: str) -> tuple[Incident, list[Step]]:
        """One outage with its history. Raises UnknownOutage."""
        async with self._lock:
            now_us, mono_us = self._clock.wall_us(), self._clock.monotonic_us()
            outage = await self._database.read(entries.existing, outage_id)
            steps = await self._database.read(book.history, outage_id)
            return incident(outage, self._countdown, now_us, mono_us), steps

    # --- writing and telling --------------------------------------------------------------------------------------

    async def _write(self, act: Callable[..., list[Change]], *values: object) -> list[Change]:
        try:
            changes = await self._database.write(act, *values)
        except asyncio.CancelledError:
            self._loaded = False  # it may have been written all the same: ask the index
            raise
        for change in changes:
            outage = change.incident.outage
            if outage.closed_us is None:
                self._open[outage.camera] = change.incident
            elif outage.camera in self._open and self._open[outage.camera].outage.id == outage.id:
                del self._open[outage.camera]
                self._countdown.forget(outage.id)
        return changes

    def _enqueue(
        self, connection: sqlite3.Connection, happened: Iterable[tuple[str, str]], now_us: int, mono_us: int
    ) -> list[Change]:
        changes = []
        for outage_id, event in happened:
            outage = entries.existing(connection, outage_id)
            change = Change(event, incident(outage, self._countdown, now_us, mono_us))
            message = view.message(change.incident, event, now_us)
            outbox.enqueue(connection, f"outage/{outage.id}", message, latest=False, now_us=now_us)
            changes.append(change)
        return changes

    def _tell(self, changes: Sequence[Change]) -> None:
        for change in changes:
            outage = change.incident.outage
            level = (
                logging.WARNING if change.event in ("opened", "report_overdue", "attendance_overdue") else logging.INFO
            )
            log.log(level, "outage %s of camera %s: %s (%s)", outage.id, outage.camera, change.event, outage.cause)
        if changes:
            self._on_change(changes)


def _look(
    detectors: dict[str, Detector],
    streams: dict[str, StreamStatus],
    alive: Callable[[str], bool],
    now_us: int,
    mono_us: int,
) -> list[tuple[str, Happening]]:
    return [
        (camera, what)
        for camera, detector in detectors.items()
        for what in detector.observe(now_us, mono_us, streams.get(camera), alive(camera))
        if isinstance(what, Opened | Good | Flapped | Sustained)
    ]


def _adopted_again(connection: sqlite3.Connection, cameras: Iterable[str]) -> dict[str, int]:
    return {camera: book.adopted_again_us(connection, camera) for camera in cameras}
