"""A reporter on a real database, for tests; also runnable alone, so that a test can kill it.

``python -m tests.reporting PORT DATABASE CAMERAS`` reports until it is killed, and stops in order on SIGTERM.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edged.archive import outbox
from edged.archive.database import Database
from edged.base.clock import SystemClock
from edged.config.records import MqttConfig
from edged.model import StreamState
from edged.report.health import CameraHealth, Snapshot
from edged.report.mqtt import MqttReporter

BASE = "edged/v1/site-a/nvr"
STARTED_US = 1_790_000_000_000_000


def a_camera(number: int, **changes: Any) -> CameraHealth:
    """A camera that records."""
    facts: dict[str, Any] = {
        "camera": f"cam-{number}",
        "recording": True,
        "state": StreamState.STREAMING,
        "since_us": STARTED_US,
        "cause": None,
        "last_committed_us": STARTED_US + 5_000_000,
        "floor_days": 30,
    }
    return CameraHealth(**(facts | changes))


def a_snapshot(cameras: int | tuple[CameraHealth, ...] = 2, **changes: Any) -> Snapshot:
    """A box that is well, with so many cameras or with these."""
    if isinstance(cameras, int):
        cameras = tuple(a_camera(number) for number in range(1, cameras + 1))
    facts: dict[str, Any] = {
        "at_us": STARTED_US + 6_000_000,
        "site": "site-a",
        "recorder": "nvr",
        "version": "0.1.0",
        "started_us": STARTED_US,
        "recorder_online": True,
        "cameras": cameras,
        "retention_clock_trusted": True,
    }
    return Snapshot(**(facts | changes))


@dataclass
class Reporting:
    """A running reporter and the database it delivers from."""

    reporter: MqttReporter
    database: Database
    task: asyncio.Task[None]
    clock: SystemClock = field(default_factory=SystemClock)

    async def say(self, topic: str, body: Mapping[str, object], *, latest: bool = False) -> int:
        """What another station does: enqueue in a transaction, and go on."""
        number = await self.database.write(outbox.enqueue, topic, body, latest, self.clock.wall_us())
        self.reporter.wake()
        return number

    async def until_waiting(self, messages: int, seconds: float = 60.0) -> None:
        """Wait until exactly so many messages are in the outbox."""
        async with asyncio.timeout(seconds):
            while await self.database.read(outbox.waiting) != messages:
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def reporting(
    port: int,
    path: Path,
    *,
    snapshot: Callable[[], Snapshot] = a_snapshot,
    config: Mapping[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[Reporting]:
    """Run a reporter against the broker on `port` until the block ends; then it is cut off, as by a crash."""
    database = Database(path)
    reporter = MqttReporter(
        MqttConfig.model_validate({"host": "127.0.0.1", "port": port, "keepalive": "5s", **(config or {})}),
        site="site-a",
        recorder="nvr",
        database=database,
        clock=SystemClock(),
        snapshot=snapshot,
        **({"timeout": 2.0, "longest_wait": 0.5, "will_delay_seconds": 0} | options),
    )
    task = asyncio.create_task(reporter.run())
    try:
        yield Reporting(reporter, database, task)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        database.close()


async def _alone(port: int, path: Path, cameras: int) -> None:
    async with reporting(port, path, snapshot=lambda: a_snapshot(cameras)) as running:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.reporter.stop)
        await running.task


if __name__ == "__main__":
    asyncio.run(_alone(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
