"""Why footage is here, and why it is gone: each answer names the article."""

from pathlib import Path

import pytest

from edged.archive.ledger import LedgerKind
from edged.archive.roster import UnknownCamera
from edged.archive.schema import MISSING, SEALED
from edged.base.clock import DAY, HOUR, MINUTE
from edged.model import StreamKind
from edged.retain.doom import Grounds
from edged.retain.explain import Explanation, explain_at, explain_segment
from edged.retain.rows import set_state
from tests.retaining import START_US, House, house


def grounds(box: House) -> Grounds:
    return Grounds(law=box.law, clock_trusted=True, proven=frozenset({"disk-0"}))


async def at(box: House, at_us: int, camera: str = "cam-a") -> list[Explanation]:
    return await box.database.read(explain_at, camera, StreamKind.MAIN, at_us, grounds(box))


async def test_below_the_floor_past_it_held_missing_deleted_and_never(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        key = await box.record("cam-a")
        await box.tick()
        (young,) = await at(box, key.start_us)
        assert (young.standing, young.rules) == ("kept", ("order-799/17",))
        assert young.because == "below its floor of 30 days under order-799/17"
        hold = await box.hold("cam-a", start_us=0)
        assert (await at(box, key.start_us))[0].because == "under evidence hold hold-1"
        await box.release(hold.id)
        box.clock.advance(32 * 86400)
        await box.tick()
        assert "nothing demands its space yet" in (await at(box, key.start_us))[0].because
        box.clock.advance(8 * 86400)
        await box.one_pass()
        (gone,) = await at(box, key.start_us)
        (entry,) = await box.told(LedgerKind.SEGMENTS_DELETED)
        assert gone == Explanation(
            segment=str(key),
            standing="deleted",
            because=entry.body["because"],
            rules=("order-799/17", "order-799/17-delete"),
            ledger=entry.seq,
        )
        assert await box.database.read(explain_segment, key, grounds(box)) == gone
        (never,) = await at(box, START_US - DAY)
        assert (never.standing, never.segment) == ("never", None)
        with pytest.raises(UnknownCamera):
            await at(box, START_US, "cam-z")


async def test_the_right_one_of_many_deletions_is_found(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        await box.camera("cam-b")
        keys = [await box.record(cam, START_US + n * HOUR) for n in range(40) for cam in ("cam-a", "cam-b")]
        await box.tick()
        box.clock.advance(50 * 86400)
        assert (await box.one_pass()).erased == 80
        for key in keys[::7]:
            (found,) = await at(box, key.start_us + MINUTE // 2, key.camera)
            assert (found.segment, found.standing) == (str(key), "deleted")
        (between,) = await at(box, keys[0].start_us + 30 * MINUTE)
        assert between.standing == "never"


async def test_a_missing_file_is_not_explained_away(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        key = await box.record("cam-a")
        await box.tick()
        await box.database.write(set_state, key, SEALED, MISSING)
        (found,) = await at(box, key.start_us)
        assert found.standing == "missing"
        assert "its file is not on volume disk-0" in found.because
