"""I1: what a segment is counted from where the clock was wrong when it labelled it, and right when it was indexed."""

from pathlib import Path

from edged.base.clock import DAY, HOUR, SECOND
from edged.law.counting import keep_until_us
from tests.retaining import House, house


async def kept_from(box: House, truly_us: int) -> None:
    (row,) = await box.sql("SELECT keep_until_us FROM segment")
    assert row["keep_until_us"] >= keep_until_us(truly_us, 30, box.law.tz)


async def test_i1_a_label_hours_behind_is_counted_by_running_time(tmp_path: Path) -> None:
    """Nobody watched: the controller last knew the time thirty hours ago, and the clock was wrong only in between."""
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        await box.tick()
        box.clock.advance(30 * 3600)
        truly_us = box.clock.wall_us()
        wrong_us = truly_us - 20 * HOUR
        box.clock.step_wall(-20 * 3600)
        fact = box.sealed("cam-a", wrong_us)
        box.clock.step_wall(20 * 3600)
        await box.index(fact)
        await kept_from(box, truly_us)


async def test_a_true_label_is_counted_as_it_says_however_late_it_is_indexed(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        await box.tick()
        truly_us = box.clock.wall_us()
        fact = box.sealed("cam-a", truly_us)
        box.clock.advance(5 * 86400)
        await box.tick()
        await box.index(fact)
        (row,) = await box.sql("SELECT keep_until_us FROM segment")
        assert row["keep_until_us"] == keep_until_us(truly_us, 30, box.law.tz)


async def test_i1_a_label_of_another_boot_behind_the_retention_clock_is_counted_from_now(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        await box.tick()
        box.clock.reboot()
        box.clock.step_wall(-8 * 3600)
        fact = box.sealed("cam-a", box.clock.wall_us())
        box.clock.reboot(off_seconds=60)
        box.clock.step_wall(8 * 3600)
        await box.index(fact)
        await kept_from(box, box.clock.wall_us() - 60 * SECOND)


async def test_i1_footage_of_1970_that_is_indexed_before_the_first_tick_is_kept_its_full_time(tmp_path: Path) -> None:
    """A lost index under a dead battery: the time service comes before the sweep, or after its first pass."""
    for passes_first in (False, True):
        folder = tmp_path / str(passes_first)
        folder.mkdir()
        async with house(folder, ntp=False) as box:
            await box.camera("cam-a")
            truly_us = box.clock.wall_us()
            box.clock.step_wall(200 - truly_us / SECOND)
            await box.record("cam-a")
            if passes_first:
                await box.one_pass()
            box.clock.step_wall(truly_us / SECOND - 200)
            box.ntp = True
            await box.one_pass()
            await kept_from(box, truly_us)


async def test_i1_after_a_lost_index_a_label_of_2036_does_not_set_the_clock(tmp_path: Path) -> None:
    """The wall clock stood, and stands, ten years ahead; nobody vouches for it, and only the journals are left."""
    async with house(tmp_path, ntp=False) as box:
        await box.camera("cam-a")
        old = await box.record("cam-a")
        box.clock.step_wall(3650 * 86400)
        await box.record("cam-a")
        report = await box.one_pass()
        assert report.erased == 0
        assert report.time.retention_us <= old.start_us + DAY
        assert box.file(old).exists()
