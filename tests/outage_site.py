"""A site for the outage tests: a real index on disk, a clock that obeys, a recorder that says what it is told to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edged.archive import outbox, roster
from edged.archive.database import Database
from edged.archive.ledger import Entry, entries
from edged.base.clock import HOUR, SECOND, ManualClock
from edged.law.deadlines import Deadlines
from edged.model import Cause, RecorderStatus, Situation, StreamKind, StreamState, StreamStatus
from edged.outage.desk import Change, OutageDesk
from edged.outage.detect import Thresholds
from edged.outage.duties import Incident

LIMITS = Thresholds(suspect_after_us=5 * SECOND, outage_after_us=8 * SECOND, sustained_us=10 * SECOND)
DEADLINES = Deadlines(
    report_within_us=HOUR,
    report_basis="article of a test",
    attend_within_us=2 * HOUR,
    attend_basis="contract of a test",
)


@dataclass
class Feed:
    """One camera's feed as the recorder would see it."""

    live: bool = True
    committed_us: int | None = None
    since_us: int = 0
    cause: Cause | None = None


@dataclass
class Site:
    """Cameras, a recorder and a desk. `second` lets one second pass for all of them."""

    path: Path
    clock: ManualClock = field(default_factory=ManualClock)
    feeds: dict[str, Feed] = field(default_factory=dict)
    recorder_alive: bool = True
    told: list[Change] = field(default_factory=list)
    deadlines: Deadlines = DEADLINES

    async def open(self, cameras: Iterable[str]) -> "Site":
        """Create the index, adopt `cameras`, start a controller."""
        self.database = Database(self.path / "index.db")
        self.desk = self.new_desk()
        for camera in cameras:
            await self.adopt(camera)
        return self

    def new_desk(self) -> OutageDesk:
        return OutageDesk(self.database, self.clock, LIMITS, lambda camera: self.deadlines, self.told.extend)

    async def adopt(self, camera: str) -> None:
        now_us = self.clock.wall_us()

        await self.database.write(
            lambda c: roster.upsert_found(c, camera, source="static", situation=Situation("listed"), at_us=now_us)
        )
        await self.database.write(roster.adopt, camera, now_us)
        self.feeds[camera] = Feed(since_us=now_us)

    async def remove(self, camera: str) -> None:
        await self.database.write(roster.remove, camera, self.clock.wall_us())

    async def crash(self, *, away: float = 0) -> None:
        """Kill the controller, let `away` seconds pass, start a new one on the same file."""
        self.database.close()
        self.pass_unwatched(away)
        self.database = Database(self.path / "index.db")
        self.desk = self.new_desk()

    def pass_unwatched(self, seconds: float) -> None:
        """Time passes, the recorder goes on, nobody looks."""
        self.clock.advance(seconds)
        self.deliver()

    def deliver(self) -> None:
        """What is live has committed frames by now."""
        now_us = self.clock.wall_us()
        for feed in self.feeds.values():
            if feed.live and self.recorder_alive:
                feed.committed_us = now_us - SECOND // 2

    def lose(self, *cameras: str, cause: Cause = Cause.UNREACHABLE) -> None:
        for camera in cameras or tuple(self.feeds):
            self.feeds[camera].live = False
            self.feeds[camera].cause = cause

    def bring_back(self, *cameras: str) -> None:
        for camera in cameras or tuple(self.feeds):
            self.feeds[camera].live = True
            self.feeds[camera].cause = None
            self.feeds[camera].since_us = self.clock.wall_us()

    def status(self) -> RecorderStatus | None:
        if not self.recorder_alive:
            return None
        return RecorderStatus(
            recorder="rec-a",
            pid=1,
            version="0",
            run=1,
            boot_id=self.clock.boot_id(),
            started_us=0,
            at_us=self.clock.wall_us(),
            mono_us=self.clock.monotonic_us(),
            generation=1,
            streams=tuple(_stream(camera, feed) for camera, feed in self.feeds.items()),
            volumes=(),
        )

    async def second(self, times: int = 1) -> list[Change]:
        """Let whole seconds pass, looking once in each; what changed."""
        changes: list[Change] = []
        for _ in range(times):
            self.clock.advance(1)
            self.deliver()
            changes += await self.desk.observe(self.status())
        return changes

    async def lose_one(self, camera: str = "cam-a") -> Incident:
        """Deliver for a while, then lose `camera`; the outage that opens."""
        await self.second(5)
        self.lose(camera)
        await self.second(9)
        [incident] = [i for i in self.desk.open_incidents() if i.outage.camera == camera]
        return incident

    async def find(self, outage_id: str) -> Incident:
        return (await self.desk.show(outage_id))[0]

    async def ledger(self) -> list[Entry]:
        return [e for e in await self.database.read(entries) if e.kind.value.startswith("outage")]

    async def messages(self) -> list[dict[str, object]]:
        queued = await self.database.read(outbox.pending, 10_000)
        return [dict(message.body) for message in queued if message.topic.startswith("outage/")]


def events(changes: Sequence[Change]) -> list[str]:
    """The words of what changed."""
    return [change.event for change in changes]


def _stream(camera: str, feed: Feed) -> StreamStatus:
    return StreamStatus(
        camera=camera,
        stream=StreamKind.MAIN,
        state=StreamState.STREAMING if feed.live else StreamState.DOWN,
        since_us=feed.since_us,
        cause=feed.cause,
        code="",
        last_frame_us=feed.committed_us,
        committed_us=feed.committed_us,
        frames=1,
        keyframes=1,
        bytes=0,
        packets=0,
        lost_packets=0,
        sessions=1,
        codec="",
        width=0,
        height=0,
    )
