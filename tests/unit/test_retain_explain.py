"""Why footage is here, and why it is gone: each answer names the article."""

from pathlib import Path

import pytest

from edged.archive.ledger import LedgerKind
from edged.archive.roster import UnknownCamera
from edged.archive.schema import MISSING, SEALED
from edged.archive.segments import set_state
from edged.base.clock import DAY, HOUR, MINUTE
from edged.law.counting import keep_until_us
from edged.model import OwnRule, StreamKind
from edged.retain.doom import Grounds
from edged.retain.explain import Explanation, explain_at, explain_segment
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
        assert (gone.segment, gone.standing, gone.because) == (str(key), "deleted", entry.body["because"])
        assert gone.rules == ("order-799/17", "order-799/17-delete")
        assert (gone.ledger, gone.deleted_us) == (entry.seq, entry.at_us)
        assert [article.name for article in gone.articles] == ["State Council Order 799 art. 17"] * 2
        assert "应当予以删除" in gone.articles[1].text_zh
        assert await box.database.read(explain_segment, key, grounds(box)) == gone
        (never,) = await at(box, START_US - DAY)
        assert (never.standing, never.segment, never.because) == ("never", None, "the camera was not recorded yet then")
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
        assert found.because == (
            "its file is not on volume disk-0; it must not have gone: below its floor of 30 days under order-799/17"
        )
        box.clock.advance(32 * 86400)
        await box.tick()
        (found,) = await at(box, key.start_us)
        assert "it was free to go, but no deletion is on record: its floor of 30 days" in found.because


async def test_before_the_clock_of_deletion_has_started_everything_is_below_its_floor(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        key = await box.record("cam-a")
        (found,) = await at(box, key.start_us)
        assert found.because == "below its floor of 30 days under order-799/17"
        assert found.erase_due_us == keep_until_us(START_US, 33, box.law.tz)


async def test_what_is_kept_names_its_dates_its_articles_words_and_its_hold(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        key = await box.record("cam-a")  # 2026-11-01 in Shanghai
        await box.tick()
        hold = await box.hold("cam-a", start_us=0)
        await box.holds.release(hold.id, "person-b")
        (found,) = await at(box, key.start_us)
        assert found.keep_until_us == keep_until_us(START_US, 30, box.law.tz)
        assert found.erase_due_us == found.keep_until_us + 3 * DAY
        assert [article.rule for article in found.articles] == ["order-799/17", "order-799/17-delete"]
        assert found.articles[0].text_zh == "公共安全视频系统收集的视频图像信息应当保存不少于30日"
        (held,) = found.holds
        assert (held.case, held.authority, held.document) == ("case-1", "authority-1", "letter-1")
        assert (held.placed_by, held.half_released_by) == ("person-a", "person-b")


async def test_an_untrusted_clock_and_a_volume_that_is_not_there_are_named(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        key = await box.record("cam-a")
        await box.tick()
        box.clock.advance(32 * 86400)
        await box.tick()
        doubtful = Grounds(law=box.law, clock_trusted=False, proven=frozenset({"disk-0"}))
        told = await box.database.read(explain_segment, key, doubtful)
        assert "the retention clock is not trusted" in told.because
        absent = Grounds(law=box.law, clock_trusted=True, proven=frozenset())
        told = await box.database.read(explain_segment, key, absent)
        assert "the identity of its volume is not proven" in told.because
        assert told.volume == "disk-0"


async def test_the_operators_own_rules_are_told_as_such(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a", "other", own=OwnRule(at_least_days=60, keep="floor"))
        key = await box.record("cam-a")
        await box.tick()
        (found,) = await at(box, key.start_us)
        assert found.because == "below its floor of 60 days under operator/keep-at-least"
        assert ["operator's own" in article.name for article in found.articles] == [True, True]
        assert found.erase_due_us == keep_until_us(START_US, 63, box.law.tz)


async def test_a_gap_names_its_cause(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        box.clock.advance(3600)
        (found,) = await at(box, box.clock.wall_us() - MINUTE)
        assert (found.standing, found.because) == ("never", "nothing was recorded then; the gap's cause is recorder")
