"""What `edged retention explain` and `edged law explain` say to a person, word for word."""

import logging
from pathlib import Path

import pytest

from edged.base.clock import DAY
from edged.model import StreamKind
from tests.law_box import CAMERAS, World, shanghai

OWN = '[retention]\nkeep = "floor"\n' + CAMERAS.replace('"cam-b"', '"cam-b"\nplace = "other"\nkeep_at_least = "60d"')
MINIMUM = "  order-799/17 is State Council Order 799 art. 17: “公共安全视频系统收集的视频图像信息应当保存不少于30日”"
DELETE = (
    "  order-799/17-delete is State Council Order 799 art. 17: "
    "“30日后，对已经实现处理目的的视频图像信息，应当予以删除。法律、行政法规对视频图像信息保存期限另有规定的，从其规定。”"
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """2026-11-01 08:00 in Shanghai, in Jilin, at a listed place."""
    return World(tmp_path)


async def test_a_segment_through_its_life(world: World) -> None:
    async with world.box(OWN) as box:
        await box.sweep()
        key = await box.record()
        recorded = "  recorded from 2026-11-01T07:59:00+08:00 to 2026-11-01T08:00:00+08:00, on volume v1"

        async def told() -> list[str]:
            code, said = await box.edged("retention", "explain", str(key))
            assert code == 0
            return said.splitlines()

        assert await told() == [
            f"{key} is kept: below its floor of 30 days under order-799/17",
            recorded,
            "  may not be deleted before 2026-12-02T00:00:00+08:00",
            "  is to be deleted from 2026-12-05T00:00:00+08:00 on",
            MINIMUM,
            DELETE,
            "the clock that deletion asks: 2026-11-01T08:00:00+08:00",
        ]
        hold = await box.hold("cam-a", shanghai(11, 1))
        await box.asked("holds", "release", hold, "--by", "second officer")
        assert (await told())[:5] == [
            f"{key} is kept: under evidence hold hold-1",
            recorded,
            "  held as evidence by hold-1: case 2026-17, county police, document 41, placed by first officer on"
            " 2026-11-01T08:00:00+08:00; second officer has released it, a second person has not",
            "  may not be deleted before 2026-12-02T00:00:00+08:00, nor while it is held",
            "  is to be deleted from 2026-12-05T00:00:00+08:00 on, once no longer held",
        ]
        await box.asked("holds", "release", hold, "--by", "third officer")
        await box.sweep_at(shanghai(12, 3))
        assert "has passed, but nothing demands its space yet" in (await told())[0]
        world.clock.step_wall(-86400)
        await box.sweep()
        assert "the retention clock is not trusted, so its floor" in (await told())[0]
        assert (await told())[-1] == "the clock that deletion asks: 2026-12-03T00:00:00+08:00, NOT trusted"
        world.clock.step_wall(86400)
        await box.sweep_at(shanghai(12, 6))
        gone = await told()
        assert gone[0] == (
            f"{key} was deleted: its floor of 30 days under order-799/17 has passed and"
            " order-799/17-delete demands that it be deleted"
        )
        assert gone[2].startswith(
            "  had to be kept until 2026-12-02T00:00:00+08:00; deleted on 2026-12-06T00:00:00+08:00 (ledger entry "
        )
        assert gone[3:5] == [MINIMUM, DELETE]
        by_time = await box.edged("retention", "explain", "--camera", "cam-a", "--at", "2026-11-01T07:59:30+08:00")
        assert by_time == (0, "\n".join(gone) + "\n")


async def test_what_never_was_says_why(world: World) -> None:
    async with world.box(OWN) as box:
        await box.sweep_at(shanghai(11, 2, 8))

        async def at(time: str) -> str:
            _, said = await box.edged("retention", "explain", "--camera", "cam-a", "--at", time)
            return said.splitlines()[0]

        assert await at("2026-10-31T08:00:00+08:00") == (
            "this instant was never recorded: the camera was not recorded yet then"
        )
        assert await at("2026-11-02T07:00:00+08:00") == (
            "this instant was never recorded: nothing was recorded then; the gap's cause is recorder"
        )
        code, said = await box.edged("retention", "explain", "cam-a/main/5-1-1")
        assert (code, said.splitlines()[0]) == (
            0,
            "cam-a/main/5-1-1 was never recorded: no such segment was ever recorded, as far as index and ledger know",
        )


async def test_a_volume_that_is_not_there_and_a_late_arrival_are_told(world: World) -> None:
    async with world.box(OWN) as box:
        first_us = world.clock.wall_us()
        await box.sweep_at(first_us + 5 * DAY)
        key = await box.record(end_us=first_us, age_us=5 * DAY)
        _, said = await box.edged("retention", "explain", str(key))
        assert "  entered the index late, on 2026-11-06T08:00:00+08:00 (ledger entry " in said
    (world.folder / "v1" / "VOLUME.json").unlink()
    async with world.box(OWN) as box:
        await box.sweep_at(shanghai(12, 4))
        _, said = await box.edged("retention", "explain", str(key))
        assert "the identity of its volume is not proven, so its floor of 30 days" in said
        assert "  its volume cannot be used: volume v1: VOLUME.json is missing" in said


async def test_both_streams_are_told_where_both_were_recorded(world: World) -> None:
    async with world.box(OWN) as box:
        main = await box.record()
        small = await box.record(stream=StreamKind.SUB)
        told = await box.asked("retention", "explain", "--camera", "cam-a", "--at", "2026-11-01T07:59:30+08:00")
        assert [one["segment"] for one in told["explanations"]] == [str(main), str(small)]


async def test_the_operators_own_rules_are_told_apart_from_the_law(world: World) -> None:
    async with world.box(OWN) as box:
        await box.sweep()
        key = await box.record("cam-b")
        _, said = await box.edged("retention", "explain", str(key))
        assert said.splitlines()[2:6] == [
            "  may not be deleted before 2027-01-01T00:00:00+08:00",
            "  is to be deleted from 2027-01-04T00:00:00+08:00 on",
            "  operator/keep-at-least is the operator's own minimum (keep_at_least in the configuration)",
            '  operator/keep-floor is the operator\'s own rule (keep = "floor" in the configuration)',
        ]
        _, said = await box.edged("law", "explain", "--camera", "cam-b")
        assert said.splitlines()[:4] == [
            "cam-b: jilin, other place",
            "floor: 60 days, by operator/keep-at-least",
            "the operator's own minimum; the law's is 15 days, jilin-236/21-2",
            "deleted by age: a grace of 3 days after the floor, by operator/keep-floor",
        ]
        assert "jilin-236/21-2: “公共安全视频图像信息存储期不少于15天”" in said


async def test_too_small_a_minimum_of_ones_own_stops_no_box_and_is_said(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """I1, I6: `check-config` refuses it; a box that runs with it keeps what the law demands."""
    with caplog.at_level(logging.WARNING):
        async with world.box('[retention]\nkeep_at_least = "20d"\n' + CAMERAS) as box:
            law = await box.asked("law", "explain", "--camera", "cam-a")
    assert (law["floor_days"], law["rules"]) == (30, ["order-799/17"])
    assert "the operator's own minimum of 20 days is without effect: the law demands 30" in law["warnings"]
    assert "20 days are fewer than the 30 demanded here by State Council Order 799 art. 17" in caplog.text
