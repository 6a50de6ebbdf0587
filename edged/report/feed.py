"""Queues health and camera states for MQTT when they changed, health also now and then.

`changed` decides, `StateFeed` acts. Outages are not queued here: the station that opens them does it in the same
transaction.
"""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from edged.archive import outbox
from edged.archive.database import Database
from edged.base.clock import SECOND, Clock
from edged.report.health import (
    Snapshot,
    camera_document,
    health_document,
    problems,
    removed_document,
    retention_document,
)

_CAMERAS = "camera/"


@dataclass(frozen=True, slots=True)
class Told:
    """What was queued last: one document a camera, the forecast, and the health's gist with its time."""

    cameras: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    retention: Mapping[str, object] = field(default_factory=dict)
    gist: tuple[object, ...] = ()
    health_us: int | None = None


def changed(
    told: Told, snapshot: Snapshot, *, mono_us: int, health_every_us: int
) -> tuple[Told, list[tuple[str, dict[str, object]]]]:
    """Which (topic, document) pairs `snapshot` makes necessary after `told`, and what is told then.

    Health is due when its gist changed (problems, cameras recording, outages) or `health_every_us` after the last.
    """
    cameras = {camera.camera: camera_document(camera) for camera in snapshot.cameras}
    news: list[tuple[str, dict[str, object]]] = [
        (f"camera/{camera}", document) for camera, document in cameras.items() if told.cameras.get(camera) != document
    ]
    news += [
        (f"camera/{gone}", removed_document(gone))
        for gone, last in told.cameras.items()
        if gone not in cameras and last.get("state") != "removed"
    ]
    retention = told.retention
    if snapshot.forecasts and retention != (forecast := retention_document(snapshot)):
        news.append(("retention", forecast))
        retention = forecast
    gist = (
        *problems(snapshot),
        snapshot.mqtt_connected,
        sum(camera.recording for camera in snapshot.cameras),
        len(snapshot.cameras),
        *(outage.outage for outage in snapshot.outages),
    )
    health_us = told.health_us
    if gist != told.gist or health_us is None or mono_us - health_us >= health_every_us:
        news.append(("health", health_document(snapshot)))
        health_us = mono_us
    return Told(cameras=cameras, retention=retention, gist=gist, health_us=health_us), news


class StateFeed:
    """Looks once a second; a vital task, as it is what dashboards see."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        snapshot: Callable[[], Snapshot],
        health_every: float,
        wake: Callable[[], None],
        every: float = 1.0,
    ) -> None:
        """`health_every` and `every` are seconds; `wake` tells the reporter."""
        self._database = database
        self._clock = clock
        self._snapshot = snapshot
        self._health_every_us = round(health_every * SECOND)
        self._wake = wake
        self._every = every

    async def run(self, beat: Callable[[], None]) -> None:
        """Feed until cancelled; `beat` tells the watchdog.

        What a past run said is remembered, so that a camera removed since is taken back.
        """
        said = await self._database.read(outbox.last_said, _CAMERAS)
        told = Told(cameras={topic.removeprefix(_CAMERAS): body for topic, body in said.items()})
        while True:
            told, news = changed(
                told, self._snapshot(), mono_us=self._clock.monotonic_us(), health_every_us=self._health_every_us
            )
            if news:
                await self._database.write(_enqueue_all, news, self._clock.wall_us())
                self._wake()
            beat()
            await self._clock.sleep(self._every)


def _enqueue_all(connection: sqlite3.Connection, news: list[tuple[str, dict[str, object]]], now_us: int) -> None:
    for topic, document in news:
        outbox.enqueue(connection, topic, document, True, now_us)
