"""What one deleting transaction takes: whole camera-hours, one ledger entry each, and never much of anybody's time."""

from pathlib import Path

import pytest

from edged.archive.ledger import LedgerKind
from edged.archive.volumes import Space
from edged.base.clock import HOUR, MINUTE
from edged.retain import doom
from tests.retaining import START_US, house


def days(count: float) -> float:
    return count * 86400


@pytest.mark.parametrize("for_space", [False, True])
async def test_i3_one_entry_tells_of_a_camera_hour_and_of_every_segment_of_it(tmp_path: Path, for_space: bool) -> None:
    async with house(tmp_path, batch=30) as box:
        for camera in ("cam-a", "cam-b"):
            await box.camera(camera, "other" if for_space else "listed")
        keys = [
            await box.record(camera, START_US + n * 10 * MINUTE) for n in range(1, 13) for camera in ("cam-a", "cam-b")
        ]
        await box.tick()
        box.clock.advance(days(40))
        box.free = Space(2**40, 1000 - 24 * 40) if for_space else box.free
        assert (await box.one_pass()).erased == 24
        told = await box.told(LedgerKind.SEGMENTS_DELETED)
        assert [(entry.body["camera"], len(entry.body["segments"])) for entry in told] == (
            [("cam-a", 6), ("cam-b", 6)] * 2 if for_space else [("cam-a", 6), ("cam-a", 6), ("cam-b", 6), ("cam-b", 6)]
        )
        assert (await box.deletions()).keys() == set(keys)


@pytest.mark.parametrize("for_space", [False, True])
async def test_what_stays_is_looked_at_once_a_pass_and_holds_up_nobody(
    tmp_path: Path, for_space: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doom, "LOOKED_AT", 5)
    async with house(tmp_path) as box:
        await box.camera("cam-a", "other" if for_space else "listed")
        held = [await box.record("cam-a", START_US + n * MINUTE) for n in range(12)]
        free = [await box.record("cam-a", START_US + HOUR + n * MINUTE) for n in range(12)]
        await box.hold("cam-a", start_us=START_US - HOUR, end_us=START_US + 30 * MINUTE)
        await box.tick()
        box.clock.advance(days(40))
        box.free = Space(2**40, 1000 - 12 * 40) if for_space else box.free
        report = await box.one_pass()
        assert report.erased == (3 if for_space else 12)  # for space: no more before what went is seen to be free
        assert for_space or (report.examined, report.kept) == (24, {"held": 12})
        assert all(box.file(key).exists() for key in held)
        assert not box.file(free[0]).exists()


async def test_a_camera_hour_that_does_not_fit_a_batch_is_left_whole(tmp_path: Path) -> None:
    async with house(tmp_path, batch=8) as box:
        await box.camera("cam-a")
        for n in range(18):
            await box.record("cam-a", START_US + MINUTE + n * 10 * MINUTE, length_us=MINUTE)
        await box.tick()
        box.clock.advance(days(40))
        assert (await box.one_pass()).erased == 18
        assert [len(entry.body["segments"]) for entry in await box.told(LedgerKind.SEGMENTS_DELETED)] == [6, 6, 6]
