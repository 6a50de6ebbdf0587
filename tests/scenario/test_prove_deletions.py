"""A deletion answers for itself however late its camera-hour is told to the ledger: a whole box, command and script."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edged.app.proving import read_again
from edged.archive.ledger import LedgerKind
from edged.archive.reconcile import reconcile
from edged.base.clock import HOUR, MINUTE
from tests.law_box import CAMERAS, Box, World, shanghai

SITE = '[retention]\ngrace = "0d"\n' + CAMERAS


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def checked(box: Box, date: str) -> dict[str, Any]:
    """The proof of a day of cam-a, as an inspector's script reads it beside the disk."""
    out = box.world.folder / f"proof-{date}"
    await box.asked("prove", "day", "--camera", "cam-a", "--date", date, "--out", str(out))
    words = [
        str(out),
        "--files",
        str(box.world.folder / "v1"),
        "--key",
        str(box.world.folder / "state/ledger-key.pub.pem"),
    ]
    script = [sys.executable, "-I", str(out / "verify_retention.py"), *words, "--json"]
    done = subprocess.run(script, capture_output=True, text=True, check=False, timeout=60)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


async def test_i3_a_deletion_follows_the_record_of_its_hour(world: World) -> None:
    """Footage nobody told the ledger of before it was past its floor: a lost index, a disk that was away."""
    async with world.box(SITE) as box:
        for hour in range(9, 25):
            world.wait_until(shanghai(11, 1) + hour * HOUR)
            await box.record(length_us=HOUR)
        assert await box.told(LedgerKind.CAMERA_HOUR) == []
        assert (await box.sweep_at(shanghai(12, 2, 0, 10))).erased == 15
        told = await box.told(LedgerKind.CAMERA_HOUR, LedgerKind.SEGMENTS_DELETED)
        for deletion in (one for one in told if one.kind is LedgerKind.SEGMENTS_DELETED):
            records = [one for one in told if one.kind is LedgerKind.CAMERA_HOUR and one.seq < deletion.seq]
            assert any(one.body["hour_us"] == deletion.body["hour_us"] for one in records)
        world.wait_until(shanghai(12, 4))
        await box.sweep()
        await box.house.hours.one_pass()
        report = await checked(box, "2026-11-01")
        assert (report["verdict"], report["findings"], report["deleted"]) == ("DELETED_AFTER_FLOOR", [], 16)


async def test_i3_late_footage_that_goes_before_its_hours_turn(world: World) -> None:
    """The hour is on record as a gap; then its footage turns up, long past its floor, and goes at the next sweep."""
    async with world.box(SITE) as box:
        for hour in (*range(9, 20), *range(21, 25)):
            world.wait_until(shanghai(11, 1) + hour * HOUR)
            await box.record(length_us=HOUR)
        world.wait_until(shanghai(12, 10))
        await box.house.hours.one_pass()
        await box.record(end_us=shanghai(11, 1, 20), length_us=HOUR, age_us=world.clock.wall_us() - shanghai(11, 1, 20))
        await box.sweep()
        world.wait_until(shanghai(12, 12))
        assert (await box.sweep()).erased >= 1
        world.clock.advance(10 * MINUTE / 1e6)
        await box.house.hours.one_pass()
        report = await checked(box, "2026-11-01")
        assert (report["verdict"], report["findings"], report["deleted"]) == ("DELETED_AFTER_FLOOR", [], 16)


async def test_i3_i7_what_went_lawfully_is_not_missing_to_an_old_copy_of_the_index(world: World) -> None:
    """The copy knows neither the deletions nor the hold that one of the cameras came under after its files had gone."""
    index, copy = world.folder / "state/index.sqlite3", world.folder / "copy.sqlite3"
    async with world.box(SITE) as box:
        for hour in range(9, 25):
            world.wait_until(shanghai(11, 1) + hour * HOUR)
            keys = [await box.record(length_us=HOUR), await box.record("cam-b", length_us=HOUR)]
        await box.sweep()
        world.clock.advance(600)
        await box.house.hours.one_pass()
    shutil.copyfile(index, copy)
    async with world.box(SITE) as box:
        assert (await box.sweep_at(shanghai(12, 4))).erased == 32
        await box.hold("cam-b", shanghai(11, 1), shanghai(11, 3))
        await box.house.proofs.finish()
    for file in index.parent.glob("index.sqlite3*"):
        file.unlink()
    shutil.copyfile(copy, index)
    async with world.box(SITE) as box:
        house = box.house
        assert await box.sql("SELECT 1 FROM segment WHERE state = 0") != []
        found = await reconcile(house.database, house.volumes, world.clock, settle=house.intake.catch_up)
        assert (found.missing, found.deleted) == (0, 32)
        assert await box.told(LedgerKind.FOOTAGE_MISSING) == []
        await house.database.write(read_again, house.config, ["v1"], world.clock.wall_us())
        await box.sweep()  # forgets what nothing holds up any more
        for key in keys:
            (told,) = (await box.asked("retention", "explain", str(key)))["explanations"]
            assert told["standing"] == "deleted", told
        assert (await checked(box, "2026-11-01"))["verdict"] == "DELETED_AFTER_FLOOR"
        again = await reconcile(house.database, house.volumes, world.clock)
        assert (again.missing, again.deleted, again.found) == (0, 0, 0)
