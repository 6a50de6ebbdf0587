"""The watchdog is fed only by a house in which everything vital moves."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from edged.base.clock import SECOND, ManualClock
from edged.base.tasks import Progress
from edged.report.watchdog import Watchdog, judge
from tests.brokers import until


@pytest.mark.parametrize(
    ("stalled", "lag_s", "reason"),
    [
        ([], 0, ""),
        ([], 5, ""),
        ([], 6, "the event loop was 6.0 s late"),
        (["sweep"], 0, "no progress from sweep"),
        (["intake", "sweep"], 9, "no progress from intake, sweep"),
    ],
)
def test_what_keeps_the_watchdog_hungry(stalled: list[str], lag_s: int, reason: str) -> None:
    assert judge(stalled, lag_s * SECOND, 20 * SECOND) == reason


class House:
    """A watchdog with its ears open, on a clock that is moved by hand."""

    def __init__(self, clock: ManualClock, interval_us: int | None) -> None:
        self.clock = clock
        self.progress = Progress(clock)
        self.beat = self.progress.expect("intake", 3)
        self.said: list[str] = []
        self.line = "recording 4/4"
        self.ticks = 0
        self.watchdog = Watchdog(clock, self.progress, self._status, notify=self._hear, interval_us=interval_us)

    def _status(self) -> str:
        self.ticks += 1
        return self.line

    def _hear(self, state: str) -> bool:
        self.said.append(state)
        return True

    async def tick(self, seconds: float = 1.0) -> None:
        """Let time pass and wait until the watchdog has looked, and sleeps again."""
        before = self.ticks
        self.clock.advance(seconds)
        await until(lambda: self.ticks == before + 1, "the watchdog looks")
        for _ in range(3):
            await asyncio.sleep(0)


@pytest.fixture
async def house(manual_clock: ManualClock) -> AsyncIterator[House]:
    house = House(manual_clock, 20 * SECOND)
    task = asyncio.create_task(house.watchdog.run())
    await asyncio.sleep(0)
    yield house
    task.cancel()
    await asyncio.wait({task})


async def test_it_is_fed_while_all_is_well_and_the_status_is_said_when_it_changes(house: House) -> None:
    await house.tick()
    house.beat()
    await house.tick()
    house.line = "recording 3/4, 1 outage"
    await house.tick()
    assert house.said == [
        "WATCHDOG=1",
        "STATUS=recording 4/4",
        "WATCHDOG=1",
        "WATCHDOG=1",
        "STATUS=recording 3/4, 1 outage",
    ]


async def test_a_vital_task_without_progress_starves_it_until_it_moves_again(house: House) -> None:
    for _ in range(5):
        await house.tick()
    assert house.said.count("WATCHDOG=1") == 3
    house.beat()
    await house.tick()
    assert house.said.count("WATCHDOG=1") == 4


async def test_a_loop_that_was_frozen_is_measured_and_not_fed(house: House) -> None:
    house.beat()
    await house.tick(1 + 6)
    assert house.watchdog.lag_us == 6 * SECOND
    assert "WATCHDOG=1" not in house.said
    house.beat()
    await house.tick()
    assert house.watchdog.lag_us == 0
    assert house.said.count("WATCHDOG=1") == 1


async def test_unwatched_it_still_measures_and_says_the_status(manual_clock: ManualClock) -> None:
    house = House(manual_clock, None)
    task = asyncio.create_task(house.watchdog.run())
    await asyncio.sleep(0)
    await house.tick(1.5)
    assert house.said == ["STATUS=recording 4/4"]
    assert house.watchdog.lag_us == SECOND // 2
    task.cancel()
    await asyncio.wait({task})
